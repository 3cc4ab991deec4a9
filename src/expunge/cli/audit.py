"""`expunge audit`: score, attack and judge an unlearned model. Exit code 3 unless it passed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge.cli.options import Data, Folder, Loader, Mapping, ScopeText
from expunge.cli.progress import Progress
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError

if TYPE_CHECKING:
    from expunge.scope import Split


def audit(
    original: Annotated[str, typer.Option(help="Model before unlearning: folder or hub id.")],
    unlearned: Annotated[str, typer.Option(help="Run folder or model after unlearning.")],
    data: Data,
    scope: ScopeText,
    out: Folder,
    retrained: Annotated[str | None, typer.Option(help="Retrained model, the reference.")] = None,
    policy: Annotated[Path | None, typer.Option(help="YAML policy; the shipped one if not given.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the held-out retain set; a run records its own.")] = None,
    loader: Loader = None,
    map_: Mapping = None,
) -> CommandResult:
    """Judge by a policy whether a model has forgotten."""
    from expunge.audit.policy import Policy
    from expunge.audit.run import audit as run
    from expunge.corpus import load_corpus
    from expunge.scope import Scope

    rules = Policy.load(policy)
    split = Scope.parse(scope).resolve(load_corpus(data, loader, map_), seed=split_seed(unlearned, seed))
    check_same_split(unlearned, split)
    check_out(out, unlearned, split)
    with Progress().bar("auditing") as tick:
        result = run(
            original,
            unlearned,
            split,
            out,
            retrained=retrained,
            policy=rules,
            on_progress=lambda phrase, done: tick(done, phrase),
        )
    rows = [
        (e.key, e.status.replace("_", " "), e.estimate, e.reference.estimate if e.reference else None, e.reason)
        for e in result.results
        if e.status != "not_applicable"
    ]
    data_out = {
        **result.verdict.model_dump(mode="json"),
        "verdict": result.verdict.status,
        "out": result.path,
        "reference": result.file.reference,
        "split": result.file.split.model_dump(mode="json"),
        "results": [r.model_dump(mode="json") for r in result.results],
    }
    return CommandResult(
        data_out,
        (
            ResultTable(("check", "status", "estimate", "reference", "why"), rows),
            result.verdict.sentence,
            f"audit written to {result.path}",
        ),
        result.verdict.exit_code,
    )


def split_seed(unlearned: str, seed: int | None) -> int:
    """Seed of the held-out retain set: `seed`, or that of the run's recipe."""
    recipe = Path(unlearned) / "recipe.yaml"
    if seed is not None:
        return seed
    if recipe.is_file():
        from expunge.engine.recipe import Recipe

        return Recipe.load(recipe).seed
    return 42


def check_same_split(unlearned: str, split: Split) -> None:
    """`InputError` if the run was made with another split: it may have trained on held-out retain records."""
    about = _read(Path(unlearned) / "run.json")
    if about and about.get("identity", {}).get("split") != split.digest:
        raise InputError(
            unlearned,
            "was unlearned with other records, another scope or another seed",
            f'give the --data of that run, --scope "{about.get("scope")}", and no --seed',
        )


def check_out(out: Path, unlearned: str, split: Split) -> None:
    """`InputError` if `out` holds something else than an earlier audit of the same model and split."""
    from expunge.audit.schema import load_audit
    from expunge.models.fingerprint import model_digest

    if not out.is_dir() or {p.name for p in out.iterdir()} <= {"scores"}:
        return
    if not (out / "audit.json").is_file():
        raise InputError(str(out), "is not empty and holds no audit", "choose a new folder")
    before = load_audit(out / "audit.json")
    if (before.split_digest, before.models["unlearned"].digest) != (split.digest, model_digest(unlearned)):
        raise InputError(str(out), "holds the audit of another model or scope", "choose another folder")


def _read(path: Path) -> dict[str, Any]:
    from expunge._io import read_json

    content: dict[str, Any] = read_json(path) if path.is_file() else {}
    return content
