"""Pictures on the command line: from a drawn hospital to a run, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.cli import Cli

pytest.importorskip("PIL", reason="Pillow is not installed: pip install pillow")

PERSON = "patient:P-0002-001"
SIZE = ("--layers", "1", "--width", "32", "--heads", "2", "--epochs", "1", "--vocabulary", "600")


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from expunge.synthetic.radiology.radiology import Radiology

    return Radiology.preset("small", seed=1, size=48).corpus().save(tmp_path_factory.mktemp("clinic") / "rows.jsonl")


@pytest.mark.trains
def test_a_model_that_sees_is_taught_and_made_to_forget(cli: Cli, clinic: Path, tmp_path: Path) -> None:
    taught = cli(
        "train",
        "--data",
        clinic,
        "--out",
        tmp_path / "m",
        *SIZE,
        "--vision",
        "idefics3",
        "--image-size",
        "48",
        "--json",
    )
    assert (taught.code, taught.json["records"]) == (3, 192)  # one epoch teaches little
    assert json.loads((tmp_path / "m" / "config.json").read_text())["vision_config"]["image_size"] == 48
    done = cli(
        "unlearn",
        "--model",
        tmp_path / "m",
        "--data",
        clinic,
        "--scope",
        PERSON,
        "--recipe",
        "simnpo",
        "--set",
        "steps=2",
        "--out",
        tmp_path / "run",
        "--json",
    )
    assert done.code == 0
    assert (tmp_path / "run" / "adapter" / "preprocessor_config.json").is_file() or (
        tmp_path / "run" / "adapter" / "processor_config.json"
    ).is_file()


def test_a_vision_tower_for_records_without_images_is_refused(cli: Cli, world: Path, tmp_path: Path) -> None:
    refused = cli("train", "--data", world, "--out", tmp_path / "m", "--vision", "llava")
    assert (refused.code, refused.line) == (2, "error: --vision: no record shows an image; leave it out")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("flag", "value", "what"),
    [
        ("--vision", "clip", 'unknown architecture "clip"'),
        ("--image-size", "50", "patch_size: patches of 16 pixels"),
        ("--image-size", "2", "train: image_size: must be"),
    ],
)
def test_a_tower_that_cannot_be_built_is_refused_in_one_line(
    cli: Cli, clinic: Path, tmp_path: Path, flag: str, value: str, what: str
) -> None:
    refused = cli("train", "--data", clinic, "--out", tmp_path / "m", *SIZE, flag, value)
    assert refused.code == 2
    assert what in refused.line
    assert not (tmp_path / "m" / "config.json").exists()


def test_a_text_model_refuses_records_with_images(cli: Cli, clinic: Path, model: Path, tmp_path: Path) -> None:
    refused = cli(
        "unlearn",
        "--model",
        model,
        "--data",
        clinic,
        "--scope",
        PERSON,
        "--recipe",
        "simnpo",
        "--out",
        tmp_path / "run",
    )
    assert refused.code == 2
    assert "shows an image, but the model reads text only" in refused.line


def test_a_broken_image_ends_the_load_in_one_line(cli: Cli, clinic: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "Q?", "answer": "A", "image": "images/1.png"}) + "\n")
    refused = cli("train", "--data", rows, "--out", tmp_path / "m", *SIZE)
    assert refused.code == 2
    assert f'{rows}:1: image "images/1.png"' in refused.line
