"""`train(records, out)`: records in, a Hugging Face folder out. A killed run resumes at its last checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from expunge._folder import CHECKPOINT, FolderLock, check_folder, has_leftovers, is_free, sweep
from expunge._foreign import foreign
from expunge._io import digest, write_json
from expunge.corpus import Record
from expunge.engine import checkpoint
from expunge.engine.general_ability import GeneralAbility, general_ability, warnings_of
from expunge.engine.interrupt import watch_for_stop
from expunge.engine.train.fine_tune import HALF, FineTuneConfig, as_stored, complete, make_trainable, stored_dtype
from expunge.engine.train.train_checkpoints import TrainCheckpoints
from expunge.engine.train.train_file import TRAIN, read_train_file
from expunge.engine.train.train_loop import TrainConfig, TrainProgress, TrainRows, run_training
from expunge.errors import InputError, InputWarning
from expunge.models.documents import split_documents
from expunge.models.fingerprint import check_parts, model_digest, model_parts, tokenizer_digest
from expunge.models.language_model import LanguageModel, default_device, load
from expunge.models.run_file import weights_problem
from expunge.models.threads import set_threads
from expunge.models.tiny import TinyConfig, build, texts_of, train_tokenizer
from expunge.models.vision.tiny_vision import TinyVision, build_vision

CHECKPOINT_EVERY = 10  # epochs, for small models; see `TrainCheckpoints`
RESULTS = ("progress", "reached", "parameters", "parts")  # keys of train.json that a finished training adds


def train(
    records: Sequence[Record],
    out: str | Path,
    *,
    model: str | Path | None = None,
    tiny: TinyConfig = TinyConfig(),
    vision: TinyVision = TinyVision(),
    settings: TrainConfig | None = None,
    tokenizer_from: str | Path | None = None,
    template: str = "auto",
    device: str | None = None,
    dtype: str = "auto",
    measure_general_ability: bool = True,
    on_epoch: Callable[[TrainProgress], None] | None = None,
    on_step: Callable[[TrainProgress], None] | None = None,
    on_phase: Callable[[str], None] | None = None,
) -> TrainProgress:
    """Train until the target accuracy on `records`, and write the model to `out`. The same call again resumes.

    Args:
        records: what to learn.
        out: folder of the model, with `train.json` beside the weights.
        model: folder or hub id to start from; None for a model from scratch.
        tiny: size of a model from scratch.
        vision: size of its vision tower, built if a record has an image.
        settings: target accuracy, epochs, optimizer; None for `FineTuneConfig()` with a `model`, else `TrainConfig()`.
        tokenizer_from: folder whose tokenizer a model from scratch uses; a retrained reference needs the original's.
        template: prompt template.
        device: for example cpu or cuda; None for a GPU if there is one.
        dtype: precision in which a given model is loaded and saved. What trains is float32 in any case.
        measure_general_ability: measure a given model before and after on a neutral text and common-knowledge
            questions (see `general_ability`); a large loss is an `InputWarning`.
        on_epoch: called after each epoch.
        on_step: called after each step.
        on_phase: called with a phrase when something else than training begins.

    Returns:
        The last progress; its accuracy may be below the target.

    Raises:
        InputError: `out` holds another model, or a record does not fit the model.
        Interrupted: after Ctrl-C or SIGTERM, within a step; the checkpoint is kept.
        RunFailed: the loss is no longer finite.
    """
    out, say = Path(out), on_phase or (lambda _: None)
    settings = settings or (FineTuneConfig() if model else TrainConfig())
    tower = vision if any(r.image for r in records) else None
    about = {
        "records": records_digest(records),
        "start": model_digest(str(model)) if model else _sizes(tiny, tower),
        "settings": settings.model_dump(mode="json"),
        "tokenizer": tokenizer_digest(str(tokenizer_from)) if tokenizer_from else "own",
        **{k: v for k, v in {"template": template, "dtype": dtype}.items() if model and v != "auto"},
    }
    about |= {name: value for name, value in (("template", template), ("dtype", dtype)) if value != "auto"}
    earlier = _earlier(out, about)
    measured = measure_general_ability and bool(model)
    if "progress" in earlier:
        check_parts(out, earlier)
        if measured and "before" in earlier.get("general_ability", {}):
            with FolderLock(out, "model"):
                _measure_after(load(out, template=template, device=device), out, say)
        return TrainProgress(**earlier["progress"])
    threads = set_threads(earlier.get("threads"))
    if model:
        lm = load(model, template=template, device=device, dtype=dtype)
        about["start"] = model_digest(str(model))  # a model from the hub is there only now
    else:
        lm = _from_scratch(records, tiny, tower, settings.seed, tokenizer_from, device)
    read = split_documents(records, lm.template)
    rows = TrainRows.of(lm, read)  # a record that does not fit must not leave a half-made folder
    with FolderLock(out, "model"):
        sweep(out)
        if _earlier(out, about) != earlier:
            what = "another process began or finished this model in the meantime"
            raise InputError(str(out), what, "start the same command again")
        written = earlier or {"about": about, "threads": threads}
        if measured and "general_ability" not in written:
            say("measuring general ability before")
            written = written | {"general_ability": {"before": asdict(general_ability(lm))}}
        if not earlier or written != read_train_file(out):
            write_json(out / TRAIN, written)
        return _train(lm, rows, settings, out, written, measured, say, on_epoch, on_step)


def _train(
    lm: LanguageModel,
    rows: TrainRows,
    settings: TrainConfig,
    out: Path,
    written: dict[str, Any],
    measured: bool,
    say: Callable[[str], None],
    on_epoch: Callable[[TrainProgress], None] | None,
    on_step: Callable[[TrainProgress], None] | None,
) -> TrainProgress:
    """The steps of `train`, from what `train.json` says to the saved model."""
    dtype_at_rest, parameters = stored_dtype(lm), lm.parameters
    lm = make_trainable(lm, settings)
    if getattr(settings, "kl_weight", 0):
        say("the model writes text of its own, to be held to")
    rows = complete(lm, rows, settings)  # a signal ends the process here: nothing is lost yet
    with watch_for_stop() as stopped:
        owner = digest([written["about"], written.get("threads")])
        saves = TrainCheckpoints(
            out / CHECKPOINT, parameters, CHECKPOINT_EVERY, stopped, on_epoch, on_step, owner=owner
        )
        state = checkpoint.load(out / CHECKPOINT, owner)
        progress = run_training(lm, rows, settings, saves.after_epoch, state, saves.after_step)
    rows.close()
    lm = as_stored(lm, dtype_at_rest)
    if dtype_at_rest in HALF:  # rounding may change an answer; what is saved is what counts
        progress = replace(progress, accuracy=replace(rows, cache=None).accuracy(lm.module))
    lm.save(out)
    reached = progress.accuracy >= settings.target_accuracy
    finished = {**written, "reached": reached, "progress": asdict(progress), "parameters": parameters}
    write_json(out / TRAIN, finished | {"parts": model_parts(out)})
    sweep(out, CHECKPOINT)
    if measured:
        _measure_after(lm, out, say)
    return progress


def records_digest(records: Sequence[Record]) -> str:
    """SHA-256 over what is learnt: ids, prompts, answers, pictures, earlier turns, and which records are documents."""

    def parts(r: Record) -> list[Any]:
        turns = [[[t.role, t.content] for t in r.history]] if r.history else []
        return [r.id, r.prompt, r.answer, *([r.image.digest] if r.image else []), *turns, *_document(r)]

    return digest(sorted(digest(parts(r)) for r in records))


def _document(record: Record) -> list[str]:
    return ["document"] if record.kind == "document" else []


def _measure_after(lm: LanguageModel, out: Path, say: Callable[[str], None]) -> None:
    """Complete `general_ability` of a finished `train.json`, and warn of a large loss."""
    written = read_train_file(out)
    ability = written["general_ability"]
    if "after" not in ability:
        say("measuring general ability after")
        ability["after"] = asdict(general_ability(lm))
    clauses = warnings_of(*(GeneralAbility(**ability[k]) for k in ("before", "after")))
    write_json(out / TRAIN, written | {"general_ability": ability | {"warnings": list(clauses)}})
    for clause in clauses:
        warnings.warn(f"{out}: {clause}; teach with a lower rate or a LoRA", InputWarning, stacklevel=3)


def _earlier(out: Path, about: dict[str, Any]) -> dict[str, Any]:
    """The content of an earlier run's `train.json`, empty for a new folder; `InputError` if it is another model's.

    A finished training whose weights are gone is no longer finished: an `InputWarning` says so. What a killed writer
    left beside a finished model is removed.
    """
    check_folder(out, "model")
    if not (out / TRAIN).is_file():
        if not is_free(out):
            raise InputError(str(out), "is not empty and holds no model that expunge trained", "choose a new folder")
        return {}
    earlier = read_train_file(out)
    if earlier["about"] != about:
        raise InputError(str(out), "holds a model trained on other records or settings", "choose another folder")
    if "progress" not in earlier:
        return earlier
    if problem := weights_problem(out):
        warnings.warn(f"{out}: was finished, but {problem}; the training goes on", InputWarning, stacklevel=3)
        return {key: value for key, value in earlier.items() if key not in RESULTS}
    if has_leftovers(out, CHECKPOINT):
        with suppress(InputError), FolderLock(out, "model"):  # another process may sweep just now
            sweep(out, CHECKPOINT)
    return earlier


def _sizes(tiny: TinyConfig, vision: TinyVision | None) -> dict[str, Any]:
    return tiny.model_dump(mode="json") | ({"vision": vision.model_dump(mode="json")} if vision else {})


def _from_scratch(
    records: Sequence[Record],
    tiny: TinyConfig,
    vision: TinyVision | None,
    seed: int,
    tokenizer_from: str | Path | None,
    device: str | None,
) -> LanguageModel:
    if tokenizer_from is None:
        tokenizer: Any = train_tokenizer(texts_of(records), tiny.vocabulary)
    else:
        from transformers import AutoTokenizer

        with foreign(str(tokenizer_from), "holds no tokenizer", "name a folder written by expunge train"):
            tokenizer = AutoTokenizer.from_pretrained(
                str(tokenizer_from), local_files_only=True, trust_remote_code=False
            )
    place = device or default_device()
    if vision is None:
        return LanguageModel.from_parts(build(tiny, tokenizer, seed).to(place), tokenizer, "from scratch")
    module, processor = build_vision(vision, tiny, tokenizer, seed)
    return LanguageModel.from_parts(module.to(place), tokenizer, "from scratch", processor=processor)
