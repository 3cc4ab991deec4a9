"""What was loaded is the model, or one line says why not."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from expunge.errors import InputError, InputWarning
from expunge.models.adapters import TrainableConfig, prepare
from expunge.models.language_model import LanguageModel, load, merge_adapter
from helpers.world import tokenizer

IDS = torch.tensor([[5, 9, 300, 7, 1, 12]])
Weights = dict[str, Tensor]


@pytest.fixture
def changed(folders: dict[str, Path], tmp_path: Path) -> Callable[[Callable[[Weights], Weights]], Path]:
    """A copy of the small Llama with other weights in its file."""

    def make(change: Callable[[Weights], Weights]) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(folders["llama"], folder)
        file = str(folder / "model.safetensors")
        save_file(change(load_file(file)), file, {"format": "pt"})
        return folder

    return make


def drop(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {k: v for k, v in weights.items() if k != name}


Change = Callable[[Callable[[Weights], Weights]], Path]


def test_missing_weights_would_be_random_and_are_refused(changed: Change) -> None:
    with pytest.raises(InputError, match=r"its file lacks model.layers.1.mlp.up_proj.weight, which would be random"):
        load(changed(drop("model.layers.1.mlp.up_proj.weight")))


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "_fsdp_wrapped_module.", "x.y."])
def test_names_with_a_prefix_are_refused_and_shown(changed: Change, prefix: str) -> None:
    with pytest.raises(InputError, match=rf"its file lacks .*; the file has {re.escape(prefix)}"):
        load(changed(lambda weights: {f"{prefix}{k}": v for k, v in weights.items()}))


@pytest.mark.parametrize(
    "lost", ["model.layers.1.", "model.embed_tokens", "model.norm", "model.layers.2.input_layernorm"]
)
def test_a_lost_part_is_refused_by_name(changed: Change, lost: str) -> None:
    with pytest.raises(InputError, match=f"its file lacks {re.escape(lost)}"):
        load(changed(lambda weights: {k: v for k, v in weights.items() if not k.startswith(lost)}))


def test_a_missing_head_is_refused_unless_it_is_tied(changed: Change, folders: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=r"lacks lm_head\.weight"):
        load(changed(drop("lm_head.weight")))
    assert "lm_head.weight" not in load_file(str(folders["gpt2"] / "model.safetensors"))
    assert load(folders["gpt2"]).parameters


@pytest.mark.parametrize(
    "name",
    ["model.layers.0.self_attn.q_proj.bias", "model.layers.0.mlp.gate.weight", "lm_head.bias", "model.extra.weight"],
)
def test_weights_for_which_the_model_has_no_place_are_refused(changed: Change, name: str) -> None:
    """A bias that the config leaves out changes every answer."""
    with pytest.raises(
        InputError, match=f"its file has {re.escape(name)}, for which the model of its config has no place"
    ):
        load(changed(lambda weights: weights | {name: torch.ones(32)}))


def test_a_weight_of_another_shape_is_refused_by_name(changed: Change) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    with pytest.raises(InputError, match=f"{re.escape(name)} have another shape in its file"):
        load(changed(lambda weights: weights | {name: torch.ones(3, 3)}))


def test_a_warning_of_the_library_that_may_change_the_meaning_is_passed_on(changed: Change) -> None:
    folder = changed(lambda weights: weights)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"bos_token_id": 100_000}))
    with pytest.warns(InputWarning, match="a library warns: Model config: bos_token_id must be"):
        load(folder)


def test_a_model_that_is_whole_is_loaded_without_a_word(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            load(folder)


def test_other_weights_in_the_file_are_a_warning(changed: Change) -> None:
    folder = changed(lambda weights: weights | {"value_head.weight": torch.ones(2, 2)})
    with pytest.warns(InputWarning, match=r"value_head\.weight"):
        load(folder)


def test_a_config_with_fewer_blocks_than_the_file_is_refused(changed: Change) -> None:
    folder = changed(lambda weights: weights)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    with pytest.raises(InputError, match="its config has 2 blocks, its file more"):
        load(folder)
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))
    with pytest.raises(InputError, match=r"lacks model\.layers\.3"):
        load(folder)


def test_weights_that_are_not_finite_are_named(changed: Change) -> None:
    name = "model.layers.0.mlp.up_proj.weight"

    def spoil(weights: Weights) -> Weights:
        weights[name][0, 0] = float("nan")
        return weights

    with pytest.raises(InputError, match=rf"its weight {name} is not finite"):
        load(changed(spoil))


def test_a_model_that_sees_later_tokens_is_refused(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForMaskedLM

    shape: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    BertForMaskedLM(BertConfig(vocab_size=400, intermediate_size=64, **shape)).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="it reads the tokens that it has to predict"):
        load(tmp_path)


@pytest.mark.parametrize("method", ["gptq", "awq", "compressed-tensors"])
def test_a_quantized_folder_without_its_package_is_one_line(changed: Change, method: str) -> None:
    folder = changed(lambda weights: weights)
    config = json.loads((folder / "config.json").read_text())
    quantization = {"quant_method": method, "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"}
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": quantization}))
    with pytest.raises(InputError) as error_info:
        load(folder)
    assert "\n" not in str(error_info.value)


def test_a_device_that_is_not_there_is_one_line(folders: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=r"^device: cuda:99 cannot be used"):
        load(folders["llama"], device="cuda:99")
    with pytest.raises(InputError, match=r"^device: gpu cannot be used"):
        load(folders["llama"], device="gpu")


def adapter_folder(base: Path, out: Path, **settings: Any) -> tuple[Path, Tensor]:
    """An adapter as peft saves it, with some effect, and the logits of base and adapter."""
    lm = load(base)
    module = prepare(lm.module, TrainableConfig(**settings), seed=0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.02)
    module.peft_config["default"].base_model_name_or_path = str(base)
    module.save_pretrained(out)
    return out, module(input_ids=IDS).logits.detach()


def test_an_adapter_folder_is_merged_into_its_base(folders: dict[str, Path], tmp_path: Path) -> None:
    folder, expected = adapter_folder(folders["llama"], tmp_path / "adapter")
    lm = load(folder)
    torch.testing.assert_close(lm.module(input_ids=IDS).logits, expected, rtol=1e-4, atol=1e-5)
    assert merge_adapter(lm) is lm
    assert lm.notes == (f"the adapter {folder} was merged into its base model {folders['llama'].resolve()}",)
    again = load(lm.save(tmp_path / "merged"))
    torch.testing.assert_close(again.module(input_ids=IDS).logits, expected, rtol=1e-4, atol=1e-5)


def test_an_adapter_of_another_model_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder, _ = adapter_folder(folders["llama"], tmp_path / "adapter", layers=1)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(folders["gpt2"])}))
    with pytest.raises(InputError, match="the adapter does not fit its base model"):
        load(folder)


def test_an_adapter_without_some_tensors_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder, _ = adapter_folder(folders["llama"], tmp_path / "adapter", layers=1)
    file = str(folder / "adapter_model.safetensors")
    tensors = load_file(file)
    name = next(iter(tensors))
    save_file({k: v for k, v in tensors.items() if k != name}, file, {"format": "pt"})
    with pytest.raises(InputError, match="the adapter lacks the tensor"):
        load(folder)


def test_a_gguf_file_becomes_a_model_that_can_be_saved(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="the package gguf is not installed: pip install gguf")
    from helpers.gguf_models import write_gguf

    file, expected = write_gguf(gguf, tmp_path / "tiny.gguf")
    lm = load(file)
    assert lm.notes == ("tiny.gguf was dequantized to float32",)
    torch.testing.assert_close(lm.module(input_ids=IDS).logits, expected, rtol=1e-4, atol=1e-4)
    again: LanguageModel = load(lm.save(tmp_path / "saved"))
    assert torch.equal(again.module(input_ids=IDS).logits, lm.module(input_ids=IDS).logits)
    assert load(file, dtype="bfloat16").module.dtype is torch.bfloat16
