"""`expunge demo`: the whole job on a small synthetic hospital, in a few minutes on a laptop.

A model is trained on the hospital, forgets one patient, and is compared with a model that never saw the patient. Every
stage resumes; a finished demo is not repeated.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge._printable import pluralize
from expunge.cli.data_generate import write
from expunge.cli.demo_summary import summary, table
from expunge.cli.progress import Progress
from expunge.cli.result import CommandResult
from expunge.cli.train import after_epoch
from expunge.cli.unlearn import after_step
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.corpus import Record

RECIPE = "twin"
TARGET_ACCURACY, EPOCHS = 0.999, 12
PARTS = ("records.jsonl", "world.json", "original", "unlearned", "retrained", "audit", "report.html", "demo.json")


@dataclass(frozen=True)
class DemoSize:
    """Size of the demo: preset of the world, and changes of model, training and recipe."""

    preset: str = "demo"
    model: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=lambda: {"target_accuracy": TARGET_ACCURACY, "epochs": EPOCHS})
    recipe: tuple[str, ...] = ()


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Seed of the world, the models and the run.", min=0)] = 42,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove an earlier demo in the folder first.")] = False,
) -> CommandResult:
    """Train a model on a hospital, make it forget one patient, and audit the result."""
    if fresh:
        clear(out)
    result = run_demo(out, seed, Progress())
    parts = (
        f"{result['target']} of a synthetic hospital, forgotten with {RECIPE} (seed {seed})",
        table(result),
        result["sentence"],
        f"report: {result['report']}",
    )
    return CommandResult(result, parts, 0 if result["verdict"] == "passed" else 3)


def clear(out: Path) -> None:
    """Remove what an earlier demo left in `out`, and nothing else."""
    clear_parts(out, PARTS, "world.json")


def clear_parts(out: Path, parts: Sequence[str], sign: str) -> None:
    """Remove `parts` of `out`; `InputError` where it holds something, but not the file `sign` of an earlier demo."""
    if out.is_dir() and any(out.iterdir()) and not (out / sign).is_file():
        raise InputError(str(out), "is not empty and holds no demo", "choose a new folder")
    for name in parts:
        part = out / name
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)


def run_demo(out: Path, seed: int, progress: Progress, size: DemoSize = DemoSize()) -> dict[str, Any]:
    """Everything from the empty folder `out` to the report; returns what `--json` prints.

    `InputError` if `out` holds something else, for example a demo of another seed or size.
    """
    from expunge import __version__
    from expunge._io import digest, write_json

    identity = digest([__version__, seed, RECIPE, asdict(size)])
    done = out / "demo.json"
    if done.is_file() and all((out / name).exists() for name in PARTS):
        before = read_demo(done)
        if before["identity"] == identity:
            return dict(before["result"])
    result = _run(out, seed, progress, size)
    write_json(done, {"identity": identity, "result": result})
    return result


def read_demo(file: Path) -> dict[str, Any]:
    """The stored result of a demo; `InputError` for a file that no demo wrote."""
    from expunge._validation import read_valid
    from expunge.cli.demo_file import DemoFile

    return read_valid(DemoFile, file, "remove it, and the demo goes on")


def _run(out: Path, seed: int, progress: Progress, size: DemoSize) -> dict[str, Any]:
    started = time.perf_counter()
    from expunge.synthetic.hospital.demo_world import demo_world

    world, target = demo_world(size.preset, seed)
    _prepare(out, world)
    progress.say(f"a hospital of {pluralize(world.patients, 'patient')}; {target} asks to be forgotten")

    from expunge.audit.run import audit
    from expunge.engine.recipe import Recipe
    from expunge.engine.train.train_loop import TrainConfig
    from expunge.engine.train.train_model import train
    from expunge.engine.unlearn import unlearn
    from expunge.models.tiny import TinyConfig
    from expunge.report.render import write_report
    from expunge.scope import Scope

    corpus = world.corpus()
    split = Scope.parse(target).resolve(corpus, seed=seed)
    tiny, settings = TinyConfig(**size.model), TrainConfig(**size.train, seed=seed)
    original, unlearned, retrained = (out / role for role in ("original", "unlearned", "retrained"))

    def train_model(records: Sequence[Record], folder: Path, tokenizer_from: Path | None = None) -> None:
        with progress.bar(f"{folder.name} model") as tick:
            train(
                records,
                folder,
                tiny=tiny,
                settings=settings,
                tokenizer_from=tokenizer_from,
                on_epoch=lambda p: after_epoch(tick, p),
            )

    train_model(corpus.trained, original)
    with progress.bar("unlearned model") as tick:
        unlearn(
            original,
            split,
            Recipe.load(RECIPE, (*size.recipe, f"seed={seed}")),
            unlearned,
            on_step=lambda event, total: after_step(tick, event, total),
        )
    train_model([r for r in corpus.trained if r.id not in split.excluded_ids], retrained, original)
    with progress.bar("audit") as tick:
        result = audit(
            original,
            unlearned,
            split,
            out / "audit",
            retrained=retrained,
            on_progress=lambda phrase, done: tick(done, phrase),
        )
    page = write_report(result.path, out / "report.html", unlearned)
    return {
        **summary(result.file),
        "target": target,
        "seed": seed,
        "report": str(page),
        "audit": str(result.path),
        "records": len(corpus.trained),
        "forget": len(split.forget),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _prepare(out: Path, world: Any) -> None:
    """Write the world, unless `out` holds it already; `InputError` if it holds something else."""
    from expunge._io import read_object

    about = out / "world.json"
    if about.is_file() and (out / "records.jsonl").is_file():
        if read_object(about, "use --fresh to start over").get("settings") != world.model_dump(mode="json"):
            raise InputError(str(out), "holds the demo of another seed or size", "choose another folder, or --fresh")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(str(out), "is not empty and holds no demo", "choose a new folder")
    else:
        write(world, out / "records.jsonl")
