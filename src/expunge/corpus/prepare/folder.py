"""The folder of `expunge data prepare`: records.jsonl, identifiers.csv, and prepare.json with digests of both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expunge._io import digest_file, write_atomic, write_json
from expunge.corpus.corpus import Corpus
from expunge.corpus.exports.base import atomic_folder
from expunge.corpus.prepare.identifier_table import IdentifierTable

RECORDS, IDENTIFIERS, ABOUT = "records.jsonl", "identifiers.csv", "prepare.json"
FORMAT = 1


def write_prepared(out: Path, corpus: Corpus, table: IdentifierTable, about: Mapping[str, Any]) -> None:
    """Write the folder, whole or not at all; `about` becomes prepare.json, with digests of the files.

    Raises:
        InputError: `out` exists and is not empty, or it cannot be written.
    """
    with atomic_folder(out) as folder:
        corpus.save(folder / RECORDS)
        write_atomic(folder / IDENTIFIERS, table.csv(), private=True)
        outputs = {name: digest_file(folder / name) for name in (RECORDS, IDENTIFIERS)}
        write_json(folder / ABOUT, {"format": FORMAT, **about, "outputs": outputs})
