"""`expunge audit`: score, attack and judge an unlearned model. Exit code 3 unless it passed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge.cli import options as opt
from expunge.cli.progress import Progress
from expunge.cli.result import CommandResult, ResultTable
from expunge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from expunge.audit.plan import AuditPlan
    from expunge.audit.request_file import RequestHistory, RequestRow
    from expunge.audit.schema import AuditFile
    from expunge.scope import Split

PlanOnly = Annotated[bool, typer.Option("--plan", help="Write plan.json, show what would be tested, and stop.")]


def audit(
    original: opt.Original,
    unlearned: opt.Unlearned,
    data: opt.Data,
    scope: opt.ScopeText,
    out: opt.Folder,
    retrained: opt.Retrained = None,
    policy: opt.PolicyName = None,
    seed: opt.SplitSeed = None,
    near_duplicates: opt.NearDuplicates = None,
    loader: opt.Loader = None,
    map_: opt.Mapping = None,
    device: opt.Device = None,
    dtype: opt.Dtype = "auto",
    template: opt.TemplateKind = "auto",
    preset: opt.PresetName = "default",
    plan: PlanOnly = False,
    only: Annotated[
        str | None,
        typer.Option("--only", help="Scope of the records to judge: one request of the run, or one before it."),
    ] = None,
) -> CommandResult:
    """Judge by a policy whether a model has forgotten; the plan is written first."""
    from expunge.audit.audit_attempts import attempts_line
    from expunge.audit.policy import Policy, default_policy
    from expunge.audit.preconditions import knowledge_lines
    from expunge.audit.preset import find_preset

    rules = Policy.load(policy) if policy else default_policy(retrained is not None)
    find_preset(preset)
    if rules.needs_retrained and retrained is None:
        raise InputError("--policy", f'"{rules.name}" needs a retrained model', "give --retrained, or controls-only")
    from expunge.audit.run import audit as run
    from expunge.audit.run import plan_audit

    split = audited_split(unlearned, data, loader, map_, scope, seed, near_duplicates)
    if only is not None:
        from expunge.corpus import load_corpus
        from expunge.scope.part import part_of

        split = part_of(split, only, load_corpus(data, loader, map_))
    check_out(out, unlearned, split)
    options: dict[str, Any] = {
        "retrained": retrained,
        "policy": rules,
        "data_name": data.name,
        "device": device,
        "dtype": dtype,
        "template": template,
        "preset": preset,
    }
    if plan:
        return _planned(plan_audit(original, unlearned, split, out, **options), out)
    with Progress().bar("auditing") as tick:
        result = run(original, unlearned, split, out, **options, on_progress=lambda phrase, done: tick(done, phrase))
        history = (
            None
            if split.is_earlier
            else _history(original, unlearned, data, loader, map_, out, device, dtype, template, tick)
        )
    rows = [
        (r.key, r.status.replace("_", " "), r.estimate, r.reference.estimate if r.reference else None, r.reason)
        for r in result.results
        if r.status != "not_applicable" and not r.is_omitted
    ]
    return CommandResult(
        {
            **result.verdict.model_dump(mode="json"),
            "verdict": result.verdict.status,
            "out": result.path,
            "reference": result.file.reference,
            "policy": result.file.policy.name,
            "plan_digest": result.file.plan_digest,
            "attempts": [a.model_dump(mode="json") for a in result.file.attempts],
            "assurance": result.file.assurance and result.file.assurance.model_dump(mode="json"),
            "known": {name: share.model_dump(mode="json") for name, share in result.file.known.items()},
            "stages": result.file.stages,
            "split": result.file.split.model_dump(mode="json"),
            "results": [r.model_dump(mode="json") for r in result.results],
            **({"requests": [_request(r) for r in history.requests]} if history else {}),
        },
        (
            *knowledge_lines(result.file.known),
            *([result.file.yardstick] if result.file.yardstick else []),
            _policy_line(result.file, chosen=policy is None),
            ResultTable(("check", "status", "estimate", "reference", "why"), rows),
            result.verdict.sentence,
            *_assurance_lines(result.file),
            attempts_line(result.file.attempts),
            *(_history_lines(history) if history else ()),
            f"audit written to {result.path}",
        ),
        max(result.verdict.exit_code, 3 if history and history.back else 0),
    )


def _planned(plan: AuditPlan, out: Path) -> CommandResult:
    """What a plan says."""
    from expunge.audit.plan import PLAN

    rows = [
        (
            name,
            "required" if one.required else "",
            one.records,
            one.controls,
            ", ".join(f"{margin:g}" for margin in one.margins.values() if margin is not None),
            _seconds_of(plan, name),
        )
        for name, one in plan.checks.items()
    ]
    sets = ", ".join(f"{name} {group.n}" for name, group in plan.sets.items())
    return CommandResult(
        {"plan": plan.model_dump(mode="json"), "out": out / PLAN},
        (
            f'preset {plan.preset}, policy "{plan.policy}", compared with {" and ".join(plan.reference)}',
            f"records: {sets}",
            ResultTable(("check", "", "records", "controls", "margins", "about seconds"), rows),
            *(f"left out: {name} ({why})" for name, why in plan.left_out.items()),
            *(f"never made: {line}" for line in plan.not_made),
            f"about {plan.time.seconds:.0f} s: between {plan.time.low:.0f} and {plan.time.high:.0f} s "
            "on a free machine (estimated from parameters and tokens, not measured)",
            *(["the machine is busy, so expect several times as much"] if _is_busy() else []),
            f"plan {plan.digest}",
            f"plan written to {out / PLAN}",
        ),
    )


def _is_busy() -> bool:
    """Others keep the processor busy."""
    import os

    return hasattr(os, "getloadavg") and os.getloadavg()[0] > (os.cpu_count() or 1)


def _seconds_of(plan: AuditPlan, name: str) -> int:
    """Estimated seconds of a check beside the shared scoring pass."""
    own = (s for stage, s in plan.time.stages.items() if stage.split()[:2] in (["probe", name], ["check", name]))
    return round(sum(own))


def _history(
    original: str,
    unlearned: str,
    data: Path,
    loader: str | None,
    mapping: Path | None,
    out: Path,
    device: str | None,
    dtype: str,
    template: str,
    tick: Callable[[float, str], None],
) -> RequestHistory | None:
    """All requests of a chain of runs, asked again; None for a run without a chain."""
    from expunge.models.run_file import run_facts

    if not run_facts(unlearned).get("chain"):
        return None
    from expunge.audit.request_history import audit_history
    from expunge.corpus import load_corpus

    corpus = load_corpus(data, loader, mapping)
    return audit_history(
        original,
        unlearned,
        corpus,
        out,
        device=device,
        dtype=dtype,
        template=template,
        on_progress=lambda phrase, done: tick(done, phrase),
    )


STATUS = {
    "forgotten": "still forgotten",
    "unchanged": "as after its own run, and no controls say whether that is forgotten",
    "back": "no longer forgotten",
    "not_run": "cannot be judged, as its run is not here and it has no controls",
}


def _request(row: RequestRow) -> dict[str, Any]:
    return {**row.model_dump(mode="json"), "status": row.status, "bound": row.bound}


def _history_lines(history: RequestHistory) -> list[str]:
    """One line for each request of a chain."""
    lines = []
    for r in history.requests:
        if not r.questions or not r.states:
            lines.append(f"request {r.number}: not asked, its records are not in the data")
            continue
        before, last, word = r.states[0].share, r.states[-1], "answers" if r.measure == "answers" else "tokens"
        others = "about the controls" if r.measure == "answers" else "of documents never trained"
        controls = "" if last.controls is None else f", {last.controls:.3f} {others}"
        what = STATUS[r.status]
        lines.append(
            f"request {r.number}: {what}; true {word} given {before:.3f} before the first run, "
            f"{last.share:.3f} after the last{controls}"
        )
        if r.guards and r.guards.unguarded:
            lines.append(
                f"request {r.number}: its run did not guard {r.guards.unguarded:,} of the records forgotten before it: "
                f"{r.guards.reason}"
            )
    return lines


def _policy_line(file: AuditFile, chosen: bool) -> str:
    """Which policy judged, and why where nobody chose it."""
    why = f", as there is {'a' if 'retrained' in file.models else 'no'} retrained model" if chosen else ""
    return f'judged by policy "{file.policy.name}"{why}'


def _assurance_lines(file: AuditFile) -> list[str]:
    """What a verdict of this assurance level says and does not say."""
    level = file.assurance
    if level is None:
        return []
    says = [level.can_say] if file.verdict.status == "passed" else []
    return [f"assurance {level.level}, {level.title}:", *(f"  {text}" for text in (*says, level.cannot_say))]


def audited_split(
    unlearned: str, data: Path, loader: str | None, mapping: Path | None, scope: str, seed: int | None, near: Any = None
) -> Split:
    """The split to audit `unlearned` on.

    Without `seed`, its run's recipe tells the seed of the held-out retain set; without `near`, its run tells what was
    done with near-duplicates.

    Raises:
        InputError: the run was made with another split, so it may have trained on held-out retain records.
    """
    from expunge.audit.run_identity import check_records, read_audited_run
    from expunge.models.source import whole_run

    unlearned = whole_run(unlearned)
    about, recipe = read_audited_run(unlearned), Path(unlearned).expanduser() / "recipe.yaml"
    if seed is None and recipe.is_file():
        from expunge.engine.recipe import Recipe

        seed = Recipe.load(recipe).seed
    seed, near_choice = 42 if seed is None else seed, near or opt.near_duplicates_of(unlearned)
    split = opt.load_run_split(data, loader, mapping, scope, seed, near_choice, unlearned)
    check_records(unlearned, about, split)
    return split


def check_out(out: Path, unlearned: str, split: Split) -> None:
    """`InputError` if `out` holds something else than an earlier audit of the same model and split."""
    from expunge._folder import check_folder, is_free
    from expunge.audit.audit_attempts import ATTEMPTS
    from expunge.audit.plan import PLAN
    from expunge.audit.schema import load_audit
    from expunge.models.fingerprint import model_digest

    check_folder(out, "audit")
    if is_free(out, "scores", PLAN, ATTEMPTS):
        return
    if not (out / "audit.json").is_file():
        raise InputError(str(out), "is not empty and holds no audit", "choose a new folder")
    earlier = load_audit(out / "audit.json")
    if (earlier.split_digest, earlier.models["unlearned"].digest) != (split.digest, model_digest(unlearned)):
        raise InputError(str(out), "holds the audit of another model or scope", "choose another folder")
