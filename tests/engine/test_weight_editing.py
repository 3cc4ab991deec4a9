"""Edits end to end: a tiny hospital learnt by heart, one patient edited out, everything put back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from expunge.engine.activation_stats import gather
from expunge.engine.distributed import check_single_process
from expunge.engine.estimate.estimate_run import estimate_run
from expunge.engine.event import Event
from expunge.engine.neuron_groups import find_neuron_groups
from expunge.engine.recipe import Recipe
from expunge.engine.train import train_model
from expunge.engine.train.train_loop import TrainConfig, exact_match_rate
from expunge.engine.unlearn import unlearn
from expunge.engine.weight_editing import UNDO, edit_weights, revert
from expunge.errors import InputError, Interrupted
from expunge.methods.chip import Chip
from expunge.methods.editing import FORGET, RETAIN, NeuronSelector, WeightEdit
from expunge.methods.manu import Manu
from expunge.models.fingerprint import model_digest
from expunge.models.language_model import LanguageModel, load
from expunge.scope import Scope, Split
from expunge.synthetic.hospital.hospital import Hospital
from helpers.shapes import build
from helpers.world import TARGET, one_person, small

EDITS = ("chip", "manu")
every_edit = pytest.mark.parametrize("name", EDITS)
OF_EACH: dict[str, WeightEdit] = {"chip": Chip(), "manu": Manu()}


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(str(folder / "model.safetensors"))


def fresh(folders: dict[str, Path], architecture: str = "llama") -> LanguageModel:
    return load(folders[architecture])


# ---- where neurons are ----


@pytest.mark.parametrize(
    ("architecture", "names", "last"),
    [
        ("llama", {"gate_proj", "up_proj", "down_proj"}, "down_proj"),
        ("gpt2", {"c_fc", "c_proj"}, "c_proj"),
        ("gpt_neox", {"dense_h_to_4h", "dense_4h_to_h"}, "dense_4h_to_h"),
        ("phi3", {"gate_up_proj", "down_proj"}, "down_proj"),
        ("gptj", {"fc_in", "fc_out"}, "fc_out"),
        ("gemma3", {"gate_proj", "up_proj", "down_proj"}, "down_proj"),
    ],
)
def test_feed_forward_parts_are_found_by_structure(architecture: str, names: set[str], last: str) -> None:
    module = build(architecture)
    given = find_neuron_groups(module, (NeuronSelector("language", "output", 2),))
    assert {s.name.rsplit(".", 1)[-1] for s in given} == names
    assert len(given) == 2 * len(names)
    assert all("attn" not in s.name and "attention" not in s.name for s in given)
    inside = find_neuron_groups(module, (NeuronSelector("language", "hidden"),))
    assert [s.name.rsplit(".", 1)[-1] for s in inside] == [last] * 4
    assert all(s.size > 32 for s in inside)


def test_too_many_blocks_mean_all_and_absent_parts_are_skipped(folders: dict[str, Path]) -> None:
    module = fresh(folders).module
    looks = (
        NeuronSelector("language", "hidden", 6),
        NeuronSelector("vision", "hidden"),
        NeuronSelector("connector", "output"),
    )
    assert len(find_neuron_groups(module, looks)) == 3


@pytest.mark.parametrize("architecture", ["llava", "idefics3"])
def test_vision_tower_and_connector_are_found(architecture: str) -> None:
    module = build(architecture)
    vision = find_neuron_groups(module, (NeuronSelector("vision", "hidden"),))
    assert [s.name.rsplit(".", 1)[-1] for s in vision] == ["fc2", "fc2"]
    assert len(find_neuron_groups(module, (NeuronSelector("vision", "hidden", 1),))) == 1
    between = find_neuron_groups(module, (NeuronSelector("connector", "output"),))
    assert between
    assert not any("vision_model" in s.name or "language" in s.name for s in between)


def test_a_model_without_such_parts_is_refused() -> None:
    with pytest.raises(InputError, match=r"MixtralForCausalLM: no feed-forward part of linear maps was found in"):
        find_neuron_groups(build("mixtral"), (NeuronSelector("language", "hidden"),))


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("neurons", ["output", "hidden"])
def test_neurons_are_rows_however_the_module_stores_them(
    folders: dict[str, Path], architecture: str, neurons: Any
) -> None:
    lm = fresh(folders, architecture)
    site = find_neuron_groups(lm.module, (NeuronSelector("language", neurons),))[
        -1
    ]  # the last map: from 96 or 128 to 32
    assert site.size == (32 if neurons == "output" else {"llama": 96, "gpt2": 128}[architecture])
    at, before = torch.tensor([3, 1]), site.weight.detach().clone()
    rows = site.read(at)
    site.write(at, torch.zeros_like(rows))
    assert int((site.weight == 0).sum()) == rows.numel()
    site.write(at, rows)
    assert torch.equal(site.weight, before)


# ---- what is seen ----


@every_edit
def test_sums_do_not_depend_on_padding_or_on_company(folders: dict[str, Path], name: str) -> None:
    lm, edit, split = fresh(folders), OF_EACH[name], one_person()
    found, rows = find_neuron_groups(lm.module, edit.selectors()), list(edit.rows(split.forget, split.retain))
    alone, read = gather(lm, edit, found, rows, 1)
    together, _ = gather(lm, edit, found, rows, 16)
    assert read == len(rows)
    for site in found:
        one, many = alone[site.name], together[site.name]
        assert one.rows == many.rows
        assert one.rows[FORGET] == len(split.forget)
        assert one.rows[RETAIN] == len(split.retain)
        for group, sums in one.sums.items():
            for key, value in sums.items():
                torch.testing.assert_close(value, many.sums[group][key], rtol=1e-4, atol=1e-3)


def test_what_is_seen_is_what_the_map_gives(folders: dict[str, Path]) -> None:
    lm, split = fresh(folders), one_person()
    record = split.forget[0]
    found = find_neuron_groups(lm.module, Chip().selectors())
    stats, _ = gather(lm, Chip(), found, [row for row in Chip().rows([record], split.retain) if FORGET in row.groups])
    item = lm.template.encode(record)
    ids = torch.tensor([[*item.prompt, *item.answer]])
    block = lm.module.model.layers[0]
    inside: list[Tensor] = []
    handle = block.mlp.register_forward_pre_hook(lambda _, args: inside.append(args[0]))
    lm.module.model(input_ids=ids)
    handle.remove()
    want = block.mlp.gate_proj(inside[0])[0].mean(0)
    torch.testing.assert_close(
        stats["model.layers.0.mlp.gate_proj"].mean(FORGET, "a").float(), want, rtol=1e-4, atol=1e-5
    )


@every_edit
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_only_the_chosen_neurons_change(folders: dict[str, Path], architecture: str, name: str) -> None:
    lm, edit, split = fresh(folders, architecture), OF_EACH[name], one_person()
    before = {n: p.detach().clone() for n, p in lm.module.named_parameters()}
    changes, _ = edit_weights(lm, edit, split)
    touched = {f"{c.group.name}.weight": c for c in changes}
    assert touched
    for n, p in lm.module.named_parameters():
        if n not in touched:
            assert torch.equal(p, before[n])
            continue
        change = touched[n]
        kept = torch.ones(change.group.size, dtype=torch.bool)
        kept[change.neurons] = False
        others = kept.nonzero().flatten()
        now = change.group.read(others)
        change.group.write(change.neurons, change.before)
        assert torch.equal(change.group.read(others), now)
        assert torch.equal(p, before[n])
    if name == "manu":
        total = sum(s.size for s in find_neuron_groups(lm.module, edit.selectors()))
        assert sum(len(c.neurons) for c in changes) == int(0.03 * total)


def test_editing_twice_with_the_same_look_changes_nothing_more(folders: dict[str, Path]) -> None:
    lm, chip, split = fresh(folders), Chip(), one_person()
    found = find_neuron_groups(lm.module, chip.selectors())
    stats, _ = gather(lm, chip, found, chip.rows(split.forget, split.retain))
    chosen = chip.select(stats)
    for site in found:
        once = chip.rewrite(site.read(chosen[site.name]), stats[site.name], chosen[site.name])
        twice = chip.rewrite(once, stats[site.name], chosen[site.name])
        torch.testing.assert_close(once, twice, rtol=1e-5, atol=1e-6)


# ---- runs ----


@pytest.fixture(scope="module", params=EDITS)
def finished(request: Any, folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / request.param
    return unlearn(folders["llama"], one_person(), Recipe.load(request.param), out)


def test_a_run_holds_the_model_one_event_and_what_undoes_it(folders: dict[str, Path], finished: Path) -> None:
    about = json.loads((finished / "run.json").read_text())
    assert (about["status"], about["steps"], about["method"]) == ("finished", 1, finished.name)
    assert about["edited"]["matrices"] > 0
    assert about["passes"].startswith("one pass over ")
    events = [json.loads(line) for line in (finished / "events.jsonl").read_text().splitlines()]
    assert [(e["step"], e["forget"], e["retain"]) for e in events] == [(0, None, None)]
    assert events[0]["norm"] > 0
    assert events[0]["norm"] == pytest.approx(about["edited"]["norm"], rel=1e-4)
    names = {f.name for f in finished.iterdir()}
    assert names == {"run.json", "recipe.yaml", "environment.json", "events.jsonl", "result.json", "model", UNDO}
    assert Recipe.load(finished / "recipe.yaml").digest == about["identity"]["recipe"]
    assert model_digest(str(finished)) != model_digest(str(folders["llama"]))
    assert any(not torch.equal(t, weights(folders["llama"])[n]) for n, t in weights(finished / "model").items())


def test_undoing_restores_every_bit(folders: dict[str, Path], finished: Path, tmp_path: Path) -> None:
    revert(load(finished), finished / UNDO).save(tmp_path / "back")
    back, first = weights(tmp_path / "back"), weights(folders["llama"])
    assert back.keys() == first.keys()
    assert all(torch.equal(back[n], first[n]) for n in first)
    assert (finished / UNDO).stat().st_size < (folders["llama"] / "model.safetensors").stat().st_size / 2


def test_what_is_not_for_this_model_undoes_nothing(folders: dict[str, Path], finished: Path, tmp_path: Path) -> None:
    lm = fresh(folders, "gpt2")
    with pytest.raises(InputError, match="belongs to another model"):
        revert(lm, finished / UNDO)
    with pytest.raises(InputError, match=r"is no file of old weights that an edit wrote; name the undo\.safetensors"):
        revert(lm, tmp_path / "none")
    (tmp_path / "rubbish").write_text("x")
    with pytest.raises(InputError, match="is no file of old weights"):
        revert(lm, tmp_path / "rubbish")


def test_a_finished_run_is_not_done_again(
    folders: dict[str, Path], finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {f.name: f.stat().st_mtime_ns for f in finished.iterdir()}
    monkeypatch.setattr("expunge.engine.unlearn.run_edit", lambda *given: pytest.fail("was done again"))
    assert unlearn(folders["llama"], one_person(), Recipe.load(finished.name), finished) == finished
    assert {f.name: f.stat().st_mtime_ns for f in finished.iterdir()} == before


def test_another_recipe_for_the_same_folder_is_refused(folders: dict[str, Path], finished: Path) -> None:
    with pytest.raises(InputError, match="holds another run"):
        unlearn(folders["llama"], one_person(), Recipe.load(finished.name, ["settings.share=0.2"]), finished)


@every_edit
def test_a_run_killed_while_saving_starts_again_and_ends_in_the_same_bits(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    plan = Recipe.load(name)
    whole = unlearn(folders["llama"], one_person(), plan, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("expunge.engine.weight_editing._save_undo", interrupt)
        with pytest.raises(KeyboardInterrupt):
            unlearn(folders["llama"], one_person(), plan, tmp_path / "killed")
    assert json.loads((tmp_path / "killed" / "run.json").read_text())["status"] == "running"
    with pytest.raises(InputError, match="is not finished"):
        load(tmp_path / "killed")
    again = unlearn(folders["llama"], one_person(), plan, tmp_path / "killed")
    assert (again / "result.json").read_bytes() == (whole / "result.json").read_bytes()
    assert (again / UNDO).read_bytes() == (whole / UNDO).read_bytes()
    assert len((again / "events.jsonl").read_text().splitlines()) == 1


def test_a_polite_stop_leaves_nothing(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import contextmanager

    @contextmanager
    def stopped() -> Iterator[Any]:
        yield lambda: True

    monkeypatch.setattr("expunge.engine.unlearn.watch_for_stop", stopped)
    with pytest.raises(Interrupted, match="nothing was written; start the same command again"):
        unlearn(folders["llama"], one_person(), Recipe.load("chip"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.trains
def test_a_run_upon_an_adapter_and_upon_an_edit(folders: dict[str, Path], finished: Path, tmp_path: Path) -> None:
    trained = unlearn(folders["llama"], one_person(), Recipe(method="npo", steps=1), tmp_path / "trained")
    seen: list[tuple[int, int]] = []

    def on_step(event: Event, total: int) -> None:
        seen.append((event.step, total))

    edited = unlearn(trained, one_person(), Recipe.load("chip"), tmp_path / "edited", on_step=on_step)
    assert seen == [(0, 1)]
    assert not any("lora" in n for n in weights(edited / "model"))
    assert (unlearn(finished, one_person(), Recipe(method="npo", steps=1), tmp_path / "on") / "adapter").is_dir()


# ---- what is refused ----


@every_edit
@pytest.mark.parametrize(
    "given",
    [
        "steps=5",
        "retain.loss=kl",
        "train.layers=2",
        "optimizer.lr=0.1",
        "privacy.epsilon=1",
        "rule=pcgrad",
        "forget_weight=2",
        "batch.forget=3",
        "phases=[{steps: 3}]",
        "selection.share=0.5",
        "parallel.shard=true",
    ],
)
def test_what_means_nothing_to_an_edit_is_refused_in_one_line(name: str, given: str) -> None:
    key = given.partition("=")[0].partition(".")[0]
    with pytest.raises(InputError, match=f"recipe: {key}: has no effect on {name}, which edits weights"):
        Recipe.load(name, [given])


def test_an_edit_has_no_loss_and_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="chip edits weights and has no loss to minimize; use a method that"):
        _ = Recipe.load("chip").resolve().method
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="launch: the method chip runs in one process; start it without torchrun"):
        check_single_process(Recipe.load("chip").resolve().single_process_reason)


@every_edit
def test_bad_input_is_refused_and_leaves_no_folder(folders: dict[str, Path], tmp_path: Path, name: str) -> None:
    split = one_person()
    cases: list[tuple[Split, list[str], str]] = [
        (replace(split, retain=()), [], f"retain set: is empty, and {name} compares"),
        (replace(split, forget=()), [], f"forget set: is empty, and {name} compares"),
        (split, ["settings.share=0.0001"], r"share: 0\.0001 selects no neuron out of \d+ .*; give at least"),
    ]
    for given, sets, said in cases:
        with pytest.raises(InputError, match=said):
            unlearn(folders["llama"], given, Recipe.load(name, sets), tmp_path / "run")
        assert not (tmp_path / "run").exists()


@every_edit
def test_a_plan_counts_rows_and_has_no_preview(folders: dict[str, Path], name: str) -> None:
    split = one_person()
    (found,), alone = estimate_run(folders["llama"], split, Recipe.load(name))
    assert (found.steps, found.verb, found.blocks) == (1, "edited", (0, 1, 2))
    assert found.rows_drawn == len(split.forget) + len(split.retain)
    assert 0 < found.seconds < 60
    assert found.memory.peak > found.memory.weights > 0
    assert "edits weights at once" in alone
    with pytest.raises(InputError, match="--preview-layers"):
        estimate_run(folders["llama"], split, Recipe.load(name), preview_layers=1)


# ---- does it forget? ----


@pytest.mark.trains
@pytest.mark.parametrize("architecture", ["llama", pytest.param("gpt2", marks=pytest.mark.matrix)])
def test_forgetting_costs_the_target_more_than_the_rest(architecture: str, tmp_path: Path) -> None:
    """At the published shares a model of this size forgets next to nothing; larger ones take the target first."""
    corpus = Hospital.preset("tiny", seed=3).corpus()
    split = Scope.parse(TARGET).resolve(corpus)
    config = small(architecture, layers=4).model_copy(update={"width": 64, "vocabulary": 512})
    train_model.train(corpus.trained, tmp_path / "model", tiny=config, settings=TrainConfig(epochs=60))
    for name, share in (("chip", 0.1), ("chip", 1.0), ("manu", 0.03), ("manu", 0.1)):
        lm = load(tmp_path / "model")
        parts = [lm.template.encode_all(part) for part in (split.forget, split.retain_heldout)]
        edit = Recipe.load(name, [f"settings.share={share}"]).resolve().edit
        assert edit
        known = [nll(lm, part) for part in parts]
        edit_weights(lm, edit, split)
        gone, kept = (
            (exact_match_rate(lm.module, part), nll(lm, part) - was) for part, was in zip(parts, known, strict=True)
        )
        print(
            f"{architecture} {name} {share}: exact answers forget {gone[0]:.2f}, retain_heldout {kept[0]:.2f}; "
            f"loss forget {gone[1]:+.3f}, retain_heldout {kept[1]:+.3f}"
        )
        if edit == type(edit)():
            assert kept[0] >= 0.95
        else:
            assert gone[1] > 1.5 * kept[1] > 0
            assert gone[0] < kept[0]


@torch.no_grad()
def nll(lm: LanguageModel, items: Any) -> float:
    """Mean loss of answers, nats per token."""
    from expunge.models.collate import collate
    from expunge.models.forward import answer_forward

    batch = collate(items)
    return float(-answer_forward(lm.module, batch).logprob(batch).sum() / batch.mask.sum())
