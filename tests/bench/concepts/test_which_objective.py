"""The suite from nothing to page, its columns by hand, and what people ask wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_cells import BENCH, asked

from expunge.bench.concepts import which_objective
from expunge.bench.concepts.objective_page import CANDIDATE, judged, reading
from expunge.bench.concepts.objectives import EXCESS, GAPS, MORE, ROWS, beside, hospital
from expunge.bench.concepts.rows import REFERENCES
from expunge.bench.concepts.which_objective import Objectives, Side
from expunge.bench.tune import Setting
from expunge.errors import InputError

SMALL = {
    "patients": 8,
    "per_institution": 2,
    "institution_facts": 1,
    "patient_facts": 1,
    "study_facts": 3,
    "section_facts": 0,
    "shared_facts": 0,
    "world_facts": 3,
    "holdout_patients": 4,
}
PATIENT = hospital("patient", 1.0, **SMALL)
STUDY = PATIENT.model_copy(update={"target": "study:S-0002-002-1", "label": "study"})
DOMAINS = (PATIENT, STUDY)
SIDE = Side(title="Parts", about="One change each.", rows=("twin", "twin-by-fact"), domains=(STUDY,))
TINY = Objectives(
    domains=DOMAINS,
    bench=BENCH,
    rows=("simnpo", CANDIDATE),
    seeds=(1,),
    keep=0.9,
    settings=(Setting(lr_factor=1, steps=3),),
    sides=(SIDE,),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("objective")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(which_objective.PRESETS, "tiny", TINY)
        return out, which_objective.main(out=out / "bench", results=out / "docs", **asked())


def test_every_row_has_every_column_and_the_retrained_model_none_of_the_excess(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    _, found = finished
    assert list(found["methods"]) == [*REFERENCES, "simnpo", CANDIDATE]
    assert set(MORE) <= set(found["methods"][CANDIDATE])
    assert all(found["methods"]["retrained"][c] == 0 for c in (*EXCESS, *GAPS))
    assert found["methods"]["original"]["exact_excess"] > 0.5
    assert found["methods"]["simnpo"]["cost"] == 1
    study = found["by_domain"][CANDIDATE][str(DOMAINS[1])]
    assert study["retention_siblings"] is not None  # the rest of the patient, of which a run sees a part


def test_requests_to_one_hospital_share_its_original(finished: tuple[Path, dict[str, Any]]) -> None:
    out, _ = finished
    assert len(list(out.glob("bench/worlds/*/original/model.safetensors"))) == 1
    assert len(list(out.glob("bench/cells/*/retrained/model.safetensors"))) == 2


def test_the_page_says_which_goals_are_missed(finished: tuple[Path, dict[str, Any]]) -> None:
    out, found = finished
    page = (out / "docs" / "which-objective.md").read_text()
    assert (out / "docs" / "which-objective" / "which-objective.svg").is_file()
    assert (out / "docs" / "which-objective" / "pareto.svg").is_file()
    assert "## Parts" in page
    assert "twin-by-fact" in page
    for domain in map(str, DOMAINS):
        missed = [words for words, _, _, reached in judged(found, domain) if reached is False]
        assert "exact answers − retrained" in missed  # three steps forget nothing
        line = next(line for line in reading(found) if line.startswith(f"{domain}: "))
        assert all(words in line for words in missed)
        assert line in page


def test_a_second_call_runs_nothing(finished: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    out, found = finished
    monkeypatch.setitem(which_objective.PRESETS, "tiny", TINY)
    monkeypatch.setattr(which_objective.Suite, "_each", lambda *a: _nothing(a[2]))
    again = which_objective.main(out=out / "bench", **asked())
    assert again["cells"] == found["cells"]


def _nothing(todo: Any) -> None:
    assert not list(todo)


def test_a_change_of_a_row_takes_its_setting(finished: tuple[Path, dict[str, Any]]) -> None:
    _, found = finished
    (side,) = found["sides"]
    assert list(side["methods"]) == [*REFERENCES, "twin", "twin-by-fact"]
    assert side["by_domain"]["twin"][str(STUDY)]["ks"] == found["by_domain"]["twin"][str(STUDY)]["ks"]


def test_columns_beside_the_retrained_model() -> None:
    own = {
        "leak_mean": 0.10,
        "choice_cc": -0.1,
        "relearned": 0.4,
        "relearned_benign": None,
        "int4": 0.2,
        "auc": 0.4,
        "auc_entropy": 0.7,
    }
    retrained = {
        "leak_mean": 0.04,
        "choice_cc": 0.1,
        "relearned": 0.1,
        "relearned_benign": 0.1,
        "int4": 0.2,
        "auc": 0.5,
        "auc_entropy": 0.5,
    }
    found = beside(own, retrained)
    assert {k: v if v is None else round(v, 9) for k, v in found.items()} == {
        "exact_excess": 0.06,
        "choice_excess": -0.2,
        "relearn_excess": 0.3,
        "benign_excess": None,
        "int4_excess": 0,
        "auc_gap": 0.1,
        "entropy_gap": 0.2,
    }


def test_rows_are_recipes_that_exist() -> None:
    for row in ROWS.values():
        assert row.known()[row.name].resolve().method
    for preset in which_objective.PRESETS.values():
        assert {*preset.rows, *(name for side in preset.sides for name in side.rows)} <= set(ROWS)


def test_adapters_on_fewer_blocks_train_as_many_numbers() -> None:
    """Numbers of an adapter grow with blocks and rank: four blocks at 16, two at 32, one at 64."""
    sizes = {name: ROWS[name].known()[name].train for name in ("twin", "twin-last-half", "twin-last-quarter")}
    assert [(t.layers, t.rank) for t in sizes.values()] == [("all", 16), (2, 32), (1, 64)]
    assert {t.lora_alpha / t.rank for t in sizes.values()} == {2.0}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"only": ("twin-logic",)}, "twin-logit"),
        ({"only": ("npo", "npo")}, "names one twice"),
        ({"preset": "smok"}, "smoke"),
    ],
)
def test_what_does_not_exist_is_refused(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        which_objective.main(out=tmp_path / "x", **asked(**{"preset": "smoke"} | changed))
    assert not (tmp_path / "x").exists()
