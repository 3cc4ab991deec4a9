"""Write a measured part of a Markdown page between its marks; the rest of the page stays as a person wrote it."""

from __future__ import annotations

from pathlib import Path

from expunge._io import write_atomic


def write_part(page: Path, name: str, text: str) -> None:
    """Replace what the module `name` of this folder wrote into `page`, or append it."""
    begin, end = f"<!-- {name}: written by benchmarks.reliability.{name} -->", f"<!-- end of {name} -->"
    old = page.read_text("utf-8") if page.is_file() else "# Reliability\n"
    before, mark, rest = old.partition(begin)
    after = rest.partition(end)[2] if mark else "\n"
    before = before if mark else before.rstrip() + "\n\n"
    write_atomic(page, f"{before}{begin}\n{text.strip()}\n{end}{after}")
