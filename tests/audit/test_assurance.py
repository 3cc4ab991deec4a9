"""Assurance levels: what a comparison can say follows from what was compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expunge.audit.assurance import assurance, is_exact
from expunge.corpus import Record
from expunge.engine.train.train_model import records_digest
from expunge.models.fingerprint import model_parts

RETAINED = (Record("a", "Q?", "A"), Record("b", "P?", "B"))


@pytest.mark.parametrize(
    ("reference", "exact", "level"),
    [("controls", False, "L1"), ("retrained", False, "L2"), ("both", False, "L2"), ("controls", True, "L3")],
)
def test_the_level_follows_from_the_reference(reference: str, exact: bool, level: str) -> None:
    found = assurance(reference, exact)
    assert found.level == level
    assert found.can_say
    assert found.cannot_say.startswith("It cannot say")


def test_a_model_is_exact_if_its_digest_names_the_retained_records(tmp_path: Path) -> None:
    def trained(name: str, records: tuple[Record, ...], start: str = "base") -> str:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        about = {"records": records_digest(records), "start": start}
        parts = model_parts(tmp_path / name)
        (tmp_path / name / "train.json").write_text(json.dumps({"about": about, "parts": parts}))
        return str(tmp_path / name)

    assert is_exact(trained("exact", RETAINED), "hub/original", RETAINED[::-1])
    assert not is_exact(trained("more", (*RETAINED, Record("x", "X?", "X"))), "hub/original", RETAINED)
    assert not is_exact(trained("tuned", RETAINED, start="hub/original"), "hub/original", RETAINED)
    assert not is_exact(str(tmp_path / "gone"), "hub/original", RETAINED)
    (tmp_path / "exact" / "config.json").write_text('{"a": 1}')
    assert not is_exact(str(tmp_path / "exact"), "hub/original", RETAINED)  # no longer the model that was trained
