"""The concept suites are called alike: each hands over what was typed and shows what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expunge.bench.concepts.page import ORDER
from expunge.cli.bench_concepts import ELSEWHERE, SUITES, module_of
from helpers.cli import Cli

FREE: dict[str, Any] = {"seeds": (), "only": (), "results": None, "workers": None}


@pytest.mark.parametrize("name", sorted(SUITES))
@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ((), {}),
        (
            ("--seeds", "42,9", "--rows", "full,npo", "--workers", "3", "--results", "docs"),
            {"seeds": (42, 9), "only": ("full", "npo"), "workers": 3, "results": Path("docs")},
        ),
    ],
)
def test_a_suite_gets_what_was_typed(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, words: tuple[str, ...], changed: dict[str, Any]
) -> None:
    kind = name if name in ELSEWHERE else "concepts"

    def suite(**given: Any) -> dict[str, Any]:
        given.pop("say")("working")
        assert given.pop("data", None) is None
        assert given == {"preset": "smoke", "out": Path("runs") / f"bench-{kind}-smoke"} | FREE | changed
        return {"methods": {"npo": {"leak": float("nan")}}, "table": "row  leak\nnpo     –"}

    monkeypatch.setattr(f"{module_of(name)}.main", suite)
    found = cli("bench", name, "--preset", "smoke", *words)
    assert (found.code, found.out, found.line) == (0, "row  leak\nnpo     –\n", "working")
    assert cli("bench", name, "--preset", "smoke", *words, "--json").json["methods"] == {"npo": {"leak": None}}


def test_only_the_suite_with_a_part_on_published_text_takes_its_folder(cli: Cli, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    found = cli("bench", "which-objective", "--preset", "cpu", "--data", str(empty), "--out", str(tmp_path / "out"))
    assert found.code == 2
    assert "holds no LUME files" in found.line
    assert not (tmp_path / "out").exists()
    assert cli("bench", "polysemy", "--data", str(empty)).code == 2
    small = cli("bench", "which-objective", "--preset", "smoke", "--data", str(empty), "--out", str(tmp_path / "out"))
    assert small.code == 2
    assert "preset smoke has no part on published text" in small.line


def test_every_suite_has_its_place_on_the_page() -> None:
    assert set(SUITES) - {"which-objective", "medforget"} <= set(ORDER)  # those have pages of their own


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--preset", "smok"), 'unknown preset "smok"; did you mean "smoke"?'),
        (("--seeds", "4,x"), '--seeds: "4,x" is not a list of numbers'),
        (("--preset", "smoke", "--rows", "npx"), 'unknown row "npx"; did you mean "npo"?'),
    ],
)
def test_a_wrong_word_is_told_in_one_line(cli: Cli, words: tuple[str, ...], line: str) -> None:
    found = cli("bench", "dual-ablation", *words)
    assert found.code == 2
    assert line in found.line
