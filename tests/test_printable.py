"""Text for one line: a count agrees with its noun, everywhere in the package."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import expunge
from expunge._printable import pluralize

PACKAGE = Path(expunge.__file__).parent
PLURAL = re.compile(r"^ (?!in |of )(?:[a-z-]+ ){0,2}?([a-z-]+s)\b")
VERBS = {"calls", "compares", "differs", "edits", "has", "holds", "is", "knows", "runs", "sees", "trains", "was"}
LARGE = {  # counts that are never one
    "answer options: 2 to 26": ("len(options)", "len(choices)"),
    "refused when longer than a limit": ("len(value)", "total", "letters", "x.bit_length()", "len(text)"),
    "sizes of vocabularies and models": ("len(tokenizer)", "context", "results['parameters']"),
    "more than one phase": ("len(resolved.phases)",),
    "has a sentence of its own for one": ("count",),
    "for programmers": ("len(scores)", "len(included)"),
}
ELSEWHERE = ("audit", "engine/stop_controls.py")  # counts there are written without the helper


def bare_counts(path: Path) -> list[str]:
    """`{len(x)} nouns` and `{n:,} nouns` in the f-strings of a file."""
    large = {text for texts in LARGE.values() for text in texts}
    hits = []
    for node in ast.walk(ast.parse(path.read_text())):
        for value, after in zip(node.values, node.values[1:], strict=False) if isinstance(node, ast.JoinedStr) else ():
            if not (isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant)):
                continue
            text = ast.unparse(value.value)
            is_count = text.startswith("len(") or (value.format_spec and ast.unparse(value.format_spec) == "f','")
            plural = PLURAL.match(str(after.value))
            is_constant = text.upper() == text
            if is_count and plural and plural[1] not in VERBS and text not in large and not is_constant:
                hits.append(f"{path.relative_to(PACKAGE)}: {{{text}}}{after.value}")
    return hits


def test_a_count_agrees_with_its_noun() -> None:
    assert [pluralize(n, "record") for n in (0, 1, 1200)] == ["0 records", "1 record", "1,200 records"]
    assert [pluralize(n, "copy is", "copies are") for n in (1, 2)] == ["1 copy is", "2 copies are"]


def test_no_message_writes_a_count_beside_a_plural() -> None:
    files = [p for p in PACKAGE.rglob("*.py") if not str(p.relative_to(PACKAGE)).startswith(ELSEWHERE)]
    assert [hit for path in files for hit in bare_counts(path)] == []
