"""From the turns of a conversation to rows: one for each answer of the assistant, with the turns before it as history.

An answer is learnt from the user turn right before it. Answers that follow anything else are refused, because a record
is one question with one answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from expunge._io import canonical, load_json
from expunge._printable import pluralize
from expunge.corpus.loaders.base import SkippedRows, SourceRow
from expunge.corpus.loaders.field_types import shorten, type_name
from expunge.corpus.record import ROLES
from expunge.errors import InputError, nearest

INSTRUCTING = ("system", "developer")
OWN = ("id", "prompt", "answer", "history", "text")  # fields that a conversation makes


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """A turn as it stands in a file: who speaks, what, and whether it is to be learnt (answers only)."""

    role: str
    content: str
    learn: bool = True


def turns(value: Any, where: str, column: str, keys: tuple[str, str], roles: Mapping[str, str]) -> list[SpokenTurn]:
    """The turns of a list (or its JSON text).

    Args:
        value: What the column holds.
        where: Place of the row.
        column: Name of the column.
        keys: Keys of speaker and content, for example `role` and `content`.
        roles: Their word for a speaker -> ours.

    Raises:
        InputError: It is no list of turns, or a turn holds no text.
    """
    if isinstance(value, str):
        try:
            value = load_json(value)
        except ValueError as error:
            raise InputError(where, f'"{column}" is not a list of turns', "write it as JSON") from error
    if value is None or value == []:
        raise InputError(
            where, f'the conversation is empty ("{column}" holds no turn)', "fill it in, or remove the row"
        )
    if not isinstance(value, list) or not all(isinstance(turn, Mapping) for turn in value):
        example = json.dumps({keys[0]: next(iter(roles)), keys[1]: "…"}, ensure_ascii=False)
        raise InputError(where, f'"{column}" must be a list of turns', f"write turns such as {example}")
    return [_turn(turn, where, number, keys, roles) for number, turn in enumerate(value, 1)]


def _turn(
    turn: Mapping[str, Any], where: str, number: int, keys: tuple[str, str], roles: Mapping[str, str]
) -> SpokenTurn:
    role, content = turn.get(keys[0]), turn.get(keys[1])
    if not isinstance(role, str) or role not in roles:
        shown = f'"{shorten(role)}"' if isinstance(role, str) else type_name(role)
        raise InputError(where, f'turn {number}: unknown "{keys[0]}" {shown}', nearest(str(role), roles))
    if turn.get("tool_calls") or turn.get("function_call"):
        raise InputError(where, f"turn {number} calls a tool, which a record cannot hold", "remove the conversation")
    if isinstance(content, list):
        content = "".join(_part(part, where, number) for part in content)
    if not isinstance(content, str):
        raise InputError(where, f"turn {number} holds no text ({type_name(content)})", "fill it in, or remove it")
    return SpokenTurn(roles[role], content, learn=turn.get("weight") != 0)


def _part(part: Any, where: str, number: int) -> str:
    """The text of one part of a content; an image is named by the column `image`."""
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "image":
        return ""
    if kind != "text" or not isinstance(part.get("text"), str):
        what = f"turn {number} holds a part that is no text ({kind or type_name(part)})"
        raise InputError(where, what, 'write {"type": "text", "text": "…"}; name a picture in the column image')
    return str(part["text"])


def rows(
    row: SourceRow, spoken: Sequence[SpokenTurn], rest: Mapping[str, Any], skipped: SkippedRows, learn_from: int = 0
) -> Iterator[SourceRow]:
    """One row for each answer.

    Args:
        row: The row that holds the conversation.
        spoken: Its turns.
        rest: Its other columns.
        skipped: Takes turns that make no row.
        learn_from: Answers before this turn (counted from 0) are history only.
    """
    _check_order(spoken, row.where)
    answers = [k for k, turn in enumerate(spoken) if turn.role == "assistant" and turn.learn and k >= learn_from]
    if not answers:
        raise InputError(row.where, "no assistant turn is to be learnt", "add one, or remove the row")
    if spoken[-1].role == "user":
        skipped.add("a user turn at the end has no answer", row)
    if len(answers) > 1 and rest.get("variants"):
        what = f"holds variants beside {pluralize(len(answers), 'answer')}"
        raise InputError(row.where, what, "give every answer with variants a row of its own")
    values = {name: value for name, value in rest.items() if name not in OWN}
    name = rest.get("id")
    if len(answers) > 1:
        name = name if name not in (None, "") else _digest(spoken)
        values = {"conversation": str(name)} | values
    for number, k in enumerate(answers, 1):
        yield row.with_values(
            {
                "id": f"{name}#{number}" if len(answers) > 1 else name,
                "history": [{"role": turn.role, "content": turn.content} for turn in spoken[: k - 1]],
                "prompt": spoken[k - 1].content,
                "answer": spoken[k].content,
                **values,
            }
        )


def _check_order(spoken: Sequence[SpokenTurn], where: str) -> None:
    """`InputError` unless every answer follows a user turn."""
    roles_in_turn = [turn.role for turn in spoken]
    first = next((role for role in roles_in_turn if role not in INSTRUCTING), None)
    if "assistant" not in roles_in_turn:
        raise InputError(where, "the conversation holds no assistant turn", "add the answer, or remove the row")
    if first != "user":
        hint = "begin with a user turn (after system turns), or remove the row"
        raise InputError(where, f"the conversation begins with a turn of the {first}", hint)
    for number, (before, role) in enumerate(pairwise(roles_in_turn), 2):
        if role == "assistant" and before != "user":
            what = f"turn {number} of the assistant follows a turn of the {before}"
            hint = "join two answers in a row; put instructions before the question"
            raise InputError(where, what, hint if before != "tool" else "a record cannot hold results of tools")


def _digest(spoken: Sequence[SpokenTurn]) -> str:
    return hashlib.sha256(canonical([[turn.role, turn.content] for turn in spoken])).hexdigest()[:16]


SAME_ROLES: Mapping[str, str] = {role: role for role in ROLES}
