"""What stands in the files: every fact of every node, with its value, its wrong options and its owners.

Surprising: wrong options come from trained people only, and only from those with a smaller number (or the
first four), so that adding patients changes no row that is already there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from expunge.random import SPAN, draw, pick, shuffled
from expunge.synthetic.hospital import people
from expunge.synthetic.hospital.layout import OPEN_AT_ONCE, WINDOW, HospitalLayout
from expunge.synthetic.hospital.people import CANDIDATES, PatientSlot, Person, person, shown
from expunge.synthetic.hospital.relations import BY_BED, COMMON, GENERAL, INSTITUTION, POOLS, FactRelation, SharedFact
from expunge.synthetic.hospital.vocabulary import NOTES
from expunge.synthetic.question_templates import WorldFact, wrong_options

QUARTERS = 4
STUDY_YEARS = 2  # study 1 lies in 2012–2013, study 2 in 2014–2015, …


def general_facts(shape: HospitalLayout) -> Iterator[WorldFact]:
    """World knowledge L1 to L3, owned by `world:general`; never to be forgotten."""
    rank = 0
    for relation, table in GENERAL:
        for entity in shuffled(list(table), shape.seed, purpose=relation.name)[: shape.world_facts]:
            yield WorldFact(
                f"W-{entity}",
                f"world:{entity}:{relation.name}",
                relation,
                entity,
                table[entity],
                wrong_options(shape.seed, table[entity], (), relation.pool, "W", entity),
                shape.letter(rank),
                ("world:general",),
                "world",
                sharing="shared",
            )
            rank += 1


def institution_facts(shape: HospitalLayout, index: int, control: int = 0) -> Iterator[WorldFact]:
    """Facts of an institution itself (or of one of its controls)."""
    who = people.candidates(shape.seed, "institution", index)
    mark = f"-t{control:02d}" if control else ""
    name = people.institution_name(shape.seed, index * CANDIDATES + who[control])
    node, real = f"H-{index + 1:04d}{mark}", f"institution:H-{index + 1:04d}"
    rank = shape.first_rank(shape.bed(shape.opening(index))) - shape.institution_facts
    others = [i for i in range(max(0, index - WINDOW), max(index + 1, OPEN_AT_ONCE)) if i != index]
    for k, relation in enumerate(INSTITUTION[: shape.institution_facts]):

        def value(i: int, candidate: int, relation: FactRelation = relation) -> str:
            return pick(relation.pool, shape.seed, "institution", i, candidate, purpose=relation.name)

        peers = [value(i, people.candidates(shape.seed, "institution", i)[0]) for i in others]
        given = shuffled(peers, shape.seed, real, purpose=relation.name)
        answer = value(index, who[control])
        yield WorldFact(
            node,
            f"{node}:{relation.name}",
            relation,
            name,
            answer,
            wrong_options(shape.seed, answer, given, relation.pool, real, relation.name),
            shape.letter(rank + k),
            (f"institution:{node}",),
            f"institution:{node}",
            (name,),
            split="control" if control else None,
            control_of=real if control else "",
        )


def person_facts(shape: HospitalLayout, bed: PatientSlot, control: int = 0) -> Iterator[WorldFact]:
    """Facts about one person alone: a trained patient or its control, or a holdout person."""
    who = person(shape.seed, bed, control)
    name = people.full_name(shape.seed, who.number)
    number = people.record_number(shape.seed, who.number)
    peers = [person(shape.seed, shape.bed(i)) for i in shape.window(bed)]
    places = shape.places()
    rank = shape.first_rank(bed) if bed.trained else bed.index * len(places)
    house, node = f"institution:H-{bed.institution + 1:04d}", f"patient:P-{who.stem}"
    for k, (relation, study, section) in enumerate(places):
        path = [
            house,
            node,
            *([f"study:S-{who.stem}-{study}"] if study else []),
            *([f"section:{section}"] if section else []),
        ]
        owner = f"S-{who.stem}-{study}" if study else f"P-{who.stem}"
        answer = shown(value(shape, who, relation, study), bed.institution)
        order = shuffled(peers, shape.seed, bed.kind, bed.index, study, purpose=f"wrong {relation.name}")
        nearest = next((p for p in order if p.bed.institution == bed.institution), order[0])
        given = (shown(value(shape, p, relation, study), bed.institution) for p in (nearest, *order))
        about = f"study {study} of {name}" if study else name
        pool = [shown(v, bed.institution) for v in _pool(relation, study)]
        wrong = wrong_options(shape.seed, answer, given, pool, bed.kind, bed.index, study, relation.name)
        yield WorldFact(
            owner,
            f"{owner}:{relation.name}",
            relation,
            about,
            answer,
            wrong,
            shape.letter(rank + k, "trained" if bed.trained else "holdout"),
            tuple(path),
            node,
            (name,) if relation.name == "record_number" else (name, number),
            split="control" if control else None if bed.trained else "holdout",
            control_of=f"patient:P-{bed.stem}" if control else "",
        )


def shared_facts(shape: HospitalLayout, bed: PatientSlot) -> Iterator[WorldFact]:
    """What a patient's files say about doctors, drugs, diseases, devices; others' files say it too."""
    who = person(shape.seed, bed)
    house = people.institution_name(
        shape.seed, bed.institution * CANDIDATES + people.candidates(shape.seed, "institution", bed.institution)[0]
    )
    page, note = divmod(bed.number, len(NOTES))
    lead = f"{NOTES[note]}{f' {page + 1}' if page else ''}, {house}"
    rank = shape.first_rank(bed) + len(shape.places())
    node = f"patient:P-{who.stem}"
    start = bed.index // OPEN_AT_ONCE * shape.shared_facts  # the same for all patients who are paired
    for k in range(shape.shared_facts):
        common = COMMON[(start + k) % len(COMMON)]
        relation, subject = common.relation, entity(shape, common, bed)
        answer = truth(shape, common, subject)
        path = (f"institution:H-{bed.institution + 1:04d}", node, *([f"study:S-{who.stem}-1"] if common.study else []))
        owner = f"S-{who.stem}-1" if common.study else f"P-{who.stem}"
        given = shuffled(
            [truth(shape, common, other) for other in POOLS[common.kind]],
            shape.seed,
            bed.index,
            purpose=f"wrong {relation.name}",
        )
        wrong = wrong_options(shape.seed, answer, given, relation.pool, bed.index, relation.name)
        yield WorldFact(
            owner,
            f"{subject}:{relation.name}",
            relation,
            subject,
            answer,
            wrong,
            shape.letter(rank + k),
            path,
            node,
            lead=lead,
            sharing="shared",
        )


def entity(shape: HospitalLayout, common: SharedFact, bed: PatientSlot) -> str:
    """The doctor, disease, drug or device of a bed, the same for bed i and bed i XOR pair."""
    group = min(bed.index, bed.index ^ common.pair) if bed.trained else bed.index
    return pick(POOLS[common.kind], shape.seed, bed.kind, group, purpose=f"{common.kind} of a bed")


def truth(shape: HospitalLayout, common: SharedFact, subject: str) -> str:
    """What holds of an entity: general knowledge, or a draw where the entity is invented."""
    if common.table is not None:
        return common.table[subject]
    return pick(common.relation.pool, shape.seed, subject, purpose=common.relation.name)


def value(shape: HospitalLayout, who: Person, relation: FactRelation, study: int) -> date | str:
    """The value of one relation for one person."""
    if relation.name in BY_BED:
        return entity(shape, next(c for c in COMMON if c.kind == BY_BED[relation.name]), who.bed)
    if relation.name in people.MADE:
        return people.MADE[relation.name](shape.seed, who.number)
    pool = _pool(relation, study)
    if draw(shape.seed, who.number, study, purpose=f"overlap {relation.name}") >= shape.overlap * SPAN:
        pool = pool[who.bed.institution % QUARTERS :: QUARTERS]
    return pick(pool, shape.seed, who.number, study, purpose=relation.name)


def _pool(relation: FactRelation, study: int) -> Sequence[date | str]:
    """What a value can be drawn from; for the date of a study, every tenth day of its two years."""
    if relation.name == "study_date":
        first = date(2010 + STUDY_YEARS * study, 1, 1)
        return [first + timedelta(days) for days in range(0, 365 * STUDY_YEARS, 10)]
    return relation.pool
