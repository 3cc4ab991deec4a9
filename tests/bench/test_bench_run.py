"""A tiny experiment from nothing to page: made once, resumed where it stopped, the same whatever the processes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from expunge._io import read_json, write_json
from expunge.bench import runner as jobs
from expunge.bench.experiment import REFERENCES, Experiment
from expunge.bench.measures.core import COLUMNS
from expunge.bench.report import publish
from expunge.bench.session import Session
from expunge.bench.study import run
from expunge.errors import InputError, RunFailed
from helpers.experiments import REQUEST, TINY, write_tiny

pytestmark = pytest.mark.trains

Finished = tuple[Path, Experiment, dict[str, Any], list[str]]


class Killed(Exception):
    pass


def silent(line: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run that was stopped once on its way: folder, experiment, results, log of the last call."""
    folder = tmp_path_factory.mktemp("experiment")
    experiment, log = Experiment.load(write_tiny(folder)), list[str]()

    def stop(line: str) -> None:
        if "retrained-2" in line:
            raise Killed

    with pytest.raises(Killed):
        run(experiment, folder / "bench", workers=1, say=stop)
    return folder, experiment, run(experiment, folder / "bench", workers=2, say=log.append), log


def test_every_arm_has_every_column_beside_the_references(finished: Finished) -> None:
    _, _, results, log = finished
    methods = results["methods"]
    assert list(methods) == [*REFERENCES, "npo", "simnpo"]
    assert all(set(of) == set(COLUMNS) for of in methods.values())
    assert methods["retrained"]["distance_to_retrained"] == 0
    assert methods["retrained-2"]["distance_to_retrained"] > 0
    assert methods["original"]["leak"] > 0.9 > 0.5 > methods["retrained"]["leak"]
    assert 0 < methods["npo"]["trainable_share"] < 0.5
    assert results["memorised"]["passed"]
    assert not any("original knows" in line and ", seed 1:" in line for line in log)  # trained before it was stopped


def test_means_are_those_of_the_cells(finished: Finished) -> None:
    results = finished[2]
    of_seeds = results["cells"]["npo"][str(REQUEST)]
    assert set(of_seeds) == {"1"}
    assert results["methods"]["npo"] == results["by_domain"]["npo"][str(REQUEST)] == of_seeds["1"]
    assert results["intervals"]["npo"]["retention"] is None  # one seed has no spread


def test_every_arm_is_tried_alike_on_a_seed_that_is_not_audited(finished: Finished) -> None:
    folder, experiment, results, _ = finished
    wanted = [t.model_dump() for t in experiment.tune.trials()]
    for entry in results["tuning"][str(REQUEST)].values():
        assert [t["setting"] for t in entry["trials"]] == wanted
        assert entry["chosen"] in wanted
    runs = {
        p.parent.parent.name.split("-")[1]: len(list(p.parent.glob("*.json")))
        for p in folder.glob("bench/cells/*/runs/*.json")
    }
    assert runs == {"7": 4, "1": 2}


def test_a_finished_experiment_is_not_made_again(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, experiment, results, _ = finished

    def never(*given: object, **more: object) -> None:
        raise AssertionError("made again")

    for name in ("run_stages", "train", "train_tokenizer"):
        monkeypatch.setattr(jobs, name, never)
    assert run(experiment, folder / "bench", workers=1) == results == read_json(folder / "bench" / "tiny.json")
    assert list(run(experiment, folder / "bench", workers=1, arms=["npo"])["methods"]) == [*REFERENCES, "npo"]


def test_an_arm_added_by_one_line_runs_beside_what_is_there(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, results, _ = finished
    again = write_tiny(folder / "more", TINY.replace("  npo: npo\n", "  npo: npo\n  grad_diff: grad_diff\n"))
    shutil.copytree(folder / "bench", folder / "copy")
    monkeypatch.setattr(jobs, "train", lambda *given, **more: pytest.fail("trained again"))
    lines: list[str] = []
    more = run(Experiment.load(again), folder / "copy", workers=1, say=lines.append)
    assert more["methods"]["npo"] == results["methods"]["npo"]
    assert more["methods"]["grad_diff"]["retention"] is not None
    made = [line for line in lines if "learning rate" in line and "chosen" not in line]
    assert len(made) == 3  # two trials and the audit
    assert all("grad_diff" in line for line in made)


def test_processes_give_the_same_bits_as_one(finished: Finished, tmp_path: Path) -> None:
    folder, experiment, _, _ = finished
    chosen = experiment.tune.trials()[0]
    both = []
    for out, workers in ((folder / "bench", 2), (tmp_path / "here", 1)):
        with Session(experiment, out, (), workers, silent) as session:
            (cell,) = session.cells()
            place = session.runner.run(cell, experiment.arms["npo"], chosen)
            if workers == 1:
                shutil.copytree(folder / "bench" / "worlds", out / "worlds")
            session.train_references([cell])
            session.run_arms([place])
            both.append((session.runner.reference(cell, "retrained"), place))
    (one, run_one), (two, run_two) = both
    assert one.model != two.model
    for file in ("model.safetensors",):
        assert (one.model / file).read_bytes() == (two.model / file).read_bytes()
    adapters = [next(p.model.rglob("adapter_model.safetensors")).read_bytes() for p in (run_one, run_two)]
    assert adapters[0] == adapters[1]


def test_a_run_that_diverges_is_a_result(tmp_path: Path, finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, _, _ = finished
    out = shutil.copytree(folder / "bench", tmp_path / "bench")
    experiment = Experiment.load(
        write_tiny(
            tmp_path,
            TINY.replace("simnpo: {recipe: simnpo", "ga: {recipe: ga").replace(
                "arm: simnpo, minus: npo", "arm: ga, minus: npo"
            ),
        )
    )

    def diverge(*given: object) -> None:
        raise RunFailed("run", "diverged")

    monkeypatch.setattr(jobs, "run_stages", diverge)
    results = run(experiment, Path(out), workers=1)
    assert results["failed"] == {"ga": [f"{REQUEST}, seed 1: every trial of the tuning diverged"]}
    assert results["cells"]["ga"][str(REQUEST)] == {"1": {}}
    assert results["methods"]["ga"]["retention"] is None
    write_json(tmp_path / "r.json", results)
    assert "Failed: ga" in publish(experiment, tmp_path, tmp_path / "r.json").read_text("utf-8")


def test_folders_and_seeds_that_do_not_fit_are_refused(finished: Finished, tmp_path: Path) -> None:
    folder, experiment, _, _ = finished
    other = Experiment.load(write_tiny(tmp_path, TINY.replace("batch: 8", "batch: 9")))
    with pytest.raises(InputError, match="holds a run of tiny with other settings"):
        run(other, folder / "bench", workers=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no experiment"):
        run(experiment, tmp_path / "mine", workers=1)
    with pytest.raises(InputError, match="is a file"):
        run(experiment, tmp_path / "mine" / "note.txt", workers=1)
    for seeds, words in (((3, 3), "names one twice"), ((-1,), "is below 0"), ((7,), "seed of the validation worlds")):
        with pytest.raises(InputError, match=words):
            run(experiment, tmp_path / "new", seeds=seeds, workers=1)
    with (
        Session(experiment, folder / "bench", (), 1, silent),
        pytest.raises(InputError, match="another process is writing this experiment"),
        Session(experiment, folder / "bench", (), 1, silent),
    ):
        pass
    with pytest.raises(InputError, match="has no part on published text"):
        run(experiment, folder / "bench", workers=1, data=tmp_path)


def test_the_page_shows_arms_grid_rule_goals_and_claims(finished: Finished, tmp_path: Path) -> None:
    _, experiment, results, _ = finished
    page = publish(experiment, tmp_path / "docs", write_json(tmp_path / "r.json", results)).read_text("utf-8")
    assert "expunge bench run tiny --preset cpu --seeds 1 " in page
    assert all(page.count(f"| {arm} |") >= 2 for arm in results["methods"])
    assert "| simnpo | `simnpo` | `train.rank=4` |" in page
    assert "Grid for every arm (lr: 1, 2; steps: 2)" in page
    assert "retention of at least 90%" in page
    assert "kept, at least 2" in page
    assert "✗ not reached" in page
    assert "KS, at most 9 × the second seed" in page
    assert "simnpo leaks more: **not shown**" in page  # one seed has no interval
    assert "(tiny/forest.svg)" in page
    assert (tmp_path / "docs" / "tiny" / "forest.svg").read_text("utf-8").startswith("<?xml")
    assert results["table"].splitlines()[0].split() == ["leak", "kept"]
    assert json.loads(json.dumps(results)) == results


def test_results_of_another_experiment_are_refused(finished: Finished, tmp_path: Path) -> None:
    _, experiment, results, _ = finished
    with pytest.raises(InputError, match="holds no results of tiny"):
        publish(experiment, tmp_path, write_json(tmp_path / "other.json", results | {"bench": "other"}))
    with pytest.raises(InputError, match="there is no such file"):
        publish(experiment, tmp_path, tmp_path / "none.json")
    assert "No results of this experiment" in publish(experiment, tmp_path).read_text("utf-8")
