"""Options that several commands share, and how every command gets `--json` and `--debug`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from expunge.cli.early import check_words
from expunge.cli.result import CommandResult
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.models.run_file import ChainLink
    from expunge.scope import Split

Data = Annotated[Path, typer.Option("--data", help="Records: a JSONL, CSV or Parquet file, or a folder.")]
Loader = Annotated[str | None, typer.Option("--loader", help="Layout of the records; detected if not given.")]
Mapping = Annotated[Path | None, typer.Option("--map", help="YAML file with lines `our field: their column`.")]
ScopeText = Annotated[str, typer.Option("--scope", help="What to forget, e.g. patient:P-0001-003.")]
Folder = Annotated[Path, typer.Option("--out", help="Folder for the result.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable.")]

Model = Annotated[str, typer.Option("--model", help="Model folder, run folder or hub id; it is not changed.")]
StartModel = Annotated[
    str | None, typer.Option("--model", help="Model folder, run folder or hub id; it is not changed.")
]
After = Annotated[
    str | None,
    typer.Option(
        "--after",
        metavar="RUN",
        help="Start from an earlier run, and keep forgotten what it and those before it forgot.",
    ),
]
RecipeName = Annotated[
    str, typer.Option("--recipe", help="auto: scaled to model and records; a shipped recipe; or a YAML file.")
]
Say = Annotated[
    Literal["stranger", "refuse"] | None,
    typer.Option("--say", help="What the model says instead: stranger (about somebody it never met) or refuse."),
]
NearDuplicates = Annotated[
    Literal["take", "report", "ignore"] | None,
    typer.Option(
        "--near-duplicates",
        help="Records outside the scope that nearly repeat one to forget: take them in too, report them (as without "
        "this option), or do not look. A run keeps its choice.",
    ),
]
RunSeed = Annotated[int | None, typer.Option("--seed", help="Seed of the run and of the held-out retain set.")]

Original = Annotated[str, typer.Option("--original", help="Model before unlearning: folder or hub id.")]
Unlearned = Annotated[str, typer.Option("--unlearned", help="Run folder or model after unlearning.")]
Retrained = Annotated[str | None, typer.Option("--retrained", help="Retrained model, the reference.")]
PolicyName = Annotated[
    str | None,
    typer.Option("--policy", help="Shipped policy or YAML file; by default chosen by whether --retrained is given."),
]
PresetName = Annotated[
    str,
    typer.Option("--preset", help="How much is tested: quick, default or full; what the policy requires always is."),
]
SplitSeed = Annotated[
    int | None, typer.Option("--seed", help="Seed of the held-out retain set; a run records its own.")
]

Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1 …; a GPU if there is one.")]
Dtype = Annotated[str, typer.Option("--dtype", help="Precision of the loaded weights: auto, float32, bfloat16 …")]
TemplateKind = Annotated[str, typer.Option("--template", help="How a question is put: auto, chat or plain.")]
Track = Annotated[
    str | None, typer.Option("--track", help="Also log the steps with tensorboard, wandb, mlflow … (numbers only).")
]

SHARED = {
    "json": Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")],
    "debug": Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")],
}


def add(app: typer.Typer, name: str, function: Callable[..., CommandResult]) -> None:
    """Register `function` as the command `name` of `app`, with `--json` and `--debug` added.

    The function never sees these two: it returns a `CommandResult`, and `runner.run` prints it.
    """

    @functools.wraps(function)
    def command(**options: Any) -> CommandResult:
        check_words(name, options)
        return function(**{key: value for key, value in options.items() if key not in SHARED})

    own = inspect.signature(function, eval_str=True)
    shared = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for key, kind in SHARED.items()
    ]
    command.__signature__ = own.replace(parameters=[*own.parameters.values(), *shared])  # type: ignore[attr-defined]
    command.__annotations__ = {**function.__annotations__, **SHARED}
    app.command(name)(command)


def check_is_no_folder(path: Path | None, example: str) -> None:
    """`InputError` if the file to write is a folder."""
    if path is not None and path.is_dir():
        raise InputError(str(path), "is a folder", f"name a file in it, for example {example}")


def seed_override(seed: int | None) -> list[str]:
    """`--seed` as a `--set` of the recipe."""
    return [] if seed is None else [f"seed={seed}"]


def load_split(
    data: Path,
    loader: str | None,
    mapping: Path | None,
    scope: str,
    seed: int,
    near: Literal["take", "report", "ignore"] | None = None,
    chain: Sequence[ChainLink] = (),
) -> Split:
    """The records of `data`, split by `scope`; `chain`: earlier requests on the same model."""
    from expunge.corpus import load_corpus
    from expunge.scope import Scope

    parsed, corpus = Scope.parse(scope), load_corpus(data, loader, mapping)
    if chain:
        from expunge.engine.request_chain import split_after

        return split_after(corpus, parsed, chain, seed=seed, near=near or "report")
    return parsed.resolve(corpus, seed=seed, near=near or "report")


def load_run_split(
    data: Path,
    loader: str | None,
    mapping: Path | None,
    scope: str,
    seed: int,
    near: Literal["take", "report", "ignore"] | None,
    run: str | Path | None,
) -> Split:
    """The split that a finished run is compared on: of its own request, or of an earlier one of its chain."""
    from expunge.models.run_file import run_facts
    from expunge.models.source import whole_run

    about = run_facts(whole_run(run)) if run else {}
    if not about.get("chain"):
        return load_split(data, loader, mapping, scope, seed, near)
    from expunge.corpus import load_corpus
    from expunge.engine.request_chain import audited_request
    from expunge.scope import Scope

    return audited_request(load_corpus(data, loader, mapping), Scope.parse(scope), about, seed, near or "report")


def near_duplicates_of(run: str | Path) -> Any:
    """What a run did with near-duplicates; None for what is no run, or an older one."""
    from expunge.models.run_file import run_facts

    return (run_facts(run).get("near_duplicates") or {}).get("choice")


def typed_options(**options: Any) -> dict[str, Any]:
    """The options on the command line: all that are not None."""
    return {name: value for name, value in options.items() if value is not None}
