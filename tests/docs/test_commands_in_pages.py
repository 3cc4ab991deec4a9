"""Every `expunge` command of README and documentation exists, with the options that it is shown with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from expunge.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
COMMAND: Any = typer.main.get_command(app)  # made once: there are hundreds of lines to resolve
COMMANDS = COMMAND.commands
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command line in code blocks and code spans, continuation lines joined."""
    for block in re.findall(r"```[a-z]*\n(.*?)```", text, re.S):
        for line in block.replace("\\\n", " ").splitlines():
            if match := re.match(r"\s*(?:torchrun\b.*?--no-python\s+)?expunge\s+(.*)", line.split("  #")[0]):
                yield shlex.split(match[1])
    yield from (span.split()[1:] for span in re.findall(r"`(expunge [a-z][^`\n]*)`", text))


def resolve(words: list[str]) -> tuple[Any, list[str]]:
    """(command, remaining words)"""
    command = COMMAND
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, f"no command {' '.join(words)}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_and_their_options_exist(page: Path) -> None:
    for words in commands(page.read_text("utf-8")):
        if words[0].startswith("-") or "…" in words[0]:
            continue
        alternatives = [[*words[:k], part, *words[k + 1 :]] for k, w in enumerate(words[:2]) for part in w.split("|")]
        for line in alternatives:
            command, rest = resolve(line)
            known = {flag for p in getattr(command, "params", ()) for flag in (*p.opts, *p.secondary_opts)} | {"--help"}
            for word in rest:
                flag = word.strip(",.;)").split("=")[0]
                if re.fullmatch(r"--[a-z][a-z-]+", flag):
                    assert flag in known, f"{' '.join(line)}: no option {flag}"


def test_the_reader_finds_commands_in_blocks_and_spans() -> None:
    text = "```\nexpunge train --data a \\\n   --out b  # why\n```\nand `expunge list methods`."
    assert list(commands(text)) == [["train", "--data", "a", "--out", "b"], ["list", "methods"]]
