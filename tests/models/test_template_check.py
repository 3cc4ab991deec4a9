"""A chat template that cannot be used is refused when the model is loaded, in one line that names it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from expunge.corpus import Record
from expunge.corpus.record import Turn
from expunge.errors import InputError
from expunge.models.prompt_template import PromptTemplate
from helpers.other_models import STYLES, byte_level, records

TURN = "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}"
LOOP = "{% for m in messages %}" + TURN + "{% endfor %}"
ASK = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"


def of(source: Any, kind: str = "chat") -> PromptTemplate:
    tokenizer = byte_level(STYLES["chatml"].special, None, "<|endoftext|>")
    tokenizer.chat_template, tokenizer.name_or_path = source, "some/model"
    return PromptTemplate.of(tokenizer, 256, kind)


def text(template: PromptTemplate, record: Record) -> str:
    return str(template.tokenizer.decode(template.encode(record).prompt))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% for m in messages %}{{ m.content }", "fails on a question and its answer (unexpected '}'"),
        ("{{ nothing.at.all }}", "fails on a question and its answer ('nothing' is undefined)"),
        ("{{ raise_exception('not today') }}", "fails on a question and its answer (not today)"),
        (
            LOOP.replace("m['content']", "m['content'] if m['role'] == 'assistant' else ''"),
            "what it writes does not hold the question",
        ),
        (LOOP.replace("m['content']", "m['content']|upper"), "what it writes does not hold the question"),
        (
            LOOP.replace("m['content']", "m['content'] if m['role'] == 'user' else ''"),
            "what it writes does not hold the answer",
        ),
        ("{{ messages[0]['content'] }}", "what it writes does not hold the answer"),
        ({"rag": LOOP, "tool_use": LOOP}, "there is not exactly one (This model has multiple chat templates"),
        (
            LOOP + "{% if add_generation_prompt %}{{ '<|im_start|>model\\n' }}{% endif %}",
            "a question ends with 'boats are red?",
        ),
    ],
)
def test_a_template_that_cannot_be_used_is_one_line_that_names_it(source: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        of(source)
    line = str(caught.value)
    if not message.startswith("a question ends"):
        assert line.startswith('chat template of "some/model": ' + message)
    else:
        assert "<|im_start|>model\\n' where its answer follows on " in line
    assert "\n" not in line
    assert "use the template plain" in line
    assert of(source, "plain").encode(records()[0]).prompt


def test_the_default_of_several_named_templates_is_taken() -> None:
    assert text(of({"tool_use": "no", "default": LOOP + ASK}), records()[0]).endswith("assistant\n")


def test_no_generation_prompt_is_no_harm() -> None:
    """The header stands in the conversation itself."""
    assert text(of(LOOP), records()[0]) == text(of(LOOP + ASK), records()[0])


def test_a_thought_that_only_the_question_opens_is_no_part_of_it() -> None:
    opens = LOOP + ASK.replace("assistant\\n", "assistant\\n<think>\\n")
    assert text(of(opens), records()[0]) == text(of(LOOP + ASK), records()[0])


def test_a_template_that_wants_a_system_turn_gets_one_from_the_record() -> None:
    needs = "{% if messages[0]['role'] != 'system' %}{{ raise_exception('system turn first') }}{% endif %}" + LOOP + ASK
    template, record = of(needs), records()[0]
    asked = replace(record, history=(Turn("system", "Be brief."),))
    assert text(template, asked).startswith("<|im_start|>system\nBe brief.")
    with pytest.raises(InputError) as caught:
        template.encode(record)
    assert str(caught.value) == (
        'record "r0": the chat template refuses its conversation of user, assistant (system turn first); '
        "change its turns, or use the template plain"
    )


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([("system", "Be brief.")], "refuses its conversation of system, user, assistant (System role not supported)"),
        ([("assistant", "Hello")], "refuses its conversation of assistant, user, assistant (Conversation roles must"),
        ([("user", "a"), ("user", "b")], "refuses its conversation of user, user, user, assistant (Conversation roles"),
        ([("user", "a"), ("doctor", "b")], "refuses its conversation of user, doctor, user, assistant"),
    ],
)
def test_turns_that_a_template_refuses(turns: list[tuple[str, str]], message: str) -> None:
    tokenizer = byte_level(STYLES["gemma"].special, "<bos>", "<eos>")
    tokenizer.chat_template = STYLES["gemma"].source.replace(
        "{% else %}{% set role = m['role'] %}",
        "{% elif m['role'] == 'user' %}{% set role = 'user' %}{% else %}{{ raise_exception('unknown role') }}",
    )
    template = PromptTemplate.of(tokenizer, 256)
    with pytest.raises(InputError) as caught:
        template.encode(replace(records()[0], history=tuple(Turn(*t) for t in turns)))
    assert str(caught.value).startswith(f'record "r0": the chat template {message}')
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("role", ["system", "doctor"])
def test_a_turn_that_a_template_leaves_out_without_a_word_is_refused(role: str) -> None:
    deaf = LOOP.replace(TURN, "{% if m['role'] in ('user', 'assistant') %}" + TURN + "{% endif %}") + ASK
    with pytest.raises(InputError, match=f"does not write its {role} turn as it stands; move its text into another"):
        of(deaf).encode(replace(records()[0], history=(Turn(role, "Be brief."),)))


def test_an_answer_that_a_template_changes_is_refused() -> None:
    changes = LOOP.replace("m['content']", "m['content']|replace('ward', 'room')") + ASK
    with pytest.raises(InputError, match=r'^record "r0": the chat template does not write its answer as it stands'):
        of(changes).encode(records()[0])


def test_an_end_that_depends_on_the_conversation_is_found() -> None:
    counts = LOOP.replace("m['content']", "m['content'] + (' ' if messages|length > 2 else '')") + ASK
    history = (Turn("user", "a"), Turn("assistant", "b"))
    template, record = of(counts), records()[0]
    for item in (template.encode(record), template.encode(replace(record, history=history))):
        assert template.tokenizer.decode(item.answer) == "ward 7<|im_end|>"


def test_a_text_as_the_end_of_a_turn_is_replaced_by_the_end_token() -> None:
    template = of("{% for m in messages %}{{ '### ' + m['role'] + ':\\n' + m['content'] + '\\n\\n' }}{% endfor %}")
    item = template.encode(records()[0])
    assert template.tokenizer.decode([*item.prompt, *item.answer]) == (
        "### user:\nWhere is Anna Müller?\n\n### assistant:\nward 7<|endoftext|>"
    )
    assert template.stops == {template.tokenizer.eos_token_id}
