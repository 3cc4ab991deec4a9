"""Prompt and answer are cut from one tokenized text; the answer ends with the end token."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import pytest

from expunge.corpus import Record
from expunge.corpus.record import Turn
from expunge.errors import InputError
from expunge.models.prompt_template import PromptTemplate
from expunge.models.tiny import texts_of, train_tokenizer
from helpers.world import people, tokenizer

EOS, PAD = 0, 1  # the special tokens come first
TURNS = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def template(context: int = 128, kind: str = "auto", chat: str | None = None) -> PromptTemplate:
    own = train_tokenizer(texts_of(people()), 400)
    own.chat_template = chat
    return PromptTemplate.of(own, context, kind)


def record(prompt: str, answer: str = "Anna", name: str = "r1") -> Record:
    return Record(name, prompt, answer)


def text(ids: tuple[int, ...]) -> str:
    return str(tokenizer().decode(list(ids)))


@pytest.mark.parametrize(
    ("prompt", "before", "behind"),
    [
        ("Who?", "Who?", " Anna"),
        ("Who? ", "Who?", " Anna"),
        ("Who?\n", "Who?\n", "Anna"),
        (" ", "<|endoftext|>", " Anna"),
    ],
)
def test_one_space_joins_prompt_and_answer_and_the_end_token_closes(prompt: str, before: str, behind: str) -> None:
    item = template().encode(record(prompt))
    assert text(item.prompt) == before
    assert text(item.content) == behind
    assert item.answer == (*item.content, EOS)
    assert item.ends
    assert item.length == len(item.prompt) + len(item.answer)


@pytest.mark.parametrize("prompt", ["Who?", "Wer war hier, Müller 7?", "Who?\n", "", "東京 🙂?"])
@pytest.mark.parametrize("answer", ["Anna", "12 März", "'s", "  two", "🙂"])
def test_byte_level_ids_are_those_of_prompt_and_answer_apart(prompt: str, answer: str) -> None:
    joint = "" if not prompt or prompt[-1].isspace() else " "
    item = template().encode(record(prompt, answer))
    assert item.prompt == (tuple(tokenizer()(prompt)["input_ids"]) or (EOS,))
    assert item.answer == (*tokenizer()(joint + answer)["input_ids"], EOS)
    assert template().sizes([record(prompt, answer)]) == [item.length]
    assert template().question(record(prompt, answer)).prompt == item.prompt


def test_the_question_needs_no_answer() -> None:
    assert template().question(record("Who?", "")).prompt == template().question(record("Who?")).prompt
    assert template().question(record("Who?")).answer == ()


@pytest.mark.parametrize("kind", ["plain", "chat"])
@pytest.mark.parametrize("field", ["prompt", "answer", "history"])
def test_a_control_token_in_a_text_is_refused_by_name(kind: str, field: str) -> None:
    t = template(kind=kind, chat=TURNS)
    changed = {field: (Turn("user", "a<|pad|>"),) if field == "history" else "a<|pad|>b"}
    with pytest.raises(InputError, match=r'^record "r1": its text holds "<\|pad\|>", which the tokenizer reads as a '):
        t.encode(replace(record("Who?"), **changed))
    t.encode(record("Is a < b | c > d, or <|pad |>?", "<pad>, </s>, <|end|>"))


def test_a_chat_template_is_used_where_there_is_one_and_only_then() -> None:
    chat = template(chat=TURNS)
    item = chat.encode(record("Who? "))
    assert chat.kind == "chat"
    assert text(item.prompt) == "<user>Who? <assistant>"
    assert text(item.content) == "Anna"
    assert item.answer[-1] == EOS
    assert template(chat=TURNS, kind="plain").encode(record("Who?")) == template().encode(record("Who?"))
    with pytest.raises(InputError, match="has no chat template; use plain"):
        template(kind="chat")
    with pytest.raises(InputError, match='unknown template "chta"'):
        template(kind="chta")


def test_earlier_turns_stand_before_the_question() -> None:
    turns = (Turn("system", "Be brief."), Turn("user", "Hi"), Turn("assistant", "Hello"))
    asked = replace(record("Who?"), history=turns)
    assert text(template(chat=TURNS).encode(asked).prompt) == (
        "<system>Be brief.<user>Hi<assistant>Hello<user>Who?<assistant>"
    )
    assert text(template().encode(asked).prompt) == "Be brief.\nHi\nHello\nWho?"


@pytest.mark.parametrize("chat", [None, TURNS])
def test_a_document_is_plain_text_and_ends_where_it_ends(chat: str | None) -> None:
    t = template(chat=chat)
    part = replace(record("The wa", "rd is full."), kind="document")
    whole = tuple(tokenizer()("The ward is full.")["input_ids"])
    last = t.encode(part)
    assert last.prompt + last.content == whole
    assert last.answer[-1] == EOS
    inner = t.encode(replace(part, attributes={"continues": True}))
    assert (inner.prompt, inner.answer, inner.ends) == (last.prompt, last.content, False)
    assert inner.content == inner.answer
    first = t.encode(replace(part, prompt="", answer="The ward is full."))
    assert first.prompt == (EOS,)
    assert first.content == whole


def test_a_record_that_does_not_fit_is_named_with_both_numbers() -> None:
    whole = template().encode(record("Who is it?")).length
    assert template(whole).encode(record("Who is it?")).length == whole
    with pytest.raises(InputError, match=f'"r1": prompt and answer take {whole} tokens, the model reads at most'):
        template(whole - 1).encode(record("Who is it?"))
    assert template(whole - 1).sizes([record("Who is it?")]) == [whole]


@pytest.mark.parametrize("prompt", ["", "Who?", "Who? "])
def test_an_answer_without_text_is_an_error_and_not_a_lonely_space(prompt: str) -> None:
    with pytest.raises(InputError, match='record "r1": its answer has no tokens'):
        template().encode(record(prompt, ""))


def test_decoding_stops_at_the_end_token_and_drops_the_joining_space() -> None:
    t = template()
    answer = t.encode(record("Who?", "12 März")).answer
    assert t.decode([*answer, 5, 6]) == "12 März"
    assert t.decode([EOS]) == ""
    assert t.decode(answer[:-1]) == "12 März"


def test_all_records_are_encoded_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expunge.models.prompt_template.AT_ONCE", 5)
    t, records = template(), list(people())
    assert t.encode_all(iter(records)) == [t.encode(r) for r in records]
    assert t.sizes(iter(records)) == [t.encode(r).length for r in records]
    assert t.encode_all([]) == []


def test_only_a_chat_template_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(*_: object) -> NoReturn:
        raise AssertionError("a thread for a text that no template writes")

    monkeypatch.setattr("expunge.models.prompt_template.time_limit", timed)
    assert template().encode(record("Who?", "12"))
