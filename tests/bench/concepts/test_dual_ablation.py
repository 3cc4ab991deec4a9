"""The suite from nothing to page: made once, resumed where it stopped, the same whatever the number of workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_cells import BENCH, CELL, DOMAIN, TINY, asked

from expunge._io import write_json
from expunge.bench.concepts import cross_domain, dual_ablation
from expunge.bench.concepts import lab as work
from expunge.bench.concepts.lab import Lab
from expunge.bench.concepts.rows import REFERENCES, Row
from expunge.bench.concepts.suite import Suite
from expunge.bench.concepts.summary import COLUMNS
from expunge.bench.concepts.workers import Workers
from expunge.bench.tune import Setting
from expunge.errors import InputError, RunFailed

Found = tuple[Path, dict[str, Any], list[str]]


class Killed(Exception):
    pass


@pytest.fixture(autouse=True)
def presets(monkeypatch: pytest.MonkeyPatch) -> None:
    for suite in (dual_ablation, cross_domain):
        monkeypatch.setitem(suite.PRESETS, "tiny", TINY)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """A run that was stopped once on its way: (folder, result, log of the last call)."""
    out, log = tmp_path_factory.mktemp("suite") / "bench", list[str]()

    def stop(line: str) -> None:
        if "retrained-2" in line:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(dual_ablation.PRESETS, "tiny", TINY)
        with pytest.raises(Killed):
            dual_ablation.main(out=out, **asked(say=stop))
        found = dual_ablation.main(out=out, results=out.parent / "docs", **asked(say=log.append, workers=2))
    return out, found, log


def test_every_row_has_every_column_beside_the_references(finished: Found) -> None:
    _, found, log = finished
    assert list(found["methods"]) == [*REFERENCES, "npo", "simnpo"]
    assert all(set(of) == set(COLUMNS) for of in found["methods"].values())
    assert found["methods"]["retrained"]["distance_to_retrained"] == 0
    assert found["methods"]["retrained-2"]["distance_to_retrained"] > 0
    assert found["methods"]["original"]["leak"] > 0.9 > 0.5 > found["methods"]["retrained"]["leak"]
    assert 0 < found["methods"]["npo"]["trainable_share"] < 0.5
    assert found["memorised"]["passed"]
    assert not any("original knows" in line and ", seed 1:" in line for line in log)  # taught before it was stopped


def test_means_are_those_of_the_cells(finished: Found) -> None:
    _, found, _ = finished
    of_seeds = found["cells"]["npo"][str(DOMAIN)]
    assert set(of_seeds) == {"1"}
    assert found["methods"]["npo"] == found["by_domain"]["npo"][str(DOMAIN)] == of_seeds["1"]
    assert found["intervals"]["npo"]["retention"] is None  # one seed has no spread


def test_every_row_is_tried_with_the_same_settings_on_a_seed_that_is_not_audited(finished: Found) -> None:
    out, found, _ = finished
    wanted = [s.model_dump() for s in TINY.settings]
    for entry in found["tuning"][str(DOMAIN)].values():
        assert [t["setting"] for t in entry["trials"]] == wanted
        assert entry["chosen"] in wanted
    runs = {
        p.parent.parent.name.split("-")[1]: len(list(p.parent.glob("*.json"))) for p in out.glob("cells/*/runs/*.json")
    }
    assert runs == {"7": 4, "1": 2}


def test_a_finished_suite_is_not_made_again(finished: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    out, found, _ = finished

    def never(*args: object, **more: object) -> None:
        raise AssertionError("made again")

    for name in ("run", "memorise", "train_tokenizer"):
        monkeypatch.setattr(work, name, never)
    assert dual_ablation.main(out=out, **asked()) == found == json.loads((out / "dual-ablation.json").read_text())
    assert list(dual_ablation.main(out=out, **asked(only=("npo",)))["methods"]) == [*REFERENCES, "npo"]


def test_the_page_shows_every_row_and_the_command(finished: Found) -> None:
    out, found, _ = finished
    page = (out.parent / "docs" / "dual.md").read_text("utf-8")
    assert "expunge bench dual-ablation --preset tiny --seeds 1 " in page
    assert all(page.count(f"| {row} |") >= 4 for row in found["methods"])
    assert "Gate: every model" in page
    assert "not passed" not in page
    assert "(dual/dual-ablation.svg)" in page
    assert (out.parent / "docs" / "dual" / "dual-ablation.svg").read_text("utf-8").startswith("<?xml")
    assert found["table"].splitlines()[0].startswith("row")


def test_another_suite_takes_what_is_there_and_only_adds_foreign_settings(
    finished: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, ablation, _ = finished
    monkeypatch.setattr(work, "memorise", lambda *args, **more: pytest.fail("taught again"))
    found = cross_domain.main(out=out, results=out.parent / "docs", **asked())
    entry = found["matrix"]["npo"][str(DOMAIN)][str(DOMAIN)]
    assert entry["retention"]["mean"] == ablation["methods"]["npo"]["retention"]
    assert found["transfer"]["npo"]["retention"] == {"mean": None, "interval": None}  # one domain: nothing foreign
    page = (out.parent / "docs" / "dual.md").read_text("utf-8")
    assert page.index("`dual-ablation`") < page.index("`cross-domain`")


def test_processes_give_the_same_bits_as_one(finished: Found, tmp_path: Path) -> None:
    out, found, _ = finished
    there, here = Lab(out, BENCH), Lab(tmp_path, BENCH)
    row, setting = Row(name="npo", recipe="npo"), Setting(**found["tuning"][str(DOMAIN)]["npo"]["chosen"])
    alone = Workers(1)
    for name in REFERENCES[:2]:
        alone.each(work.teach, [(here, CELL, name)], lambda k, found: None)
    alone.each(work.perform, [(here, CELL, row, setting)], lambda k, found: None)
    for name in REFERENCES[:2]:
        mine, theirs = (lab.model(CELL, name) / "model.safetensors" for lab in (here, there))
        assert mine.read_bytes() == theirs.read_bytes(), name
    run = there.run_folder(CELL, row, setting).relative_to(there.folder(CELL))
    files = [
        run / "run-1" / "adapter" / "adapter_model.safetensors",
        run.with_name(run.name + ".scores") / "forget.npz",
    ]
    for file in files:
        assert (here.folder(CELL) / file).read_bytes() == (there.folder(CELL) / file).read_bytes(), file


def test_a_run_that_diverges_is_a_row_that_says_so(finished: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _, _ = finished

    def diverge(*args: object) -> None:
        raise RunFailed("step 3", "the loss is no longer finite", "lower the learning rate")

    monkeypatch.setattr(work, "run", diverge)
    one = TINY.model_copy(update={"settings": (Setting(lr_factor=9, steps=3),), "rows": ("npo",), "seeds": (1,)})
    row = Row(name="npo", recipe="npo")
    with Suite("other-suite", "tiny", one, out, (), 1, lambda line: None) as suite:
        found, failed = suite.audit((row,), suite.cells, suite.tune((row,)))
    assert found["npo"] == {str(DOMAIN): {"1": {}}}
    assert failed["npo"][0].endswith("the loss is no longer finite; lower the learning rate")
    never = {str(DOMAIN): {"npo": {"trials": [], "chosen": None}}}
    with Suite("other-suite", "tiny", one, out, (), 1, lambda line: None) as suite:
        _, failed = suite.audit((row,), suite.cells, never)
    assert failed["npo"] == [f"{CELL}: every setting of the tuning diverged"]


def test_what_cannot_be_asked_is_refused_in_a_line(
    finished: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _, _ = finished
    monkeypatch.setitem(dual_ablation.PRESETS, "other", TINY.model_copy(update={"settings": TINY.settings[:1]}))
    (tmp_path / "note.txt").write_text("mine")
    for changed, folder, words in (
        ({"preset": "smok"}, tmp_path / "new", 'unknown preset "smok"; did you mean "smoke"'),
        ({"preset": "other"}, out, "holds a run of dual-ablation with another preset"),
        ({}, tmp_path, "is not empty and holds no concept suite"),
        ({}, tmp_path / "note.txt", "is a file"),
        ({"seeds": (3, 3)}, tmp_path / "new", "names one twice"),
        ({"seeds": (7,)}, tmp_path / "new", "is the seed that settings are chosen on"),
        ({"seeds": (-1,)}, tmp_path / "new", "is below 0"),
        ({"only": ("nppo",)}, tmp_path / "new", 'unknown row "nppo"; did you mean "npo"'),
        ({"workers": 0}, tmp_path / "new", "0 processes can do nothing"),
    ):
        with pytest.raises(InputError, match=words):
            dual_ablation.main(out=folder, **asked(**changed))
    assert not (tmp_path / "new").exists()


def test_two_commands_do_not_work_in_one_folder(finished: Found) -> None:
    out, _, _ = finished
    with (
        Suite("dual-ablation", "tiny", TINY, out, (), 1, lambda line: None),
        pytest.raises(InputError, match="another command is at work"),
    ):
        dual_ablation.main(out=out, **asked())


def test_the_shipped_presets_hold_what_was_promised() -> None:
    baselines = {"twin-kl", "ga", "grad_diff", "kl_min", "npo", "simnpo", "ihl", "random_relabel", "sequential"}
    assert {"full", *baselines} <= set(dual_ablation.PRESETS["smoke"].rows)
    cpu = dual_ablation.PRESETS["cpu"]
    assert cpu.seeds == (42, 123, 789)
    assert cpu.validation not in cpu.seeds
    assert {d.world for d in cpu.domains} == {"hospital", "mental-health", "finance"}
    assert len(cpu.settings) > 1
    assert cpu.domains == cross_domain.PRESETS["cpu"].domains
    assert cpu.bench == cross_domain.PRESETS["cpu"].bench


def test_a_folder_of_garbage_marks_is_another_run(tmp_path: Path) -> None:
    write_json(tmp_path / "dual-ablation.run.json", {"suite": "dual-ablation"})
    with pytest.raises(InputError, match="with another preset"):
        dual_ablation.main(out=tmp_path, **asked())
