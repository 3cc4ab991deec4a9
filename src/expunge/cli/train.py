"""`expunge train`: train a model until it reproduces a corpus, or, with `--exclude-scope`, a retrained reference."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from expunge.cli.options import Data, Folder, Loader, Mapping, Sets, Track, typed_options
from expunge.cli.progress import Progress, ProgressCallback
from expunge.cli.result import CommandResult
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.engine.trackers import StepRecorder
    from expunge.engine.train.train_loop import TrainProgress


def train(
    data: Data,
    out: Folder,
    exclude_scope: Annotated[
        str | None, typer.Option("--exclude-scope", help="Scope of the records to leave out, for a retrained model.")
    ] = None,
    loader: Loader = None,
    map_: Mapping = None,
    model: Annotated[
        str | None, typer.Option(help="Folder or hub id to start from; a small new model if not given.")
    ] = None,
    architecture: Annotated[str | None, typer.Option(help="Architecture of a new model: llama, gpt2 or qwen2.")] = None,
    layers: Annotated[int | None, typer.Option(help="Blocks of a new model.")] = None,
    width: Annotated[int | None, typer.Option(help="Hidden size of a new model.")] = None,
    heads: Annotated[int | None, typer.Option(help="Attention heads of a new model.")] = None,
    vocabulary: Annotated[int | None, typer.Option(help="Entries of a new tokenizer.")] = None,
    context: Annotated[int | None, typer.Option(help="Longest sequence of a new model, in tokens.")] = None,
    vision: Annotated[
        str | None, typer.Option(help="Architecture of a new model for images: idefics3 or llava.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", help="Pixels of a side of the images that its vision tower reads.")
    ] = None,
    tokenizer_from: Annotated[
        Path | None, typer.Option("--tokenizer-from", help="Model folder whose tokenizer a new model takes over.")
    ] = None,
    target_accuracy: Annotated[
        float | None, typer.Option(help="Stop when this share of answers is reproduced exactly.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Maximum number of epochs.")] = None,
    batch: Annotated[int | None, typer.Option(help="Rows per step.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of row order and initial weights.")] = None,
    set_: Sets = None,
    track: Track = None,
) -> CommandResult:
    """Train a model until it reproduces the answers of the records."""
    size = typed_options(
        architecture=architecture, layers=layers, width=width, heads=heads, vocabulary=vocabulary, context=context
    )
    vision_options = typed_options(architecture=vision, image_size=image_size)
    if model and (size or tokenizer_from or vision_options):
        flag = next(iter(size), "tokenizer-from" if tokenizer_from else "vision" if vision else "image-size")
        raise InputError(f"--{flag}", "has no meaning beside --model", "leave one of them out")
    from expunge._config import apply_overrides, validate
    from expunge.corpus import load_corpus
    from expunge.engine.trackers import tracking
    from expunge.engine.train import train_model
    from expunge.engine.train.train_loop import TrainConfig
    from expunge.models.tiny import TinyConfig
    from expunge.models.vision.tiny_vision import TinyVision
    from expunge.scope import Scope

    tiny = validate(TinyConfig, size, "train")
    options = typed_options(target_accuracy=target_accuracy, epochs=epochs, batch=batch, seed=seed)
    settings = validate(TrainConfig, apply_overrides(options, set_ or []), "train")
    corpus = load_corpus(data, loader, map_)
    excluded_ids = Scope.parse(exclude_scope).resolve(corpus).excluded_ids if exclude_scope else frozenset()
    records = [r for r in corpus.trained if r.id not in excluded_ids]
    if vision_options and not any(r.image for r in records):
        raise InputError(f"--{'vision' if vision else 'image-size'}", "no record shows an image", "leave it out")
    with tracking(track, out, settings.model_dump()) as record, Progress().bar("training") as tick:
        progress = train_model.train(
            records,
            out,
            model=model,
            tiny=tiny,
            vision=validate(TinyVision, vision_options, "train"),
            settings=settings,
            tokenizer_from=tokenizer_from,
            on_epoch=lambda p: after_epoch(tick, p, record),
        )
    reached = progress.accuracy >= settings.target_accuracy
    target = f"{settings.target_accuracy:.0%}"
    return CommandResult(
        {"out": out, "records": len(records), "left_out": len(excluded_ids), "reached": reached, **asdict(progress)},
        (
            f"{progress.accuracy:.1%} of {len(records):,} answers are reproduced exactly after {progress.epoch} epochs "
            f"({progress.seconds:.0f} s)",
            f"model written to {out}",
            *(() if reached else (f"this is less than the target of {target}; give more epochs or a larger model",)),
        ),
    )


def after_epoch(tick: ProgressCallback, progress: TrainProgress, record: StepRecorder | None = None) -> None:
    """Show the progress of training, and log the epoch where it is tracked."""
    if record:
        record(progress, progress.epoch)
    tick(
        progress.epoch / progress.epochs, f"{progress.accuracy:.0%} exact, epoch {progress.epoch} of {progress.epochs}"
    )
