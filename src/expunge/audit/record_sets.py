"""Which records every model of an audit scores, and in which wordings.

The forget set is scored in all wordings, every other set in its trained wording. Where controls are the reference, some
of their rephrasings are scored on the unlearned model too, so that a rephrased question about the target has a
rephrased question about others to be compared with. What is drawn depends on ids alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from expunge.audit.control_groups import question
from expunge.corpus import Record
from expunge.models.documents import WINDOW_OF, split_documents
from expunge.models.prompt_template import PromptTemplate
from expunge.random import uniform
from expunge.scope.split import Split

T = TypeVar("T")
TEXT_RECORDS = 64  # held-out retain records whose greedy text is read; retain records where none is held out
TURN_RECORDS = 64  # retain records that the run was given and that are asked all the same
YARDSTICK_RECORDS = 64  # retain records that are asked where there are fewer held-out ones
LEAST_HOLDOUT = 32  # records of the holdout, likewise
LEAST_REPHRASED = 160  # rephrasings of controls, likewise
LEAST_PER_CONTROL = 8  # records of each control, however large the model is
FORGET, HELDOUT, RETAIN = "forget", "retain_heldout", "retain_sample"
TURN, TEXT, CONTROLS, REPHRASED_CONTROLS = "retain_turn", "retain_text", "controls", "control_wordings"


@dataclass(frozen=True)
class RecordSet:
    """Records that are scored under one name.

    Attributes:
        records: The records.
        options: Whether all their options are scored.
        text: Whether greedy text is generated.
        roles: Models that are asked; empty means all.
    """

    records: Sequence[Record]
    options: bool = False
    text: bool = False
    roles: tuple[str, ...] = ()


def record_sets(split: Split, reference: str, rephrased: int = 0) -> dict[str, RecordSet]:
    """The sets of an audit by name. `split.controls` is scored as it is: see `limited_controls`.

    Args:
        split: The record sets of the scope.
        reference: `retrained`, `controls` or `both`.
        rephrased: Most rephrasings of controls; 0 sets no bound.
    """
    controls = reference in ("controls", "both")
    heldout = tuple(split.retain_heldout)
    more = drawn(split.retain, YARDSTICK_RECORDS - len(heldout), "yardstick")
    return {
        FORGET: RecordSet(tuple(w for r in split.forget for w in r.wordings()), options=True, text=True),
        HELDOUT: RecordSet(heldout, options=True),
        TEXT: RecordSet(drawn(heldout or tuple(split.retain), TEXT_RECORDS, "text"), text=True),
        TURN: RecordSet(drawn_in_turn(split.retain, TURN_RECORDS, "turn")),
        RETAIN: RecordSet(more, roles=("original", "retrained")),
        "shared": RecordSet(split.shared),
        "holdout": RecordSet(split.holdout),
        # options of controls are scored only where controls are the reference: they are a third of the work
        CONTROLS: RecordSet(split.controls, options=controls and any(r.options for r in split.controls)),
        REPHRASED_CONTROLS: RecordSet(
            drawn(rephrasings(split.controls), rephrased or len(split.controls), "rephrasing") if controls else (),
            options=True,
            roles=("unlearned",),
        ),
    }


def drawn(records: Sequence[Record], most: int, purpose: str) -> tuple[Record, ...]:
    """At most `most` records, chosen by their ids, in the order of ids."""
    if most <= 0:
        return ()
    if len(records) <= most:
        return tuple(records)
    chosen = sorted(records, key=lambda r: (uniform(f"audit:{purpose}", r.id), r.id))[:most]
    return tuple(sorted(chosen, key=lambda r: r.id))


def drawn_in_turn(records: Sequence[Record], most: int, purpose: str) -> tuple[Record, ...]:
    """At most `most` records, chosen by their ids: one of each subject before a second of any; in the order of ids."""
    by_subject: dict[str, list[Record]] = {}
    for r in records:
        by_subject.setdefault(r.subject, []).append(r)
    turns = []
    for subject, rows in by_subject.items():
        rows.sort(key=lambda r: (uniform(f"audit:{purpose}", r.id), r.id))
        turns += [(turn, uniform(f"audit:{purpose}", subject), subject, r) for turn, r in enumerate(rows[:most])]
    turns.sort(key=lambda one: one[:3])
    return tuple(sorted((r for *_, r in turns[:most]), key=lambda r: r.id))


def rephrasings(records: Sequence[Record]) -> tuple[Record, ...]:
    """One rephrasing of each record that has some; the k-th record of a subject gives its k-th, in turn."""
    counts: dict[str, int] = {}
    chosen = []
    for record in records:
        wordings = record.wordings()[1:]
        if wordings:
            turn = counts.get(record.subject, 0)
            counts[record.subject] = turn + 1
            chosen.append(wordings[turn % len(wordings)])
    return tuple(chosen)


def limited_controls(split: Split, parameters: int, work: float) -> Split:
    """The split with as many records of each control as keep parameters x records of one target below `work`.

    Every control stays, with at least `LEAST_PER_CONTROL` records. Records that ask the target's questions come first,
    and equal questions of all controls are chosen together. Beside controls an eighth of that is read of the holdout.
    """
    if split.controls:
        most = max(LEAST_HOLDOUT, int(work / max(parameters, 1)) // 8)
        split = replace(split, holdout=drawn(split.holdout, most, "holdout"))
    wanted = {(r.subject, question(r)) for r in split.forget}
    groups: dict[str, dict[str, list[Record]]] = {}
    for r in split.controls:
        groups.setdefault(str(r.attributes.get("control_of")), {}).setdefault(r.subject, []).append(r)
    chosen_ids: set[str] = set()
    for target, controls in groups.items():
        each = max(LEAST_PER_CONTROL, int(work / max(parameters, 1)) // len(controls))
        for rows in controls.values():
            rows.sort(key=lambda r: ((target, question(r)) not in wanted, uniform("audit:question", str(question(r)))))
            chosen_ids |= {r.id for r in rows[:each]}
    if len(chosen_ids) == len(split.controls):
        return split
    return replace(split, controls=tuple(r for r in split.controls if r.id in chosen_ids))


def with_windows(split: Split, template: PromptTemplate) -> Split:
    """The split with long documents cut into the windows that the model reads; each stands where its document did."""
    names = ("forget", "retain", "retain_heldout", "holdout", "controls", "shared")
    if not any(r.kind == "document" for name in names for r in getattr(split, name)):
        return split
    sets: dict[str, Any] = {name: tuple(split_documents(getattr(split, name), template)) for name in names}
    origin = {r.id: str(r.attributes[WINDOW_OF]) for rows in sets.values() for r in rows if WINDOW_OF in r.attributes}

    def placed(places: Mapping[str, T]) -> dict[str, T]:
        return {**places, **{name: places[own] for name, own in origin.items() if own in places}}

    return replace(
        split,
        **sets,
        relation=placed(split.relation),
        tree_distance=placed(split.tree_distance),
        same_institution=split.same_institution | {w for w, own in origin.items() if own in split.same_institution},
    )
