"""OBO flat files, term by term; lenient about everything that does not change a name, an id or a parent.

Unknown tags, other stanzas, missing blank lines, CRLF and continued lines are accepted. The same character can be text
or syntax (`\\,` `\\!` `\\{`), so comments and modifiers are removed before escapes are resolved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from expunge.corpus.loaders.text_source import lines
from expunge.errors import InputError

TAG = re.compile(r"([\w-]+)\s*:\s*(.*)", re.DOTALL)
SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s*([A-Z]+)?', re.DOTALL)
OLD_SYNONYMS = {f"{scope.lower()}_synonym": scope for scope in ("EXACT", "BROAD", "NARROW", "RELATED")}
TAIL = re.compile(r"\s(?:!.*|\{[^{}]*\}\s*(?:!.*)?)$", re.DOTALL)
ESCAPES = {"n": " ", "W": " ", "t": " "}


@dataclass(frozen=True, slots=True)
class OboTerm:
    """One term in use. `synonyms`: (text, EXACT | BROAD | NARROW | RELATED); `xrefs` unchanged."""

    id: str
    name: str
    synonyms: tuple[tuple[str, str], ...] = ()
    parents: tuple[str, ...] = ()
    xrefs: tuple[str, ...] = ()
    where: str = ""


Tags = list[tuple[str, str, str]]  # (file:line, tag, raw value)


def parse_terms(path: Path) -> Iterator[OboTerm]:
    """Every named term that is not obsolete, one stanza in memory at a time; `InputError` at the first bad line."""
    empty = True
    for where, tags in _stanzas(path):
        empty = False
        term = _term(where, tags)
        if term:
            yield term
    if empty:
        raise InputError(str(path), "holds no [Term]", "give an OBO file, version 1.2 or 1.4")


def _stanzas(path: Path) -> Iterator[tuple[str, Tags]]:
    """(`file:line` of the head, tags) of every [Term]."""
    head, tags = "", Tags()
    for number, text in _whole_lines(path):
        where = f"{path}:{number}"
        if text.startswith("["):
            if head:
                yield head, tags
            head, tags = (where if text.startswith("[Term]") else ""), []
            continue
        match = TAG.match(text)
        if not match:
            raise InputError(where, f'"{text[:40]}" is not "tag: value"', "give an OBO flat file")
        tags.append((where, match[1], match[2]))
    if head:
        yield head, tags


def _whole_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines joined with their continuations, without blank lines and comments."""
    start, text = 0, ""
    for number, line in lines(path):
        piece = line.rstrip("\r\n")
        start = start or number
        if (len(piece) - len(piece.rstrip("\\"))) % 2:
            text += piece[:-1]
            continue
        text = (text + piece).strip()
        if text and not text.startswith("!"):
            yield start, text
        start, text = 0, ""
    if text.strip():
        yield start, text.strip()


def _term(head: str, tags: Tags) -> OboTerm | None:
    last = {tag: raw for _, tag, raw in tags}
    synonyms = dict.fromkeys(
        _synonym(where, tag, raw) for where, tag, raw in tags if tag == "synonym" or tag in OLD_SYNONYMS
    )
    id_, name = _first(last.get("id", "")), _text(TAIL.sub("", last.get("name", "")))
    if not id_:
        raise InputError(head, "a [Term] without an id", "add a line such as  id: MONDO:0000004")
    if _first(last.get("is_obsolete", "")).lower() == "true" or not name or name.lower().startswith("obsolete"):
        return None
    parents, xrefs = (
        tuple(dict.fromkeys(filter(None, (_first(raw) for _, tag, raw in tags if tag == key))))
        for key in ("is_a", "xref")
    )
    return OboTerm(id_, name, tuple(s for s in synonyms if s[0]), parents, xrefs, head)


def _synonym(where: str, tag: str, raw: str) -> tuple[str, str]:
    match = SYNONYM.match(raw)
    if not match:
        raise InputError(where, f"the {tag} is not in quotes", 'expected  synonym: "text" EXACT []')
    return _text(match[1]), OLD_SYNONYMS.get(tag) or match[2] or "RELATED"


def _first(raw: str) -> str:
    """An id: the first word, escapes resolved."""
    return _text(raw.split(maxsplit=1)[0]) if raw.strip() else ""


def _text(raw: str) -> str:
    plain = re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), raw, flags=re.DOTALL)
    return " ".join(plain.split())
