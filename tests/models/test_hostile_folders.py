"""Folders of strangers: no code in them runs, what they ask for is bounded, and each is refused in one line."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.cli import main
from expunge.errors import InputError
from expunge.models.language_model import load
from expunge.models.loading import PACKAGES
from helpers.other_models import STYLES, byte_level

Json = dict[str, Any]
Copy = Callable[..., Path]


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Copy:
    """A copy of the small Llama whose JSON files hold further entries."""

    def make(**changes: Json) -> Path:
        folder = tmp_path / "copy"
        shutil.copytree(folders["llama"], folder, dirs_exist_ok=True)
        for name, change in changes.items():
            file = folder / f"{name}.json"
            file.write_text(json.dumps((json.loads(file.read_text()) if file.is_file() else {}) | change))
        return folder

    return make


@pytest.fixture
def yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who answers every question with yes."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 100))
    monkeypatch.setattr("builtins.input", lambda *_: "y")


def refused(source: Path, seconds: float = 20, **options: Any) -> str:
    started = time.process_time()
    with pytest.raises(InputError) as caught:
        load(source, **options)
    line = str(caught.value)
    assert time.process_time() - started < seconds
    assert "\n" not in line
    assert len(line) < 2200
    return line


# ---- code -----------------------------------------------------------------------------------------------------------


def with_code(folder: Path, marker: Path) -> Path:
    """A module that leaves a mark when it is imported."""
    text = f"open({str(marker)!r}, 'w').write('ran')\nclass T: pass\nclass C: pass\nclass M: pass\nclass P: pass\n"
    (folder / "evil.py").write_text(text)
    return folder


REMOTE: dict[str, Json] = {
    "a class of its own": {
        "tokenizer_config": {"tokenizer_class": "T", "auto_map": {"AutoTokenizer": [None, "evil.T"]}}
    },
    "a slow class": {"tokenizer_config": {"tokenizer_class": "T", "auto_map": {"AutoTokenizer": ["evil.T", None]}}},
    "the old form": {"tokenizer_config": {"tokenizer_class": "T", "auto_map": ["evil.T", "evil.T"]}},
    "no class named": {"tokenizer_config": {"auto_map": {"AutoTokenizer": [None, "evil.T"]}}},
    "a model": {"config": {"model_type": "x", "auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}}},
    "a model of a known kind": {"config": {"auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}}},
    "a processor": {"processor_config": {"processor_class": "P", "auto_map": {"AutoProcessor": "evil.P"}}},
}


@pytest.mark.usefixtures("yes")
@pytest.mark.parametrize("kind", REMOTE)
def test_no_code_of_a_folder_runs(copy: Copy, tmp_path: Path, kind: str) -> None:
    folder, marker = with_code(copy(**REMOTE[kind]), tmp_path / "marker"), tmp_path / "marker"
    data = tmp_path / "records.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"p{k}", "answer": "a"}) + "\n" for k in range(4)))
    tiny = ("--layers", "1", "--width", "32", "--heads", "2", "--context", "32", "--epochs", "1")
    if kind in ("a model of a known kind", "a processor", "no class named"):
        assert load(folder).parameters
    else:
        refused(folder)
    code = main(["train", "--data", str(data), "--out", str(tmp_path / "o"), "--tokenizer-from", str(folder), *tiny])
    assert code in (2, 3)
    assert not marker.exists()


@pytest.mark.usefixtures("yes")
def test_no_code_beside_an_adapter_runs(copy: Copy, folders: dict[str, Path], tmp_path: Path) -> None:
    from models.test_loading import adapter_folder

    folder, _ = adapter_folder(folders["llama"], tmp_path / "adapter", layers=1)
    for file in copy(**REMOTE["a class of its own"]).glob("tokenizer*"):
        shutil.copy(file, folder)
    marker = tmp_path / "marker"
    refused(with_code(folder, marker))
    assert not marker.exists()
    (folder / "tokenizer_config.json").unlink()
    for change in ({"megatron_config": {"a": 1}, "megatron_core": "evil"}, {"layer_replication": [[0, 10**6]]}):
        config = folder / "adapter_config.json"
        before = json.loads(config.read_text())
        config.write_text(json.dumps(before | change))
        assert "is not supported" in refused(folder)
        config.write_text(json.dumps(before))
    assert not marker.exists()


def test_a_pickle_with_a_call_is_refused(copy: Copy, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return open, (str(tmp_path / "marker"), "w")

    folder = copy()
    (folder / "model.safetensors").unlink()
    torch.save({"x": Evil()}, folder / "pytorch_model.bin")
    refused(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Evil()}))
    refused(folder)
    assert not (tmp_path / "marker").exists()


def test_attention_from_the_hub_is_never_fetched(copy: Copy) -> None:
    for name in ("_attn_implementation", "attn_implementation"):
        assert "names code on the hub" in refused(copy(config={name: "owner/kernel"}))
        copy(config={name: None})


# ---- work -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"num_hidden_layers": 10**6},
        {"num_hidden_layers": 10**18},
        {"hidden_size": 10**12},
        {"vocab_size": 10**15},
        {"num_attention_heads": 10**11},
        {"text_config": {"num_hidden_layers": 10**6}},
        {"num_local_experts": 10**9},
    ],
)
def test_a_config_without_measure_is_refused_before_anything_is_built(copy: Copy, change: Json) -> None:
    assert "its config says " in refused(copy(config=change), seconds=5)


def test_a_large_or_deep_config_is_refused(copy: Copy) -> None:
    folder = copy()
    for text in ("[" * 100_000, json.dumps({"a": "x" * 5_000_000}), "[]", "null", '{"a": NaN', ""):
        (folder / "config.json").write_text(text)
        refused(folder)


def test_a_rank_that_no_tensor_has_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    from models.test_loading import adapter_folder

    folder, _ = adapter_folder(folders["llama"], tmp_path / "adapter", layers=1)
    config = json.loads((folder / "adapter_config.json").read_text())
    for change in ({"r": 10**9}, {"rank_pattern": {"q_proj": 10**9}}):
        (folder / "adapter_config.json").write_text(json.dumps(config | change))
        assert "says rank 1000000000, the largest tensor" in refused(folder)
    for text in ("[]", "null", "3", "[" * 10**5):
        (folder / "adapter_config.json").write_text(text)
        refused(folder)


LOOP = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (LOOP, "takes more than"),
        (
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
            "takes more than",
        ),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nested too deeply|recursion"),
        ("{{ 10 ** 10 ** 10 }}", "computes a power in line 1"),
        ("\n{{ 'a' * 100000000000 }}", "holds a number of 12 digits in line 2"),
        ("x" * 2_000_000, "has more than 1,000,000 characters"),
        ("{{ " + "(" * 5000, "fails on a question|nested too deeply"),
        ("{% for m in messages %}{{ m['content'] }", "unexpected '}'"),
        ("{{ ''.__class__.__mro__ }}", "fails|does not hold"),
    ],
)
def test_a_chat_template_without_end_is_refused(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, template: str, message: str
) -> None:
    monkeypatch.setattr("expunge.models.template_check.SECONDS", 1.0)
    folder = copy()
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(InputError, match=message) as caught:
        load(folder)
    assert "use the template plain" in str(caught.value)
    assert load(folder, template="plain").template.kind == "plain"


def test_a_template_that_loops_on_one_record_only_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    from expunge.corpus import Record
    from expunge.models.prompt_template import PromptTemplate

    monkeypatch.setattr("expunge.models.prompt_template.SECONDS", 1.0)
    tokenizer = byte_level(STYLES["chatml"].special, None, "<|endoftext|>")
    tokenizer.chat_template = (
        STYLES["chatml"].source + "{% if 'loop' in messages[-1]['content'] %}" + LOOP + "{% endif %}"
    )
    template = PromptTemplate.of(tokenizer, 256)
    assert template.encode(Record("r", "Where?", "here")).prompt
    with pytest.raises(InputError, match=r'^records from "s" on: the chat template takes more than 1 seconds'):
        template.encode(Record("s", "Where?", "loop"))


def test_a_huge_prompt_is_refused_before_it_is_tokenized(folders: dict[str, Path]) -> None:
    from expunge.corpus import Record

    template = load(folders["llama"]).template
    started = time.process_time()
    with pytest.raises(
        InputError, match=r'record "r": holds 10,000,001 characters, the model reads at most 128 tokens'
    ):
        template.encode(Record("r", "a " * 5_000_000, "b"))
    assert time.process_time() - started < 1


# ---- what libraries throw -------------------------------------------------------------------------------------------


def panics(at: str) -> Json:
    """Part of a tokenizer.json at which the library, written in Rust, panics."""
    regex = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    return {
        "a text": {"pre_tokenizer": regex},
        "a charsmap": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
    }[at]


def test_a_panic_of_the_tokenizer_is_one_line(copy: Copy) -> None:
    from expunge.corpus import Record

    refused(copy(tokenizer=panics("a charsmap")))
    copy(tokenizer={"normalizer": None})
    template = load(copy(tokenizer=panics("a text"))).template
    with pytest.raises(InputError, match=r'^records from "r" on: they cannot be tokenized \(.*retry-limit'):
        template.encode(Record("r", "a" * 60 + "!", "b"))


@pytest.mark.parametrize("method", [*PACKAGES, "fp8", "bitnet", "nobody-knows"])
def test_a_quantized_folder_names_the_package_it_needs(copy: Copy, method: str) -> None:
    settings = {"quant_method": method, "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"}
    folder = copy(config={"quantization_config": settings | {"load_in_4bit": True}})
    try:
        load(folder)
    except InputError as error:
        line = str(error)
    else:
        pytest.skip("the package is installed")
    assert "\n" not in line
    assert f"its weights are quantized ({method}), which cannot be read here" in line or "its file lacks" in line
    if method in PACKAGES and "cannot be read" in line:
        assert f"pip install {PACKAGES[method]}" in line


def test_a_peft_folder_without_its_base_says_that_it_is_an_adapter(folders: dict[str, Path], tmp_path: Path) -> None:
    from models.test_loading import adapter_folder

    folder, _ = adapter_folder(folders["llama"], tmp_path / "adapter", layers=1)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "gone/away/base"}))
    assert "its base model gone/away/base is not there" in refused(folder)
    (folder / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "NOBODY"}))
    assert "does not fit its base model" in refused(folder)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(b"\x10" * 100)
    assert "does not fit its base model" in refused(folder)


def test_an_encoder_decoder_is_no_causal_model(copy: Copy) -> None:
    folder = copy()
    (folder / "config.json").write_text(json.dumps({"model_type": "t5", "d_model": 8, "num_layers": 1}))
    assert "t5 is no causal language model" in refused(folder)


@pytest.mark.parametrize("source", ["a\0b", "x" * 5000, "~nobody-here/x", "a\ud800b", "", "\x1b[2J/x"])
def test_a_text_that_can_be_no_path_is_no_model(source: str) -> None:
    with pytest.raises(InputError) as caught:
        load(source)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 1500
