"""`expunge train`: teach a model a corpus by heart, or, with `--exclude-scope`, the retrained reference without it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge.cli.options import Data, Folder, Loader, Mapping, Sets
from expunge.cli.progress import Progress, ProgressCallback
from expunge.cli.result import CommandResult
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.engine.train.train_loop import TrainProgress


def train(
    data: Data,
    out: Folder,
    exclude_scope: Annotated[
        str | None, typer.Option("--exclude-scope", help="Leave out what this scope names (a retrained reference).")
    ] = None,
    loader: Loader = None,
    map_: Mapping = None,
    model: Annotated[str | None, typer.Option(help="Folder or hub id to go on from; else a small new model.")] = None,
    architecture: Annotated[str | None, typer.Option(help="Of a new model: llama, gpt2 or qwen2.")] = None,
    layers: Annotated[int | None, typer.Option(help="Blocks of a new model.")] = None,
    width: Annotated[int | None, typer.Option(help="Hidden size of a new model.")] = None,
    heads: Annotated[int | None, typer.Option(help="Attention heads of a new model.")] = None,
    vocabulary: Annotated[int | None, typer.Option(help="Entries of a new tokenizer.")] = None,
    context: Annotated[int | None, typer.Option(help="Longest sequence of a new model, in tokens.")] = None,
    vision: Annotated[
        str | None, typer.Option(help="Of a new model whose records show pictures: idefics3 or llava.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", help="Pixels of a side that its vision tower sees.")
    ] = None,
    tokenizer_from: Annotated[
        Path | None, typer.Option("--tokenizer-from", help="Model folder whose tokenizer a new model takes over.")
    ] = None,
    share: Annotated[float | None, typer.Option(help="Stop when this share of answers is reproduced exactly.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Most passes over the records.")] = None,
    batch: Annotated[int | None, typer.Option(help="Rows per step.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of row order and initial weights.")] = None,
    set_: Sets = None,
) -> CommandResult:
    """Train a model until it reproduces the answers of the records."""
    size = given(
        architecture=architecture, layers=layers, width=width, heads=heads, vocabulary=vocabulary, context=context
    )
    eyes = given(architecture=vision, image_size=image_size)
    if model and (size or tokenizer_from or eyes):
        other = "tokenizer-from" if tokenizer_from else "vision" if vision else "image-size"
        flag = next(iter(size), other)
        raise InputError(f"--{flag}", "has no meaning beside --model", "leave one of them out")
    from expunge._config import apply_overrides, validate
    from expunge.corpus import Corpus
    from expunge.engine.train import train_model
    from expunge.engine.train.train_loop import TrainConfig
    from expunge.models.tiny import TinyConfig
    from expunge.models.vision.tiny_vision import TinyVision
    from expunge.scope import Scope

    tiny = validate(TinyConfig, size, "train")
    flags = given(share=share, epochs=epochs, batch=batch, seed=seed)
    settings = validate(TrainConfig, apply_overrides(flags, set_ or []), "train")
    corpus = Corpus.load(data, loader, map_)
    excluded_ids = Scope.parse(exclude_scope).resolve(corpus).excluded_ids if exclude_scope else frozenset()
    records = [r for r in corpus.trained if r.id not in excluded_ids]
    if eyes and not any(r.image for r in records):
        raise InputError(f"--{'vision' if vision else 'image-size'}", "no record shows a picture", "leave it out")
    with Progress().bar("memorising") as tick:
        progress = train_model.train(
            records,
            out,
            model=model,
            tiny=tiny,
            vision=validate(TinyVision, eyes, "train"),
            settings=settings,
            tokenizer_from=tokenizer_from,
            on_epoch=lambda p: after_epoch(tick, p),
        )
    reached = progress.share >= settings.share
    lines = [
        f"{progress.share:.1%} of {len(records):,} answers are reproduced exactly after {progress.epoch} epochs "
        f"({progress.seconds:.0f} s)",
        f"model written to {out}",
    ]
    if not reached:
        lines.append(f"this is less than the {settings.share:.0%} asked for; give more epochs or a larger model")
    return CommandResult(
        {"out": out, "records": len(records), "left_out": len(excluded_ids), "reached": reached, **asdict(progress)},
        tuple(lines),
    )


def after_epoch(tick: ProgressCallback, progress: TrainProgress) -> None:
    """Show how far memorising is."""
    tick(
        progress.epoch / progress.epochs, f"{progress.share:.0%} memorised, epoch {progress.epoch} of {progress.epochs}"
    )


def given(**flags: Any) -> dict[str, Any]:
    """The flags that were typed."""
    return {name: value for name, value in flags.items() if value is not None}
