"""Is an audit about the run that it names? Its records, its original, its files, and how it reads its records."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from expunge.engine.recipe import Recipe
from expunge.errors import InputError
from expunge.models.fingerprint import model_digest
from expunge.models.language_model import LanguageModel
from expunge.models.rendered import rendered_digest
from expunge.models.run_file import known_splits, run_facts
from expunge.models.run_seal import check_sealed
from expunge.models.source import base_of_run, read_finished_run
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
    """As `read_audited_run`; `InputError` also for a run of other records, or of an original that has changed since."""
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
    """`InputError` if the original lies where the run found its model, and is no longer the same."""
    before = about.get("identity", {}).get("model")
    if before is None or not Path(original).exists():
        return
    base = Path(base_of_run(Path(source), about))
    if base.exists() and base.samefile(original) and model_digest(original) != before:
        raise InputError(original, f"has changed since the run {source}", "bring the model back that was unlearned")


def check_reading(source: str, about: dict[str, Any], lm: LanguageModel, split: Split) -> None:
    """`InputError` if the loaded result of a run makes other token ids of its records than the run did."""
    recorded = about.get("rendered")
    is_own = about.get("identity", {}).get("split") == split.training_digest
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
