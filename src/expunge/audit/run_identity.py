"""Is an audit about the run that it names? Its records, its original, its files, and how it reads its records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from expunge.engine.recipe import Recipe
from expunge.errors import InputError
from expunge.models.fingerprint import model_digest
from expunge.models.language_model import LanguageModel
from expunge.models.rendering import rendered_digest
from expunge.models.run_file import RUN, known_splits, run_facts
from expunge.models.run_seal import check_sealed
from expunge.models.source import base_of_run, exists, read_finished_run
from expunge.scope.split import Split


def read_audited_run(source: str) -> dict[str, Any]:
    """The content of run.json, empty for what is no run.

    Raises:
        InputError: the run is not finished, or one of its files was changed after it.
    """
    run = Path(source).expanduser()
    if not (run / "run.json").is_file():
        return {}
    about = read_finished_run(run)
    check_sealed(run, about)
    check_recipe(run, about)
    return about


def check_run(source: str, original: str, split: Split) -> dict[str, Any]:
    """As `read_audited_run`; `InputError` also for a run of other records or of another original."""
    about = read_audited_run(source)
    check_records(source, about, split)
    check_original(source, about, original)
    return about


def check_recipe(run: Path, about: dict[str, Any]) -> None:
    """`InputError` if the recipe.yaml of a run is not the recipe that the run followed."""
    recorded = about.get("identity", {}).get("recipe")
    if recorded and (not (run / "recipe.yaml").is_file() or Recipe.load(run / "recipe.yaml").digest != recorded):
        raise InputError(str(run / "recipe.yaml"), "is not the recipe of the run", "bring the file back")


def check_records(source: str, about: dict[str, Any], split: Split) -> None:
    """`InputError` if a run was given other records than those of `split`: another id, question or answer."""
    if about and split.training_digest not in known_splits(about):
        raise InputError(
            source,
            "was unlearned with other records, another scope or another seed",
            f'give the --data of that run, --scope "{about.get("scope")}", and no --seed',
        )


def check_original(source: str, about: dict[str, Any], original: str) -> None:
    """`InputError` if the original is none of the models that a run, and the runs below it, started from.

    A hub id that is not in the cache yet has no digest, and passes.
    """
    known = model_digest(original)
    if not about.get("identity", {}).get("model") or known == original:
        return
    run = Path(source).expanduser()
    if known in _starts(run, about):
        return
    base = base_of_run(run, about)
    if exists(Path(base)) and exists(Path(original)) and Path(base).samefile(Path(original).expanduser()):
        raise InputError(original, f"has changed since the run {source}", "bring the model back that was unlearned")
    raise InputError(original, f"is not a model that the run {source} started from", f"give --original {base}")


def _starts(run: Path, about: dict[str, Any]) -> Iterator[str]:
    """Digest of the model that a run started from, and, while that is still the same run, of those below it."""
    seen: set[str] = set()
    while (recorded := about.get("identity", {}).get("model")) and recorded not in seen:
        yield recorded
        seen.add(recorded)
        run = Path(base_of_run(run, about))
        if not (run / RUN).is_file() or model_digest(str(run)) != recorded:
            return
        about = read_audited_run(str(run))


def check_reading(source: str, about: dict[str, Any], lm: LanguageModel, split: Split) -> None:
    """`InputError` if the loaded result of a run makes other token ids of its records than the run did."""
    recorded = about.get("rendered")
    is_own = not split.origin and about.get("identity", {}).get("split") == split.training_digest
    if recorded and is_own and recorded != rendered_digest(lm.template, split.forget, split.retain):
        raise InputError(
            source,
            "reads its records as other token ids than when it was made",
            "use the tokenizer and the packages that its environment.json names",
        )


def loading_options(unlearned: Path, template: str = "auto", dtype: str = "auto") -> dict[str, Any]:
    """Options of `load` that all models of an audit share; auto is what the run of the unlearned model recorded.

    They hold the prompt template, the day that it writes, and the precision.
    """
    about = run_facts(unlearned)
    wishes = {"template": template, "dtype": dtype}
    options = {key: str(about.get(key) or "auto") if value == "auto" else value for key, value in wishes.items()}
    return options | {"template_date": about.get("template_date") or date.today().isoformat()}
