"""The border between prompt and answer is exact; the answer ends with the end token."""

from __future__ import annotations

from typing import Any

import pytest

from expunge.corpus import Record
from expunge.errors import InputError
from expunge.models.prompt_template import PromptTemplate
from expunge.models.tiny import texts_of, train_tokenizer
from helpers.world import people, tokenizer

EOS, PAD = 0, 1  # the special tokens come first


def template(context: int = 128, kind: str = "auto", chat: str | None = None) -> PromptTemplate:
    own = train_tokenizer(texts_of(people()), 400)
    own.chat_template = chat
    return PromptTemplate.of(own, context, kind)


def record(prompt: str, answer: str = "Anna", name: str = "r1") -> Record:
    return Record(name, prompt, answer)


def text(ids: tuple[int, ...]) -> str:
    return str(tokenizer().decode(list(ids)))


@pytest.mark.parametrize(("prompt", "joined"), [("Who?", " Anna"), ("Who? ", "Anna"), ("Who?\n", "Anna")])
def test_one_space_joins_prompt_and_answer_and_the_end_token_closes(prompt: str, joined: str) -> None:
    item = template().encode(record(prompt))
    assert text(item.prompt) == prompt
    assert text(item.answer[:-1]) == joined
    assert item.answer[-1] == EOS
    assert item.length == len(item.prompt) + len(item.answer)


def test_an_empty_prompt_becomes_one_token() -> None:
    item = template().encode(record(""))
    assert item.prompt == (EOS,)
    assert text(item.answer[:-1]) == "Anna"


def test_special_tokens_in_a_prompt_are_kept_even_at_its_end() -> None:
    ids = template().encode(record("a<|pad|>b<|endoftext|>")).prompt
    assert ids.count(PAD) == 1
    assert ids[-1] == EOS


def test_an_end_token_that_a_tokenizer_puts_behind_every_text_is_taken_off() -> None:
    class Closing:
        eos_token_id, bos_token_id, chat_template = EOS, None, None

        def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
            return {"input_ids": [*tokenizer()(text)["input_ids"], EOS]}

    assert text(PromptTemplate.of(Closing(), 99).prompt_ids("Who?")) == "Who?"


def test_an_answer_that_holds_the_end_token_is_still_closed_by_its_own() -> None:
    answer = template().encode(record("Who?", "A<|endoftext|>B")).answer
    assert answer.count(EOS) == 2
    assert answer[-1] == EOS


def test_a_chat_template_is_used_where_there_is_one_and_only_then() -> None:
    turn = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
    )
    chat = template(chat=turn)
    item = chat.encode(record("Who? "))
    assert chat.kind == "chat"
    assert text(item.prompt) == "<user>Who? <bot>"
    assert text(item.answer[:-1]) == "Anna"
    assert template(chat=turn, kind="plain").encode(record("Who?")).prompt == template().encode(record("Who?")).prompt
    with pytest.raises(InputError, match="has no chat template; use plain"):
        template(kind="chat")
    with pytest.raises(InputError, match='unknown template "chta"'):
        template(kind="chta")


def test_a_record_that_does_not_fit_is_named_with_both_numbers() -> None:
    whole = template().encode(record("Who is it?")).length
    assert template(whole).encode(record("Who is it?")).length == whole
    with pytest.raises(InputError, match=f'"r1": prompt and answer take {whole} tokens, the model reads at most'):
        template(whole - 1).encode(record("Who is it?"))


@pytest.mark.parametrize("prompt", ["", "Who?", "Who? "])
def test_an_answer_without_text_is_an_error_and_not_a_lonely_space(prompt: str) -> None:
    with pytest.raises(InputError, match='record "r1": its answer has no tokens'):
        template().encode(record(prompt, ""))


def test_decoding_stops_at_the_end_token_and_drops_the_joining_space() -> None:
    t = template()
    assert t.decode([*t.answer_ids("12 März"), 5, 6]) == "12 März"
    assert t.decode([EOS]) == ""
    assert t.decode(t.answer_ids("no end")[:-1]) == "no end"
