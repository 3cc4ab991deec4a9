"""`expunge train`: train a model until it reproduces a corpus, or, with `--exclude-scope`, a retrained reference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge._printable import pluralize
from expunge.cli import options as shared
from expunge.cli.options import Data, Device, Dtype, Folder, Loader, Sets, TemplateKind, Track, typed_options
from expunge.cli.progress import Progress, ProgressCallback
from expunge.cli.result import CommandResult
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.engine.trackers import StepRecorder
    from expunge.engine.train.train_loop import TrainProgress

NOT_REACHED = 3  # exit code: the model is written, but knows less than it was asked to


def train(
    data: Data,
    out: Folder,
    exclude_scope: Annotated[
        str | None, typer.Option("--exclude-scope", help="Scope of the records to leave out, for a retrained model.")
    ] = None,
    near_duplicates: shared.NearDuplicates = None,
    loader: Loader = None,
    map_: shared.Mapping = None,
    model: Annotated[
        str | None, typer.Option(help="Folder or hub id to start from; a small new model if not given.")
    ] = None,
    lora: Annotated[
        str | None, typer.Option(help="With --model: rank of the adapters that learn, or none for all weights.")
    ] = None,
    train_layers: Annotated[
        str | None, typer.Option("--train-layers", help="With --model: blocks that learn, e.g. 8 for the last 8.")
    ] = None,
    device: Device = None,
    dtype: Dtype = "auto",
    template: TemplateKind = "auto",
    general_ability: Annotated[
        bool,
        typer.Option(
            "--general-ability/--no-general-ability",
            help="With --model: measure neutral text and common knowledge before and after.",
        ),
    ] = True,
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
    lr: Annotated[float | None, typer.Option(help="Learning rate; chosen by what learns if not given.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of row order and initial weights.")] = None,
    set_: Sets = None,
    track: Track = None,
) -> CommandResult:
    """Train a model until it reproduces the answers of the records."""
    size = typed_options(
        architecture=architecture, layers=layers, width=width, heads=heads, vocabulary=vocabulary, context=context
    )
    vision_options = typed_options(architecture=vision, image_size=image_size)
    teaching = typed_options(lora=lora, layers=_number(train_layers))
    if model and (size or tokenizer_from or vision_options):
        flag = next(iter(size), "tokenizer-from" if tokenizer_from else "vision" if vision else "image-size")
        hint = "use --train-layers for the blocks that learn" if flag == "layers" else "leave one of them out"
        raise InputError(f"--{flag}", "has no meaning beside --model", hint)
    if not model:
        values = {
            "lora": lora,
            "train-layers": train_layers,
            "dtype": dtype != "auto",
            "template": template != "auto",
            "no-general-ability": not general_ability,
        }
        for flag in (name for name, value in values.items() if value):
            raise InputError(f"--{flag}", "has no meaning without --model", "name the model to teach, or leave it out")
    from expunge._config import apply_overrides
    from expunge._validation import validate
    from expunge.corpus import load_corpus
    from expunge.engine.trackers import tracking
    from expunge.engine.train import train_model
    from expunge.engine.train.fine_tune import FineTuneConfig
    from expunge.engine.train.train_loop import TrainConfig
    from expunge.models.tiny import TinyConfig
    from expunge.models.vision.tiny_vision import TinyVision
    from expunge.scope import Scope

    tiny = validate(TinyConfig, size, "train")
    options = teaching | typed_options(target_accuracy=target_accuracy, epochs=epochs, batch=batch, seed=seed)
    rate = [] if lr is None else [f"optimizer.lr={lr}"]
    raw = apply_overrides(options, [*rate, *(set_ or [])])
    settings = validate(FineTuneConfig if model else TrainConfig, raw, "train", overrides=set_ or [])
    corpus = load_corpus(data, loader, map_)
    excluded_ids = (
        Scope.parse(exclude_scope).resolve(corpus, near=near_duplicates or "report").excluded_ids
        if exclude_scope
        else frozenset()
    )
    records = [r for r in corpus.trained if r.id not in excluded_ids]
    if vision_options and not any(r.image for r in records):
        raise InputError(f"--{'vision' if vision else 'image-size'}", "no record shows an image", "leave it out")
    progress_bar = Progress()
    with tracking(track, out, settings.model_dump()) as record, progress_bar.bar("training") as tick:
        show = TrainTicks(tick, record)
        progress = train_model.train(
            records,
            out,
            model=model,
            tiny=tiny,
            vision=validate(TinyVision, vision_options, "train"),
            settings=settings,
            tokenizer_from=tokenizer_from,
            template=template,
            device=device,
            dtype=dtype,
            measure_general_ability=general_ability,
            on_epoch=show,
            on_step=show,
            on_phase=progress_bar.say,
        )
    reached = progress.accuracy >= settings.target_accuracy
    target = f"{settings.target_accuracy:.0%}"
    ability = _ability(out) if model and general_ability else {}
    return CommandResult(
        {
            "out": out,
            "records": len(records),
            "left_out": len(excluded_ids),
            "reached": reached,
            **asdict(progress),
            **({"general_ability": ability} if ability else {}),
        },
        (
            f"{progress.accuracy:.1%} of {pluralize(len(records), 'answer')} reproduced exactly after "
            f"{pluralize(progress.epoch, 'epoch')} ({progress.seconds:.0f} s)",
            *([_ability_line(ability)] if ability else ()),
            f"model written to {out}",
            *(() if reached else (f"this is less than the target of {target}; {_what_to_do(bool(model), out)}",)),
        ),
        0 if reached else NOT_REACHED,
    )


def _number(layers: str | None) -> int | str | None:
    """Digits as a number, as `layers` of a configuration expects it."""
    return int(layers) if layers and layers.isdigit() else layers


def _what_to_do(pretrained: bool, out: Path) -> str:
    if not pretrained:
        return "give more epochs or a larger model, with another --out"
    return f"give more --epochs, a higher --lr or --lora, or teach {out} further with --model, each with another --out"


def _ability(out: Path) -> dict[str, Any]:
    from expunge.engine.train.train_file import read_train_file

    ability: dict[str, Any] = read_train_file(out).get("general_ability", {})
    return ability if "after" in ability else {}


def _ability_line(ability: Mapping[str, Any]) -> str:
    before, after = ability["before"], ability["after"]
    return (
        f"general ability: perplexity on neutral text {before['perplexity']:.2f} -> {after['perplexity']:.2f}, "
        f"common knowledge {before['choice_accuracy']:.1%} -> {after['choice_accuracy']:.1%} (choice), "
        f"{before['text_accuracy']:.1%} -> {after['text_accuracy']:.1%} (text)"
    )


class TrainTicks:
    """Shows the progress of a training; the time left counts the epochs that it will probably take."""

    def __init__(self, tick: ProgressCallback, record: StepRecorder | None = None) -> None:
        self._tick, self._record = tick, record
        self._epoch: int | None = None
        self._losses: list[float] = []  # of epochs that were seen to end

    def __call__(self, progress: TrainProgress) -> None:
        if self._epoch is not None and progress.epoch > self._epoch:
            self._losses.append(progress.loss)
        self._epoch = progress.epoch
        if self._record:
            self._record(progress, progress.step)
        steps = progress.steps * expected_epochs(self._losses, progress.epoch, progress.epochs) / progress.epochs
        at, ended = min(progress.epoch + 1, progress.epochs), progress.epoch == progress.epochs
        self._tick(
            1.0 if ended else min(0.999, progress.step / steps),
            f"{progress.accuracy:.0%} exact, loss {progress.loss:.3f}, epoch {at} of at most {progress.epochs}",
        )


LEARNT_LOSS = 0.03  # nats per token; about where 99 % of short answers are reproduced


def expected_epochs(losses: Sequence[float], done: int, epochs: int) -> float:
    """How many epochs a training takes: the last two losses, continued on a logarithmic scale to `LEARNT_LOSS`.

    At most `epochs`, and that where the loss does not fall; at least one more than the `done` ones.
    """
    if len(losses) < 2 or not 0 < losses[-1] < losses[-2]:
        return epochs
    left = math.log(losses[-1] / LEARNT_LOSS) / math.log(losses[-2] / losses[-1])
    return min(float(epochs), done + max(1.0, left))


def after_epoch(tick: ProgressCallback, progress: TrainProgress) -> None:
    """Show the progress of training after an epoch."""
    tick(
        progress.epoch / progress.epochs, f"{progress.accuracy:.0%} exact, epoch {progress.epoch} of {progress.epochs}"
    )
