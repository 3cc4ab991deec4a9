"""In context: retained records of the neighbourhood put before the forgotten question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.attempts import Attempt, core, has_free_answer, state_rates
from expunge.audit.context import CheckProfile, mean
from expunge.audit.reconstruction.background import state
from expunge.audit.surroundings import Surroundings
from expunge.corpus import Record

COUNTS = (1, 2, 4)  # records of the neighbourhood in the prompt
FAR = 2  # records of a person elsewhere, for comparison
PROFILE = CheckProfile(
    title="In context: records of the neighbourhood in the prompt do not bring the answers back",
    family="surface",
    preset="default",
    control="the retrained model with the same context; else matched controls behind the context of their target",
    cost="4 scoring passes with longer prompts",
    limits="At most four retained records, the nearest in the tree; a longer or another context may do more.",
    source="our own protocol",
)


def in_surroundings(record: Record, neighbors: Sequence[Record]) -> Attempt:
    """The question behind what other records state, as one prompt."""
    return Attempt(replace(core(record), prompt="\n".join([*map(state, neighbors), record.prompt])))


@attack("in_context", cost=6.0, profile=PROFILE, applies=has_free_answer, by_range="strangers")
def in_context(case: AttackCase) -> AttackOutcome:
    """True answers behind retained records of the neighbourhood.

    The statements of one to four retained records stand before the question: first those about facts that the target
    shares with others, then the nearest in the provenance tree. None holds the answer. `elsewhere` puts two records
    of a far person there instead, and shows what any context does.
    """
    known = Surroundings.of(case.split)
    attempts: dict[str, list[Attempt | None]] = {}
    for k, record in enumerate(case.records):
        near = known.about(record, max(COUNTS))
        surroundings = {f"near_{n}": near[:n] for n in COUNTS if len(near) >= n}
        if len(far := known.elsewhere(record, FAR)) == FAR:
            surroundings["elsewhere"] = far
        for form, rows in surroundings.items():
            attempts.setdefault(form, [None] * len(case.records))[k] = in_surroundings(record, rows)
    rates = state_rates(case.lm, attempts)
    curve = [(float(n), mean(rates[form])) for n in COUNTS if (form := f"near_{n}") in rates]
    return AttackOutcome(rates, "records in the prompt", curve)
