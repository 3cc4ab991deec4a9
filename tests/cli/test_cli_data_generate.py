"""`expunge world` with worlds of knowledge: records, how to make them again, and the dictionary of terms."""

from __future__ import annotations

import json
from pathlib import Path

from expunge.concepts.dictionary import Dictionary
from expunge.synthetic.knowledge.domains.mental_health import MentalHealth
from helpers.cli import Cli


def test_a_world_of_knowledge_is_written_with_its_terms(cli: Cli, tmp_path: Path) -> None:
    result = cli(
        "data",
        "generate",
        "mental-health",
        "--preset",
        "small",
        "--seed",
        1,
        "--set",
        "overlap=0.25",
        "--out",
        tmp_path / "f.jsonl",
        "--terms",
        tmp_path / "terms.tsv",
    )
    assert result.code == 0, result.err
    world = MentalHealth.preset("small", seed=1, overlap=0.25)
    message = json.loads((tmp_path / "world.json").read_text())
    assert message["digest"] == world.corpus().digest
    assert message["target"] == world.target
    assert Dictionary.load(tmp_path / "terms.tsv") == world.terms()


def test_a_world_without_terms_or_preset_is_refused(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "f.jsonl"
    result = cli("data", "generate", "hospital", "--preset", "tiny", "--out", out, "--terms", tmp_path / "terms.tsv")
    assert (result.code, "has no terms as it is set" in result.line) == (2, True)
    result = cli("data", "generate", "finance", "--preset", "tinny", "--out", out)
    assert (result.code, 'unknown preset "tinny"; did you mean "tiny"?' in result.line) == (2, True)
    assert not list(tmp_path.iterdir())


def test_worlds_of_knowledge_are_listed(cli: Cli) -> None:
    names = [row["name"] for row in cli("list", "worlds", "--json").json["items"]]
    assert {"finance", "hospital", "mental-health", "surgery"} <= set(names)
