"""Options that stand inside a question as `A) … B) … C) …`, told apart and matched with the answer.

Options are returned in the form of the answer (letters for a letter, texts for a text), because the trained answer must
be one of them as it stands.
"""

from __future__ import annotations

import re

MARK = re.compile(r"(?<!\w)\(?([A-Z])\)")
ANSWER = re.compile(r"\s*\(?([A-Z])(\)|\.|:)?(?:\s+(?P<rest>\S.*))?\s*", re.DOTALL)


def parts(question: str) -> list[str]:
    """The texts behind A), B), C) … in this order; [] unless there are at least three."""
    marks: list[re.Match[str]] = []
    for match in MARK.finditer(question):
        if match[1] == chr(ord("A") + len(marks)):
            marks.append(match)
    if len(marks) < 3:
        return []
    ends = [m.start() for m in marks[1:]] + [len(question)]
    return [question[m.end() : end].strip(" \t\r\n,;") for m, end in zip(marks, ends, strict=True)]


def options(question: str, answer: str) -> list[str]:
    """The options of a question, the answer among them; [] where it matches none or more than one."""
    texts = parts(question)
    plain = [_plain(text) for text in texts]
    if plain.count(_plain(answer)) == 1:
        return _with(texts, plain.index(_plain(answer)), answer)
    match = ANSWER.fullmatch(answer)
    place = ord(match[1]) - ord("A") if match else len(texts)
    if not match or place >= len(texts):
        return []
    if match["rest"] is None:
        tail = match[2] or ""
        return _with([f"{chr(ord('A') + k)}{tail}" for k in range(len(texts))], place, answer)
    if _plain(match["rest"]) != plain[place]:
        return []
    return _with([f"{chr(ord('A') + k)}{match[2] or ')'} {text}" for k, text in enumerate(texts)], place, answer)


def _with(texts: list[str], place: int, answer: str) -> list[str]:
    return [*texts[:place], answer, *texts[place + 1 :]]


def _plain(text: str) -> str:
    return " ".join(text.split()).rstrip(".").casefold()
