"""Records in the layout of MedForget on the command line: written, and its sets named as scopes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from expunge.corpus import Corpus, load_corpus
from helpers.cli import Cli


@pytest.mark.slow
def test_the_forget_set_of_a_level_is_a_scope(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="an export needs Pillow for the gray image of records without one")
    some = [r for r in load_corpus(world).trained if len(r.path) >= 2][:60]
    records = Corpus.of(
        [
            replace(r, attributes={"level": "patient_level", "set": "forget" if k < 6 else "retain"})
            for k, r in enumerate(some)
        ]
    )
    source = records.save(tmp_path / "rows.jsonl")
    done = cli("data", "export", "--layout", "medforget", "--data", source, "--out", tmp_path / "out", "--json")
    assert (done.code, done.json["sets"]) == (0, {"patient_level/forget": 6, "patient_level/retain": 54})
    words = ("estimate", "--model", model, "--data", tmp_path / "out", "--recipe", "grad_diff", "--json", "--scope")
    estimate = cli(*words, "level=patient_level and set=forget")
    assert (estimate.code, estimate.json["split"]["forget"]) == (0, 6)
    wrong = cli(*words, "level=study_level")
    assert wrong.code == 2
    assert 'did you mean "patient_level"?' in wrong.line
