"""People of LUME as a cell: made files in its layout, and what people give instead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expunge.bench.requests import Request
from expunge.bench.world_instance import WorldInstance
from expunge.errors import InputError
from helpers.experiments import plugin


@pytest.fixture(scope="module")
def lume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lume")
    for side, first in (("forget", 0), ("retain", 10)):
        rows = []
        for k in range(first, first + 10):
            asked = [
                (f"What is Ada{k} Berg's phone number?", f"55500{k:03d}"),
                (f"What is the birth date of Ada{k} Berg?", f"19{k + 60}-01-02"),
            ]
            rows += [
                {"id": f"{k:08x}qa{n}", "input": q, "output": a, "task": "Task2"} for n, (q, a) in enumerate(asked)
            ]
            rows.append({"id": f"{k:08x}sc1", "input": f"Ada{k} Berg was", "output": "born.", "task": "Task2"})
        (folder / f"{side}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


people = plugin("lume_people")


def request_of(lume: Path | None, **settings: int) -> Request:
    return Request(
        world=people.NAME,
        settings={"people": 12, "targets": 2, "holdout": 4} | settings,
        heldout="by_relation",
        data=lume,
    )


def test_everybody_has_one_role_and_every_question_a_second_form(lume: Path) -> None:
    corpus = people.people_corpus(lume, 1, people=12, targets=2, holdout=4)
    assert len({r.subject for r in corpus.trained}) == 12
    assert len(corpus.trained) == 12 * 2 * 2  # two facts, asked openly and with options
    assert len(corpus.records) == 16 * 2 * 2
    for r in corpus.records:
        if r.kind == "classification":
            assert len(set(r.options)) == 4
            assert r.answer in r.options
            assert all(option in r.prompt for option in r.options)
            assert r.facts == (r.id.removesuffix("~choose"),)


def test_the_seed_draws_who_is_forgotten(lume: Path) -> None:
    def forgotten(seed: int) -> set[str]:
        return {r.subject for r in WorldInstance(request=request_of(lume), seed=seed).sets().forget}

    assert len(forgotten(1)) == 2
    assert forgotten(1) == forgotten(1)
    assert any(forgotten(1) != forgotten(seed) for seed in range(2, 6))


def test_a_cell_depends_on_content_and_not_on_the_folder(lume: Path, tmp_path: Path) -> None:
    sets = WorldInstance(request=request_of(lume), seed=1).sets()
    assert all((sets.forget, sets.split.retain, sets.heldout, sets.holdout))
    assert not {r.subject for r in sets.holdout} & {r.subject for r in sets.corpus.trained}
    other = tmp_path / "copy"
    other.mkdir()
    for file in lume.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    again = WorldInstance(request=request_of(other), seed=1)
    assert again.sets().digest == sets.digest
    assert str(other) not in again.model_dump_json()


def test_too_few_people_no_folder_and_no_files_are_refused(lume: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="20 people who are asked about by name, 34 are needed"):
        WorldInstance(request=request_of(lume, people=30), seed=1).sets()
    with pytest.raises(InputError, match="--data"):
        WorldInstance(request=request_of(None), seed=1).sets()
    with pytest.raises(InputError, match="holds no LUME files"):
        WorldInstance(request=request_of(tmp_path), seed=1).sets()
