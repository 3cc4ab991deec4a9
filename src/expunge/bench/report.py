"""The one renderer: an experiment and its stored results to a page of Markdown and its pictures.

Everything on the page comes from the experiment's file, the results and the notes, so the page cannot say what no run
has shown; goals are printed reached or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge._io import read_json, write_atomic
from expunge._printable import pluralize
from expunge.bench.analysis import difference, entry
from expunge.bench.base_model import PretrainedBase
from expunge.bench.experiment import Experiment, folder
from expunge.bench.experiment_parts import Claim, Goal, PageTable
from expunge.bench.pipeline import Trial
from expunge.bench.plots import KINDS, draw
from expunge.bench.table import format_cell, interval_of, markdown, matches, number, plain, value_at
from expunge.errors import InputError, unknown


def text_table(experiment: Experiment, results: Mapping[str, Any]) -> str:
    """The first table of the page for a terminal."""
    return plain(*table_cells(experiment.report.tables[0], results))


def table_cells(table: PageTable, results: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of a table."""
    lines = matches(results, table.of)
    if table.columns == "requests":
        requests = results.get("domains", {})
        columns = {key: key for key in requests} or {key: key for _, value in lines for key in value}
    else:
        columns = dict(table.columns)
    intervals = results.get("intervals", {}) if table.of == "methods/*" else {}

    def cell(names: Sequence[str], value: Any, key: str) -> str:
        if table.columns == "requests":
            inner = value.get(key) if isinstance(value, Mapping) else None  # labels may hold a slash
        else:
            inner = value_at(value, key)
        if table.cell:
            return " / ".join(format_cell(value_at(inner, part), table.places) for part in table.cell)
        if names and not isinstance(inner, Mapping) and (interval := intervals.get(names[0], {}).get(key)):
            inner = {"mean": inner, "interval": interval}
        return format_cell(inner, table.places)

    rows = [[" / ".join(names), *(cell(names, value, key) for key in columns)] for names, value in lines]
    return ["", *columns.values()], rows


def judge_goal(goal: Goal, results: Mapping[str, Any], arm: str, request: str | None) -> tuple[str, str]:
    """The limit in words, and the value of an arm with ✓ or ✗ and the second retrained seed in brackets."""

    def of(name: str) -> float | None:
        columns = results["methods"].get(name) if request is None else results["by_domain"].get(name, {}).get(request)
        return (columns or {}).get(goal.column)

    value, second = of(arm), of("retrained-2")
    limit = goal.at_most if goal.at_most is not None else goal.at_least
    sign = -1 if goal.at_most is not None else 1
    assert limit is not None
    words = f"{'at most' if sign < 0 else 'at least'} {limit:g}" + (" × the second seed" if goal.times_second else "")
    if value is None or (goal.times_second and second is None):
        return words, "–"
    limit *= second or 0.0 if goal.times_second else 1.0
    mark = "✓" if sign * (value - limit) >= 0 else "✗ not reached"
    return words, f"{format_cell(value)} {mark}" + (f" ({format_cell(second)})" if second is not None else "")


def judge_claim(claim: Claim, results: Mapping[str, Any]) -> str:
    """One line: the claim, its effect with the interval, and whether it holds."""
    sign = 1 if claim.sign == "+" else -1
    if claim.level:
        stored = next((c for c in results.get("claims", ()) if c["key"] == claim.name), None)
        if stored is None:
            return f"({claim.name}) {claim.text}: not judged, its arm was not run."
        effects, holds = stored["effects"], stored["holds"]
        what = f"`{claim.arm}` − `{claim.minus}` on {claim.level}"
    else:
        cells = results.get("cells", {})
        if claim.arm not in cells or claim.minus not in cells:
            return f"({claim.name}) {claim.text}: not judged, its arm was not run."
        effect = entry(*difference(cells[claim.arm], cells[claim.minus], claim.column))
        effects = {claim.column: effect}
        ends = interval_of(effect)
        holds = ends is not None and min(sign * end for end in ends) > 0
        what = f"`{claim.arm}` − `{claim.minus}`"
    values = "; ".join(f"{name} {_with_ends(value)}" for name, value in effects.items())
    return f"({claim.name}) {claim.text}: **{'holds' if holds else 'not shown'}**. {what}: {values}."


def _with_ends(value: Mapping[str, Any]) -> str:
    ends = interval_of(value)
    if value["mean"] is None:
        return "–"
    return number(value["mean"]) + (f" [{number(ends[0])} to {number(ends[1])}]" if ends else " (no interval)")


def render(experiment: Experiment, results: Mapping[str, Any] | None, notes: str, pictures: Mapping[str, str]) -> str:
    """The page; `pictures`: file as seen from the page to its text."""
    command = f"    expunge bench run {experiment.name} --preset {experiment.preset}"
    parts = [f"# {experiment.name}", f"**{experiment.question}**", experiment.report.text]
    if results:
        options = "".join(f" {option}" for option in results.get("options", ()))
        parts += [f"{command} --seeds {','.join(map(str, results['seeds']))}{options} --out DIR"]
        parts += ["## What was run", *_method(experiment, results)]
    else:
        needs = " --model MODEL" if isinstance(experiment.model, PretrainedBase) else ""
        needs += " --data DATA" if any(r.published for r in experiment.requests) else ""
        parts += [f"{command}{needs} --out DIR", "## What is run"]
    parts += [_arms(experiment, results), _tuning(experiment, results)]
    if results:
        parts += [line for table in experiment.report.tables for line in _table(table, results)]
        parts += [f"![{text}]({file})" for file, text in pictures.items()]
        parts += [*_goals(experiment, results), *_claims(experiment, results), *_failures(results)]
    else:
        parts += ["No results of this experiment are stored as JSON yet; the notes below hold what was measured."]
    return "\n\n".join(part.strip("\n") for part in [*parts, notes] if part.strip()) + "\n"


def _method(experiment: Experiment, results: Mapping[str, Any]) -> list[str]:
    gate, seeds = results["memorised"], results["seeds"]
    sizes = list(next(iter(results["domains"].values())))
    rows = [[d, *(str(n) for n in of.values())] for d, of in results["domains"].items()]
    text = (
        f"Records at seed {seeds[0]}. Model: {_model_text(results)}; {results['batch']} forget and "
        f"{results['batch']} retain rows per step. Runs are given the target and the records of `given`; retention is "
        f"read off `retain_heldout` only. Seeds: {', '.join(map(str, seeds))}"
        + (". Values are means; ± is half of the 95 % interval over seeds (Student's t)." if len(seeds) > 1 else ".")
    )
    if "taught" in gate:
        least = min(share for of_cell in gate["taught"].values() for share in of_cell.values())
        criterion = f"has {gate['column']} of at least" if gate.get("column") else "gives at least"
        what = "" if gate.get("column") else " of its answers exactly"
        text += f" Gate: every reference {criterion} {gate['gate']:.0%}{what}; the least is "
        text += f"{least:.1%}" + ("." if gate["passed"] else ": **not passed**, figures on forgetting are void there.")
    return [markdown(["world", *sizes], rows), text]


def _model_text(results: Mapping[str, Any]) -> str:
    model = results["model"]
    blocks = f"{pluralize(model['layers'], 'block')} × {model['width']}"
    shape = f"{model['architecture']}, {blocks}, {results['parameters']:,} parameters"
    if "pretrained" not in model:
        return f"{shape}, from scratch, float32"
    about = f"{model['pretrained']} ({shape}, SHA-256 {model['digest'][:12]}), pretrained, then taught its records"
    return f"{about}, {model.get('dtype', 'float32')}"


def _arms(experiment: Experiment, results: Mapping[str, Any] | None) -> str:
    names = list(results["recipes"]) if results and "recipes" in results else []
    sides = [name for side in experiment.sides for name in side.arms]
    arms = [experiment.arms[n] for n in dict.fromkeys([*names, *sides]) if n in experiment.arms]
    rows = [
        [
            a.name,
            f"`{a.recipe}`" + (f" after half of the steps with `{a.after}`" if a.after else ""),
            _code(a.set)
            + (f", {a.steps:g} × the steps" if a.steps != 1 else "")
            + (f", {a.threads} threads" if a.threads else ""),
        ]
        for a in arms or experiment.select()
    ]
    about = "".join(f"\n- {side.title} ({', '.join(side.arms)}). {side.about}" for side in experiment.sides)
    return "### Arms\n\n" + markdown(["arm", "recipe", "changes"], rows) + (f"\n\nSmaller:\n{about}" if about else "")


def _code(changes: Sequence[str]) -> str:
    return ", ".join(f"`{change}`" for change in changes) or "–"


def _tuning(experiment: Experiment, results: Mapping[str, Any] | None) -> str:
    tune, trials = experiment.tune, experiment.tune.trials()
    if len(trials) == 1:
        return f"### Tuning\n\nNone: every arm runs its recipe with {trials[0]}."
    grid = "; ".join(f"{name}: {', '.join(f'{v:g}' for v in values)}" for name, values in tune.grid.items())
    if not tune.choose:
        return (
            f"### Trials\n\nGrid ({grid}). No choice: the first trial is the comparison, the others are tables below."
        )
    where = "other records of the same world" if tune.measure else f"worlds of seed {tune.seed}, which are not audited"
    if tune.across_seeds:
        where = "the audited worlds; the choice for a seed is made on the other seeds"
        if tune.alone and results and len(results["seeds"]) == 1:
            where = "the audited world itself, because there is one seed: what is chosen looks better than it is"
    text = f"### Tuning\n\nGrid for every arm ({grid}), on {where}. Rule: {tune.rule_text()}."
    if tune.together:
        text += " One trial serves all requests, by the means over those tuned on."
    tuning = (results or {}).get("tuning", {})
    by_request = {"": tuning} if tuning and all("trials" in of for of in tuning.values()) else tuning
    rows: list[list[str]] = []
    seen: list[Any] = []
    for request, of in by_request.items():
        if of in seen:  # one tuning may serve several requests
            continue
        seen.append(of)
        for arm, choice in of.items():
            for t in choice["trials"]:
                distance = "diverged" if t["distance"] is None else format_cell(t["distance"])
                chosen = "yes" if t["setting"] == choice["chosen"] else ""
                rows.append([request, arm, str(Trial(**t["setting"])), distance, format_cell(t["kept"]), chosen])
    heads = ["request", "arm", "trial", "distance", "kept", "chosen"]
    details = f"\n\n<details><summary>All trials</summary>\n\n{markdown(heads, rows)}\n\n</details>"
    return text + (details if rows else "")


def _table(table: PageTable, results: Mapping[str, Any]) -> list[str]:
    heads, rows = table_cells(table, results)
    return [f"## {table.title}", markdown(heads, rows), table.text] if rows else []


def _goals(experiment: Experiment, results: Mapping[str, Any]) -> list[str]:
    goals = experiment.goals
    if goals is None or goals.arm not in results.get("by_domain", {}):
        return []
    requests: list[str | None] = list(results["domains"]) if goals.by_request else [None]
    rows = []
    for goal in goals.list:
        judged = [judge_goal(goal, results, goals.arm, request) for request in requests]
        rows.append([f"{goal.text}, {judged[0][0]}", *(cell for _, cell in judged)])
    heads = ["goal", *(request or "all requests" for request in requests)]
    text = "Means over seeds. In brackets: the second retrained seed, which never met the target."
    return [f"## Goals, judged on `{goals.arm}`", markdown(heads, rows), text]


def _claims(experiment: Experiment, results: Mapping[str, Any]) -> list[str]:
    if not experiment.claims:
        return []
    lines = "\n".join(f"- {judge_claim(claim, results)}" for claim in experiment.claims)
    text = "A claim holds if the 95 % interval of its paired difference lies on its side of 0: over seeds where there "
    text += "are several, else over concepts."
    return ["## Claims", lines, text]


def _failures(results: Mapping[str, Any]) -> list[str]:
    lines = [f"- **Wrong account**: {line}." for line in results.get("broken", ())]
    for of in (results, *results.get("sides", ()), results.get("by_cue", {})):
        for names, entries in matches(of, "failed/*"):
            nested = entries.items() if isinstance(entries, Mapping) else [("", entries)]
            lines += [f"- Failed: {names[0]} {arm}: {line}" for arm, of_arm in nested for line in of_arm]
    return ["## Failures", "\n".join(lines)] if lines else []


def publish(experiment: Experiment, out: Path, results: Path | None = None) -> Path:
    """Write the page of an experiment from its stored results; returns the page.

    Args:
        out: folder of the page; pictures go into a folder of the experiment's name beside it.
        results: a results file; the stored one of the experiment and preset if not given.
    """
    try:
        home: Path | None = folder()
    except InputError:
        home = None
    stored = results or (home / "results" / experiment.name / f"{experiment.preset}.json" if home else None)
    if results and not results.is_file():
        raise InputError(str(results), "there is no such file", "name the JSON that `bench run` wrote")
    data = read_json(stored) if stored and stored.is_file() else None
    if data is not None and data.get("bench") != experiment.name:
        raise InputError(str(stored), f"holds no results of {experiment.name}", "name the JSON that `bench run` wrote")
    note = home / "notes" / f"{experiment.name}.md" if home else None
    notes = note.read_text("utf-8") if note and note.is_file() else ""
    pictures = {}
    for plot in experiment.report.plots:
        if plot.kind not in KINDS:
            raise unknown("plot", plot.kind, KINDS, f"{experiment.name}: report.plots")
        path = out / experiment.name / f"{plot.file}.svg"
        svg = draw(plot.kind, data, plot.settings) if data else ""
        if svg:
            write_atomic(path, svg)
        if path.is_file():
            pictures[f"{experiment.name}/{path.name}"] = plot.text
    return write_atomic(out / f"{experiment.name}.md", render(experiment, data, notes, pictures))
