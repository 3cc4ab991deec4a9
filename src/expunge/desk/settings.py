"""Settings of a desk, `desk.yaml` in its folder: the controller's choices, never secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from expunge._config import FrozenModel
from expunge._io import write_atomic
from expunge._text_file import read_text
from expunge._validation import validate
from expunge._yaml import load_yaml
from expunge.desk.deadlines import zone
from expunge.errors import InputError

FILE = "desk.yaml"
HINT = "write it as docs/guides/operate-desk.md shows"
BY_HAND = "hand"  # provider of letters


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
    rehearse: bool = Field(False, description="try each plan once on other people while it waits; costs a run")


class CertificateSettings(FrozenModel):
    """Who signs certificates, and where the Merkle log lies; paths relative to the desk's folder."""

    operator_key: str = Field(description="private key of the operator, as `expunge key make` writes it")
    operator_passphrase_file: str = Field(description="file whose first line is its passphrase")
    auditor_key: str = Field(description="public key (.pub) of the auditor; the private one lies elsewhere")
    log_key: str = Field(description="private key that signs the heads of the log")
    log_passphrase_file: str = Field(description="file whose first line is its passphrase")
    log: str = Field("log", description="folder of the Merkle log, of this desk alone")
    origin: str = Field("erasure desk", min_length=1, max_length=200, description="name of the log")
    days: int = Field(365, ge=1, le=3650, description="days until a certificate expires")


class LetterSettings(FrozenModel):
    """What every letter says of the controller; its name is `controller` of the desk."""

    contact: str = Field(min_length=1, max_length=300, description="where to object")
    authority: str = Field(min_length=1, max_length=300, description="supervisory authority, to which one complains")
    acknowledge: bool = Field(False, description="receipt is confirmed also where the policy sets no date for that")
    identification: dict[Literal["en", "de", "fr"], Annotated[str, Field(min_length=1, max_length=1000)]] = Field(
        {}, description="language -> how a person shows who they are; without it the desk writes no letter to ask"
    )
    provider: str = Field(BY_HAND, description="who takes letters: hand, smtp, folder, or a plug-in")
    provider_settings: dict[str, Any] = Field({}, description="settings of the provider")


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
    guard_worst: int = Field(5, ge=0, le=10_000, description="earlier requests attacked after a run: the worst ones")
    guard_random: int = Field(10, ge=0, le=10_000, description="and some that chance takes from the others")
    run: RunSettings = Field(RunSettings(), description="settings of runs")
    certificates: CertificateSettings | None = Field(None, description="keys and log; nobody signs without them")
    letters: LetterSettings | None = Field(None, description="what letters say; without it the desk writes none")

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            zone(name)
        except InputError as error:
            raise ValueError(f"{error.what}; {error.hint}") from error
        return name

    @model_validator(mode="after")
    def _letters_have_a_sender(self) -> Self:
        if self.letters and not self.controller.strip():
            raise ValueError("`letters` needs `controller`, the name of who writes them")
        return self

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
