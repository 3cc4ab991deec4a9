"""Settings of a desk, `desk.yaml` in its folder: the controller's choices, never secrets."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from expunge._config import FrozenModel
from expunge._io import write_atomic
from expunge._text_file import read_text
from expunge._validation import validate
from expunge._yaml import load_yaml
from expunge.desk.deadlines import zone
from expunge.errors import InputError

FILE = "desk.yaml"
HINT = "write it as docs/guides/operate-desk.md shows"


class RunSettings(FrozenModel):
    """How the engine is called for every plan; a plan freezes the values."""

    recipe: str = Field("auto", description="recipe of the first plan of a batch")
    retry_recipe: str | None = Field(None, description="recipe after a failed audit; else the same with another seed")
    seed: int = Field(42, ge=0, description="seed of the first attempt; each further one adds 1")
    overrides: tuple[str, ...] = Field((), description="`key=value` settings of the recipe")
    policy: str = Field("controls-only", description="policy of the audit")
    black_box_policy: str = Field("controls-only", description="policy of the audit of a plan that suppresses")
    dtype: str = Field("auto", description="precision of the loaded weights")
    template: str = Field("auto", description="how a question is put")


class DeskSettings(FrozenModel):
    """The content of `desk.yaml`."""

    controller: str = Field("", description="name of the controller in letters")
    time_zone: str = Field("UTC", description="time zone in which a day of receipt is counted")
    regime: str = Field("gdpr", description="policy of requests that name none")
    database: str | None = Field(None, description="URL of PostgreSQL; SQLite in the folder without it")
    workflow_database: str | None = Field(None, description="URL for the tables of durable work")
    keys: str = Field("keys.json", description="key file, relative to the folder; better on another disk")
    runs: str = Field("runs", description="folder of runs, which every worker must reach")
    single_person: bool = Field(False, description="one person works the desk; certificates say so")
    attempt_limit: int = Field(3, ge=1, le=20, description="plans of a batch before an exact route must be taken")
    batch_size: int = Field(1, ge=1, le=10_000, description="requests that close a batch")
    batch_hours: int = Field(0, ge=0, le=720, description="hours after which a batch closes")
    reserve_days: int = Field(7, ge=0, le=60, description="days before the due date kept for audit and one retry")
    probe_days: int = Field(730, ge=0, le=7300, description="days for which forgotten records are kept as probes")
    probe_ground: str = Field("accountability (Art. 5(2))", max_length=200, description="ground for keeping probes")
    run: RunSettings = Field(RunSettings(), description="settings of runs")

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            zone(name)
        except InputError as error:
            raise ValueError(f"{error.what}; {error.hint}") from error
        return name

    @classmethod
    def load(cls, folder: Path) -> DeskSettings:
        """The settings of a desk; `InputError` if there is no desk, or a setting is wrong."""
        path = folder / FILE
        if not path.is_file():
            raise InputError(str(folder), "is no desk", "name its folder with --desk, or make one: expunge desk init")
        return validate(cls, load_yaml(read_text(path, HINT), str(path), HINT), str(path), HINT)

    def save(self, folder: Path) -> Path:
        """Write `desk.yaml`."""
        import yaml

        changed = self.model_dump(mode="json", exclude_defaults=True)
        return write_atomic(folder / FILE, yaml.safe_dump(changed, sort_keys=False, allow_unicode=True) or "{}\n")
