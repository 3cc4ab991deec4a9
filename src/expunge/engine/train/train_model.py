"""The front door of memorising: corpus in, Hugging Face folder out. Killed runs resume at the last whole epoch.

memorise(records, "runs/model")                        a small model from scratch, with its own tokenizer
memorise(records, "runs/model", model="some/folder")   go on training an existing one
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from expunge._io import digest, read_json, write_json
from expunge.corpus import Record
from expunge.engine import checkpoint
from expunge.engine.train.train_loop import TrainConfig, TrainProgress, TrainState, run_training
from expunge.engine.unlearn import model_digest, watch_for_stop
from expunge.errors import InputError, Interrupted
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
    """Train until `settings.share` of the answers of `records` is reproduced exactly; write the model to `out`.

    model           start from this folder or hub id; None: from scratch in the size `tiny`, and where a record shows a
                    picture with a vision tower of the size `vision`
    tokenizer_from  folder whose tokenizer a model from scratch takes over (a retrained reference needs the same)
    The same call again returns at once, or resumes. `InputError` if `out` holds another model.
    """
    out = Path(out)
    pictures = any(r.image for r in records)
    about = {
        "records": digest(
            sorted(digest([r.id, r.prompt, r.answer, *([r.image.digest] if r.image else [])]) for r in records)
        ),
        "start": model_digest(str(model)) if model else _size(tiny, vision if pictures else None),
        "settings": settings.model_dump(mode="json"),
        "tokenizer": str(bool(tokenizer_from)),
    }
    done = out / "train.json"
    if out.exists() and not out.is_dir():
        raise InputError(str(out), "is a file", "name a folder for the model")
    if done.is_file():
        found = read_json(done)
        if found["about"] != about:
            raise InputError(
                str(out), "holds a model memorised from other records or settings", "choose another folder"
            )
        if "progress" in found:
            return TrainProgress(**found["progress"])
    elif out.is_dir() and any(out.iterdir()):
        raise InputError(str(out), "is not empty and holds no model of ours", "choose a new folder")
    threads = set_threads(read_json(done).get("threads") if done.is_file() else None)
    with watch_for_stop() as stopped:
        lm = (
            load(model, template=template)
            if model
            else _fresh(records, tiny, vision if pictures else None, settings.seed, tokenizer_from)
        )
        lm.template.encode_all(records)  # a record that does not fit must not leave a half-made folder
        if not done.is_file():
            write_json(done, {"about": about, "threads": threads})
        state = checkpoint.load(out / "checkpoint")

        def keep(taught: TrainState) -> None:
            if on_epoch:
                on_epoch(taught.progress)
            stop = stopped()
            if stop or taught.progress.epoch % CHECKPOINT_EVERY == 0:
                checkpoint.save(out / "checkpoint", _state(lm, taught))
            if stop:
                raise Interrupted(
                    str(out),
                    f"stopped after epoch {taught.progress.epoch}, checkpoint kept",
                    "start the same command again to resume",
                )

        progress = run_training(lm, records, settings, keep, state)
    lm.save(out)
    write_json(done, {"about": about, "threads": threads, "progress": asdict(progress), "parameters": lm.parameters})
    shutil.rmtree(out / "checkpoint", ignore_errors=True)
    return progress


def _size(tiny: TinyConfig, vision: TinyVision | None) -> dict[str, Any]:
    return tiny.model_dump(mode="json") | ({"vision": vision.model_dump(mode="json")} if vision else {})


def _fresh(
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


def _state(lm: LanguageModel, taught: TrainState) -> dict[str, Any]:
    return {
        "parameters": {n: p.detach() for n, p in lm.module.named_parameters()},
        "optimizer": taught.optimizers.state(),
        "step": taught.step,
        "progress": asdict(taught.progress),
    }
