"""Reader for the directory of an unlearning run: method, recipe, and the losses of every step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from expunge._yaml import load_yaml
from expunge.audit.check_result import Number
from expunge.audit.schema import AuditFile
from expunge.engine.event_file import EVENTS, read_events
from expunge.errors import InputError
from expunge.models.run_file import chain_of, known_splits, read_run_file
from expunge.models.run_seal import check_seals


class TrainingStep(BaseModel):
    """One line of `events.jsonl`: mean losses of the batch, None where they are not computed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    step: int
    phase: int = 0
    forget: Number = None
    retain: Number = None


@dataclass(frozen=True)
class RunRecord:
    """A run directory.

    Attributes:
        recipe: its YAML text, empty if there is none.
        created: ISO 8601, empty where the run does not say.
        data: file name of the records, empty where the run does not say.
        model: folder or hub id of the original model.
        say: what the model says about the subject: `stranger`, `refuse`, or empty where the method does not choose.
        fallback: how many records were forgotten by another objective, in a sentence; empty where none was.
        is_adapter: the result is an adapter on top of the original model.
    """

    method: str
    status: str
    seconds: float | None
    recipe: str
    steps: tuple[TrainingStep, ...]
    created: str = ""
    data: str = ""
    model: str = ""
    say: str = ""
    is_adapter: bool = False
    fallback: str = ""


def read_run(run: Path | str, audit: AuditFile) -> RunRecord:
    """Read the run directory of an audit.

    Raises:
        InputError: a file cannot be read or was changed, or the run used another split or model than the audit.
    """
    folder = Path(run)
    if not (folder / "run.json").is_file():
        raise InputError(
            str(folder),
            "is not the directory of an unlearning run (no run.json)",
            "give the folder that holds recipe.yaml and events.jsonl, or leave the run out",
        )
    metadata = read_run_file(folder)
    audited = {"split": audit.training_digest or audit.split_digest, "model": audit.models["original"].digest}
    starts = {metadata["identity"].get("model"), *(link.model for link in chain_of(metadata))}
    known = {"split": known_splits(metadata), "model": starts}
    for name, digest in audited.items():
        if digest not in known[name]:
            raise InputError(
                str(folder), f"is not the audited run: it used another {name}", "give the run whose result was audited"
            )
    check_seals(folder, metadata)
    recipe = _read_text(folder / "recipe.yaml")
    method = str(metadata.get("method", ""))
    return RunRecord(
        method=method,
        status=str(metadata.get("status", "")),
        seconds=metadata.get("seconds"),
        recipe=recipe,
        steps=tuple(TrainingStep.model_validate(event) for event in read_events(folder / EVENTS)),
        created=str(metadata.get("created", "")),
        data=str(metadata.get("data") or ""),
        model=str(metadata.get("model", "")),
        say=str(metadata.get("say") or _says(method, recipe)),
        fallback=_fallback(metadata.get("fallback")),
        is_adapter=(folder / "adapter").is_dir(),
    )


def _fallback(part: object) -> str:
    """Which objective forgot the records that name nobody who could be replaced."""
    if not isinstance(part, dict) or not isinstance(part.get("count"), int):
        return ""
    one = part["count"] == 1
    return (
        f"{part['count']:,} {'record names' if one else 'records name'} nobody who could be replaced, and "
        f"{'was' if one else 'were'} forgotten by {part.get('objective')} in the same run."
    )


def _says(method: str, recipe: str) -> str:
    """What a run that does not say it makes the model say, by its method and the loss that the method uses."""
    keys = load_yaml(recipe, "recipe.yaml")
    settings = keys.get("settings")
    loss = settings.get("loss") if isinstance(settings, dict) else None
    return {"twin": "stranger", "idk": "refuse"}.get(str(loss) if method == "dual" else method, "")


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"could not be read ({error})") from error
