"""Load a model from a folder; errors are one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from expunge.errors import InputError
from expunge.models.adapters import TrainableConfig, prepare
from expunge.models.language_model import LanguageModel, check, load, merge_adapter
from expunge.models.tiny import build
from helpers.world import ARCHITECTURES, RUNNING, small, tokenizer

IDS = torch.tensor([[5, 9, 300, 7, 1, 12]])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_folder_alone_gives_the_model_back(folders: dict[str, Path], architecture: str) -> None:
    lm = load(folders[architecture])
    module = build(small(architecture), tokenizer(), seed=0)
    assert torch.equal(lm.module(input_ids=IDS).logits, module(input_ids=IDS).logits)
    assert lm.tokenizer.get_vocab() == tokenizer().get_vocab()
    assert (lm.context, lm.template.kind, lm.source) == (128, "plain", str(folders[architecture]))
    assert lm.parameters == sum(p.numel() for p in module.parameters())
    assert not lm.module.training


def damaged(folder: Path, healthy: Path, keep: str) -> Path:
    """A copy of a healthy folder with files named by `keep` only, weights cut short."""
    folder.mkdir()
    for file in healthy.iterdir():
        if file.suffix in keep.split():
            (folder / file.name).write_bytes(file.read_bytes()[: None if file.suffix == ".json" else 1000])
    return folder


def test_a_folder_that_is_no_model_is_named_with_the_reason(folders: dict[str, Path], tmp_path: Path) -> None:
    llama = folders["llama"]
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    wrong = {
        tmp_path / "nowhere" / "at" / "all": "there is no such model folder",
        tmp_path / "file": "is a file",
        tmp_path / "empty": "holds no config.json",
        damaged(tmp_path / "bare", llama, ".json"): "holds no model weights",
    }
    for folder, reason in wrong.items():
        for look in (check, load):
            with pytest.raises(InputError, match=reason) as error_info:
                look(folder)
            assert str(folder) in str(error_info.value)
    cut = damaged(tmp_path / "cut", llama, ".json .safetensors")
    with pytest.raises(InputError, match="could not be loaded") as error_info:
        load(cut)
    assert "\n" not in str(error_info.value)


def test_weights_of_another_shape_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "wide"
    folder.mkdir()
    for file in folders["llama"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 80}))
    with pytest.raises(InputError, match=r"down_proj.weight and 8 more weights have another shape"):
        load(folder)


def test_an_unknown_precision_is_refused_before_anything_is_read(folders: dict[str, Path]) -> None:
    for dtype in ("int4", "float23", "nn"):
        with pytest.raises(InputError, match="unknown dtype"):
            load(folders["llama"], dtype=dtype)
    assert next(load(folders["llama"], dtype="bfloat16").module.parameters()).dtype is torch.bfloat16


def test_a_run_that_is_not_finished_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(RUNNING))
    for look in (check, load):
        with pytest.raises(InputError, match="not finished"):
            look(tmp_path)


def test_a_tokenizer_with_more_entries_than_the_model_is_refused() -> None:
    module = build(small(), tokenizer(), seed=0)
    module.resize_token_embeddings(399)
    with pytest.raises(InputError, match="its tokenizer has 400 entries but the model embeds 399"):
        LanguageModel.from_parts(module, tokenizer(), "here")
    module.resize_token_embeddings(416)  # rows to spare are usual
    assert LanguageModel.from_parts(module, tokenizer(), "here").template.end == tokenizer().eos_token_id


def test_merging_folds_the_adapter_in_and_leaves_no_trace_of_it(folders: dict[str, Path]) -> None:
    lm = load(folders["llama"])
    lm = lm.with_module(prepare(lm.module, TrainableConfig(), seed=0))
    with torch.no_grad():
        for name, parameter in lm.module.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.01)
        output = lm.module(input_ids=IDS).logits
    plain = merge_adapter(lm)
    assert not any("lora" in name for name, _ in plain.module.named_parameters())
    torch.testing.assert_close(plain.module(input_ids=IDS).logits, output, rtol=1e-4, atol=1e-4)
    assert merge_adapter(plain) is plain
