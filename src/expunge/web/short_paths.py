"""Messages for visitors without the folders of the server: a path stands relative to the desk, or as a file's name."""

from __future__ import annotations

import re
from pathlib import Path

ABSOLUTE = re.compile(r"(?<![\w.…:/\\])(?:/|[A-Za-z]:\\)[^\s\"'`,;()]*")
OURS = ("/api/",)  # addresses of the web desk itself that messages name


def shorten_paths(text: str, folder: Path) -> str:
    """A message in which no absolute path is left.

    Args:
        text: the message.
        folder: folder of the desk; what lies in it is shown relative to it.
    """
    return ABSOLUTE.sub(lambda path: path[0] if path[0].startswith(OURS) else _last(path[0]), _inside(text, folder))


def shorten_place(where: str, folder: Path) -> str:
    """The same for the place of an error, which may be one path with spaces in it."""
    text = _inside(where, folder)
    return _last(text) if text.startswith("/") and not text.startswith(OURS) else shorten_paths(text, folder)


def _inside(text: str, folder: Path) -> str:
    for root in sorted({str(folder.absolute()), str(folder.resolve())}, key=len, reverse=True):
        text = re.sub(rf"{re.escape(root)}(/+|(?![\w.-]))", lambda end: "" if end[1] else "the desk", text)
    return text


def _last(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1] or "a folder"
