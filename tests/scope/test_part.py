"""One of several requests that a run forgot together."""

from __future__ import annotations

import pytest

from expunge.corpus import Corpus, Record
from expunge.errors import InputError
from expunge.scope import Scope
from expunge.scope.part import part_of
from expunge.scope.split import Split


def split() -> Split:
    rows = [Record(f"{who}-{k}", f"{who} {k}?", str(k), subject=who) for who in "abcdefgh" for k in range(2)]
    made = Scope.parse("ids:a-0,a-1,b-0,b-1").resolve(Corpus.of(rows))
    assert [r.id for r in made.forget] == ["a-0", "a-1", "b-0", "b-1"]
    return made


def test_a_part_holds_its_own_records_alone() -> None:
    whole, part = split(), part_of(split(), "ids:b-0,b-1")
    assert [r.id for r in part.forget] == ["b-0", "b-1"]
    assert part.targets == ("b",)
    assert list(part.retain) == list(whole.retain)  # and no record of the other request
    assert part.training_digest == whole.training_digest  # it is the same run
    assert part.digest != whole.digest


def test_who_is_not_in_the_run_is_refused() -> None:
    with pytest.raises(InputError):
        part_of(split(), "ids:c-0")
