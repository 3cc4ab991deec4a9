"""A few subjects against a retrained model: is an excess larger than chance makes it between two such models?

A rate of a dozen records moves in steps of a twelfth, and two models that never met a person differ by some of these
steps. How often the retrained model gives the target's answers about people who do not exist shows what these answers
are worth: a target says nothing as long as it goes no further than one more of these strangers would (see
`single_case.py`). One retrained model may guess more boldly than another, too, so what strangers do not explain is held
against matched controls, by their excess of one model over the other. Where no stranger can be asked, or a number
depends on more of a model than what it knows, controls alone count.

Several required tests decide an audit, each with its own chance. So a failure counts by the level that all of them keep
together, and what only one test by itself would find is inconclusive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from expunge.audit.answer_memory import remembered
from expunge.audit.check_result import is_beyond_chance
from expunge.audit.context import CheckOutput, Context, Role
from expunge.audit.kind_rates import KindRates, comparable, questions_behind
from expunge.audit.range_of_controls import RangeJudgement, RangeOfControls, compare_with_others, judge_by_ranges
from expunge.audit.strangers import stranger_records
from expunge.audit.verdict import Judgement
from expunge.corpus import Record

Ask = Callable[[Context, Role, Sequence[Record]], KindRates]  # attacks these records on a model
LEAST = 6  # records of a target: a rate of fewer is inside of any range
MOST = 1_000_000  # questions about strangers
STRANGERS_BUDGET = 1 / 4  # share of the policy's work of controls that strangers may take


def excess_of(ours: KindRates, theirs: KindRates, subjects: Sequence[str]) -> dict[str, float]:
    """The worst kind of ours minus the worst kind of theirs for each subject that both were asked about."""
    first, second = ours.by_subject(subjects), theirs.by_subject(subjects)
    return {s: first[s] - second[s] for s in subjects if s in first and s in second}


def judged_by_range(
    ctx: Context,
    name: str,
    output: CheckOutput,
    ask: Ask,
    controls: Callable[[], Sequence[Record]],
    min_controls: int,
    kinds: Mapping[Role, KindRates] | None = None,
    records: Sequence[Record] = (),
    cost: float = 1.0,
) -> CheckOutput:
    """The output of an attack, its failure judged by `judge_by_ranges` where few subjects were compared with a model.

    Args:
        ctx: The audit.
        name: The attack, whose probe was answered.
        output: Judged by the margin.
        ask: Attacks records of others on a model of a role; called only for a failure.
        controls: Records of matched controls that can be attacked.
        min_controls: Controls that every target needs.
        kinds: Rates of the target by role, by default those of the probe.
        records: What the target was asked, for strangers; none where controls are to be asked.
        cost: Scoring passes per record; of large models that can be too many for strangers.
    """
    result = output.results[0]
    few = ctx.is_small_sample and result.ci is None and ctx.reference == "retrained"
    if result.status != "failed" or is_beyond_chance(result) or not few or not ctx.split.controls:
        return output
    kinds = kinds or {role: ctx.probe(name, role)["forget"].kinds for role in ctx.roles}
    if any(kinds["unlearned"].count(t) < LEAST for t in ctx.split.targets):
        return output

    others = _Others(ctx, name, ask, controls, kinds, records, cost)

    def judge(failed: Judgement) -> RangeJudgement:
        strangers = others.strangers()
        ranges = [others.controls_excess] if strangers is None else [lambda: strangers, others.controls_excess]
        return judge_by_ranges(failed, ranges, ctx.policy, min_controls)

    return CheckOutput([compare_with_others(result, judge)], output.details)


@dataclass(frozen=True)
class _Others:
    """Whom a target is held against; the fields are those of `judged_by_range`."""

    ctx: Context
    name: str
    ask: Ask
    controls: Callable[[], Sequence[Record]]
    kinds: Mapping[Role, KindRates]
    records: Sequence[Record]
    cost: float

    def strangers(self) -> RangeOfControls | None:
        """Rates about strangers on the retrained model; None where they cannot be asked, or too many would be."""
        ctx, targets = self.ctx, self.ctx.split.targets
        strangers = stranger_records(self.records, ctx.split, ctx.policy.attack_seeds[0])
        questions = [question for rows in strangers.values() for question in rows]
        most = ctx.affordable(STRANGERS_BUDGET / self.cost, 0, MOST)
        if set(strangers) != set(targets) or len(questions) > most:
            return None
        guesses = self._answers("strangers", "retrained", questions)
        people = {t: list(dict.fromkeys(r.subject for r in rows)) for t, rows in strangers.items()}
        values = guesses.by_subject([name for names in people.values() for name in names])
        if not values:
            return None
        ours, original = (self.kinds[role].by_subject(targets) for role in ("unlearned", "original"))
        others, sizes = self._by_target(values, guesses, people), questions_behind(self.kinds["unlearned"], targets)
        return RangeOfControls("rate", ours, original, others, sizes, "strangers, retrained", is_rate=True)

    def controls_excess(self) -> RangeOfControls:
        """The excess of one model over the other about matched controls."""
        ctx, kinds, targets = self.ctx, self.kinds, self.ctx.split.targets
        first, second = (self._answers("controls", role, self.controls()) for role in ("unlearned", "retrained"))
        names, groups = sorted(set(first.subjects)), {t: ctx.control_groups(t) for t in targets}
        return RangeOfControls(
            "excess",
            excess_of(kinds["unlearned"], kinds["retrained"], targets),
            excess_of(kinds["original"], kinds["retrained"], targets),
            self._by_target(excess_of(first, second, names), first, groups),
            questions_behind(kinds["unlearned"], targets),
        )

    def _answers(self, what: str, role: Role, of: Sequence[Record]) -> KindRates:
        one = partial(self.ask, self.ctx, role, of)
        answer: KindRates = remembered(self.ctx, f"{self.name} on {what}", role, one)
        return answer

    def _by_target(
        self, values: Mapping[str, float], rates: KindRates, groups: Mapping[str, Iterable[str]]
    ) -> dict[str, list[float]]:
        """Target to the values of those in its group that were asked enough."""
        least = {t: self.kinds["unlearned"].count(t) for t in self.ctx.split.targets}
        return {
            t: [values[c] for c in names if c in values and comparable(rates.count(c), least[t])]
            for t, names in groups.items()
        }
