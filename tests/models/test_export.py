"""A run becomes one folder that other libraries read; or nothing is left."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from expunge._io import digest
from expunge.engine.recipe import Recipe
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError, RunFailed
from expunge.models.export import audit_facts, export, remaining_copies
from expunge.models.export_check import TEXTS, compare
from expunge.models.fingerprint import model_digest
from expunge.models.language_model import LanguageModel, load
from helpers.expert_models import write_expert_model
from helpers.runs import recipe
from helpers.world import one_person, write_model

IDS = torch.tensor([[5, 9, 300, 7, 1, 12]])
FAST = {"lr": 0.05}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("base") / "llama")


@pytest.fixture(scope="module")
def run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps with a visible effect. Read only."""
    return unlearn(base, one_person(), recipe("npo", optimizer=FAST), tmp_path_factory.mktemp("runs") / "run")


def logits(source: Path) -> Tensor:
    result: Tensor = load(source).module(input_ids=IDS).logits.detach()
    return result


def test_the_merged_model_is_the_run_and_loads_in_transformers(run: Path, base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, pipeline

    done = export(run, tmp_path / "out", verify=True)
    assert done.comparison is not None
    assert done.comparison.share < 1e-5
    assert not torch.allclose(logits(run), logits(base), atol=1e-3)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    torch.testing.assert_close(plain(input_ids=IDS).logits, logits(run), rtol=1e-4, atol=1e-4)
    assert pipeline("text-generation", model=str(tmp_path / "out"))("The ", max_new_tokens=2)
    about = json.loads((tmp_path / "out" / "expunge.json").read_text())
    assert about["run"]["digest"] == model_digest(str(run))
    assert about["base_digest"] == model_digest(str(base))
    assert about["verified"]["texts"] == len(TEXTS)


def test_the_card_names_no_person_and_no_place(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "out")
    scope = json.loads((run / "run.json").read_text())["scope"]
    for file in ("README.md", "expunge.json", "config.json"):
        text = (tmp_path / "out" / file).read_text()
        assert scope not in text
        assert scope.rpartition(":")[2] not in text
        assert str(run.parent) not in text
    card = (tmp_path / "out" / "README.md").read_text()
    for phrase in ("| Method | npo |", "No audit was given", "with its old base", "## Limits"):
        assert phrase in card


def test_half_precision_is_written_and_compared(run: Path, tmp_path: Path) -> None:
    done = export(run, tmp_path / "out", dtype="bfloat16", verify=True)
    assert {t.dtype for t in load_file(str(tmp_path / "out" / "model.safetensors")).values()} == {torch.bfloat16}
    assert done.comparison is not None
    assert 1e-5 < done.comparison.share < done.comparison.tolerance == 0.1


def test_an_adapter_keeps_to_what_peft_and_vllm_read(run: Path, base: Path, tmp_path: Path) -> None:
    from peft import AutoPeftModelForCausalLM

    done = export(run, tmp_path / "out", form="adapter", verify=True)
    assert "still knows" in done.warnings[0]
    assert "not erasure" in (tmp_path / "out" / "README.md").read_text()
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(base.resolve())
    assert (config["r"], config["lora_alpha"], config["bias"], config["task_type"]) == (8, 16, "none", "CAUSAL_LM")
    assert not {"modules_to_save", "use_rslora", "use_dora"} & set(config)  # vLLM refuses the first and the last
    names = load_file(str(tmp_path / "out" / "adapter_model.safetensors"))
    modules = {n.removeprefix("base_model.model.").rpartition(".lora_")[0] for n in names}
    assert all(n.startswith("base_model.model.") and n.endswith((".lora_A.weight", ".lora_B.weight")) for n in names)
    assert all(any(f".{m}".endswith(f".{target}") for target in config["target_modules"]) for m in modules)
    other = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    torch.testing.assert_close(other(input_ids=IDS).logits, logits(run), rtol=1e-4, atol=1e-4)


def test_the_run_itself_names_its_base_as_seen_from_its_adapter(run: Path, base: Path) -> None:
    address = json.loads((run / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert not Path(address).is_absolute()
    assert (run / "adapter" / address).resolve() == base.resolve()
    assert "still\nknows them" in (run / "adapter" / "README.md").read_text()


@pytest.mark.parametrize("method", ["npo", "chip"])
def test_runs_that_changed_the_weights_are_exported(base: Path, method: str, tmp_path: Path) -> None:
    plan = Recipe(method="chip") if method == "chip" else recipe("npo", train={"which": "full"}, optimizer={"lr": 0.01})
    run = unlearn(base, one_person(), plan, tmp_path / "run")
    export(run, tmp_path / "out", verify=True)
    assert torch.equal(logits(tmp_path / "out"), logits(run))
    with pytest.raises(InputError, match="has no adapter"):
        export(run, tmp_path / "adapter", form="adapter")


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe"])
def test_runs_on_experts_are_exported(kind: str, tmp_path: Path) -> None:
    base = write_expert_model(tmp_path / "base", kind)
    run = unlearn(base, one_person(), recipe("npo", optimizer=FAST, train={"layers": 1}), tmp_path / "run")
    assert json.loads((run / "run.json").read_text())["trainable_share"] > 0.95
    tensors = load_file(str(run / "adapter" / "adapter_model.safetensors"))
    assert any("experts" in name and "lora_B" in name and t.abs().max() > 0 for name, t in tensors.items())
    done = export(run, tmp_path / "out", verify=True)
    assert done.comparison is not None
    torch.testing.assert_close(logits(tmp_path / "out"), logits(run), rtol=1e-4, atol=1e-4)


def test_bfloat16_runs_keep_their_precision(base: Path, tmp_path: Path) -> None:
    run = unlearn(base, one_person(), recipe("npo", optimizer=FAST), tmp_path / "run", dtype="bfloat16")
    about = json.loads((run / "run.json").read_text())
    assert (about["dtype"], about["identity"]["dtype"]) == ("bfloat16", "bfloat16")
    adapter = load_file(str(run / "adapter" / "adapter_model.safetensors"))
    assert {t.dtype for t in adapter.values()} == {torch.float32}
    assert load(run).module.get_input_embeddings().weight.dtype is torch.bfloat16
    assert export(run, tmp_path / "out", verify=True).about["dtype"] == "bfloat16"
    with pytest.raises(InputError, match="its dtype differs"):
        unlearn(base, one_person(), recipe("npo", optimizer=FAST), run, dtype="float32")
    with pytest.raises(InputError, match="float16 cannot train"):
        unlearn(base, one_person(), recipe("npo"), tmp_path / "half", dtype="float16")


def test_a_base_that_changed_is_refused(base: Path, run: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other", seed=1)
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    about = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(about | {"model": str(other)}))
    for act in (load, lambda source: export(source, tmp_path / "out")):
        with pytest.raises(InputError, match="has changed since the run"):
            act(copy)
    assert not (tmp_path / "out").exists()


def test_places_that_would_mix_folders_are_refused(run: Path, base: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    (tmp_path / "file").write_text("x")
    wrong = {run / "out": "lies inside", base / "out": "lies inside", tmp_path / "full": "is not empty"}
    for out, reason in (wrong | {tmp_path / "file": "is a file"}).items():
        with pytest.raises(InputError, match=reason):
            export(run, out)
    (tmp_path / "empty").mkdir()
    assert export(run, tmp_path / "empty").folder == tmp_path / "empty"


def test_a_full_disk_leaves_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for owner, name in ((LanguageModel, "save"), (shutil, "copyfile")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, full)
            form: Any = "merged" if name == "save" else "adapter"
            with pytest.raises(InputError, match=r"No space left on device.*nothing was left"):
                export(run, tmp_path / "out", form=form)
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_differs_is_not_written(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expunge.models.export.merge_adapter", lambda lm: lm.with_module(lm.module.unload()))
    with pytest.raises(RunFailed, match="its logits differ from the run's"):
        export(run, tmp_path / "out", verify=True)
    assert list(tmp_path.iterdir()) == []


def test_two_sets_of_logits_are_compared_by_hand() -> None:
    before, after = [torch.tensor([[2.0, 0.0], [0.0, 4.0]])], [torch.tensor([[2.0, 0.1], [0.0, 4.0]])]
    result = compare(before, after, "x", ["bfloat16"])
    assert (result.difference, result.share, result.agreement) == (pytest.approx(0.1), pytest.approx(0.025), 1.0)
    with pytest.raises(RunFailed, match=r"by a share of 0\.025, more than 0\.0001"):
        compare(before, after, "x", ["float32"])
    with pytest.raises(RunFailed, match="other tokens"):
        compare(before, [after[0][:1]], "x", ["float32"])


def write_audit(file: Path, run: Path) -> Path:
    verdict = {"status": "passed", "sentence": "Passed: all 5.", "policy": "strict"}
    models = {"unlearned": {"digest": model_digest(str(run))}}
    content = {"verdict": verdict, "models": models, "not_tested": ["sampling"]}
    file.write_text(json.dumps({**content, "seal": digest(content)}))
    return file


def test_the_audit_of_this_run_stands_in_the_card(run: Path, base: Path, tmp_path: Path) -> None:
    audit = write_audit(tmp_path / "audit.json", run)
    done = export(run, tmp_path / "out", audit=audit)
    assert done.about["audit"] == audit_facts(tmp_path, str(run))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Passed: all 5." in card
    assert done.about["audit"]["digest"] in card
    assert "Not tested: sampling." in card
    with pytest.raises(InputError, match="judges another model"):
        audit_facts(audit, str(base))
    for changed in ({"seal": ""}, {"not_tested": []}):
        (tmp_path / "wrong.json").write_text(json.dumps(json.loads(audit.read_text()) | changed))
        with pytest.raises(InputError, match="its content is not what its seal names"):
            export(run, tmp_path / "other", audit=tmp_path / "wrong.json")
    (tmp_path / "wrong.json").write_text("{}")
    with pytest.raises(InputError, match="is no audit"):
        export(run, tmp_path / "other", audit=tmp_path / "wrong.json")


def test_what_still_holds_the_old_weights_is_listed(run: Path, base: Path, tmp_path: Path) -> None:
    assert remaining_copies(run) == [base.resolve()]
    second = unlearn(run, one_person(), recipe("npo"), tmp_path / "second")
    assert remaining_copies(second) == [run.resolve(), base.resolve()]
    (second / "checkpoint").mkdir(exist_ok=True)
    assert remaining_copies(second)[-1] == second / "checkpoint"
    with pytest.raises(InputError, match="use --as merged"):
        export(second, tmp_path / "out", form="adapter")
    edited = unlearn(base, one_person(), Recipe(method="chip"), tmp_path / "edited")
    assert remaining_copies(edited) == [base.resolve(), edited / "undo.safetensors"]


def test_a_run_over_images_keeps_its_processor(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed: pip install pillow")
    from expunge.corpus import Corpus
    from expunge.models.vision.processor import VisionProcessor
    from expunge.scope import Scope
    from helpers.vision_models import rows, seeing

    base = seeing().save(tmp_path / "base")
    split = Scope.parse("subject:patient:0").resolve(Corpus.of(rows()))
    run = unlearn(base, split, recipe("npo"), tmp_path / "run")
    export(run, tmp_path / "out", verify=True)
    assert isinstance(load(tmp_path / "out").template.vision_processor, VisionProcessor)


def test_weights_have_the_mode_that_the_umask_leaves(run: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        for form in ("merged", "adapter"):
            export(run, tmp_path / form, form=form)  # type: ignore[arg-type]
    finally:
        os.umask(before)
    weights = [*tmp_path.rglob("*.safetensors")]
    assert {stat.S_IMODE(file.stat().st_mode) for file in weights} == {0o640}
    assert len(weights) == 2
