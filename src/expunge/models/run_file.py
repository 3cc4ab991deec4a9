"""The schema of `run.json`, which tells what a run is, and whether the result that it speaks of is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from expunge._config import FileModel
from expunge._io import read_object
from expunge._validation import read_valid
from expunge.errors import InputError, first_line

RUN = "run.json"
RESULTS = ("model", "adapter")  # the folder in which a run leaves what it made
CHANGED = "the file was changed after it was written; restore it, or run again in a new folder"
SHARDS = "model.safetensors.index.json"


class StopSummary(FileModel):
    """Where and why a run ended before its bound."""

    step: int
    bound: int
    reason: str


class EditSummary(FileModel):
    """What an edit of the weights changed."""

    matrices: int
    neurons: int
    norm: FiniteFloat


class RequestSummary(FileModel):
    """What a run was asked to forget, without names: enough to know its records again in the data."""

    scope: str  # SHA-256 of the text of the scope
    seed: int
    near: str
    forget: list[str]  # `record_print` of each record
    shared: list[str]  # of those in the scope that somebody else states too


class ChainLink(RequestSummary):
    """An earlier request, whose run a later one started from."""

    run: str  # seal of its run.json
    split: str
    model: str  # digest of the model that it started from
    method: str
    created: str


class RunFile(FileModel):
    """The keys of `run.json` that are read back; others may stand beside them."""

    status: Literal["running", "finished"]
    identity: dict[str, str]
    model: str
    method: str
    template: str
    threads: int = Field(ge=1, le=4096)
    created: str = ""
    scope: str = ""
    split: dict[str, Any] = Field(default_factory=dict)
    dtype: str = "auto"
    template_date: str | None = None
    auto: list[str] = Field(default_factory=list)
    loaded: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    say: str | None = None
    near_duplicates: dict[str, Any] | None = None
    trainable_share: FiniteFloat = 1.0
    passes: str = ""
    steps: int | None = Field(None, ge=0)
    seconds: FiniteFloat | None = None
    stopped: StopSummary | None = None
    edited: EditSummary | None = None
    request: RequestSummary | None = None
    chain: list[ChainLink] = Field(default_factory=list)

    @model_validator(mode="after")
    def _finished_says_what_it_did(self) -> Self:
        if self.status == "finished" and (self.steps is None or self.seconds is None):
            raise ValueError('is "finished", but names no steps and seconds')
        return self


def read_run_file(run: Path) -> dict[str, Any]:
    """The content of the `run.json` in a folder; `InputError` for one that no run wrote."""
    return read_valid(RunFile, run / RUN, CHANGED)


def run_facts(source: str | Path) -> dict[str, Any]:
    """What the run.json of `source` says, empty for what is no run; `InputError` as `read_run_file`."""
    folder = Path(source).expanduser()
    return read_run_file(folder) if (folder / RUN).is_file() else {}


def chain_of(about: dict[str, Any]) -> list[ChainLink]:
    """The earlier requests that a run.json names, oldest first."""
    return [ChainLink.model_validate(link) for link in about.get("chain") or ()]


def known_splits(about: dict[str, Any]) -> set[str]:
    """Training digests of the requests that a run can be audited on: its own, and the earlier ones."""
    own = about.get("identity", {}).get("split")
    return {str(own), *(link.split for link in chain_of(about))}


def result_problem(run: Path) -> str:
    """Why a run has no result that can be loaded, as a clause; empty where its weights are there."""
    folders = [folder for name in RESULTS if (folder := run / name).is_dir()]
    return weights_problem(folders[0]) if folders else "its weights are gone"


def weights_problem(folder: Path) -> str:
    """Why the weight files of a saved model or adapter cannot be read, as a clause; empty where all are whole.

    Reads their headers, which say how long a file must be, not the numbers.
    """
    from safetensors import SafetensorError, safe_open

    names = {file.name for file in folder.glob("*.safetensors")}
    try:
        if (folder / SHARDS).is_file():
            names |= set(read_object(folder / SHARDS)["weight_map"].values())
        if not names:
            return "its weights are gone"
        for name in sorted(names):
            if not (folder / name).is_file():
                return f"its weights are incomplete: {name} is gone"
            with safe_open(str(folder / name), "pt"):
                pass
    except (OSError, SafetensorError, InputError, KeyError, TypeError, AttributeError) as error:
        return f"its weights are damaged ({first_line(error)})"
    return ""
