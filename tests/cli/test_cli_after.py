"""Requests over time on the command line: `unlearn --after`, `audit` of any request of the chain, `report`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from expunge.audit.run_identity import check_run
from expunge.cli import main
from expunge.cli.audit import audited_split
from helpers.cli import TARGET, Cli

FAST = ("--recipe", "grad_diff", "--set", "batch.forget=4", "--set", "batch.retain=4", "--set", "steps=1")
NEXT = "patient:P-0001-002"


@pytest.fixture(scope="module")
def runs(world: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of one step, the second after the first."""
    root = tmp_path_factory.mktemp("after")
    for words in (
        ("--model", model, "--scope", TARGET, "--out", root / "one"),
        ("--after", root / "one", "--scope", NEXT, "--out", root / "two"),
    ):
        assert main([str(word) for word in ("unlearn", "--data", world, *FAST, *words)]) == 0
    return root


def test_a_run_after_a_run_says_what_it_guards(cli: Cli, runs: Path, world: Path) -> None:
    words = ("unlearn", "--after", runs / "one", "--data", world, "--scope", NEXT, *FAST, "--out", runs / "two")
    result = cli(*words)
    assert result.code == 0
    about = json.loads((runs / "two" / "run.json").read_text())
    forgotten = len(about["chain"][0]["forget"])
    count = f"earlier ones forgot {forgotten} records, of which the data holds {forgotten}; "
    assert f"request number 2 on this model: {count}" in result.out
    assert about["model"] == "../one"
    assert cli(*words, "--json").json["guards"] == about["guards"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--after": "no-such-run"}, "--after no-such-run: is no run; name the folder"),
        ({"--after": None}, "--model: is missing; name the model that is to forget"),
        ({"--scope": TARGET}, "all that it names was forgotten by request 1 already; name another scope"),
        ({"--model": "other"}, "is another model than the one that"),
        ({"--after": "unfinished"}, "this run is not finished; start it again with the same command to resume"),
    ],
)
def test_what_starts_no_run_after_a_run(
    cli: Cli, runs: Path, world: Path, model: Path, tmp_path: Path, change: dict[str, str | None], message: str
) -> None:
    options = {"--after": str(runs / "one"), "--scope": NEXT, **change}
    if options.get("--model") == "other":
        shutil.copytree(model, tmp_path / "other")
        config = json.loads((tmp_path / "other" / "config.json").read_text())
        (tmp_path / "other" / "config.json").write_text(json.dumps(config | {"initializer_range": 0.5}))
        options["--model"] = str(tmp_path / "other")
    if options["--after"] == "unfinished":
        about = json.loads((runs / "one" / "run.json").read_text())
        (tmp_path / "unfinished").mkdir()
        (tmp_path / "unfinished" / "run.json").write_text(json.dumps(about | {"status": "running"}))
        options["--after"] = str(tmp_path / "unfinished")
    words = [word for option, value in options.items() if value is not None for word in (option, value)]
    result = cli("unlearn", "--data", world, *FAST, *words, "--out", tmp_path / "out")
    assert result.code == 2
    assert message in result.err
    assert not (tmp_path / "out").exists()


@pytest.mark.trains
def test_an_audit_asks_every_request_and_the_report_draws_them(
    cli: Cli, runs: Path, world: Path, model: Path, tmp_path: Path
) -> None:
    words = ("audit", "--original", model, "--unlearned", runs / "two", "--data", world)
    result = cli(*words, "--scope", NEXT, "--out", tmp_path / "audit", "--preset", "quick", "--json").json
    assert [r["scope"] for r in result["requests"]] == [TARGET, NEXT]
    assert [[s["run"] for s in r["states"]] for r in result["requests"]] == [[0, 1, 2]] * 2
    assert all(r["status"] == "forgotten" for r in result["requests"]), "the model knew nothing"
    page = tmp_path / "page.html"
    assert cli("report", tmp_path / "audit", "--run", runs / "two", "--out", page).code == 0
    text = page.read_text("utf-8")
    assert "Requests over time" in text
    assert "still forgotten" in text
    assert text.count(TARGET) == 1
    assert cli("report", tmp_path / "audit", "--out", tmp_path / "redacted.html", "--redact").code == 0
    assert TARGET not in (tmp_path / "redacted.html").read_text("utf-8")
    refused = cli(*words, "--scope", "patient:P-0002-001", "--out", tmp_path / "no")
    assert refused.code == 2
    assert "was unlearned with other records, another scope or another seed" in refused.err


def test_an_audit_may_be_of_an_earlier_request(runs: Path, world: Path, model: Path) -> None:
    split = audited_split(str(runs / "two"), world, None, None, TARGET, None)
    about = check_run(str(runs / "two"), str(model), split)
    assert split.training_digest == about["chain"][0]["split"]
    assert split.scope == TARGET
    assert not {r.id for r in split.forget} & {r.id for r in split.retain}


def test_an_estimate_counts_the_guards(cli: Cli, runs: Path, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expunge.engine.estimate.timing.SECONDS", 0.02)
    words = ("estimate", "--after", runs / "one", "--data", world, *FAST)
    result = cli(*words, "--scope", NEXT, "--json").json
    forgotten = len(json.loads((runs / "one" / "run.json").read_text())["request"]["forget"])
    assert (result["request"], result["guards"]) == (2, {"rows": forgotten, "leaking": 0, "unguarded": 0})
    alone = cli("estimate", "--model", runs / "one", "--data", world, *FAST, "--scope", NEXT, "--json").json
    assert "guards" not in alone
    assert result["split"]["forget"] == alone["split"]["forget"]
    assert result["rows"][0]["rows_drawn"] == alone["rows"][0]["rows_drawn"], "guards take the place of retain rows"
    text = cli(*words, "--scope", NEXT, "--set", "batch.retain=1").out
    assert f"forgotten: at most 0, {forgotten} without: a retain batch holds one row" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--after", "{runs}/one"), "--scope: is missing; with --after, name what is to be forgotten next"),
        (("--after", "{runs}/one", "--scope", TARGET), "was forgotten by request 1 already"),
        (("--after", "nowhere", "--scope", NEXT), "--after nowhere: is no run"),
        (("--scope", NEXT), "--model: is missing; name the model that is to forget"),
    ],
)
def test_what_cannot_be_estimated(cli: Cli, runs: Path, world: Path, words: tuple[str, ...], message: str) -> None:
    result = cli("estimate", "--data", world, *FAST, *(word.format(runs=runs) for word in words))
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_a_run_of_a_chain_fits_its_records(cli: Cli, runs: Path, world: Path, tmp_path: Path) -> None:
    """The records of earlier requests are in none of its sets, so the data alone does not tell its split."""
    result = cli("verify", runs / "two", "--data", world, "--json")
    assert (result.code, result.json["problems"], result.json["unchecked"]) == (0, [], [])
    assert {"records", "requests before it"} <= set(result.json["fits"])
    alone = tmp_path / "two"
    shutil.copytree(runs / "two", alone)
    result = cli("verify", alone, "--json").json
    assert any(
        line.startswith("the requests before it: the run that made them is not at") for line in result["unchecked"]
    )
