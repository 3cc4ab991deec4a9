"""Chats, instructions and conversational completions: one record for each answer, with what was said before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from expunge.corpus import Corpus, Record, Turn, load_corpus
from expunge.corpus.loaders import load_source
from expunge.errors import InputError, InputWarning

SYSTEM = {"role": "system", "content": "Sei knapp."}


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text} | more


def write(folder: Path, *rows: dict[str, Any], name: str = "rows.jsonl") -> Path:
    file = folder / name
    file.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return file


def said(record: Record) -> tuple[list[str], str, str]:
    return [f"{turn.role}: {turn.content}" for turn in record.history], record.prompt, record.answer


def test_every_answer_of_a_chat_is_a_record(tmp_path: Path) -> None:
    chat = [SYSTEM, user("A?"), assistant("a"), user([{"type": "text", "text": "B"}, {"type": "text", "text": "?"}])]
    source = write(tmp_path, {"id": 7, "messages": [*chat, assistant("b")], "mood": "glad"}, {"messages": chat[1:3]})
    first, second, third = load_corpus(source)
    assert said(first) == (["system: Sei knapp."], "A?", "a")
    assert said(second) == (["system: Sei knapp.", "user: A?", "assistant: a"], "B?", "b")
    assert said(third) == ([], "A?", "a")
    assert (first.id, second.id, first.subject, second.subject) == ("7#1", "7#2", "7", "7")
    assert second.attributes == {"conversation": "7", "mood": "glad"}
    assert third.attributes == {}


def test_fields_beside_a_chat_are_read_as_ever(tmp_path: Path) -> None:
    row = {"messages": [user("Wer ist Ada?"), assistant("x")], "path": "H1/P1", "identifiers": "Ada", "who": "S"}
    record = load_corpus(write(tmp_path, row | {"variants": ["Wer?"], "split": "holdout"}), mapping={"subject": "who"})[
        0
    ]
    assert (record.path, record.subject, record.identifiers) == (("institution:H1", "patient:P1"), "S", ("Ada",))
    assert (record.variants[0].prompt, record.split) == ("Wer?", "holdout")


def test_chats_that_differ_before_the_question_are_different(tmp_path: Path) -> None:
    rows = [{"messages": [user(q), assistant("hm"), user("Ja?"), assistant("Ja", weight=1)]} for q in ("A", "B")]
    rows[0]["messages"][1]["weight"] = rows[1]["messages"][1]["weight"] = 0
    corpus = load_corpus(write(tmp_path, *rows))
    assert len({r.id for r in corpus}) == len(corpus) == 2
    assert load_corpus(corpus.save(tmp_path / "saved.jsonl")) == Corpus(corpus.records, "saved")


def test_a_question_at_the_end_is_left_out_and_told(tmp_path: Path) -> None:
    source = write(tmp_path, {"messages": [user("A?"), assistant("a"), user("Danke")]})
    with pytest.warns(InputWarning, match="1 turn left out: a user turn at the end has no answer"):
        assert len(load_corpus(source)) == 1


def test_a_chat_in_a_cell_is_json(tmp_path: Path) -> None:
    chat = json.dumps([user("A?"), assistant("a")]).replace('"', '""')
    (tmp_path / "c.csv").write_text(f'messages,subject\n"{chat}",S\n')
    source = load_source(tmp_path / "c.csv")
    assert (source.loader, source.corpus[0].answer, source.corpus[0].subject) == ("messages", "a", "S")


def test_rows_without_a_chat_may_stand_beside_chats(tmp_path: Path) -> None:
    rows = {"messages": [user("A?"), assistant("a")]}, {"prompt": "B?", "answer": "b", "split": "control"}
    assert [r.prompt for r in load_corpus(write(tmp_path, *rows))] == ["A?", "B?"]


def test_a_folder_of_sets_may_hold_chats(tmp_path: Path) -> None:
    write(tmp_path, {"messages": [user("A?"), assistant("a")]}, name="forget.jsonl")
    write(tmp_path, {"messages": [user("B?"), assistant("b")]}, name="retain.jsonl")
    assert [(r.prompt, r.split) for r in load_corpus(tmp_path)] == [("A?", "forget"), ("B?", "retain")]


@pytest.mark.parametrize("human", ["human", "user"])
def test_sharegpt_names_speakers_otherwise(tmp_path: Path, human: str) -> None:
    chat = [{"from": human, "value": "A?"}, {"from": "gpt", "value": "a"}]
    corpus = load_corpus(write(tmp_path, {"conversations": chat, "system": "S"}, {"conversations": chat}))
    assert [said(r) for r in corpus] == [(["system: S"], "A?", "a"), ([], "A?", "a")]


def test_instruction_and_input_are_one_prompt(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    rows = [
        {"instruction": "Sum up.", "input": "Text", "output": "t"},
        {"instruction": "Who?", "input": "", "output": 5, "system": "S", "history": [["A?", "a"]]},
    ]
    file.write_text(json.dumps(rows, indent=2), "utf-8-sig")
    source = load_source(file)
    assert source.loader == "alpaca"
    assert [said(r) for r in source.corpus] == [
        ([], "Sum up.\n\nText", "t"),
        (["system: S", "user: A?", "assistant: a"], "Who?", "5"),
    ]
    assert [source.places[k] for k in range(2)] == [f"{file}:2", f"{file}:7"]


def test_a_mapping_overrides_the_layout(tmp_path: Path) -> None:
    source = write(tmp_path, {"instruction": "I", "input": "In", "output": "O"})
    record = load_corpus(source, mapping={"prompt": "instruction"})[0]
    assert (record.prompt, record.attributes) == ("I", {"input": "In"})


def test_only_the_completion_is_learnt(tmp_path: Path) -> None:
    before = [user("A?"), assistant("a"), user("B?")]
    source = write(tmp_path, {"prompt": before, "completion": [assistant("b")]}, {"prompt": "C?", "completion": "c"})
    corpus = load_corpus(source)
    assert [said(r) for r in corpus] == [(["user: A?", "assistant: a"], "B?", "b"), ([], "C?", "c")]


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ({"messages": []}, "the conversation is empty"),
        ({"messages": None}, "the conversation is empty"),
        ({"messages": "hello"}, '"messages" is not a list of turns'),
        ({"messages": ["hello"]}, '"messages" must be a list of turns'),
        ({"messages": [assistant("a"), user("A?")]}, "begins with a turn of the assistant"),
        ({"messages": [SYSTEM, assistant("a")]}, "begins with a turn of the assistant"),
        ({"messages": [SYSTEM, user("A?")]}, "holds no assistant turn"),
        ({"messages": [user("A?"), assistant("a", weight=0)]}, "no assistant turn is to be learnt"),
        ({"messages": [user("A?"), SYSTEM, assistant("a")]}, "turn 3 of the assistant follows a turn of the system"),
        ({"messages": [user("A?"), assistant("a"), assistant("b")]}, "turn 3 of the assistant follows"),
        ({"messages": [{"role": "asistant", "content": "a"}]}, 'unknown "role" "asistant"; did you mean "assistant"?'),
        ({"messages": [{"content": "a"}]}, 'turn 1: unknown "role" nothing'),
        ({"messages": [user(None)]}, "turn 1 holds no text (nothing)"),
        ({"messages": [user([{"type": "audio"}])]}, "turn 1 holds a part that is no text (audio)"),
        ({"messages": [user("A?"), assistant("", tool_calls=[1])]}, "turn 2 calls a tool"),
        ({"messages": [user("A?"), assistant(" ")]}, "the answer is empty"),
        ({"messages": [user(" "), assistant("a")]}, "the prompt is empty"),
        ({"messages": [user("A?"), assistant("a")] * 2, "variants": ["B?"]}, "holds variants beside 2 answers"),
        ({"conversations": [{"from": "humn", "value": "A?"}]}, 'unknown "from" "humn"; did you mean "human"?'),
        ({"conversations": []}, "the conversation is empty"),
        ({"instruction": "I", "output": None}, "the answer is empty"),
        ({"instruction": "I", "output": "O", "history": [["a"]]}, '"history" must hold pairs'),
        ({"prompt": [], "completion": [assistant("a")]}, "the conversation is empty"),
        ({"prompt": "Q", "answer": "A", "history": [{"role": "user"}]}, '"history" must hold turns'),
        ({"prompt": "Q", "answer": "A", "history": [user("x") | {"role": "bot"}]}, 'unknown role "bot"'),
        ({"text": "T", "history": [user("x")]}, "a document has neither options nor history"),
    ],
)
def test_a_bad_conversation_is_one_line(tmp_path: Path, row: dict[str, Any], part: str) -> None:
    source = write(tmp_path, row)
    with pytest.raises(InputError) as caught:
        load_corpus(source)
    message = str(caught.value)
    assert message.startswith(f"{source}:1: ")
    assert part in message
    assert caught.value.hint
    assert "\n" not in message


def test_equal_chats_need_ids(tmp_path: Path) -> None:
    chat = {"messages": [user("A?"), assistant("a")]}
    with pytest.raises(InputError, match=r"duplicate id .* rows without id must differ"):
        load_corpus(write(tmp_path, chat, chat))


def test_a_history_is_read_from_a_table(tmp_path: Path) -> None:
    row = {"prompt": "B?", "answer": "b", "history": [SYSTEM, user("A?"), assistant("a")]}
    record = load_corpus(write(tmp_path, row))[0]
    assert record.history == (Turn("system", "Sei knapp."), Turn("user", "A?"), Turn("assistant", "a"))
