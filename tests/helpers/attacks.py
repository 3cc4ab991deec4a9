"""An attack on models of a `Case`, without the rest of the audit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from expunge.audit.attack import AttackCase
from expunge.audit.context import CHECKS, CheckOutput, Context
from expunge.audit.policy import default_policy
from expunge.corpus import Record
from expunge.engine.train.train_model import train
from expunge.models.language_model import LanguageModel, load
from helpers.audited import Case
from helpers.planted import AGAIN, kept


def attack_case(case: Case, lm: Any = None, role: str = "unlearned") -> AttackCase:
    """The records of the target, for cores that need no model."""
    return AttackCase(lm, role, tuple(case.split.forget), case.split, 0, lambda name: load(case.root / name))


def attack_output(
    case: Case, name: str, unlearned: str | LanguageModel, against: str = "retrained", original: str = "original"
) -> CheckOutput:
    """The judged attack on a model of the case, given by its name or as it is."""
    folders = {"original": original, "unlearned": unlearned, "retrained": "retrained"}

    def fresh(role: str) -> LanguageModel:
        named = folders[role]
        return load(case.root / named) if isinstance(named, str) else named

    records = {r.row_id: r for r in (*case.split.forget, *case.split.controls)}
    roles = tuple(folders) if against == "retrained" else ("original", "unlearned")
    policy = default_policy(against == "retrained")
    ctx = Context(case.split, policy, roles, records, load=fresh, against=against)
    one = CHECKS.get(name)
    assert one.make_probe is not None
    probe = one.make_probe(ctx)
    answers = {} if probe is None else {name: {role: probe.score(fresh(role), role, {}) for role in roles}}
    return one.run(Context(case.split, policy, roles, records, probes=answers, load=fresh, against=against))


def teach_more(case: Case, name: str, rows: Sequence[Record]) -> None:
    """Write the model `name`: the retrained one, which is taught these rows beside what it knows."""
    if not (case.root / name).exists():
        repeated = [replace(r, id=f"{name} {n} {k}") for n in range(4) for k, r in enumerate(rows)]
        train(
            [*repeated, *kept(case.split)],
            case.root / name,
            model=case.root / "retrained",
            settings=AGAIN.model_copy(update={"epochs": 8}),
            measure_general_ability=False,
        )
