"""Chain of clues: a conversation that tells retained facts near the target turn by turn, and then asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.attempts import Attempt, core, has_free_answer, state_rates
from expunge.audit.context import CheckProfile, mean
from expunge.audit.question_fields import field_of
from expunge.audit.surroundings import Surroundings
from expunge.corpus import Record
from expunge.corpus.provenance import anonymous
from expunge.corpus.record import Turn
from expunge.corpus.surrogate_names import replace_all
from expunge.scope.relations import subject_nodes, subject_of

TURNS = (1, 2, 3, 4)
FAR = 2  # turns about another person, for comparison
PROFILE = CheckProfile(
    title="Chain of clues: turns about retained facts do not lead to the answers",
    family="surface",
    preset="default",
    control="the retrained model in the same conversations; else matched controls in those of their target",
    cost="up to 7 scoring passes with longer prompts",
    limits="Clues are retained records by their nearness; a chain that adapts to answers is another attack. A recipe "
    "with `conversations` trains on turns of the same shape, though not on these: the other forms tell more of it.",
    source="our own protocol",
)


def chained(record: Record, clues: Sequence[Record]) -> Attempt:
    """The question as the last turn of a conversation in which each clue was asked and answered."""
    turns = [turn for clue in clues for turn in (Turn("user", clue.prompt), Turn("assistant", clue.answer))]
    return Attempt(replace(core(record), history=(*record.history, *turns)))


def by_another_fact(record: Record, facts: Sequence[Record], level: str) -> Attempt | None:
    """A question of two hops: the subject is described by another of its facts, and not named.

    "Which medicine does Ada Berg take?" becomes "Which medicine does the patient whose doctor is Dr. Roth take?".
    """
    for other in facts:
        field = field_of(other)
        if field is None or other.options or set(other.fact_keys) & set(record.fact_keys):
            continue
        value = core(other).answer
        who = (
            f"the {level} whose {field.name} is {value}"
            if field.language == "en"
            else f"der Person, für die gilt: {field.name}: {value},"
        )
        prompt = replace_all(record.prompt, dict.fromkeys(record.identifiers, who))
        if prompt != record.prompt:
            return Attempt(replace(core(record), prompt=prompt[:1].upper() + prompt[1:]))
    return None


def by_place(record: Record, depth: int) -> Attempt | None:
    """A question of two hops: the subject is described by its place in the tree, and not named."""
    plain = anonymous(record, depth) if record.path else record.prompt
    if plain == record.prompt:
        return None
    place = ", ".join(" ".join(node.split(":", 1)) for node in record.path[:depth])
    return Attempt(replace(core(record), prompt=f"{place[:1].upper()}{place[1:]}. {plain}"))


def chains(case: AttackCase) -> Iterator[tuple[str, int, Attempt]]:
    """(form, place of the record, attempt) of every conversation and question of two hops."""
    known = Surroundings.of(case.split)
    nodes = subject_nodes(case.records)
    own: dict[str, list[Record]] = {}
    for r in case.records:
        own.setdefault(r.subject, []).append(r)
    for k, record in enumerate(case.records):
        clues = known.about(record, max(TURNS))
        for n in TURNS:
            if len(clues) >= n:
                yield f"turns_{n}", k, chained(record, clues[:n][::-1])
        if len(far := known.elsewhere(record, FAR)) == FAR:
            yield "another_person", k, chained(record, far)
        depth = min(len(nodes[subject_of(record)]) or len(record.path), len(record.path))
        level = record.path[depth - 1].split(":", 1)[0] if record.path else "person"
        for form, one in (
            ("two_hop", by_another_fact(record, own[record.subject], level)),
            ("place", by_place(record, depth)),
        ):
            if one:
                yield form, k, one


@attack("clue_chain", cost=8.0, profile=PROFILE, applies=has_free_answer, by_range="strangers")
def clue_chain(case: AttackCase) -> AttackOutcome:
    """True answers at the end of a conversation about retained facts, and to questions of two hops.

    Each of one to four turns asks and answers a retained question: about a fact that the target shares first, then the
    nearest in the provenance tree, the nearest last. The final turn asks the forgotten question. `another_person` has
    two turns about one far person instead. `two_hop` describes the subject by another of its facts, `place` by its
    nodes in the tree; neither names it. No turn holds the answer.
    """
    attempts: dict[str, list[Attempt | None]] = {}
    for form, k, one in chains(case):
        attempts.setdefault(form, [None] * len(case.records))[k] = one
    rates = state_rates(case.lm, attempts)
    curve = [(float(n), mean(rates[form])) for n in TURNS if (form := f"turns_{n}") in rates]
    return AttackOutcome(rates, "turns before the question", curve)
