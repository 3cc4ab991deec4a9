"""The plan of a prepared audit: what stands in it, and how long it may take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from expunge._io import digest
from expunge.audit.attack import AttackProbe
from expunge.audit.context import CHECKS, Check, Role
from expunge.audit.plan import AuditPlan, PlannedCheck, PlannedSeeds, PlannedSet, signed
from expunge.audit.preparation import AuditPreparation
from expunge.audit.record_sets import RecordSet
from expunge.audit.time_estimate import PER_STAGE, estimate, load_seconds, pass_seconds, speed_of
from expunge.corpus import Record
from expunge.models.language_model import LanguageModel

SAMPLE = 48  # records of a set whose tokens are counted for the estimate of time
TRAINED = {"relearning": 10}  # steps of the checks that train, each worth three passes over a tenth of the facts
RECONSTRUCTION = 20.0  # passes that a fact costs on each level of context


def plan_of(made: AuditPreparation, data_name: str = "") -> AuditPlan:
    """The plan of a prepared audit."""
    policy, ctx = made.policy, made.context
    return signed(
        AuditPlan(
            scope=made.split.scope,
            data=data_name,
            preset=made.preset,
            policy=policy.name,
            policy_digest=policy.digest,
            reference=made.references,
            split_digest=made.split.digest,
            models={role: made.digests[role] for role in made.roles},
            reading={name: str(made.reading[name]) for name in ("template", "dtype")},
            sets={name: _planned_set(group, made) for name, group in made.sets.items() if group.records},
            checks={name: _planned_check(name, one, made) for name, one in made.checks.items()},
            left_out={n: f"runs from preset {c.profile.preset} on" for n, c in CHECKS if n not in made.checks},
            not_made=made.not_tested[len(made.left_out) :],
            seeds=PlannedSeeds(
                attacks=policy.attack_seeds, bootstrap=policy.statistics.seed, draws=policy.statistics.draws
            ),
            level=policy.statistics.level,
            time=estimate(_stages(made), *_machine(made.loaded[0]), ctx.parameters),
        )
    )


def _planned_set(group: RecordSet, made: AuditPreparation) -> PlannedSet:
    """The same set in any order has the same digest."""
    parts = sorted(digest([r.row_id, r.content()]) for r in group.records)
    return PlannedSet(n=len(parts), digest=digest(parts), roles=group.roles or made.roles)


def _planned_check(name: str, one: Check, made: AuditPreparation) -> PlannedCheck:
    probe, rules = made.probes.get(name), made.policy.rules
    sizes: dict[str, Any] = {}
    default = None
    if isinstance(probe, AttackProbe):
        default = probe.margin
        sizes = {
            "records": len(probe.case.records),
            "controls": len(probe.controls),
            "subjects": len({r.subject for r in probe.controls}),
        }
    return PlannedCheck(
        keys=one.keys,
        title=one.profile.title,
        family=one.profile.family,
        required=tuple(key for key in one.keys if key in rules and rules[key].required),
        margins={key: rules[key].margin if key in rules else default for key in one.keys},
        **sizes,
    )


def _machine(lm: LanguageModel) -> tuple[str, int]:
    import torch

    return str(next(lm.module.parameters()).device), torch.get_num_threads()


def _stages(made: AuditPreparation) -> dict[str, float]:
    """Estimated seconds by stage, in the order of the audit; checks that only count cost nothing."""
    lm, size = made.loaded[0], made.context.parameters
    speed = speed_of(*_machine(lm))

    def cost(records: Sequence[Record], passes: float = 1.0, options: bool = False, text: bool = False) -> float:
        return passes * pass_seconds(size, len(records), mean_tokens(lm, records, options, text), speed)

    stages: dict[str, float] = {}
    for role in made.roles:
        stages[f"load {role}"] = load_seconds(size)
        own_sets = [g for g in made.sets.values() if not g.roles or role in g.roles]
        stages[f"score {role}"] = PER_STAGE + sum(
            cost(g.records, 1.0, g.options, g.text and role != "original") for g in own_sets
        )
        for name, probe in made.probes.items():
            stages[f"probe {name} {role}"] = PER_STAGE + _probe_seconds(probe, role, cost)
    rule, forget = made.policy.relearning, made.context.split.forget
    copies = rule.controls + 1 if made.references[-1] == "controls" else 2
    for name in made.checks:
        steps = TRAINED.get(name, 0)
        own = 3 * steps * cost(forget[: max(1, len(forget) // 10)]) + cost(forget[: rule.test_records])
        others = _others_seconds(made.probes.get(name), cost)
        stages[f"check {name}"] = others + (PER_STAGE + copies * own if steps else 0.0)
    return stages


def _others_seconds(probe: Any, cost: Callable[..., float]) -> float:
    """Seconds of a check that asks two models about others should it fail; reconstruction alone takes long for that."""
    others = getattr(probe, "others", ())
    return 2 * cost(others, RECONSTRUCTION * len(probe.forget.selected)) if others else 0.0


def _probe_seconds(probe: Any, role: Role, cost: Callable[..., float]) -> float:
    if isinstance(probe, AttackProbe):
        records = (*probe.case.records, *(probe.controls if role == "unlearned" else ()))
        return cost(records, probe.cost)
    total = 0.0
    for part in ("records", "forget", "controls"):
        held = getattr(probe, part, None)
        if held is None or (part == "controls" and role != "unlearned"):
            continue
        if facts := getattr(held, "facts", None):  # of reconstruction: prompts of three kinds on every level
            total += cost([f.record for f in facts], RECONSTRUCTION * len(held.selected))
        elif isinstance(held, Sequence):
            total += cost([q for q in held if isinstance(q, Record)])
    return total


def mean_tokens(lm: LanguageModel, records: Sequence[Record], options: bool = False, text: bool = False) -> float:
    """Mean number of tokens that a record costs, by an even sample of `SAMPLE` records.

    Options count with the tokens of the answer each, since they share the prompt; text, of which about half must be
    written, with half an answer and 32 tokens more.
    """
    if not records:
        return 0.0
    sample = [replace(r, image=None) for r in records[:: -(-len(records) // SAMPLE)]]
    total = 0.0
    for record, item in zip(sample, lm.template.encode_all(sample), strict=True):
        answer = len(item.answer)
        total += len(item.prompt) + answer * (1 + options * len(record.options)) + text * (answer / 2 + 32)
    return total / len(sample)
