"""What every model scores: chosen by ids, bounded by the size of the model, and the same for all models."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from expunge.audit.policy import Policy
from expunge.audit.record_sets import (
    TEXT_RECORDS,
    drawn,
    drawn_in_turn,
    limited_controls,
    record_sets,
    rephrasings,
    with_windows,
)
from expunge.corpus import Record, Variant
from expunge.models.language_model import load
from expunge.scope import Split

POLICY = Policy.load()


def row(name: str, k: int, owner: str = "", **more: object) -> Record:
    about = {"control_of": owner} if owner else {}
    return Record(
        f"{name}-{k}",
        f"Question {k} about {name}?",
        f"a{k}",
        subject=name,
        identifiers=(name,),
        attributes=about,
        **more,  # type: ignore[arg-type]
    )


def split(controls: int = 40, each: int = 20, heldout: int = 100) -> Split:
    return Split(
        "t",
        forget=tuple(row("Tilda", k) for k in range(12)),
        retain=tuple(row("r", k) for k in range(200)),
        retain_heldout=tuple(row("h", k) for k in range(heldout)),
        holdout=tuple(row("o", k) for k in range(200)),
        controls=tuple(row(f"Cora{c:02d}", k, "Tilda") for c in range(controls) for k in range(each)),
    )


def test_a_sample_depends_on_ids_alone() -> None:
    rows = split().retain
    some = drawn(rows, 10, "text")
    assert len(some) == 10
    assert drawn(rows[::-1], 10, "text") == some
    assert drawn(rows, 10, "other") != some
    assert drawn(rows, 500, "text") == rows
    assert drawn(rows, 0, "text") == drawn(rows, -3, "text") == ()


def test_a_large_model_is_asked_fewer_records_of_every_control() -> None:
    whole = split()
    assert limited_controls(whole, 250_000, POLICY.matched_controls.work).controls == whole.controls
    found = limited_controls(whole, 134_515_008, POLICY.matched_controls.work)
    names = {r.subject for r in found.controls}
    per_control = {name: [r.id for r in found.controls if r.subject == name] for name in names}
    assert len(per_control) == 40
    assert {len(ids) for ids in per_control.values()} == {11}  # 6.4e10 / 134,515,008 / 40
    questions = {tuple(sorted(i.rpartition("-")[2] for i in ids)) for ids in per_control.values()}
    assert len(questions) == 1  # the same questions of every control
    assert {int(k) for k in questions.pop()} <= set(range(12))  # those that the target is asked
    assert len(found.holdout) == 59
    huge = limited_controls(whole, 8_000_000_000, POLICY.matched_controls.work)
    assert len(huge.controls) == 40 * 8
    assert len(huge.holdout) == 32
    alone = replace(whole, controls=())
    assert limited_controls(alone, 8_000_000_000, POLICY.matched_controls.work) == alone


def test_rephrasings_of_controls_take_every_form_in_turn() -> None:
    forms = tuple(Variant(f"Form {n}?", "a") for n in range(3))
    rows = [row("c", k, "t", variants=forms) for k in range(5)]
    assert [r.wording for r in rephrasings(rows)] == [1, 2, 3, 1, 2]
    assert rephrasings([row("c", 0, "t")]) == ()


def test_sets_for_each_reference() -> None:
    usual = record_sets(split(), "retrained")
    assert not usual["control_wordings"].records
    assert not usual["controls"].options
    assert len(usual["retain_text"].records) == TEXT_RECORDS
    assert not usual["retain_sample"].records  # there are enough held-out records
    few = record_sets(split(heldout=10), "controls")
    assert len(few["retain_text"].records) == 10
    assert len(few["retain_sample"].records) == 54
    assert few["retain_sample"].roles == ("original", "retrained")
    assert not few["controls"].options  # none has any: the scores of an audit with a retrained model serve
    forms = (Variant("Form?", "a"),)
    chosen = replace(
        split(), controls=tuple(row(f"Cora{c}", 0, "Tilda", variants=forms, options=("a0", "b")) for c in range(9))
    )
    some = record_sets(chosen, "controls", rephrased=4)
    assert some["controls"].options
    assert len(some["control_wordings"].records) == 4


def test_each_subject_is_drawn_once_before_any_is_drawn_twice() -> None:
    rows = [row("ann", k, "t") for k in range(20)] + [row("bob", k, "t") for k in range(3)] + [row("cy", 0, "t")]
    for most, counts in ((0, {}), (3, {"ann": 1, "bob": 1, "cy": 1}), (6, {"ann": 3, "bob": 2, "cy": 1})):
        chosen = drawn_in_turn(rows, most, "turn")
        assert Counter(r.subject for r in chosen) == counts
        assert chosen == drawn_in_turn(rows[::-1], most, "turn")
        assert list(chosen) == sorted(chosen, key=lambda r: r.id)
    assert len(drawn_in_turn(rows, 99, "turn")) == len(rows)


def test_a_window_of_a_document_stands_where_the_document_stood(folders: dict[str, Path]) -> None:
    text = " ".join(f"word{k}" for k in range(60))
    whole = replace(
        split(),
        retain_heldout=(Record("d", "", text, kind="document", subject="h"), row("h", 1)),
        relation={"d": "siblings", "h-1": "cousins"},
        tree_distance={"d": 2},
        same_institution=frozenset({"d"}),
    )
    template = load(folders["llama"]).template
    found = with_windows(whole, template)
    windows = [r.id for r in found.retain_heldout if r.kind == "document"]
    assert len(windows) > 1
    assert {found.relation[w] for w in windows} == {"siblings"}
    assert {found.tree_distance[w] for w in windows} == {2}
    assert set(windows) < found.same_institution
    assert with_windows(split(), template) == split()
