"""What a text after --model means; a typing error is answered at once and nothing is sent anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expunge.errors import InputError
from expunge.models.hub import only_cached
from expunge.models.language_model import check, load
from expunge.models.source import base_of_adapter, is_hub_id, kind_of


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path]) -> Path:
    """A working folder with runs/tiny, a model; asking the hub fails the test."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "tiny").symlink_to(folders["llama"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("expunge.models.loading.only_cached", lambda source: pytest.fail("the hub was asked"))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("runs/tinny", "did you mean runs/tiny?"),
        ("runz/tiny", "did you mean runs/tiny?"),
        ("runs/tiny/modell", "named owner/name"),
        ("./elsewhere", "named owner/name"),
        ("gpt2", "named owner/name"),
        ("a/b/c", "named owner/name"),
        ("owner name/model", "named owner/name"),
    ],
)
def test_a_typing_error_is_no_hub_id(place: Path, text: str, hint: str) -> None:
    for look in (check, load):
        with pytest.raises(InputError, match="there is no such model folder") as error_info:
            look(text)
        assert hint in str(error_info.value)


def test_only_owner_and_name_go_to_the_hub(place: Path) -> None:
    assert is_hub_id("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert kind_of("someone/model") == "hub"
    assert not is_hub_id("runs/model")
    assert kind_of("runs/tiny") == "folder"


def test_a_hub_that_is_not_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreached(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub.constants, "is_offline_mode", lambda: False)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreached)
    with pytest.raises(InputError, match="no route to host") as error_info:
        only_cached("nobody/nothing")
    assert "HF_HUB_OFFLINE" in str(error_info.value)
    monkeypatch.setattr(huggingface_hub.constants, "is_offline_mode", lambda: True)
    with pytest.raises(InputError, match="not in the cache"):
        only_cached("nobody/nothing")


def test_unfinished_training_is_to_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text("{}")
    with pytest.raises(InputError, match=r"training is not finished; .*resume"):
        check(tmp_path)


def test_a_folder_with_several_gguf_files_names_one(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(InputError, match=r"holds 2 GGUF files; name one of them, for example .*a\.gguf"):
        check(tmp_path)
    (tmp_path / "b.gguf").unlink()
    assert kind_of(tmp_path) == "gguf"
    (tmp_path / "a.gguf").write_bytes(b"no such")
    with pytest.raises(InputError, match="is no GGUF file"):
        load(tmp_path)
    (tmp_path / "a.gguf").write_bytes(b"GGUF\3\0\0\0")
    with pytest.raises(InputError, match="this GGUF file cannot be read"):
        load(tmp_path)


def test_an_adapter_names_its_base_or_says_which_is_missing(tmp_path: Path, folders: dict[str, Path]) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    config = adapter / "adapter_config.json"
    config.write_text("{}")
    with pytest.raises(InputError, match="names no base model"):
        check(adapter)
    config.write_text(json.dumps({"base_model_name_or_path": "/nowhere/at/all"}))
    with pytest.raises(InputError, match="holds no adapter weights"):
        check(adapter)
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="its base model /nowhere/at/all is not there"):
        check(adapter)
    (tmp_path / "base").symlink_to(folders["llama"])
    config.write_text(json.dumps({"base_model_name_or_path": "../base"}))
    assert base_of_adapter(adapter) == str(folders["llama"].resolve())
    assert kind_of(adapter) == "adapter"
    with pytest.raises(InputError, match="does not fit its base"):
        load(adapter)
