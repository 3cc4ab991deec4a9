"""The identity of a model is its content, and a recorded one is compared wherever a model is used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from expunge.models.export import export
from expunge.models.fingerprint import different, model_digest, model_parts, tokenizer_digest
from expunge.models.language_model import load
from helpers.runs import recipe
from helpers.world import one_person, write_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def run(base: Path) -> Path:
    return unlearn(base, one_person(), recipe("npo"), base.parent / "run")


def change_weights(folder: Path, change: Callable[[torch.Tensor], torch.Tensor] = torch.zeros_like) -> None:
    for file in folder.glob("*.safetensors"):
        save_file({k: change(v) for k, v in load_file(file).items()}, file, {"format": "pt"})


def copied(run: Path, tmp_path: Path) -> Path:
    """A copy that lies as far from the base as the run, which names it by where it lies."""
    return Path(shutil.copytree(run, run.parent / f"copy-{tmp_path.name}"))


def refuse(what: str, *calls: Callable[[], object]) -> None:
    for call in calls:
        with pytest.raises(InputError, match=what):
            call()


def test_the_parts_of_a_model_are_weights_and_files(base: Path) -> None:
    assert set(model_parts(base)) == {
        "weights",
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_whatever_a_model_is_read_from_is_a_part(base: Path, tmp_path: Path) -> None:
    """Weights under another name, a second file of them, and chat templates in their folder."""
    mine = shutil.copytree(base, tmp_path / "mine")
    weights, before = mine / "model.safetensors", model_parts(base)
    renamed = weights.rename(mine / "weights.safetensors")
    assert different(before, model_parts(mine)) == ["weight files"]
    shutil.copy(renamed, weights)
    save_file({k: w + 1 for k, w in load_file(renamed).items()}, renamed, {"format": "pt"})
    one = model_parts(mine)
    for source, target in ((weights, "x"), (renamed, weights.name), (mine / "x", renamed.name)):
        source.rename(mine / target)
    assert different(one, model_parts(mine)) == ["weight files"]  # the two were exchanged
    (mine / "additional_chat_templates").mkdir()
    (mine / "additional_chat_templates" / "default.jinja").write_text("{{ messages }}")
    assert different(one, model_parts(mine)) == ["additional_chat_templates/default.jinja", "weight files"]
    assert tokenizer_digest(str(mine)) != tokenizer_digest(str(base))


def test_shards_of_a_model_are_one_model_however_they_are_cut(base: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(base, tmp_path / "mine")
    tensors = load_file(mine / "model.safetensors")
    (mine / "model.safetensors").unlink()
    place = {name: f"model-{k % 2}.safetensors" for k, name in enumerate(tensors)}
    for file in set(place.values()):
        save_file({n: w for n, w in tensors.items() if place[n] == file}, mine / file, {"format": "pt"})
    (mine / "model.safetensors.index.json").write_text(json.dumps({"weight_map": place}))
    sharded = model_parts(mine)
    assert different(model_parts(base), sharded) == []
    first, second = list(tensors)[:2]
    other = {n: w for n, w in tensors.items() if place[n] == place[second]}
    save_file(other | {first: tensors[first] + 1}, mine / place[second], {"format": "pt"})
    twice = model_parts(mine)  # now the index decides which of the two is read
    (mine / "model.safetensors.index.json").write_text(json.dumps({"weight_map": place | {first: place[second]}}))
    assert different(twice, model_parts(mine)) == ["weight files"]
    save_file(other, mine / place[second], {"format": "pt"})
    for index in ("{", "[]", json.dumps({"weight_map": {first: place[first]}})):
        (mine / "model.safetensors.index.json").write_text(index)
        assert different(sharded, model_parts(mine)) == ["weight files"]


def test_changed_weights_of_a_run_are_refused_wherever_it_is_used(base: Path, run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    change_weights(copy / "adapter")
    assert model_digest(str(copy)) != model_digest(str(run))
    refuse(
        "copy: is not what the run wrote: adapter/weights differs; bring back what the run wrote",
        lambda: load(copy),
        lambda: unlearn(base, one_person(), recipe("npo"), copy),
        lambda: unlearn(copy, one_person(), recipe("npo"), tmp_path / "upon"),
        lambda: export(copy, tmp_path / "merged"),
        lambda: export(copy, tmp_path / "adapter", form="adapter"),
    )
    assert not (tmp_path / "merged").exists()


def test_an_adapter_with_other_settings_is_refused(run: Path, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    config = copy / "adapter" / "adapter_config.json"
    stored = json.loads(config.read_text("utf-8"))
    moved = {**stored, "base_model_name_or_path": "elsewhere", "target_modules": stored["target_modules"][::-1]}
    config.write_text(json.dumps(moved), "utf-8")
    assert model_digest(str(copy)) == model_digest(str(run))  # an address and an order are no content
    config.write_text(json.dumps({**stored, "lora_alpha": 2 * stored["lora_alpha"]}), "utf-8")
    refuse(r"adapter/adapter_config\.json differs", lambda: load(copy))


def test_the_adapter_of_another_run_is_refused(base: Path, run: Path, tmp_path: Path) -> None:
    other = unlearn(base, one_person(), recipe("simnpo"), base.parent / "other")
    copy = copied(run, tmp_path)
    shutil.rmtree(copy / "adapter")
    shutil.copytree(other / "adapter", copy / "adapter")
    refuse("adapter/weights differs", lambda: load(copy))
    shutil.copy(other / "result.json", copy / "result.json")
    refuse("result.json: was changed after the run", lambda: load(copy))
    assert model_digest(str(copy)) == model_digest(str(other)) != model_digest(str(run))


def test_a_run_without_its_seal_is_refused(run: Path, tmp_path: Path) -> None:
    copy = copied(run, tmp_path)
    about = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({k: v for k, v in about.items() if k not in ("seal", "files")}))
    refuse("run.json: has no seal", lambda: load(copy))


def test_a_whole_model_beside_the_adapter_is_not_taken_for_the_result(base: Path, run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    shutil.copytree(base, copy / "model")
    refuse("model/weights", lambda: load(copy))


@pytest.mark.parametrize("text", ["[]", "{}", '{"digest": 3, "parts": {}}', '{"digest": "x", "parts": [1]}'])
def test_a_result_that_says_nothing_is_refused(run: Path, tmp_path: Path, text: str) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "result.json").write_text(text)
    refuse("result.json: was changed after the run", lambda: load(copy))


def test_a_base_that_changed_in_place_is_refused(base: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(base, tmp_path / "mine")
    run = unlearn(mine, one_person(), recipe("npo"), tmp_path / "run")
    export(run, tmp_path / "exported", form="adapter")
    change_weights(mine, lambda w: w + 1e-3)
    refuse("its base model .*mine has changed since the run", lambda: load(run), lambda: export(run, tmp_path / "x"))
    refuse("its base model .*mine is not the one that it was trained on", lambda: load(tmp_path / "exported"))


@pytest.mark.parametrize("which", ["lora", "full"])
def test_the_result_of_a_run_named_directly_is_the_run(base: Path, tmp_path: Path, which: str) -> None:
    """The base of an adapter and the digests of weights are compared whichever folder is named."""
    mine = shutil.copytree(base, tmp_path / "mine")
    run = unlearn(mine, one_person(), recipe("npo", train={"which": which}), tmp_path / "run")
    result = run / ("adapter" if which == "lora" else "model")
    assert load(result).source == str(run)
    assert model_digest(str(result)) == model_digest(str(run))
    assert tokenizer_digest(str(result)) == tokenizer_digest(str(run))
    again = unlearn(result, one_person(), recipe("npo", steps=1), tmp_path / "again")
    assert json.loads((again / "run.json").read_text())["model"] == "../run"
    assert export(result, tmp_path / "out").about["base_digest"] == model_digest(str(mine))
    if which == "lora":
        change_weights(mine, lambda w: w + 1e-3)
        what = "its base model .*mine has changed since the run"
    else:
        change_weights(result)
        what = "is not what the run wrote: model/weights differs"
    refuse(what, lambda: load(result), lambda: export(result, tmp_path / "other"))


def test_an_exported_adapter_whose_weights_were_changed_is_refused(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "exported", form="adapter")
    load(tmp_path / "exported")
    change_weights(tmp_path / "exported")
    refuse("is not the model that was saved there: weights differs", lambda: load(tmp_path / "exported"))


def test_a_run_does_not_go_on_with_another_tokenizer(base: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(base, tmp_path / "mine")
    run = unlearn(mine, one_person(), recipe("npo"), tmp_path / "run")
    before = tokenizer_digest(str(run))
    assert before == tokenizer_digest(str(base)) == tokenizer_digest(str(mine))
    file = mine / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), "model_max_length": 64}), "utf-8")
    assert tokenizer_digest(str(mine)) != before
    refuse(r"its model, tokenizer differs", lambda: unlearn(mine, one_person(), recipe("npo"), run))


def test_a_run_does_not_go_on_where_a_template_writes_other_ids(base: Path, run: Path, tmp_path: Path) -> None:
    about = json.loads((run / "run.json").read_text("utf-8"))
    (tmp_path / "again").mkdir()
    about |= {"status": "running", "rendered": "0" * 64}
    (tmp_path / "again" / "run.json").write_text(json.dumps(about), "utf-8")
    refuse(
        "began with other token ids: the tokenizer or the chat template reads its records differently now",
        lambda: unlearn(base, one_person(), recipe("npo"), tmp_path / "again"),
    )


def test_a_model_in_the_cache_of_the_hub_is_known_by_its_content(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "models--owner--name"
    shutil.copytree(base, folder / "snapshots" / commit)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    assert model_digest("owner/name") == model_digest(str(base))
    assert tokenizer_digest("owner/name") == tokenizer_digest(str(base))
