"""Was the tokenizer of a model trained on the records to forget? Then no unlearning touches what it holds."""

from __future__ import annotations

from pathlib import Path

from expunge._io import read_json
from expunge.errors import InputError

LINE = (
    "the tokenizer: it was trained on all records, those to be forgotten among them, goes along with every model, and "
    "may hold their names as single tokens (see the check token_inventory)"
)


def untested_tokenizer(original: str) -> tuple[str, ...]:
    """One line for a model that `expunge train` made together with its tokenizer; nothing for any other."""
    file = Path(original) / "train.json"
    try:
        about = read_json(file).get("about") if file.is_file() else None
    except (InputError, AttributeError):
        return ()
    if not isinstance(about, dict) or isinstance(about.get("start"), str):
        return ()
    return (LINE,) if about.get("tokenizer") in ("False", "own") else ()
