"""Does a finished folder still hold what was written there? Digests are computed anew from the files, none is believed.

Verification finds what was changed, damaged, exchanged or mixed up. It cannot find a forgery by somebody who computes
all digests anew: for that, keep a digest of the folder in another place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from expunge._io import read_json
from expunge.audit.audit_attempts import ATTEMPTS, read_attempts
from expunge.audit.plan import PLAN, read_plan
from expunge.audit.request_file import REQUESTS, load_history
from expunge.audit.run_identity import check_recipe, check_records
from expunge.audit.schema import AuditFile, find_audit, load_audit
from expunge.audit.verify_requests import chain_problems, history_problems, missing_problem, order_problems
from expunge.engine.recipe import Recipe
from expunge.errors import InputError, first_line
from expunge.models.file_digest import file_digests
from expunge.models.fingerprint import (
    ADAPTER_CONFIG,
    EXPORTED,
    check_parts,
    check_result,
    check_unchanged,
    model_digest,
)
from expunge.models.run_file import RUN, run_facts
from expunge.models.run_seal import SEAL, broken_seals
from expunge.models.source import base_of_adapter, base_of_run, kind_of, whole_run
from expunge.scope.split import Split

Problems = Iterable[str]
TRAINED = "train.json"


@dataclass
class Verification:
    """What a finished folder was found to be.

    Attributes:
        kind: `run`, `audit`, `model` (that `train` wrote) or `export`.
        fits: What was compared and fits, a clause each.
        problems: What does not fit, a line each.
        unchecked: What could not be compared, a line each.
    """

    kind: str
    fits: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def check(self, what: str, one: Callable[[], Problems | None]) -> None:
        """Run one comparison, which raises or yields what does not fit; `what` names it where all fits."""
        try:
            lines = list(one() or ())
        except InputError as error:
            lines = [f"{error.where}: {error.what}"]
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            lines = [f"{what}: the file has another form than expunge writes ({first_line(error)[:120]})"]
        self.problems += lines
        if not lines:
            self.fits.append(what)


def kind_of_folder(source: Path) -> str:
    """What `source` is: run, audit, model or export; `InputError` if it is none of these."""
    if not source.exists():
        raise InputError(str(source), "there is no such folder", "give the folder of a run or an audit")
    if source.is_file():
        return "audit"
    for name, kind in (("run.json", "run"), ("audit.json", "audit"), (TRAINED, "model"), (EXPORTED, "export")):
        if (source / name).is_file():
            return kind
    if (source / "audit" / "audit.json").is_file():
        return "audit"
    raise InputError(
        str(source),
        "holds neither a run nor an audit",
        "give a folder that expunge unlearn, audit, train or export wrote",
    )


def verify(source: str | Path, *, split: Split | None = None, models: Mapping[str, str] | None = None) -> Verification:
    """Compare a finished folder with the digests that it records.

    Args:
        source: Folder of a run, an audit, a trained model or an export; or an audit.json.
        split: The record sets that it should be about; None leaves the records unchecked.
        models: Of an audit: model by role (original, unlearned, retrained).

    Raises:
        InputError: `source` is none of these, or is not finished.
    """
    path = Path(source).expanduser()
    kind = kind_of_folder(path)
    result = Verification(kind)
    if kind == "run":
        _verify_run(result, path, split)
    elif kind == "audit":
        _verify_audit(result, find_audit(path), split, models or {})
    else:
        _verify_saved(result, path, TRAINED if kind == "model" else EXPORTED)
    return result


# ---- a run ----------------------------------------------------------------------------------------------------------


def _verify_run(result: Verification, run: Path, split: Split | None) -> None:
    about: dict[str, Any] = {}
    result.check("run.json can be read", lambda: about.update(_object(run / "run.json")))
    if result.problems:
        return
    if about.get("status") == "running":
        raise InputError(str(run), "this run is not finished", "start it again with the same command to resume")
    result.check("files of the run", lambda: _seals(run, about))
    result.check("recipe", lambda: check_recipe(run, about))
    result.check("events", lambda: _events(run, about))
    result.check("weights", lambda: check_result(run, fresh=True))
    if (run / "adapter").is_dir():
        result.check("address of the base model", lambda: _same_address(run, about))
    base = base_of_run(run, about) if isinstance(about.get("model"), str) else ""
    if (run / "model").is_dir() and not Path(base).exists():
        result.unchecked.append(f"the model that it started from: {base} is not there")
    else:
        result.check("model that it started from", lambda: _same_base(run, about, base))
    if about.get("chain"):
        if (Path(base) / RUN).is_file():
            result.check("requests before it", lambda: chain_problems(run, about, base))
        else:
            result.unchecked.append(f"the requests before it: the run that made them is not at {base}")
    if split is None:
        result.unchecked.append("its records: give --data")
    else:
        result.check("records", lambda: check_records(str(run), about, split))


def _seals(run: Path, about: dict[str, Any]) -> Iterator[str]:
    if SEAL not in about:
        yield f"{run / 'run.json'}: holds no digests of the files of the run"
    yield from (f"{run / name}: {what}" for name, what in broken_seals(run, about, fresh=True))


def _same_base(run: Path, about: dict[str, Any], base: str) -> None:
    kind_of(base)
    check_unchanged(run, about, base, fresh=True)


def _same_address(run: Path, about: dict[str, Any]) -> Iterator[str]:
    ours, theirs = base_of_adapter(run / "adapter"), base_of_run(run, about)
    if ours != theirs and not (Path(theirs).exists() and Path(ours).samefile(theirs)):
        yield f"{run / 'adapter' / ADAPTER_CONFIG}: names another base model than run.json"


def _events(run: Path, about: dict[str, Any]) -> Iterator[str]:
    """Whether the log has every step of the run once, and the run as many as its recipe."""
    file, steps = run / "events.jsonl", about.get("steps")
    logged = [_step(line) for line in file.read_bytes().splitlines()] if file.is_file() else []
    if logged != list(range(int(steps or 0))):
        yield f"{file}: does not hold the {steps} steps of the run, each once"
    resolved = Recipe.load(run / "recipe.yaml").resolve()
    if not resolved.edit and "stopped" not in about and resolved.total_steps != steps:
        yield f"{run / 'run.json'}: says {steps} steps, its recipe {resolved.total_steps}"


def _step(line: bytes) -> int | None:
    try:
        step: Any = json.loads(line)["step"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return step if isinstance(step, int) else None


# ---- an audit -------------------------------------------------------------------------------------------------------


def _verify_audit(result: Verification, file: Path, split: Split | None, models: Mapping[str, str]) -> None:
    audits: list[AuditFile] = []
    result.check("entries and verdict", lambda: audits.append(load_audit(file)))
    if not audits:
        return
    audit = audits[0]
    result.fits.append("content of audit.json")
    if (file.parent / PLAN).is_file():
        result.check("plan", lambda: _same_plan(file.parent / PLAN, audit))
    if (file.parent / ATTEMPTS).is_file():
        result.check("attempts", lambda: _same_attempts(file.parent, audit))
    _verify_scores(result, file.parent / "scores", audit.score_files)
    if not audit.split.is_earlier:  # the audit of the run's own records asks about all requests
        _verify_requests(result, file.parent, models.get("unlearned"))
    for role, model in audit.models.items():
        if role in models:
            result.check(f"{role} model", partial(_same_model, role, models[role], model.digest))
        else:
            result.unchecked.append(f"the {role} model: give --{role}")
    if split is None:
        result.unchecked.append("its records: give --data")
    else:
        result.check("records", lambda: _same_split(file, split, audit))


def _same_plan(file: Path, audit: AuditFile) -> Problems:
    if read_plan(file).digest != audit.plan_digest:
        yield f"{file}: is not the plan of this audit"


def _same_attempts(folder: Path, audit: AuditFile) -> Problems:
    known = {(a.plan, a.unlearned, a.status) for a in read_attempts(folder)}
    own = (audit.plan_digest, audit.models["unlearned"].digest, audit.verdict.status)
    if own not in known:
        yield f"{folder / ATTEMPTS}: does not name this audit"


def _verify_scores(result: Verification, folder: Path, recorded: Mapping[str, str]) -> None:
    here = [name for name in recorded if (folder / name).is_file()]
    if here:
        result.check(
            f"{len(here)} score files",
            lambda: (
                f"{folder / name}: was changed after the audit"
                for name in here
                if file_digests(folder / name, fresh=True)[""] != recorded[name]
            ),
        )
    if len(here) < len(recorded):
        result.unchecked.append(
            f"{len(recorded) - len(here)} of {len(recorded)} score files, which are not in {folder}"
        )


def _verify_requests(result: Verification, folder: Path, unlearned: str | None) -> None:
    """What became of earlier requests: the content of requests.json, and with the run also whose chain it is."""
    file = folder / REQUESTS

    def problems() -> Iterator[str]:
        about, history = run_facts(whole_run(unlearned)) if unlearned else {}, load_history(folder)
        if history is None:
            yield from missing_problem(folder, about)
            return
        yield from order_problems(file, history)
        if about:
            yield from history_problems(file, history, about)

    if unlearned or file.is_file():
        result.check(f"requests in {REQUESTS}" if file.is_file() else "no earlier requests", problems)
    if file.is_file() and not unlearned:
        result.unchecked.append(f"the chain of {REQUESTS}: give --unlearned")


def _same_model(role: str, source: str, recorded: str) -> Iterator[str]:
    if model_digest(source, fresh=True) != recorded:
        yield f"{source}: is not the {role} model of the audit"


def _same_split(file: Path, split: Split, audit: AuditFile) -> Iterator[str]:
    if split.digest != audit.split_digest:
        yield f"{file}: is about other records, another scope or another seed than those given"


# ---- models ---------------------------------------------------------------------------------------------------------


def _verify_saved(result: Verification, folder: Path, name: str) -> None:
    about: dict[str, Any] = {}
    result.check(f"{name} can be read", lambda: about.update(_object(folder / name)))
    if result.problems:
        return
    if name == TRAINED and "progress" not in about:
        raise InputError(str(folder), "its training is not finished", "start the same expunge train again to resume it")
    if "parts" not in about:
        result.problems.append(f"{folder / name}: holds no digests of the model")
    result.check("model", lambda: check_parts(folder, about, fresh=True))


def _object(file: Path) -> dict[str, Any]:
    value = read_json(file)
    if not isinstance(value, dict):
        raise InputError(str(file), "is not what expunge writes there")
    return value
