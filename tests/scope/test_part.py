"""One of several requests that a run forgot together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expunge.corpus import Corpus, Record
from expunge.errors import InputError
from expunge.scope import Scope
from expunge.scope.part import part_of
from expunge.scope.split import Split


def corpus() -> Corpus:
    return Corpus.of([Record(f"{who}-{k}", f"{who} {k}?", str(k), subject=who) for who in "abcdefgh" for k in range(2)])


def split() -> Split:
    made = Scope.parse("ids:a-0,a-1,b-0,b-1").resolve(corpus())
    assert [r.id for r in made.forget] == ["a-0", "a-1", "b-0", "b-1"]
    return made


def test_a_part_holds_its_own_records_alone() -> None:
    whole, part = split(), part_of(split(), "ids:b-0,b-1", corpus())
    assert [r.id for r in part.forget] == ["b-0", "b-1"]
    assert part.targets == ("b",)
    assert list(part.retain) == list(whole.retain)  # and no record of the other request
    assert part.training_digest == whole.training_digest  # it is the same run
    assert part.digest != whole.digest


def test_who_is_not_in_the_run_is_refused() -> None:
    with pytest.raises(InputError):
        part_of(split(), "ids:c-0", corpus())


def after_others() -> tuple[Corpus, Split]:
    """The split of a run for `c`, after runs that forgot `a` and `b`; `a` has a control."""
    rows = [
        Record(f"{who}-{k}", f"{who} {k}?", f"{who}{k}", subject=who, path=("h:1", f"p:{who}"))
        for who in "abcdefgh"
        for k in range(2)
    ]
    rows.append(Record("x-0", "x 0?", "x0", subject="x", split="control", attributes={"control_of": "a"}))
    whole = Corpus.of(rows)
    made = Scope.parse("ids:c-0,c-1").resolve(whole.where(lambda r: r.subject not in ("a", "b")))
    return whole, replace(made, guards=tuple(r for r in rows if r.subject in ("a", "b")))


def test_a_request_before_is_judged_on_the_sets_of_this_run() -> None:
    whole, split = after_others()
    part = part_of(split, "ids:a-0,a-1", whole)
    assert [r.id for r in part.forget] == ["a-0", "a-1"]
    assert (part.targets, part.shared, part.guards) == (("a",), (), ())
    assert [r.id for r in part.controls] == ["x-0"]
    assert list(part.retain_heldout) == list(split.retain_heldout)
    assert {part.relation[r.id] for r in part.retain_heldout} == {"siblings"}
    assert not {r.subject for r in (*part.retain, *part.retain_heldout)} & {"a", "b", "c"}
    assert part.training_digest == split.training_digest
    assert part.is_earlier
    assert not part_of(split, "ids:c-0", whole).is_earlier


def test_records_of_both_are_those_of_the_run_itself() -> None:
    whole, split = after_others()
    assert [r.id for r in part_of(split, "ids:a-0,c-1", whole).forget] == ["c-1"]
