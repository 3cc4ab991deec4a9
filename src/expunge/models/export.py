"""A run becomes a folder to deploy: one merged model, or its adapter; with a model card and digests.

The folder appears whole or not at all: it is written beside its place and renamed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from expunge._io import allowed_mode, digest, digest_files, read_json, write_atomic, write_json
from expunge.errors import InputError, first_line
from expunge.models.adapter_export import check_exportable, write_adapter
from expunge.models.adapter_folder import attach
from expunge.models.dtypes import FLOATS
from expunge.models.export_check import LogitComparison, compare, probe_logits
from expunge.models.fingerprint import check_result, check_unchanged, model_digest, model_parts, weights_digest
from expunge.models.gguf import as_plain_model
from expunge.models.language_model import LanguageModel, load, merge_adapter
from expunge.models.loading import guard_loading
from expunge.models.model_card import model_card
from expunge.models.precision import is_quantized, weight_dtype
from expunge.models.run_file import read_run_file
from expunge.models.source import base_of_adapter, base_of_run, kind_of, read_finished_run, whole_run

Form = Literal["merged", "adapter"]
ABOUT = "expunge.json"
BASE_KNOWS = "the base model still knows what the run forgot: whoever drops the adapter has it back"


@dataclass(frozen=True)
class Export:
    """A written export.

    Attributes:
        folder: where it lies.
        about: the content of its expunge.json.
        comparison: with the run, if it was verified.
        warnings: lines that the user must read.
    """

    folder: Path
    about: dict[str, Any]
    comparison: LogitComparison | None = None
    warnings: tuple[str, ...] = ()


def export(
    run: str | Path,
    out: str | Path,
    *,
    form: Form = "merged",
    dtype: str = "auto",
    verify: bool = False,
    audit: str | Path | None = None,
    device: str | None = None,
    on_progress: Callable[[str, float], None] | None = None,
) -> Export:
    """Write what a run made to `out`, as a folder that transformers, peft and vLLM read.

    Args:
        run: finished run directory. A GGUF file, adapter folder or model folder is converted to a model folder.
        out: new folder.
        form: `merged`, one model; or `adapter`, which needs the base model beside it.
        dtype: precision of the written weights: auto (as the run loaded its base), float32, bfloat16 or float16.
        verify: compare the logits of the written model with those of the run, before the folder gets its name.
        audit: an audit.json of this run, for the model card.
        device: torch device of the comparison; merging happens in float32 on the CPU.
        on_progress: called with a phrase and the share done, 0 to 1.

    Raises:
        InputError: no finished run; an `out` that is not empty, or inside the run or a model; a base model that is
            missing or has changed; an audit of another model; no space left.
        RunFailed: the written model differs from the run.
    """
    report = on_progress or (lambda phrase, done: None)
    run = whole_run(run)
    source, out = Path(run).expanduser(), Path(out).expanduser()
    if form not in ("merged", "adapter"):
        raise InputError("as", f'unknown form "{form}"', "use merged or adapter")
    if dtype not in ("auto", *FLOATS):
        raise InputError("dtype", f'weights cannot be written as "{dtype}"', f"use auto, {', '.join(FLOATS)}")
    kind = kind_of(str(run))
    about = read_finished_run(source) if kind == "run" else {}
    base = base_of_run(source, about) if about.get("model") else None
    check_place(out, [source, *([Path(base)] if base else [])])
    if kind == "run":
        check_result(source)
    if base and (source / "adapter").is_dir():
        kind_of(base)
        check_unchanged(source, about, base)
    judged = audit_facts(Path(audit), str(source)) if audit else {}
    if form == "adapter":
        check_exportable(source, base)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        raise no_space(out, error) from error
    try:
        report("read the run", 0.1)
        if form == "merged":
            lm, quantized = merged_model(str(run), about)
            report("write the model", 0.5)
            kept = _cast(lm, str(about.get("dtype", "auto")) if dtype == "auto" else dtype, str(run))
            kept.save(fresh)
            written = str(weight_dtype(kept.module)).removeprefix("torch.")
            del lm, kept
        else:
            written, quantized = write_adapter(source / "adapter", fresh, str(base), dtype), False
        facts = {
            **_facts(source, about, form, written),
            **({"audit": judged} if judged else {}),
            **({"base_was_quantized": True} if quantized else {}),
            "weights_digest": weights_digest(fresh),
            "parts": model_parts(fresh),
        }
        comparison = None
        if verify:
            report("compare with the run", 0.7)
            precisions = {written, str(about.get("dtype", written))}
            before, after = probe_logits(str(run), device), probe_logits(str(fresh), device)
            comparison = compare(before, after, str(out), precisions)
            facts["verified"] = comparison.to_dict()
        write_json(fresh / ABOUT, facts)
        write_atomic(fresh / "README.md", model_card(facts, base if base and not Path(base).exists() else None))
        _publish(fresh, out)
    except OSError as error:
        raise no_space(out, error) from error
    except InputError as error:
        if str(fresh) in error.where:
            raise InputError(str(out), error.what, error.hint) from error
        raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    report("done", 1.0)
    return Export(out, facts, comparison, (BASE_KNOWS,) if form == "adapter" else ())


def check_place(out: Path, sources: list[Path]) -> None:
    """`InputError` if `out` is a file, not empty, or inside one of `sources`."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        what = "is not empty" if out.is_dir() else "is a file"
        raise InputError(str(out), what, "choose a new folder")
    for source in sources:
        folder = source if source.is_dir() else None
        if folder and out.resolve().is_relative_to(folder.resolve()):
            raise InputError(str(out), f"lies inside {source}, which must stay as it is", "choose a folder outside")


def audit_facts(file: Path, run: str) -> dict[str, Any]:
    """What the model card says of an audit; `InputError` if it was changed, or judges another model."""
    file = file / "audit.json" if file.is_dir() else file
    stored = read_json(file)
    try:
        verdict, judged = stored["verdict"], stored["models"]["unlearned"]["digest"]
        facts = {
            "verdict": str(verdict["status"]),
            "sentence": str(verdict["sentence"]),
            "policy": str(verdict["policy"]),
            "created": str(stored.get("created", "")),
            "assurance": (stored.get("assurance") or {}).get("level"),
            "not_tested": [str(item) for item in stored.get("not_tested", ())],
            "digest": digest_files(file.parent, [file.name]),
        }
        changed = stored.pop("seal", None) != digest(stored)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(str(file), "is no audit", "give the audit.json that expunge audit wrote") from error
    if changed:
        raise InputError(str(file), "its content is not what its seal names", "bring the file back, or audit again")
    if judged != model_digest(run):
        raise InputError(str(file), f"judges another model than {run}", "give the audit of this run")
    return facts


def merged_model(source: str, about: dict[str, Any]) -> tuple[LanguageModel, bool]:
    """The model of a run with everything folded in, in float32 on the CPU; and whether its base was quantized.

    Half precision is widened before the adapter is added, so that the sum is rounded once, when it is written. A
    quantized base is dequantized: the export is then the model that was trained and audited, in more bits.

    Args:
        source: as for `export`.
        about: the content of run.json; empty for what is no run.
    """
    lm = load(source, device="cpu")
    quantized = is_quantized(lm.module)
    with guard_loading(source, "export needs the model in memory in float32"):
        if quantized and about and (Path(source) / "adapter").is_dir():
            base = load(base_of_run(Path(source), about), device="cpu", dtype=str(about.get("dtype", "auto")))
            lm = lm.with_module(attach(_dequantize(base.module).float(), Path(source) / "adapter"))
        elif quantized:
            lm = lm.with_module(_dequantize(lm.module))
        lm = lm.with_module(lm.module.float())
    return merge_adapter(lm), quantized


def _dequantize(module: Any) -> Any:
    module = as_plain_model(module.dequantize() or module)
    module.config.dtype = "float32"
    return module


def _cast(lm: LanguageModel, dtype: str, source: str) -> LanguageModel:
    import torch

    if dtype not in FLOATS:
        dtype = str(getattr(lm.module.config, "dtype", None) or "float32").removeprefix("torch.")
    with guard_loading(source):
        return lm.with_module(lm.module.to(getattr(torch, dtype if dtype in FLOATS else "float32")))


def _facts(source: Path, about: dict[str, Any], form: Form, dtype: str) -> dict[str, Any]:
    """What expunge.json says; nothing that names a person or a place."""
    identity = about.get("identity", {})
    split = about.get("split", {})
    return {
        "format": 1,
        "as": form,
        "dtype": dtype,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": {
            "digest": model_digest(str(source)),
            "created": about.get("created"),
            "method": about.get("method"),
            "recipe_digest": identity.get("recipe"),
            "steps": about.get("steps"),
            "trainable_share": about.get("trainable_share"),
            "edited": about.get("edited"),
            "say": about.get("say"),
            "records": {name: split[name] for name in ("forget", "retain") if isinstance(split.get(name), int)},
        }
        if about
        else None,
        "base_digest": identity.get("model"),
        # over the records too, as a name alone could be found by trying names
        "scope_digest": digest([about.get("scope"), identity.get("split")]) if about else None,
    }


def _publish(fresh: Path, out: Path) -> None:
    if out.is_dir():
        out.rmdir()
    fresh.chmod(allowed_mode(0o777))
    fresh.rename(out)


def no_space(out: Path, error: OSError) -> InputError:
    """The error for a folder that cannot be written."""
    return InputError(
        str(out),
        f"could not be written ({error.strerror or first_line(error)})",
        "free some space or choose another folder; nothing was left there",
    )


def remaining_copies(run: str | Path) -> list[Path | str]:
    """What still holds the old weights after a run: files, folders, and hub ids, each once.

    These are the base model, the model that this one was made of, and so on; and in the run folder a checkpoint,
    cached states, and the old weights that an edit keeps. Only what exists is named.
    """
    folder = Path(run)
    about = read_run_file(folder) if (folder / "run.json").is_file() else {}
    copies: list[Path | str] = []
    base = base_of_run(folder, about) if about.get("model") else None
    while base and base not in map(str, copies):
        path = Path(base)
        copies.append(path if path.exists() else base)
        base = None
        with suppress(InputError):
            if (path / "run.json").is_file():
                base = base_of_run(path, read_run_file(path))
            elif (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
                base = base_of_adapter(path)
    return [*copies, *(p for name in ("checkpoint", "cache", "undo.safetensors") if (p := folder / name).exists())]
