"""The annotator: variants of a name match, with exact offsets; other words do not."""

from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.concepts.annotate import Annotator
from expunge.concepts.dictionary import Dictionary, DictionaryEntry
from expunge.concepts.normalize import plurals, roman_to_arabic, stem, to_american, variant
from expunge.concepts.span import Span
from expunge.concepts.stopwords import STOPWORDS, read_stopwords
from expunge.concepts.tokenizer import tokenize
from expunge.errors import InputError


def annotator(*names: str, **options: object) -> Annotator:
    """Concept `X:<name>` for each name, on level L3 unless written `name=L4`."""
    pairs = [name.partition("=")[::2] for name in names]
    return Annotator(
        Dictionary.of(DictionaryEntry(name, f"X:{name}", level or "L3") for name, level in pairs), **options
    )  # type: ignore[arg-type]


def matches(text: str, *names: str) -> list[tuple[str, str]]:
    """(text, variant) of every span."""
    return [(span.text, span.variant) for span in annotator(*names).annotate(text)]


@pytest.mark.parametrize(
    ("name", "text", "match", "difference"),
    [
        ("appendectomy", "An Appendectomy.", "Appendectomy", ""),
        ("breast cancer", "breast\n   cancer", "breast\n   cancer", ""),
        ("cat-scratch disease", "cat scratch disease", "cat scratch disease", ""),
        ("Guillain-Barre syndrome", "Guillain–Barré syndrome", "Guillain–Barré syndrome", ""),
        ("Sjögren syndrome", "SJO\u0308GREN SYNDROME", "SJO\u0308GREN SYNDROME", ""),
        ("TGF-beta deficiency", "TGF-β deficiency", "TGF-β deficiency", ""),
        ("skin disease", "two skin diseases here", "skin diseases", "number"),
        ("Metastases", "a metastasis", "metastasis", "number"),
        ("Biopsy", "biopsies", "biopsies", "number"),
        ("vertebra", "vertebrae", "vertebrae", "number"),
        ("appendix", "appendices", "appendices", "number"),
        ("esophageal tumor", "oesophageal tumours", "oesophageal tumours", "number+spelling"),
        ("anemia", "anaemia", "anaemia", "spelling"),
        ("gastroesophageal reflux", "gastro-oesophageal reflux", "gastro-oesophageal reflux", "spelling"),
        ("Parkinson disease", "Parkinson’s disease", "Parkinson’s disease", "possessive"),
        ("Parkinson's disease", "Parkinson disease", "Parkinson disease", "possessive"),
        ("Diabetes Mellitus, Type 2", "diabetes mellitus type II", "diabetes mellitus type II", "numeral+punctuation"),
        ("type I collagen", "type 1 collagen", "type 1 collagen", "numeral"),
        ("Diabetes, Type 1", "type 1 diabetes", "type 1 diabetes", "order"),
        ("breast cancer", "cancer of the breast", "cancer of the breast", "order"),
        ("agenesis of the corpus callosum", "corpus callosum agenesis", "corpus callosum agenesis", "order"),
        (
            "Osteopetrosis autosomal recessive 4",
            "autosomal recessive osteopetrosis 4",
            "autosomal recessive osteopetrosis 4",
            "order",
        ),
        ("heart disease", "heart disorders", "heart disorders", "synonym"),
        ("glycogen storage disease V", "glycogen storage disease type V", "glycogen storage disease type V", "type"),
        ("Usher syndrome type 1", "Usher syndrome, type 1", "Usher syndrome, type 1", "punctuation"),
        ("appendicitis (disorder)", "appendicitis", "appendicitis", ""),
        ("St. Louis encephalitis", "St. Louis encephalitis", "St. Louis encephalitis", ""),
    ],
)
def test_variants_of_a_name_match(name: str, text: str, match: str, difference: str) -> None:
    assert matches(text, name) == [(match, difference)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ovary", "bovary ovaryx"),  # within a word
        ("breast cancer", "a lump in the breast. Cancer?"),  # over the end of a sentence
        ("breast cancer", "breast\n\ncancer"),  # over a paragraph
        ("lung disease", "heart, lung, disease"),  # over a comma
        ("Hodgkin lymphoma", "non-Hodgkin lymphoma"),
        ("Hodgkin lymphoma", "non Hodgkin lymphoma"),
        ("eclampsia", "pre-eclampsia"),
        ("MS", "Ms Smith, ms"),  # abbreviations in capitals only
        ("TMD", "tmd Tmd"),
        ("Pb", "PB pb"),  # under three letters: as it is written
        ("ammonium", "ammonia"),
        ("colon", "cola"),
        ("chromosome 10", "chromosome X"),
        ("virus hepatitis", "hepatitis virus"),  # two words turn round only with "of" or a comma
        ("type 1 diabetes of 2", "type 2 diabetes of 1"),  # numbers keep their order
        ("Cushing disease", "Cushing syndrome"),
        ("disease", "disorder"),  # one word alone has no synonym
    ],
)
def test_other_words_do_not_match(name: str, text: str) -> None:
    assert matches(text, name) == []


def test_an_abbreviation_is_found_in_capitals_and_with_a_plural_s() -> None:
    text = "MS, TMD; two MRIs and CTs. All ALL patients."
    assert [span.text for span in annotator("MS", "TMD", "MRI", "CT", "ALL").annotate(text)] == [
        "MS",
        "TMD",
        "MRIs",
        "CTs",
        "ALL",
    ]


def test_a_stopword_abbreviation_is_ignored_among_capitals() -> None:
    assert matches("ALL PATIENTS WERE SEEN; CT HEAD", "ALL", "CT") == [("CT", "")]


def test_the_longest_name_wins_and_spans_do_not_overlap() -> None:
    names = ("cancer", "breast cancer", "cancer treatment", "breast")
    assert [t for t, _ in matches("breast cancer treatment, cancer treatment, breast", *names)] == [
        "breast cancer",
        "cancer treatment",
        "breast",
    ]


def test_a_reordered_name_does_not_cut_a_name_in_order() -> None:
    assert [t for t, _ in matches("disease of kidney failure", "kidney disease", "kidney failure")] == [
        "kidney failure"
    ]


def test_a_name_of_several_concepts_gives_all_ids_and_the_highest_level() -> None:
    dictionary = Dictionary.of(
        [
            DictionaryEntry("cold", "B:2", "L2"),
            DictionaryEntry("Cold", "A:1", "L4"),
            DictionaryEntry("colds", "C:3"),
            DictionaryEntry("Cold (finding)", "D:4"),
        ]
    )
    (span,) = Annotator(dictionary).annotate("a cold")
    assert span == Span(2, 6, "cold", ("A:1", "B:2", "C:3", "D:4"), "L4")
    assert Annotator(Dictionary.of([DictionaryEntry("cold", "B:2")])).annotate("cold")[0].level is None


def test_stop_words_are_passed_over_in_both_numbers_and_more_can_be_added() -> None:
    names = ("lead", "will", "gene", "skin cancer")
    text = "Leads will lead to genes of skin cancer"
    assert [s.text for s in annotator(*names).annotate(text)] == ["genes", "skin cancer"]
    assert [s.text for s in annotator(*names, stopwords=STOPWORDS | {"Gene", "SKIN CANCER"}).annotate(text)] == []
    assert [s.text for s in annotator(*names, stopwords=()).annotate(text)] == [
        "Leads",
        "will",
        "lead",
        "genes",
        "skin cancer",
    ]
    assert annotator("lead").annotate("lead") == ()


def test_reordering_can_be_switched_off() -> None:
    assert annotator("breast cancer", reorder=False).annotate("cancer of the breast") == ()


def test_a_dictionary_without_names_is_an_error() -> None:
    with pytest.raises(InputError, match="holds no names"):
        Annotator(Dictionary(()))


def test_a_stop_file_has_one_name_per_line(tmp_path: Path) -> None:
    path = tmp_path / "stop.txt"
    path.write_text("# ours\nhot flash  # too common\n\nfever\n")
    assert read_stopwords(path) == {"hot flash", "fever"}
    path.write_text("# nothing\n")
    with pytest.raises(InputError, match="holds no names"):
        read_stopwords(path)
    with pytest.raises(InputError, match="is a folder"):
        read_stopwords(tmp_path)


PIECES = st.sampled_from(
    [
        "breast cancer",
        "Breast  Cancers",
        "cancer of the breast",
        "ﬁbrosis",
        "fibroses",
        "ANÆMIA",
        "e\u0301clair",
        "éclairs",
        "🙂",
        "👩‍⚕️",
        " ",
        "\n",
        "\u00a0",
        ", ",
        ". ",
        "-",
        "’s",
        "ß",
        "no ",
        "x",
        "type II diabetes",
        "\u200b",
    ]
)
SHARED = annotator("breast cancer", "fibrosis", "éclair", "diabetes type 2", "anæmia", "x-ray")


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_spans_are_slices_of_the_text_in_order_and_never_touch_half_a_word(text: str) -> None:
    last = 0
    for span in SHARED.annotate(text):
        assert last <= span.start < span.end
        assert span.text == text[span.start : span.end] == span.text.strip()
        assert span.concepts
        assert not text[span.end : span.end + 1].isalnum()
        assert not text[: span.start][-1:].isalnum()
        last = span.end


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=8).map("".join), st.sampled_from(["NFC", "NFD"]))
def test_unicode_normal_forms_give_equal_spans(text: str, form: str) -> None:
    def folded(value: str) -> list[tuple[str, tuple[str, ...]]]:
        return [(unicodedata.normalize("NFC", s.text), s.concepts) for s in SHARED.annotate(value)]

    assert folded(unicodedata.normalize(form, text)) == folded(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(
    "word",
    [
        "disease",
        "biopsy",
        "metastasis",
        "bacterium",
        "ganglion",
        "carcinoma",
        "vertebra",
        "cortex",
        "thorax",
        "larynx",
        "foramen",
        "calf",
        "valve",
        "virus",
        "nevus",
        "foot",
        "child",
        "eye",
        "process",
        "pelvis",
        "phenomenon",
        "appendix",
        "arch",
        "day",
    ],
)
def test_all_numbers_of_a_word_share_its_stem(word: str) -> None:
    assert {stem(form) for form in plurals(word)} == {stem(word)}


def test_similar_words_do_not_match() -> None:
    assert variant("ammonium", "ammonia") is None
    assert variant("neuritis", "neurites") is None
    assert variant("tin", "tinea") is None
    assert [variant("biopsy", "biopsies"), variant("tumor", "tumours"), variant("2", "ii")] == [
        "number",
        "number+spelling",
        "numeral",
    ]
    assert to_american("oedema") == "edema"
    assert to_american("shoes") == "shoes"
    assert [roman_to_arabic(word) for word in ("iii", "iv", "xiv", "iiia", "mix", "d")] == [
        "3",
        "4",
        "14",
        "3a",
        "",
        "",
    ]


def test_words_keep_their_positions() -> None:
    tokens = tokenize("Non-Hodgkin’s lymphoma (2.5 mg) of the b")
    assert [tokens.surface(k) for k in range(len(tokens))] == ["Non-Hodgkin’s", "lymphoma", "2.5", "mg", "of", "b"]
    assert list(tokens.folded) == ["nonhodgkin", "lymphoma", "2.5", "mg", "of", "b"]
    assert [tokens.gap(k) for k in range(5)] == ["", "(", "", ")", ""]


def test_time_grows_linearly_without_sentence_ends() -> None:
    def seconds(times: int) -> float:
        began = time.process_time()
        spans = SHARED.annotate("no fibrosis, " * times)
        assert len(spans) == times
        assert sum(span.negated for span in spans) > 0.9 * times  # a cut may fall between "no" and its mention
        return time.process_time() - began

    seconds(1_000)
    assert seconds(8_000) < 30 * max(seconds(1_000), 0.01)  # 8 if in proportion, 64 if by the square
