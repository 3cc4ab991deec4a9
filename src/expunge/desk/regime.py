"""A regime: the dates and rules of a law as versioned data, `policies/<name>@<version>.yaml`.

A request keeps the name and version under which it was opened; a later version never changes it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from expunge._config import FrozenModel, find_yaml, named_files
from expunge._io import digest
from expunge._validation import validate
from expunge._yaml import load_yaml
from expunge.errors import InputError, unknown

FOLDER = files("expunge.desk") / "policies"
HINT = "write it as in the shipped policies; `expunge policy show gdpr` prints one"
KIND = "regime"


class Period(FrozenModel):
    """A stretch of time in one unit."""

    months: int | None = Field(None, ge=1, le=240, description="calendar months")
    days: int | None = Field(None, ge=1, le=7300, description="calendar days")
    business_days: int | None = Field(None, ge=1, le=366, description="days that are no weekend and no holiday")

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if sum(value is not None for value in (self.months, self.days, self.business_days)) != 1:
            raise ValueError("give one of months, days and business_days")
        return self


class Calendar(FrozenModel):
    """Which days are holidays: a country of the library `holidays`, and days of the controller's own."""

    country: str | None = Field(None, description="ISO 3166 code, for example US")
    subdivision: str | None = Field(None, description="code of a state or province, for example CA")
    extra: tuple[str, ...] = Field((), description="further holidays as YYYY-MM-DD")


class IdentityRule(FrozenModel):
    """How often and for how long a person may try to show who they are."""

    attempts: int = Field(3, ge=1, le=20, description="attempts before the request may be given up")
    days: int = Field(30, ge=1, le=365, description="days before the request may be given up or expires")


class Regime(FrozenModel):
    """The rules of a law that decide dates, grounds and periods of a request."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$", description="name of the regime")
    version: int = Field(ge=1, description="version of this file")
    title: str = Field(description="the law and its articles")
    erasure_right: bool = Field(description="false: erasure is a decision of the reviewer alone, without a clock")
    starts: Literal["receipt", "verification"] = Field("receipt", description="what starts the clock")
    pause_for_identity: bool = Field(False, description="the clock stands while the identity is open")
    acknowledge: Period | None = Field(None, description="until when receipt is confirmed")
    due: Period | None = Field(None, description="until when the request is answered")
    extension: Period | None = Field(None, description="by how much the answer may be put off")
    extension_notice: Literal["due"] = Field("due", description="until when the subject is told of an extension")
    notice_reason: bool = Field(True, description="an extension needs a reason")
    weekend_roll_over: bool = Field(False, description="a due date on a holiday or weekend moves to the next work day")
    calendar: Calendar = Field(Calendar(), description="holidays")
    other_clocks: dict[str, Period] = Field({}, description="periods that are shown and start nothing")
    refusal_grounds: tuple[str, ...] = Field(min_length=1, description="grounds to refuse or retain")
    complaint_route: str = Field(min_length=1, description="where the subject can complain")
    identity: IdentityRule = Field(IdentityRule(), description="limits of identification")
    hold_days: int = Field(60, ge=1, le=3650, description="days after which a request on hold expires")
    objection_days: int = Field(30, ge=0, le=365, description="days between the letter and the end of the request")
    cancel_window_hours: int = Field(72, ge=0, le=720, description="hours in which an approved request can be stopped")
    record_months: int = Field(ge=1, le=240, description="months for which the record of the request is kept")
    source: str = Field(description="where the rules stand")
    reviewed: str = Field("", description="who reviewed this version for the controller, and when")

    @model_validator(mode="after")
    def _a_right_has_a_clock(self) -> Self:
        if self.erasure_right != (self.due is not None):
            raise ValueError("a right to erasure needs `due`, and without one there is no `due`")
        if self.extension and not self.due:
            raise ValueError("`extension` needs `due`")
        return self

    @property
    def key(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return digest(self.model_dump(mode="json"))


def parse_regime(text: str, where: str) -> Regime:
    """A regime from YAML text; `InputError` names the wrong key or value."""
    return validate(Regime, load_yaml(text, where, HINT), where, HINT)


def load_regime(name: str, folder: Path | None = None) -> Regime:
    """A regime by `name@version`, or the newest version of `name`.

    Args:
        name: `gdpr`, `gdpr@1`.
        folder: the desk's own policies, which come before the shipped ones.

    Raises:
        InputError: no such regime, or a file whose name and content disagree.
    """
    known = regime_names(folder)
    key = name if "@" in name else max((k for k in known if _stem(k) == name), key=_version, default=name)
    if key not in known:
        raise unknown("policy", name, known)
    own = folder / f"{key}.yaml" if folder else None
    if own and own.is_file():
        source = find_yaml(own, KIND, FOLDER)
        return _checked(parse_regime(source.text, source.where), key, source.where)
    return _shipped(key)


def regime_names(folder: Path | None = None) -> list[str]:
    """`name@version` of all regimes, sorted by name and version."""
    own = {file.name.removesuffix(".yaml") for file in folder.glob("*.yaml")} if folder and folder.is_dir() else set()
    return sorted({*named_files(KIND, FOLDER), *own}, key=lambda key: (_stem(key), _version(key)))


@cache
def _shipped(key: str) -> Regime:
    text = named_files(KIND, FOLDER)[key].read_text("utf-8")
    return _checked(parse_regime(text, f"policy {key}"), key, f"policy {key}")


def _checked(regime: Regime, key: str, where: str) -> Regime:
    if regime.key != key:
        raise InputError(where, f"says that it is {regime.key}", f"name the file {regime.key}.yaml")
    return regime


def _stem(key: str) -> str:
    return key.partition("@")[0]


def _version(key: str) -> int:
    number = key.partition("@")[2]
    return int(number) if number.isdigit() else 0
