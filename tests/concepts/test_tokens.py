"""Levels of tokens from spans, for byte-level, word-piece and unigram tokenizers over any text."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from expunge.concepts.span import Span
from expunge.concepts.tokens import token_levels, trimmed_range

TEXTS = [
    "no fever after the appendectomy",
    "breast cancer, Sjögren’s syndrome",
    "naïve Ångström ß 🙂 emoji 👩‍⚕️",
    "e\u0301clair  two  spaces\nand lines",
    "日本語の文 Ελληνικά кириллица",
] * 3


def byte_level(trim: bool, prefix: bool) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=trim)
    made.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(vocab_size=320, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
    )
    return made


def word_piece() -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(
        TEXTS,
        trainers.WordPieceTrainer(vocab_size=200, show_progress=False, special_tokens=["[UNK]", "[CLS]", "[SEP]"]),
    )
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    )
    return made


def unigram() -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(
        TEXTS, trainers.UnigramTrainer(vocab_size=120, show_progress=False, special_tokens=["<unk>"], unk_token="<unk>")
    )
    return made


MAKERS: dict[str, Callable[[], Tokenizer]] = {
    "byte-level": lambda: byte_level(trim=False, prefix=False),
    "byte-level, trimmed_range": lambda: byte_level(True, True),
    "byte-level, prefix": lambda: byte_level(False, True),
    "word-piece": word_piece,
    "unigram": unigram,
}


@pytest.fixture(scope="module", params=MAKERS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return MAKERS[request.param]()


WORDS = st.one_of(
    st.sampled_from(
        [
            "fever",
            "breast cancer",
            "Sjögren",
            "e\u0301clair",
            "🙂",
            "👩‍⚕️",
            "日本語",
            "ß",
            "ﬁbrosis",
            " ",
            "  ",
            "\n",
            "\u00a0",
            "’s",
            ",",
            "A\u030a",
            "क्षि",
            "\u200b",
        ]
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=4),
)
LEVELS = st.sampled_from(["L1", "L2", "L3", "L4", None])


@st.composite
def text_and_spans(draw: st.DrawFn) -> tuple[str, list[Span]]:
    """A text, and spans over some of its pieces; they may begin or end on white space."""
    pieces = draw(st.lists(st.tuples(WORDS, st.booleans(), LEVELS), max_size=10))
    text, spans = "", []
    for piece, chosen, level in pieces:
        if chosen:
            spans.append(Span(len(text), len(text) + len(piece), piece, ("X:1",), level))
        text += piece
    return text, spans


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(case=text_and_spans())
def test_every_character_of_a_span_is_covered_and_no_other_token_is_marked(
    tokenizer: Tokenizer, case: tuple[str, list[Span]]
) -> None:
    text, spans = case
    offsets = tokenizer.encode(text).offsets
    levels = token_levels(spans, offsets)
    assert len(levels) == len(offsets)
    for k, (start, end) in enumerate(offsets):
        over = [s.level for s in spans if max(start, trimmed_range(s)[0]) < min(end, trimmed_range(s)[1]) and s.level]
        assert levels[k] == max(over, default=None)


def test_tokens_of_a_known_text_are_the_expected_ones() -> None:
    offsets = [(0, 0), (0, 2), (2, 9), (9, 16), (16, 17), (0, 0)]  # [CLS] no| breast| cancer|.|[SEP]
    spans = [Span(3, 16, "breast cancer", ("X:1",), "L4")]
    assert token_levels(spans, offsets) == [None, None, "L4", "L4", None, None]


def test_a_token_that_shares_only_a_trimmed_space_is_not_marked() -> None:
    offsets = [(0, 5), (5, 10)]  # fever| here, the space belongs to the second token
    assert token_levels([Span(0, 6, "fever ", ("X:1",), "L4")], offsets) == ["L4", None]
    assert token_levels([Span(5, 6, " ", ("X:1",), "L4")], offsets) == [None, None]


def test_a_token_over_several_spans_has_the_highest_level() -> None:
    spans = [Span(0, 2, "ab", ("X:1",), "L3"), Span(2, 4, "cd", ("X:2",), "L4"), Span(4, 6, "ef", ("X:3",))]
    assert token_levels(spans, [(0, 4), (0, 1), (4, 6)]) == ["L4", "L3", None]
    assert token_levels(reversed(spans[:2]), [(1, 3)]) == ["L4"]


def test_the_bytes_of_an_emoji_are_all_marked() -> None:
    made = byte_level(trim=False, prefix=False)
    text = "a 🧬 b"
    offsets = made.encode(text).offsets
    levels = token_levels([Span(2, 3, "🧬", ("X:1",), "L2")], offsets)
    touched = [k for k, (start, end) in enumerate(offsets) if start < 3 and end > 2]
    assert len(touched) > 1
    assert [k for k, level in enumerate(levels) if level] == touched


def test_a_span_behind_the_last_token_has_none() -> None:
    assert token_levels([Span(10, 12, "ab", ("X:1",), "L4")], [(0, 3)]) == [None]
    assert token_levels([Span(10, 12, "ab", ("X:1",), "L4")], []) == []
