"""The record sets of a run that a certificate commits to, as plain fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from expunge.cli import options as opt
from expunge.errors import InputError

LATER = ("variants", "identifiers", "attributes")  # fields that `data prepare` may add after a run


def record_sets(run: Path, data: Path) -> dict[Literal["forget", "retain", "holdout"], list[dict[str, Any]]]:
    """Forget, retain and holdout records of a run, without the fields that may be added later.

    Raises:
        InputError: `data` does not hold the records of the run.
    """
    from expunge.models.run_file import read_run_file

    if not (run / "run.json").is_file():
        raise InputError(str(run), "is no run, so its records cannot be selected", "leave --data and --record-key out")
    about = read_run_file(run)
    scope, seed = str(about["scope"]), int((about.get("request") or {}).get("seed", 42))
    split = opt.load_split(data, None, None, scope, seed, opt.near_duplicates_of(run))
    if split.training_digest != about["identity"].get("split"):
        raise InputError(str(data), "does not hold the records of the run", "give the --data of that run")
    return {
        "forget": [_fields(record) for record in split.forget],
        "retain": [_fields(record) for record in split.retain],
        "holdout": [_fields(record) for record in split.holdout],
    }


def _fields(record: Any) -> dict[str, Any]:
    return {name: value for name, value in record.content().items() if name not in LATER}
