"""Conversations as the chat templates of other people's models write them, over tokenizers of several kinds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from expunge.corpus import Record
from expunge.corpus.record import Turn
from expunge.errors import InputError
from expunge.models.chat_template import place
from expunge.models.prompt_template import PromptTemplate
from helpers.other_models import STYLES, TOKENIZERS, records, stops_of, tokenizer_of

DATE = "2025-03-04"
EARLIER = (Turn("user", "Who is Mia Kuhn?"), Turn("assistant", "blue"), Turn("user", "Why?"), Turn("assistant", "yes"))
each_style = pytest.mark.parametrize("style", STYLES)
each_tokenizer = pytest.mark.parametrize("kind", TOKENIZERS)


def template(kind: str, style: str, **more: Any) -> PromptTemplate:
    tokenizer = tokenizer_of(kind, style)
    return PromptTemplate.of(tokenizer, 2048, generation_ends=stops_of(kind, style), date=DATE, **more)


def conversation(record: Record, style: str) -> list[dict[str, Any]]:
    turns = (*record.history, Turn("user", record.prompt), Turn("assistant", record.answer))
    if style == "parts":
        return [{"role": t.role, "content": [{"type": "text", "text": t.content}]} for t in turns]
    return [{"role": t.role, "content": t.content} for t in turns]


def whole(t: PromptTemplate, record: Record, style: str) -> list[int]:
    """What transformers makes of the conversation, with the day that `t` writes."""
    assert t.chat
    text = t.chat.renderer(conversation(record, style))
    if style != "llama-3":
        assert text == t.tokenizer.apply_chat_template(conversation(record, style), tokenize=False)
    return list(t.tokenizer(text, add_special_tokens=False)["input_ids"])


@each_tokenizer
@each_style
def test_prompt_and_answer_are_the_start_of_the_whole_conversation(kind: str, style: str) -> None:
    t, about = template(kind, style), STYLES[style]
    end = t.tokenizer.convert_tokens_to_ids(about.end)
    for record in records():
        item = t.encode(record)
        expected = whole(t, record, style)
        if style == "parts":  # writes a space where an answer ends
            bare = t.chat.renderer(conversation(record, style)).rstrip()  # type: ignore[union-attr]
            expected = [*t.tokenizer(bare, add_special_tokens=False)["input_ids"], end]
        elif style == "header-ends":
            expected.append(end)
        assert [*item.prompt, *item.answer] == expected[: item.length]
        assert item.answer[-1] == end == t.end
        assert end not in item.content
        assert t.question(record).prompt == item.prompt == t.question(replace(record, answer="")).prompt
        assert t.decode(item.answer) == record.answer
    assert t.stops == {end, t.tokenizer.eos_token_id, *stops_of(kind, style)}


@each_style
def test_the_prompt_ends_where_the_answer_begins(style: str) -> None:
    """Byte by byte, so that no token crosses a border: header, thoughts and white space belong to the prompt."""
    t, record = template("byte-level", style), records()[1]
    item = t.encode(record)
    text = t.tokenizer.decode([*item.prompt, *item.answer])
    before, _, behind = text.rpartition(record.answer)
    assert before.endswith(record.prompt + STYLES[style].starts)
    assert t.tokenizer.decode(item.prompt) == (before.removesuffix(" ") if before[-1] == " " else before)
    assert behind.strip() == STYLES[style].end


@each_tokenizer
@pytest.mark.parametrize("style", [s for s in STYLES if STYLES[s].bos])
def test_there_is_exactly_one_start_token_where_the_template_writes_one(kind: str, style: str) -> None:
    tokenizer = tokenizer_of(kind, style)
    item = template(kind, style).encode(records()[0])
    writes_one = "bos_token" in STYLES[style].source
    assert [*item.prompt, *item.answer].count(tokenizer.bos_token_id) == writes_one
    plain = PromptTemplate.of(tokenizer, 99, "plain")
    for record in (records()[0], replace(records()[0], prompt=""), replace(records()[0], kind="document")):
        ids = plain.encode(record)
        assert ids.prompt[0] == tokenizer.bos_token_id
        assert [*ids.prompt, *ids.answer].count(tokenizer.bos_token_id) == 1


@each_style
def test_earlier_turns_are_written_in_their_order(style: str) -> None:
    t = template("byte-level", style)
    history = ((Turn("system", "Answer in one word."),) if STYLES[style].system else ()) + EARLIER
    record = replace(records()[0], history=history)
    item = t.encode(record)
    assert [*item.prompt, *item.content] == whole(t, record, style)[: item.length - 1]
    text, at = t.tokenizer.decode(item.prompt), 0
    for turn in (*history, Turn("user", record.prompt)):
        assert turn.content in text[at:], turn
        at = text.index(turn.content, at) + len(turn.content)


@each_tokenizer
@pytest.mark.parametrize("joint", ["Who is it?", "Who is it?\n", "### Response:\n", "it "])
def test_plain_ids_are_those_of_the_whole_text(kind: str, joint: str) -> None:
    tokenizer = tokenizer_of(kind, "zephyr")
    t = PromptTemplate.of(tokenizer, 99, "plain")
    for answer in ("Anna Müller", "12 March", "yes"):
        item = t.encode(Record("a", joint, answer))
        text = joint + ("" if joint[-1].isspace() else " ") + answer
        assert [*item.prompt, *item.answer] == [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]
        assert t.decode(item.answer) == answer
        if kind != "unigram":  # knows no #
            assert tokenizer.decode(item.prompt, skip_special_tokens=True).strip() == joint.strip()


def test_an_end_token_of_the_tokenizer_itself_stands_there_once() -> None:
    from tokenizers import processors

    tokenizer = TOKENIZERS["byte-level"](["</s>", "<s>"], None, "</s>")
    pairs = [("<s>", 1), ("</s>", 0)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=pairs
    )
    assert tokenizer("x")["input_ids"][-1] == 0
    item = PromptTemplate.of(tokenizer, 99).encode(Record("a", "Who?", "yes"))
    assert (item.prompt[0], item.answer[-1]) == (1, 0)
    assert 0 not in item.prompt + item.content


def test_earlier_thoughts_may_be_left_out_those_of_the_answer_are_learnt() -> None:
    t = template("byte-level", "qwen3")
    said = Turn("assistant", "<think>\nHm.\n</think>\n\nblue")
    record = replace(records()[0], history=(Turn("user", "Who?"), said))
    text = t.tokenizer.decode(t.encode(record).prompt)
    assert "Hm." not in text
    assert "blue" in text
    item = t.encode(replace(records()[0], answer=said.content))
    assert t.tokenizer.decode(item.content) == said.content
    assert t.tokenizer.decode(item.prompt).endswith("assistant\n")
    with pytest.raises(InputError, match="does not write its answer as it stands; take marks of the template"):
        t.encode(replace(records()[0], answer="<think>Hm.</think>blue"))


@each_style
def test_white_space_around_an_answer_is_as_the_template_has_it(style: str) -> None:
    t = template("byte-level", style)
    record = replace(records()[0], answer="  two words ")
    item = t.encode(record)
    expected = whole(t, record, style)
    assert [*item.prompt, *item.content] == expected[: item.length - 1]
    assert t.decode(item.answer).strip() == "two words"


def test_the_day_is_that_of_the_template_and_not_of_the_clock() -> None:
    one, other = template("byte-level", "llama-3"), PromptTemplate.of(tokenizer_of("byte-level", "llama-3"), 999)
    text = one.tokenizer.decode(one.encode(records()[0]).prompt)
    assert "Today Date: 04 Mar 2025\n" in text
    assert one.date == DATE
    assert other.date is not None
    assert other.date > DATE
    assert one.digest != other.digest
    assert template("byte-level", "chatml").date is None
    assert other.chat
    assert other.chat.renderer(conversation(records()[0], "")) == other.tokenizer.apply_chat_template(
        conversation(records()[0], ""), tokenize=False
    )
    with pytest.raises(InputError, match=r'template date: "4\.3\.2025" is no date; write it as'):
        PromptTemplate.of(one.tokenizer, 99, date="4.3.2025")


@each_style
def test_special_strings_of_each_model_are_refused_and_nothing_else(style: str) -> None:
    t, record = template("sentencepiece", style), records()[0]
    for special in STYLES[style].special:
        with pytest.raises(InputError, match='record "r0": its text holds "'):
            t.encode(replace(record, answer=f"so {special} it"))
    for text in ("a <b> c", "x < y > z", "</S>", "< s >", "|im_end|", "<unknown>", "[INST ]"):
        assert t.decode(t.encode(replace(record, answer=text)).answer) == text


def test_a_tokenizer_without_offsets_gives_the_same_ids() -> None:
    tokenizer = tokenizer_of("byte-level", "chatml")

    class Slow:
        is_fast = False

        def __getattr__(self, name: str) -> Any:
            return getattr(tokenizer, name)

        def __call__(self, text: Any, return_offsets_mapping: bool = False, **more: Any) -> Any:
            assert not return_offsets_mapping
            return tokenizer(text, **more)

    for kind in ("chat", "plain"):
        slow, fast = (PromptTemplate.of(t, 99, kind) for t in (Slow(), tokenizer))
        for record in records():
            assert slow.encode(record) == fast.encode(record)


@pytest.mark.parametrize(
    ("rendered", "tail", "answer", "expected"),
    [
        ("Q: a A: b.", ".", "b", (8, 9)),
        ("Q: a A: b", "", " b", (7, 9)),
        ("Q: a A:b.", ".", " b ", (7, 8)),
        ("end end", "", "end", (4, 7)),
        ("Q: a A: b", ".", "b", None),
        ("Q: a A: c.", ".", "b", None),
        ("Q: a A: ", "", " ", (7, 8)),
        ("Q: a A:", "", " ", None),
    ],
)
def test_place(rendered: str, tail: str, answer: str, expected: tuple[int, int] | None) -> None:
    assert place(rendered, tail, answer) == expected
