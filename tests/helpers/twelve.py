"""The twelve files of `tests/data/twelve`: what is in them, and a request for each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "data" / "twelve"


@dataclass(frozen=True)
class UserFile:
    """A file or folder.

    name: In `FOLDER`.
    loader: The layout that is detected.
    formats: Delimiters and encodings that are detected.
    records, subjects, documents: How many it holds.
    scope: A request for one of its eight people, and `forget`, how many records it names.
    """

    name: str
    loader: str
    records: int
    subjects: int
    scope: str
    forget: int
    documents: int = 0
    formats: frozenset[str] = frozenset()

    @property
    def path(self) -> Path:
        return FOLDER / self.name

    @property
    def mapping(self) -> Path | None:
        file = FOLDER / f"{self.name.partition('.')[0]}.map.yaml"
        return file if file.exists() else None


def files(*formats: str) -> frozenset[str]:
    return frozenset(formats)


TWELVE = (
    UserFile("01-chat-de.jsonl", "messages", 24, 8, "subject:P-101", 3),
    UserFile("02-sharegpt-en.json", "sharegpt", 24, 24, "patient=A-201", 3),
    UserFile("03-alpaca-de.json", "alpaca", 24, 8, 'mentions:"Käthe Groß"', 3),
    UserFile("04-alpaca-en.jsonl", "alpaca", 24, 8, 'mentions:"Siân O’Brien"', 3),
    UserFile("05-prompt-completion-en.jsonl", "prompt-completion", 24, 8, "subject:A-206", 3),
    UserFile("06-excel-de.csv", "csv", 32, 8, 'mentions:"Jürgen Müller"', 4, formats=files("semicolon, cp1252")),
    UserFile("07-unicode-text-en.tsv", "csv", 24, 8, "subject:A-202", 3, formats=files("tab, utf-16")),
    UserFile("08-pipes-en.csv", "csv", 32, 8, "patient:A-208", 4, formats=files("pipe, utf-8")),
    UserFile("09-briefe-de", "documents", 16, 8, "file:P-105/", 2, 16, files("utf-8", "cp1252")),
    UserFile("10-notes-en.jsonl", "jsonl", 16, 8, 'mentions:"Zoë Carter"', 2, 16),
    UserFile("11-berichte-de.csv", "csv", 8, 8, 'mentions:"Günter Maaß"', 1, 8, files("comma, utf-8")),
    UserFile("12-table-en.parquet", "parquet", 16, 8, "subject:3", 2),
)
