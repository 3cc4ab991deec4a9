"""`bench list`, `bench run` and `bench report` hand over what was typed and show what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.cli import Cli


def test_the_list_names_every_experiment_of_the_checkout(cli: Cli) -> None:
    listed = cli("bench", "list", "--json").json["experiments"]
    assert {"dual-ablation", "lume", "medforget", "which-objective"} <= set(listed)
    assert "npo" in listed["dual-ablation"]["arms"]


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ((), {}),
        (
            ("--seeds", "42,9", "--arms", "full,npo", "--workers", "3", "--out", "o", "--data", "d"),
            {"seeds": (42, 9), "arms": ("full", "npo"), "workers": 3, "out": Path("o"), "data": Path("d")},
        ),
    ],
)
def test_a_run_gets_what_was_typed(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], changed: dict[str, Any]
) -> None:
    free = {
        "seeds": (),
        "arms": (),
        "workers": None,
        "data": None,
        "model": None,
        "out": Path("runs") / "bench-dual-ablation-smoke",
    }

    def run(experiment: Any, out: Path, *, say: Any, **given: Any) -> dict[str, Any]:
        say("working")
        assert (experiment.name, experiment.preset) == ("dual-ablation", "smoke")
        assert given | {"out": out} == free | changed
        return {"methods": {"npo": {"leak": float("nan")}}, "table": "arm  leak\nnpo     –"}

    monkeypatch.setattr("expunge.bench.study.run", run)
    found = cli("bench", "run", "dual-ablation", "--preset", "smoke", *words)
    assert (found.code, found.out, found.line) == (0, "arm  leak\nnpo     –\n", "working")
    assert cli("bench", "run", "dual-ablation", "--preset", "smoke", *words, "--json").json["methods"] == {
        "npo": {"leak": None}
    }


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("dual-ablatio",), 'unknown experiment "dual-ablatio"; did you mean "dual-ablation"?'),
        (("nowhere/x.yaml",), "nowhere/x.yaml: there is no such file"),
        (("dual-ablation", "--preset", "smok"), 'unknown preset "smok"; did you mean "smoke"?'),
        (("dual-ablation", "--seeds", "4,x"), '--seeds: "4,x" is not a list of numbers'),
        (("lume",), "world lume-documents: is text that does not come with the package; name its folder with --data"),
        (("polysemy", "--data", "."), "has no part on published text"),
        (("hierarchy-validation", "--arms", "npo"), '--arms: lacks "full"'),
        (("dual-ablation", "--preset", "smoke", "--arms", "npx"), 'unknown arm "npx"; did you mean "npo"?'),
    ],
)
def test_a_wrong_word_is_one_line_and_makes_nothing(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], line: str
) -> None:
    found = cli("bench", "run", *words, "--out", str(tmp_path / "out"))
    assert found.code == 2
    assert line in found.line
    assert not (tmp_path / "out").exists()


def test_a_folder_without_published_text_is_found_before_anything_is_made(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = cli("bench", "run", "which-objective", "--data", str(tmp_path / "empty"), "--out", str(tmp_path / "out"))
    assert found.code == 2
    assert "holds no LUME files" in found.line
    assert not (tmp_path / "out").exists()


def test_a_report_is_written_from_stored_results(cli: Cli, tmp_path: Path) -> None:
    found = cli("bench", "report", "cross-domain", "--out", str(tmp_path), "--json")
    assert found.json == {"page": str(tmp_path / "cross-domain.md")}
    assert "## References" in (tmp_path / "cross-domain.md").read_text("utf-8")
    assert cli("bench", "report", "cross-domain", "--results", str(tmp_path / "gone.json")).code == 2
