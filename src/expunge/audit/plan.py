"""The plan of an audit: everything that decides its figures, written before a model is asked anything.

Its digest stands in `audit.json`. Whoever changes what is tested after a look at the figures makes another plan, and
so another attempt (see `audit_attempts`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from expunge._config import FrozenModel
from expunge._io import digest, write_json
from expunge._summary import short_repr
from expunge._validation import read_valid
from expunge.audit.check_result import Number
from expunge.audit.preset import Preset
from expunge.audit.time_estimate import TimeEstimate
from expunge.errors import InputError

PLAN = "plan.json"
UNBOUND = ("digest", "seal", "time", "data", "notice")  # fields that decide no figure
ANEW = "choose another folder, or remove the plan: what is asked now then counts as a further attempt"
NOTICE = "Names the scope, and so perhaps a person: only people who work on the request should be able to read it."


class PlannedSet(FrozenModel):
    """A record set that is scored."""

    n: int = Field(description="records and wordings")
    digest: str = Field(description="SHA-256 over their ids and content")
    roles: tuple[str, ...] = Field(description="models that are asked")


class PlannedCheck(FrozenModel):
    """A check that runs."""

    keys: tuple[str, ...] = Field(description="keys of its results")
    title: str = Field("", description="what a pass shows")
    family: str = Field("", description="family of the attack")
    required: tuple[str, ...] = Field((), description="results that the policy requires, where they apply")
    records: int | None = Field(None, description="records of the target that it asks about; null where it says none")
    controls: int | None = Field(None, description="control records that it asks about in the same way")
    subjects: int | None = Field(None, description="matched controls whose records these are")
    margins: dict[str, Number] = Field({}, description="margin by result; null where the check has its own")


class PlannedSeeds(FrozenModel):
    """Everything drawn."""

    attacks: tuple[int, ...] = Field(description="seeds of the attacks; the first is used first")
    bootstrap: int = Field(description="seed of the resamples")
    draws: int = Field(description="resamples")


@short_repr("digest", "preset", "policy", "time.seconds")
class AuditPlan(FrozenModel):
    """The content of `plan.json`."""

    schema_version: Literal[1] = Field(1, description="version of this schema")
    notice: str = Field(NOTICE, description="who should be able to read it")
    digest: str = Field("", description="SHA-256 over what decides a figure: not `time`, `data`, `notice` and `seal`")
    seal: str = Field("", description="SHA-256 over all other fields")
    scope: str = Field(description="the scope expression")
    data: str = Field("", description="file name of the records")
    preset: Preset = Field(description="how much is tested")
    policy: str = Field(description="name of the policy")
    policy_digest: str = Field(description="SHA-256 of the policy")
    reference: tuple[str, ...] = Field(description="what the unlearned model is compared with")
    split_digest: str = Field(description="SHA-256 of the split")
    models: dict[str, str] = Field(description="SHA-256 of each model by role")
    reading: dict[str, str] = Field({}, description="template and precision that all models are loaded with")
    sets: dict[str, PlannedSet] = Field(description="record sets by name")
    checks: dict[str, PlannedCheck] = Field(description="checks that run, by name")
    left_out: dict[str, str] = Field({}, description="checks that the preset leaves out, and why")
    not_made: tuple[str, ...] = Field((), description="attacks that no check makes")
    seeds: PlannedSeeds = Field(description="everything drawn")
    level: float = Field(description="two-sided level of all intervals")
    time: TimeEstimate = Field(description="estimate of the time; decides nothing")

    @property
    def content(self) -> str:
        """SHA-256 over what decides a figure."""
        return digest(self.model_dump(mode="json", exclude=set(UNBOUND)))


def signed(plan: AuditPlan) -> AuditPlan:
    """The plan with its digest and its seal."""
    plan = plan.model_copy(update={"digest": plan.content})
    return plan.model_copy(update={"seal": _seal(plan)})


def _seal(plan: AuditPlan) -> str:
    return digest(plan.model_dump(mode="json", exclude={"seal"}))


def read_plan(path: Path) -> AuditPlan:
    """A plan from its file; `InputError` for one that is broken or that was changed."""
    plan = AuditPlan.model_validate(read_valid(AuditPlan, path, "remove it, and plan again"))
    if plan.digest != plan.content or plan.seal != _seal(plan):
        raise InputError(str(path), "its content is not what its digests name", "remove it, and plan again")
    return plan


def write_plan(plan: AuditPlan, out: Path) -> bool:
    """Write the plan into the folder of its audit, unless it stands there; whether it is new.

    Raises:
        InputError: the folder holds another plan.
    """
    path = out / PLAN
    if path.exists():
        earlier = read_plan(path)
        if earlier.digest != plan.digest:
            raise InputError(str(path), f"plans another audit than this one: {difference(earlier, plan)}", ANEW)
        return False
    write_json(path, plan.model_dump(mode="json"), private=True)
    return True


def difference(earlier: AuditPlan, now: AuditPlan) -> str:
    """The first thing in which two plans differ, in a clause."""
    for name, word in (("scope", "scope"), ("preset", "preset"), ("policy", "policy")):
        one, two = getattr(earlier, name), getattr(now, name)
        if one != two:
            return f'{word} "{one}" there, "{two}" here'
    if set(earlier.models) != set(now.models):
        return f"models {', '.join(earlier.models)} there, {', '.join(now.models)} here"
    for role, model in now.models.items():
        if earlier.models[role] != model:
            return f"another {role} model"
    for name, word in (
        ("policy_digest", "rules of the policy"),
        ("split_digest", "records"),
        ("reading", "template or precision"),
        ("sets", "record sets"),
        ("seeds", "seeds"),
    ):
        if getattr(earlier, name) != getattr(now, name):
            return f"other {word}"
    return "other checks"
