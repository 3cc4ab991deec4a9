"""`expunge attack reconstruct` end to end on models that know nothing, and what a person can get wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expunge.corpus import load_corpus
from helpers.cli import TARGET, Cli, make_model

pytestmark = pytest.mark.trains


@pytest.fixture(scope="module")
def model(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows nothing, and reads prompts long enough for all levels."""
    return make_model(world, tmp_path_factory.mktemp("long") / "tiny", vocabulary=600, context=512)


def words(world: Path, model: Path, *more: object) -> tuple[object, ...]:
    return (
        "attack",
        "reconstruct",
        "--original",
        model,
        "--unlearned",
        model,
        "--data",
        world,
        "--scope",
        TARGET,
        *more,
    )


def test_reconstruct_prints_levels_by_model_and_exits_3(cli: Cli, world: Path, model: Path) -> None:
    result = cli(*words(world, model, "--retrained", model, "--candidates", 7))
    assert result.code == 3
    for message in ("nothing", "institution", "patient", "study", "section", "wrong branch", "irrelevant", "retrained"):
        assert message in result.out
    assert "Inconclusive: no power" in result.out
    assert "left out: " in result.out
    assert "asking retrained" in result.err


def test_one_object_on_stdout_and_all_numbers_in_a_file(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "numbers.json"
    result = cli(*words(world, model, "--level", "patient", "--out", out, "--json"))
    assert result.code == 3
    assert result.json["reference"] == "controls"  # there is no retrained model
    assert {r["level"] for r in result.json["rows"]} == {0, 2}
    assert result.json["levels"][2] == "patient"
    numbers = json.loads(out.read_text())
    assert set(numbers["models"]) == {"original", "unlearned", "controls"}
    assert len(numbers["models"]["original"]["facts"]) == result.json["facts"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--level", "pateint"), 'unknown level "pateint"; did you mean "patient"'),
        (("--candidates", 3), "3 are too few; give 7 or more"),
        (("--retrained", "gone/away/far"), "there is no such model folder"),
        (("--scope", "topic=Nothing"), 'no record has topic="Nothing"'),
        (("--scope", ""), "the scope is empty"),
        (("--data", "gone.jsonl"), "gone.jsonl"),
        (("--out", "."), "is a folder"),
        (("--policy", "gone.yaml"), "gone.yaml"),
    ],
)
def test_wrong_words_are_one_line_and_exit_code_two(
    cli: Cli, world: Path, model: Path, more: tuple[object, ...], message: str
) -> None:
    result = cli(*words(world, model, *more))
    assert (result.code, result.out) == (2, "")
    assert message in result.line


def test_records_without_a_tree_are_refused(cli: Cli, world: Path, model: Path, tmp_path: Path) -> None:
    rows = [{k: v for k, v in r.as_row().items() if k != "path"} for r in load_corpus(world).trained]
    flat = tmp_path / "flat.jsonl"
    flat.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = cli(
        "attack",
        "reconstruct",
        "--original",
        model,
        "--unlearned",
        model,
        "--data",
        flat,
        "--scope",
        f"subject:{TARGET}",
    )
    assert result.code == 2
    assert "in no tree of two levels or more" in result.line


def test_too_few_others_are_refused(cli: Cli, model: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text(
        "".join(
            json.dumps(
                {
                    "prompt": f"Where is P{k}?",
                    "answer": f"town {k}",
                    "subject": f"guest:{k}",
                    "path": f"house:1/guest:{k}",
                }
            )
            + "\n"
            for k in range(4)
        )
    )
    result = cli(
        "attack", "reconstruct", "--original", model, "--unlearned", model, "--data", few, "--scope", "guest:1"
    )
    assert result.code == 2
    assert "no fact in it has 7 other answers" in result.line
