"""`train(records, out)`: records in, a Hugging Face folder out. A killed run resumes at its last checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from expunge._io import digest, read_json, write_json
from expunge.corpus import Record
from expunge.engine import checkpoint
from expunge.engine.interrupt import watch_for_stop
from expunge.engine.train.train_loop import TrainCheckpoint, TrainConfig, TrainProgress, run_training
from expunge.errors import InputError, Interrupted
from expunge.models.fingerprint import model_digest
from expunge.models.language_model import LanguageModel, default_device, load
from expunge.models.threads import set_threads
from expunge.models.tiny import TinyConfig, build, texts_of, train_tokenizer
from expunge.models.vision.tiny_vision import TinyVision, build_vision

CHECKPOINT_EVERY = 10  # epochs


def train(
    records: Sequence[Record],
    out: str | Path,
    *,
    model: str | Path | None = None,
    tiny: TinyConfig = TinyConfig(),
    vision: TinyVision = TinyVision(),
    settings: TrainConfig = TrainConfig(),
    tokenizer_from: str | Path | None = None,
    template: str = "auto",
    on_epoch: Callable[[TrainProgress], None] | None = None,
) -> TrainProgress:
    """Train until the target accuracy on `records`, and write the model to `out`. The same call again resumes.

    Args:
        records: what to learn.
        out: folder of the model, with `train.json` beside the weights.
        model: folder or hub id to start from; None for a model from scratch.
        tiny: size of a model from scratch.
        vision: size of its vision tower, built if a record has an image.
        settings: target accuracy, epochs, optimizer.
        tokenizer_from: folder whose tokenizer a model from scratch uses; a retrained reference needs the original's.
        template: prompt template.
        on_epoch: called after each epoch.

    Returns:
        The last progress; its accuracy may be below the target.

    Raises:
        InputError: `out` holds another model, or a record does not fit the model.
        Interrupted: after Ctrl-C or SIGTERM; the checkpoint is kept.
        RunFailed: the loss is no longer finite.
    """
    out = Path(out)
    tower = vision if any(r.image for r in records) else None
    about = {
        "records": digest(
            sorted(digest([r.id, r.prompt, r.answer, *([r.image.digest] if r.image else [])]) for r in records)
        ),
        "start": model_digest(str(model)) if model else _sizes(tiny, tower),
        "settings": settings.model_dump(mode="json"),
        "tokenizer": str(bool(tokenizer_from)),
    }
    report = out / "train.json"
    earlier = _earlier(out, report, about)
    if "progress" in earlier:
        return TrainProgress(**earlier["progress"])
    threads = set_threads(earlier.get("threads"))
    with watch_for_stop() as stopped:
        if model:
            lm = load(model, template=template)
        else:
            lm = _from_scratch(records, tiny, tower, settings.seed, tokenizer_from)
        lm.template.encode_all(records)  # a record that does not fit must not leave a half-made folder
        if not earlier:
            write_json(report, {"about": about, "threads": threads})

        def after_epoch(state: TrainCheckpoint) -> None:
            if on_epoch:
                on_epoch(state.progress)
            stop = stopped()
            if stop or state.progress.epoch % CHECKPOINT_EVERY == 0:
                checkpoint.save(out / "checkpoint", state.to_dict())
            if stop:
                raise Interrupted(
                    str(out),
                    f"stopped after epoch {state.progress.epoch}, checkpoint kept",
                    "start the same command again to resume",
                )

        progress = run_training(lm, records, settings, after_epoch, checkpoint.load(out / "checkpoint"))
    lm.save(out)
    write_json(report, {"about": about, "threads": threads, "progress": asdict(progress), "parameters": lm.parameters})
    shutil.rmtree(out / "checkpoint", ignore_errors=True)
    return progress


def _earlier(out: Path, report: Path, about: dict[str, Any]) -> dict[str, Any]:
    """The content of an earlier run's `train.json`, empty for a new folder; `InputError` if it is another model's."""
    if out.exists() and not out.is_dir():
        raise InputError(str(out), "is a file", "name a folder for the model")
    if report.is_file():
        earlier: dict[str, Any] = read_json(report)
        if earlier["about"] != about:
            raise InputError(str(out), "holds a model trained on other records or settings", "choose another folder")
        return earlier
    if out.is_dir() and any(out.iterdir()):
        raise InputError(str(out), "is not empty and holds no model that expunge trained", "choose a new folder")
    return {}


def _sizes(tiny: TinyConfig, vision: TinyVision | None) -> dict[str, Any]:
    return tiny.model_dump(mode="json") | ({"vision": vision.model_dump(mode="json")} if vision else {})


def _from_scratch(
    records: Sequence[Record], tiny: TinyConfig, vision: TinyVision | None, seed: int, tokenizer_from: str | Path | None
) -> LanguageModel:
    if tokenizer_from is None:
        tokenizer: Any = train_tokenizer(texts_of(records), tiny.vocabulary)
    else:
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_from), local_files_only=True)
        except (OSError, ValueError) as error:
            raise InputError(
                str(tokenizer_from), "holds no tokenizer", "name a folder written by expunge train"
            ) from error
    if vision is None:
        return LanguageModel.from_parts(build(tiny, tokenizer, seed).to(default_device()), tokenizer, "from scratch")
    module, processor = build_vision(vision, tiny, tokenizer, seed)
    return LanguageModel.from_parts(module.to(default_device()), tokenizer, "from scratch", processor=processor)
