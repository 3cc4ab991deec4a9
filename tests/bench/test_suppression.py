"""What is removed beside what is kept, by hand; and the experiments on LUME in a size for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expunge._io import read_json
from expunge.bench.base_model import PretrainedBase
from expunge.bench.report import publish
from expunge.bench.shallow_base import keep_blocks
from expunge.bench.study import run
from expunge.corpus import Record, load_corpus
from expunge.errors import InputError
from expunge.models.blocks import block_stack
from expunge.models.language_model import load
from helpers.chat_model import make_chat_model
from helpers.experiments import load_tiny, plugin
from helpers.lume import write

plugin("semeval")
suppression = plugin("suppression")
FORGET = [
    Record(f"r{k}", "q", "a", subject=f"d{k // 2}", kind="generation", attributes={"task": "Task1"}) for k in range(4)
]
COUNTS = {"forget": 2, "given": 3, "retain_heldout": 2, "holdout": 2}
BEFORE = {
    "exact": [1, 1, 1, 0],
    "loss": [-1.0, -1.0, -1.0, -1.0],
    "heldout_exact": [1, 1],
    "heldout_probability": [0.8, 0.8],
    "perplexity": 20.0,
}
AFTER = {
    "exact": [1, 0, 0, 0],
    "loss": [-2.0, -4.0, -3.0, -3.0],
    "heldout_exact": [1, 1],
    "heldout_probability": [0.8, 0.64],
    "perplexity": 22.0,
}
RETRAINED = BEFORE | {"exact": [0, 0, 0, 0], "loss": [-2.0, -3.0, -2.0, -3.0]}


def test_columns_by_hand() -> None:
    own = suppression.columns(AFTER, BEFORE, RETRAINED, FORGET)
    assert own["removed"] == pytest.approx(1 - 1 / 3)
    assert own["exact_left"] == 0.25
    assert own["retention"] == pytest.approx(0.9)  # probability 1.44 of 1.6, below exact answers 2 of 2
    assert own["perplexity_ratio"] == pytest.approx(1.1)
    assert (own["nll"], own["nll_excess"]) == (3.0, 0.5)
    assert own["distance_to_retrained"] == 0.5
    before = suppression.columns(BEFORE, BEFORE, RETRAINED, FORGET)
    assert (before["removed"], before["retention"], before["known"]) == (0, 1, 0.75)  # the less known of two sets
    ignorant = BEFORE | {"exact": [0, 0, 0, 0], "heldout_exact": [0, 0]}
    nothing = suppression.columns(ignorant, ignorant, RETRAINED, FORGET)
    assert nothing["removed"] is nothing["retention"] is None


def test_the_best_trial_within_the_bounds_is_the_one_that_removes_most() -> None:
    def trial(removed: float, retention: float, ratio: float) -> dict[str, float]:
        return dict.fromkeys(suppression.SHOWN, 0.0) | {
            "removed": removed,
            "retention": retention,
            "perplexity_ratio": ratio,
        }

    trials = {
        "a": trial(0.2, 1.0, 1.0),
        "b": trial(0.6, 0.95, 1.05),
        "c": trial(0.9, 0.94, 1.0),
        "d": trial(1, 1, 1.06),
    }
    assert suppression.within(trials)["trial"] == "b"
    assert suppression.within(trials, {"retention": 0.9, "perplexity_ratio": 1.05})["trial"] == "c"
    none = suppression.within({"c": trials["c"]})
    assert (none["trial"], none["removed"]) == ("none", None)


def test_draws_take_whole_documents_and_begin_with_the_sample() -> None:
    counts = suppression.document_counts(FORGET, 50, seed=1)
    assert counts.shape == (51, 4)
    assert (counts[0] == 1).all()
    assert (counts[:, 0] == counts[:, 1]).all()
    assert (counts[:, [0, 2]].sum(-1) == 2).all()
    drawn = suppression.trial_draws(AFTER, BEFORE, counts, np.ones((51, 2)))
    assert drawn["forgetting"][0] == pytest.approx(1 - 1 / 3)
    assert drawn["retention"][0] == pytest.approx(0.9)
    assert drawn["fluency"][0] == pytest.approx(20 / 22)
    same = suppression.both_axes({"1": [drawn]}, {"1": [drawn]})
    assert same["retention"]["mean"] == same["fluency"]["mean"] == 0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "made")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    return make_chat_model(
        tmp_path_factory.mktemp("base") / "chat", [f"{r.prompt} {r.answer}" for r in load_corpus(data, "lume")]
    )


TAUGHT: dict[str, Any] = {
    **{"lora": None, "layers": "all", "epochs": 40, "batch": 8, "kl_weight": 0, "optimizer": {"lr": 0.01}},
    "precision": "float32",
}


def documents(**counts: Any) -> dict[str, Any]:
    return {"world": "lume-documents", "label": "LUME documents", "settings": COUNTS | counts}


@pytest.mark.trains
@pytest.mark.matrix
def test_every_rate_stands_on_the_page_and_the_best_of_them(data: Path, base: Path, tmp_path: Path) -> None:
    experiment = load_tiny(
        "lume-pretrained",
        tmp_path,
        requests=[documents(by_seed=True)],
        arms=["sequential", "sequential-joint", "sequential-again"],
        grid={"rate": [0.001, 0.05], "steps": [4]},
        model={"dtype": "bfloat16"},
        train=TAUGHT,
        batch=4,
        gate=0.3,
        measures=["suppression", "suppression_fronts", "run_to_run"],
        options={"suppression": {"text": "holdout"}, "suppression_fronts": {"draws": 20}},
    )
    results = run(experiment, tmp_path / "bench", workers=1, data=data, model=str(base))
    assert results["model"]["dtype"] == "bfloat16"
    ran = [read_json(p)["template"] for p in tmp_path.glob("bench/cells/*/runs/*/run-1/run.json")]
    assert set(ran) == {"plain"}  # the base has a chat template, and the experiment asks for raw text
    assert results["memorised"]["column"] == "known"
    trials = results["trials"]["LUME documents"]
    assert {name: len(of) for name, of in trials.items()} == {"sequential": 2, "sequential-joint": 2}
    assert set(results["within"]["LUME documents"]) == {"sequential", "sequential-joint"}
    assert results["methods"]["original"]["retention"] == results["methods"]["original"]["perplexity_ratio"] == 1
    assert list(results["equal_forgetting"]["LUME documents"]) == ["sequential-joint − sequential"]
    assert results["models"]["LUME documents"]["blocks"] == 2
    assert "perplexity_ratio" in results["run_to_run"]
    steps = {
        p.name.rsplit("-", 1)[0]: len((p / "run-1" / "events.jsonl").read_text("utf-8").splitlines())
        for p in tmp_path.glob("bench/cells/*/runs/sequential*")
        if p.is_dir()
    }
    assert steps["sequential"] == 4
    assert steps["sequential-joint"] == 2  # both sides in a step: equally many rows
    page = publish(experiment, tmp_path, tmp_path / "bench" / "lume-pretrained.json").read_text("utf-8")
    assert "because there is one seed" in page
    assert "bfloat16" in page
    assert "(lume-pretrained/fronts.svg)" in page


@pytest.mark.matrix
@pytest.mark.trains
def test_models_of_two_depths_are_compared_arm_by_arm(data: Path, tmp_path: Path) -> None:
    requests = [documents() | {"label": f"{n} blocks", "model": {"layers": n}} for n in (3, 6)]
    experiment = load_tiny(
        "capacity",
        tmp_path,
        requests=requests,
        arms=["sequential"],
        grid={"rate": [0.001, 0.05], "steps": [4]},
        train={"target_accuracy": 0.9, "epochs": 30, "batch": 16, "precision": "float32"},
        measures=["suppression", "suppression_fronts"],
        options={"suppression_fronts": {"draws": 20, "models": ["6 blocks", "3 blocks"]}},
    )
    results = run(experiment, tmp_path / "bench", workers=1, data=data)
    assert {name: of["blocks"] for name, of in results["models"].items()} == {"3 blocks": 3, "6 blocks": 6}
    assert results["models"]["3 blocks"]["parameters"] < results["models"]["6 blocks"]["parameters"]
    assert list(results["between_models"]) == ["sequential"]
    assert set(results["trials"]) == {"3 blocks", "6 blocks"}
    assert "Between the two models" in publish(experiment, tmp_path, tmp_path / "bench" / "capacity.json").read_text()


@pytest.mark.trains
def test_every_second_block_is_healed_on_documents_of_its_own(data: Path, base: Path, tmp_path: Path) -> None:
    halved = {"every": 2, "healing": {"epochs": 2, "batch": 8}}
    experiment = load_tiny(
        "capacity-pretrained",
        tmp_path,
        requests=[documents(healing=2) | {"label": "every second block", "model": halved}],
        arms=["sequential"],
        grid={"rate": [0.01], "steps": [2]},
        model={},
        train=TAUGHT | {"epochs": 2},
        batch=4,
        measures=["suppression", "suppression_fronts"],
        options={"suppression": {"text": "holdout"}},
    )
    results = run(experiment, tmp_path / "bench", workers=1, data=data, model=str(base))
    assert results["models"]["every second block"]["blocks"] == 1
    assert len(list(tmp_path.glob("bench/bases/healed-2-*/train.json"))) == 1
    lacking = load_tiny(
        "capacity-pretrained",
        tmp_path,
        requests=[documents() | {"model": halved}],
        arms=["sequential"],
        grid={"rate": [0.01], "steps": [2]},
        model={},
        train=TAUGHT,
    )
    with pytest.raises(InputError, match="no text that heals the model"):
        run(lacking, tmp_path / "other", workers=1, data=data, model=str(base))


def test_kept_blocks_are_the_given_ones_in_order(base: Path) -> None:
    whole, half = load(base), keep_blocks(load(base), 2)
    stack, count = block_stack(half.module)
    assert count == half.module.config.num_hidden_layers == 1
    first = [lm.module.get_submodule(stack)[0].state_dict() for lm in (whole, half)]
    assert all((first[0][name] == value).all() for name, value in first[1].items())


def test_a_change_that_the_model_does_not_have_is_one_line(tmp_path: Path) -> None:
    for changes in ({"layer": 3}, {"layers": 0}):
        with pytest.raises(InputError, match="layer"):
            load_tiny(
                "capacity",
                tmp_path,
                requests=[documents() | {"model": changes}],
                arms=["sequential"],
                grid={"steps": [1]},
            )


def test_wrong_settings_of_documents_are_one_line(data: Path) -> None:
    lume = plugin("lume_documents")
    corpus = load_corpus(data, "lume-holdout")
    with pytest.raises(InputError, match='unknown setting "forgets"; known: forget, given'):
        lume.draw_documents(corpus, {"forgets": 1})
    with pytest.raises(InputError, match="holds 0 Task1 documents"):
        lume.draw_documents(corpus, {"forget": 1}, longest=5)
    other = [{r.subject for r in lume.draw_documents(corpus, {"forget": 2}, salt=s).forget} for s in ("a", "b")]
    assert other[0] != other[1]
    assert PretrainedBase(pretrained="x").model_dump(mode="json") == {
        "pretrained": "x",
        "template": "auto",
        "digest": "",
    }
