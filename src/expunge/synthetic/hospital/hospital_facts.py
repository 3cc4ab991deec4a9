"""Facts of every node of the hospital world, each with its value, its wrong options and its owners.

Wrong options come from trained people with a smaller number (or the first four), so that more patients change no
existing row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from expunge.random import SPAN, draw, pick, shuffled
from expunge.synthetic.facts import WINDOW, FactRelation, WorldFact, candidates, wrong_options
from expunge.synthetic.hospital import people
from expunge.synthetic.hospital.layout import OPEN_AT_ONCE, HospitalLayout
from expunge.synthetic.hospital.people import PatientSlot, Person, format_value, person
from expunge.synthetic.hospital.relations import BY_SLOT, COMMON, GENERAL, INSTITUTION, SharedFact, pool_of
from expunge.synthetic.hospital.vocabulary import NOTES, POOLS

QUARTERS = 4
STUDY_YEARS = 2  # study 1 lies in 2012-2013, study 2 in 2014-2015, and so on


def general_facts(layout: HospitalLayout) -> Iterator[WorldFact]:
    """World knowledge, L1 to L3, owned by `world:general`; never a target."""
    seed, rank = layout.seed, 0
    for relation, table in GENERAL:
        for name in shuffled(list(table), seed, purpose=relation.name)[: layout.world_facts]:
            yield WorldFact(
                owner=f"W-{name}",
                key=f"world:{name}:{relation.name}",
                relation=relation,
                about=name,
                value=table[name],
                wrong=wrong_options(seed, table[name], (), pool_of(relation), "W", name),
                letter=layout.letter(rank),
                path=("world:general",),
                subject="world",
                sharing="shared",
            )
            rank += 1


def institution_facts(layout: HospitalLayout, index: int, control: int = 0) -> Iterator[WorldFact]:
    """Facts of an institution, or of one of its controls."""
    seed, original = layout.seed, f"institution:H-{index + 1:04d}"
    node = f"H-{index + 1:04d}" + (f"-t{control:02d}" if control else "")
    name = people.name_of_institution(seed, index, control)
    rank = layout.first_rank(layout.slot(layout.first_patient(index))) - layout.institution_facts
    others = [i for i in range(max(0, index - WINDOW), max(index + 1, OPEN_AT_ONCE)) if i != index]
    for k, relation in enumerate(INSTITUTION[: layout.institution_facts]):
        pool = pool_of(relation)
        answer, *peers = (
            pick(pool, seed, "institution", i, candidates(seed, "institution", i)[c], purpose=relation.name)
            for i, c in ((index, control), *((i, 0) for i in others))
        )
        peers = shuffled(peers, seed, original, purpose=relation.name)
        yield WorldFact(
            owner=node,
            key=f"{node}:{relation.name}",
            relation=relation,
            about=name,
            value=answer,
            wrong=wrong_options(seed, answer, peers, pool, original, relation.name),
            letter=layout.letter(rank + k),
            path=(f"institution:{node}",),
            subject=f"institution:{node}",
            names=(name,),
            split="control" if control else None,
            control_of=original if control else "",
        )


def person_facts(layout: HospitalLayout, slot: PatientSlot, control: int = 0) -> Iterator[WorldFact]:
    """Facts about one person alone: a trained patient or its control, or a holdout person."""
    seed, subject, house = layout.seed, person(layout.seed, slot, control), slot.institution
    name, number = people.full_name(seed, subject.number), people.record_number(seed, subject.number)
    peers = [person(seed, layout.slot(i)) for i in layout.peers(slot)]
    fact_slots = layout.fact_slots()
    rank = layout.first_rank(slot) if slot.trained else slot.index * len(fact_slots)
    node = f"patient:P-{subject.stem}"
    for k, (relation, study, section) in enumerate(fact_slots):
        owner = f"S-{subject.stem}-{study}" if study else f"P-{subject.stem}"
        path = [f"institution:H-{house + 1:04d}", node]
        path += [f"study:{owner}"] if study else []
        path += [f"section:{section}"] if section else []
        answer = format_value(value(layout, subject, relation, study), house)
        order = shuffled(peers, seed, slot.partition, slot.index, study, purpose=f"wrong {relation.name}")
        same_house = next((p for p in order if p.slot.institution == house), order[0])
        peer_values = (format_value(value(layout, p, relation, study), house) for p in (same_house, *order))
        pool = [format_value(v, house) for v in _pool(relation, study)]
        yield WorldFact(
            owner=owner,
            key=f"{owner}:{relation.name}",
            relation=relation,
            about=f"study {study} of {name}" if study else name,
            value=answer,
            wrong=wrong_options(seed, answer, peer_values, pool, slot.partition, slot.index, study, relation.name),
            letter=layout.letter(rank + k, "trained" if slot.trained else "holdout"),
            path=tuple(path),
            subject=node,
            names=(name,) if relation.name == "record_number" else (name, number),
            split="control" if control else None if slot.trained else "holdout",
            control_of=f"patient:P-{slot.stem}" if control else "",
        )


def shared_facts(layout: HospitalLayout, slot: PatientSlot) -> Iterator[WorldFact]:
    """Facts of doctors, drugs, diseases and devices in the files of a patient; other files state them too."""
    seed, stem = layout.seed, person(layout.seed, slot).stem
    page, note = divmod(slot.number, len(NOTES))
    lead = f"{NOTES[note]}{f' {page + 1}' if page else ''}, {people.name_of_institution(seed, slot.institution)}"
    rank = layout.first_rank(slot) + len(layout.fact_slots())
    node = f"patient:P-{stem}"
    start = slot.index // OPEN_AT_ONCE * layout.shared_facts  # the same for all patients of a pair
    for k in range(layout.shared_facts):
        common = COMMON[(start + k) % len(COMMON)]
        relation, name = common.relation, entity(layout, common, slot)
        owner = f"S-{stem}-1" if common.study else f"P-{stem}"
        path = (f"institution:H-{slot.institution + 1:04d}", node, *([f"study:{owner}"] if common.study else []))
        answer, *others = (entity_value(layout, common, other) for other in (name, *POOLS[common.kind]))
        peer_values = shuffled(others, seed, slot.index, purpose=f"wrong {relation.name}")
        yield WorldFact(
            owner=owner,
            key=f"{name}:{relation.name}",
            relation=relation,
            about=name,
            value=answer,
            wrong=wrong_options(seed, answer, peer_values, pool_of(relation), slot.index, relation.name),
            letter=layout.letter(rank + k),
            path=path,
            subject=node,
            lead=lead,
            sharing="shared",
        )


def entity(layout: HospitalLayout, common: SharedFact, slot: PatientSlot) -> str:
    """The doctor, disease, drug or device of a slot, the same for slot i and slot i XOR pair."""
    group = min(slot.index, slot.index ^ common.pair) if slot.trained else slot.index
    return pick(POOLS[common.kind], layout.seed, slot.partition, group, purpose=f"{common.kind} of a bed")


def entity_value(layout: HospitalLayout, common: SharedFact, name: str) -> str:
    """The value of an entity: general knowledge, or a draw where the entity is invented."""
    if common.table is not None:
        return common.table[name]
    return pick(pool_of(common.relation), layout.seed, name, purpose=common.relation.name)


def value(layout: HospitalLayout, subject: Person, relation: FactRelation, study: int) -> date | str:
    """The value of one relation for one person."""
    seed, number = layout.seed, subject.number
    if relation.name in BY_SLOT:
        return entity(layout, next(c for c in COMMON if c.kind == BY_SLOT[relation.name]), subject.slot)
    if relation.name in people.GENERATORS:
        return people.GENERATORS[relation.name](seed, number)
    pool = _pool(relation, study)
    if draw(seed, number, study, purpose=f"overlap {relation.name}") >= layout.overlap * SPAN:
        pool = pool[subject.slot.institution % QUARTERS :: QUARTERS]
    return pick(pool, seed, number, study, purpose=relation.name)


def _pool(relation: FactRelation, study: int) -> Sequence[date | str]:
    """Values to draw from; for the date of a study every tenth day of its two years."""
    if relation.name == "study_date":
        first = date(2010 + STUDY_YEARS * study, 1, 1)
        return [first + timedelta(days) for days in range(0, 365 * STUDY_YEARS, 10)]
    return pool_of(relation)
