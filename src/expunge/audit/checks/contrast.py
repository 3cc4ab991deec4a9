"""Contrast of old and new: what the holder of an old copy of the model gains by the new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from expunge.audit.attack import (
    CONTROLS,
    MARGIN,
    AttackAnswer,
    AttackCase,
    AttackOutcome,
    AttackProbe,
    attack_details,
    attacked_records,
    control_records,
)
from expunge.audit.attempts import Attempt, core, fits, has_free_answer
from expunge.audit.check_result import CheckResult
from expunge.audit.context import CheckOutput, CheckProfile, Context, Role, check, mean
from expunge.audit.excess_range import judged_by_range
from expunge.audit.kind_rates import KindRates
from expunge.audit.rate_result import rate_result
from expunge.audit.record_sets import drawn
from expunge.audit.scores import Scores, Values
from expunge.corpus import Record
from expunge.models.collate import Budget, collate
from expunge.models.forward import answer_forward
from expunge.models.language_model import LanguageModel
from expunge.random import uniform

KEY = "contrast"
GAMMAS = (-1.0, -0.5, 0.5, 1.5, 2.0)
USUAL = 2.0  # where the controls prefer none
COST = 6.0
WORDINGS = 3  # of each record that are asked: more than the trained one, which the old model gives by itself
TUNED = 24  # records of controls on which gamma is chosen
PROFILE = CheckProfile(
    title="Old copies: beside the old model, the new one gives away nothing more",
    family="surface",
    preset="default",
    control="the retrained model beside the old one; else matched controls",
    cost="2 scoring passes of both models, loaded at once",
    limits="Five strengths of guidance, greedy. A pass says nothing against what the old model gives by itself.",
    source="our own protocol",
)


def guided_hits(new: Tensor, old: Tensor, labels: Tensor, gammas: Sequence[float]) -> Tensor:
    """Whether each label is the most likely token of softmax((1 - g) log p_new + g log p_old), [G, N].

    Args:
        new: Logits [N, V] of the new model.
        old: The same of the old model; more columns than both have do not count.
        labels: True tokens [N].
        gammas: Strengths g [G]: 0 is the new model alone, 1 the old one, 2 goes beyond the old one, away from the new.
    """
    width = min(new.shape[-1], old.shape[-1])
    new, old = new[..., :width].float(), old[..., :width].float()
    return torch.stack([((1 - g) * new + g * old).argmax(-1) == labels for g in gammas])


@torch.no_grad()
def contrast_hits(new: LanguageModel, old: LanguageModel, records: Sequence[Record], gammas: Sequence[float]) -> Values:
    """Whether guided greedy decoding begins with the answer, [N, G] of 0 and 1."""
    items = new.template.encode_all(records)
    hits = np.zeros((len(items), len(gammas)))
    new.module.eval()
    old.module.eval()
    vocabulary = int(new.module.get_output_embeddings().weight.shape[0])
    for part in Budget(rows=32).parts([(item.length, 4 * len(item.answer)) for item in items], vocabulary):
        batch = collate([items[k] for k in part])
        ours, theirs = (answer_forward(lm.module, batch.to(lm.device)).logits.cpu() for lm in (new, old))
        right = guided_hits(ours, theirs, batch.labels, gammas)
        for row, k in enumerate(part):
            hits[k] = right[:, row, : len(items[k].content)].all(-1).numpy()
    return hits


def tuning_records(controls: Sequence[Record]) -> tuple[Record, ...]:
    """Records of controls that are not attacked, on which gamma is chosen; () where every control is attacked."""
    by_target: dict[str, set[str]] = {}
    for r in controls:
        by_target.setdefault(str(r.attributes.get("control_of")), set()).add(r.subject)
    spare: set[str] = set()
    for names in by_target.values():
        spare |= set(sorted(names, key=lambda n: uniform("audit:attacked controls", n))[CONTROLS:])
    return drawn([r for r in controls if r.subject in spare and has_free_answer(r)], TUNED, "contrast")


def best_gamma(rates: Mapping[float, float]) -> float:
    """The strength with the largest rate; of equal ones that nearest to `USUAL`."""
    return max(rates, key=lambda g: (rates[g], -abs(g - USUAL)), default=USUAL)


def sentence(old: float, new: float, both: float, gain: float, gamma: float) -> str:
    """What a holder of the old model has, for the report."""
    start = f"old copies: the old model alone gives {old:.1%} of the answers, the new one {new:.1%}"
    end = f"both together {both:.1%} (gamma {gamma:g}), {gain:.1%} that neither gives alone"
    return f"{start}, {end}; whoever must not have the answers must not have the old model"


def contrast_attack(case: AttackCase) -> AttackOutcome:
    """Rates of the new model, of the old one, of both with the chosen gamma, and of what neither gives alone."""
    new = case.lm
    old = new if case.role == "original" else case.reload("original")
    if gammas := tuning_records(case.split.controls):
        rows = [core(r) for r in gammas]
        tuned = contrast_hits(new, old, [r for r, fine in zip(rows, fits(new, rows), strict=True) if fine], GAMMAS)
        gamma = best_gamma(dict(zip(GAMMAS, tuned.mean(0).tolist(), strict=True)) if len(tuned) else {})
    else:
        gamma = USUAL
    places, rows = [], []
    for k, record in enumerate(case.records):
        for wording in record.wordings()[:WORDINGS]:
            row = core(wording)
            if not wording.options and not Attempt(row).tells:
                places.append(k)
                rows.append(row)
    fit = fits(new, rows)
    places = [k for k, fine in zip(places, fit, strict=True) if fine]
    rows = [r for r, fine in zip(rows, fit, strict=True) if fine]
    if not rows:
        return AttackOutcome({})
    hits = contrast_hits(new, old, rows, (0.0, 1.0, *GAMMAS))
    both = hits[:, 2 + GAMMAS.index(gamma)]
    columns = {"new": hits[:, 0], "old": hits[:, 1], "both": both, "gain": both * (1 - hits[:, :2].max(1))}
    rates = {name: _by_record(values, places, len(case.records)) for name, values in columns.items()}
    curve = [(g, mean(hits[:, 2 + n])) for n, g in enumerate(GAMMAS)]
    old_rate, new_rate, both_rate, gain = (mean(rates[name]) for name in ("old", "new", "both", "gain"))
    return AttackOutcome(rates, "gamma", curve, sentence(old_rate, new_rate, both_rate, gain, gamma))


def _by_record(values: Values, places: Sequence[int], count: int) -> Values:
    """Mean over the wordings of each record, [count]; NaN for a record without one."""
    total = np.bincount(places, values, count)
    number = np.bincount(places, minlength=count)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


@dataclass(frozen=True)
class ContrastAnswer:
    """What old and new model give; no answer of the new one alone, as those of other attacks are."""

    answer: AttackAnswer


@dataclass(frozen=True)
class ContrastProbe:
    """The attack with the old model beside each model."""

    probe: AttackProbe

    def score(self, lm: LanguageModel, role: Role, scores: Mapping[str, Scores]) -> dict[str, ContrastAnswer]:
        """By set; see `AttackProbe`."""
        return {name: ContrastAnswer(answer) for name, answer in self.probe.score(lm, role, scores).items()}


def contrast_probe(ctx: Context) -> ContrastProbe | None:
    """The attack on the records of the target, and on controls where they are the reference."""
    records = tuple(r for r in attacked_records(ctx, COST) if has_free_answer(r))
    if not records:
        return None
    controls = control_records(ctx, records, COST, has_free_answer) if ctx.reference == "controls" else ()
    case = AttackCase(None, "", records, ctx.split, ctx.policy.attack_seeds[0], ctx.fresh)  # type: ignore[arg-type]
    return ContrastProbe(AttackProbe(contrast_attack, case, controls))


@check(KEY, probe=contrast_probe, profile=PROFILE)
def contrast(ctx: Context) -> CheckOutput:
    """Answers that the old and the new model give together and neither gives alone.

    Where the new model differs from the old one it points at what was forgotten: (1 - g) log p_new + g log p_old with
    g = 2 goes beyond the old model, away from the new. The strength g is chosen on matched controls that are not
    attacked, and applied to the target, in up to three wordings of each record. Judged is the share of answers that
    both give and neither gives alone, since what the old model gives is lost with every copy of it. It does not apply
    where the old model already gives all answers. Its sentence on old copies stands in the reason.
    """
    if KEY not in ctx.probes:
        return _claimless("no record of the target can be asked in this way")
    answers = {role: {name: of.answer for name, of in ctx.probe(KEY, role).items()} for role in ctx.roles}
    forget = {role: of["forget"] for role, of in answers.items()}
    if not forget["unlearned"].outcome.rates:
        return _claimless("no record of the target can be asked in this way")
    details, note = attack_details(ctx, answers, PROFILE), forget["unlearned"].outcome.note
    rates = {role: _only(answer.kinds, "gain") for role, answer in forget.items()}
    room = KindRates({"room": 1 - forget["unlearned"].outcome.rates["old"]}, forget["unlearned"].subjects)
    if room.worst[1] <= ctx.policy.known_margin:
        return CheckOutput(_claimless(f"the old model gives the answers by itself; {note}").results, details)
    rates["original"] = room
    if ctx.reference == "retrained":
        theirs = rates["retrained"]
    elif "controls" in answers["unlearned"]:
        theirs = _only(answers["unlearned"]["controls"].kinds, "gain")
    else:
        reason = f"there is neither a retrained model nor a control to compare with; {note}"
        return CheckOutput([CheckResult(key=KEY, status="inconclusive", reason=reason)], details)
    result = rate_result(ctx, KEY, rates, theirs, ctx.margin(KEY, MARGIN), CONTROLS)
    controls = partial(control_records, ctx, attacked_records(ctx, COST), COST, has_free_answer)
    output = judged_by_range(ctx, KEY, CheckOutput([result], details), _gain, controls, CONTROLS, rates)
    result = output.results[0]
    reason = f"{result.reason}; {note}".removeprefix("; ")
    power = None if result.power else result.power  # what could be gained is known, not whether this would find it
    update = {"reason": reason, "seed": ctx.policy.attack_seeds[0], "power": power}
    return CheckOutput([result.model_copy(update=update)], details)


def _gain(ctx: Context, role: Role, records: Sequence[Record]) -> KindRates:
    """The gain on records of others by a model beside the old one."""
    rows, seed = tuple(records), ctx.policy.attack_seeds[0]
    case = AttackCase(ctx.fresh(role), role, rows, ctx.split, seed, ctx.fresh, is_control=True)
    return KindRates({"gain": contrast_attack(case).rates["gain"]}, tuple(r.subject for r in rows))


def _only(kinds: KindRates, kind: str) -> KindRates:
    return KindRates({kind: kinds.values[kind]}, kinds.subjects)


def _claimless(reason: str) -> CheckOutput:
    return CheckOutput([CheckResult(key=KEY, status="not_applicable", reason=reason)])
