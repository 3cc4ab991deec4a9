"""The page of `scaling`: its text (`page.md`), tables and log-log plots."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.loglog import Line, LogLogPlot, draw, format_slope
from expunge._io import read_json, write_atomic
from expunge.corpus.record_store import IN_MEMORY

PATHS = ("cached", "plain")
MIB = 2.0**20
AXES = {  # axis → name in titles, label
    "layers": ("layers", "layers"),
    "answer": ("answer length", "answer tokens, end token included"),
    "records": ("records", "records in the corpus"),
}
STEP_COLUMNS = {  # heading → name of a figure
    "step, cached (s)": "cached",
    "step, plain (s)": "plain",
    "memory, cached (MiB)": "cached_memory",
    "memory, plain (MiB)": "plain_memory",
    "plain / cached": "plain / cached",
}
CORPUS_COLUMNS = {
    "load and resolve (s)": "load",
    "rows": "drawn",
    "draw and encode (s)": "rows",
    "build the cache (s)": "cache",
    "step, cached (s)": "cached",
    "step, plain (s)": "plain",
    "memory, loaded (MiB)": "loaded",
    "memory, whole run (MiB)": "memory",
}
STEP_LINES = {"cached": "step, cached", "plain": "step, plain"}  # name of a figure → name of a line
CORPUS_LINES = STEP_LINES | {"load": "load and resolve", "rows": "draw and encode rows", "cache": "build the cache"}
MEMORY_LINES = {"cached_memory": "run, cached", "plain_memory": "run, plain"}
CORPUS_MEMORY_LINES = {"loaded": "load and resolve", "memory": "whole run, cached"}

Point = Mapping[str, float]  # name → figure
Figures = Mapping[str, Mapping[str, Point]]  # axis → value → point


def medians(results: Iterable[tuple[str, int, str, Mapping[str, Any]]]) -> Figures:
    """Medians over rounds and steps, in seconds and MiB, and `spread`: how far the rounds of a point differ.

    Args:
        results: (axis, value, path, measured values), one per point, path and round.
    """
    rounds: dict[tuple[str, int], dict[str, list[Any]]] = {}
    for axis, value, path, result in results:
        named = {f"{path}_memory": result["memory"], path: result["seconds"]} if axis != "records" else result
        for name, measured in named.items():
            if name != "busy":
                rounds.setdefault((axis, value), {}).setdefault(name, []).append(measured)
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for (axis, value), by_name in rounds.items():
        point = {"spread": 0.0}
        for name, values in by_name.items():
            if isinstance(values[0], list):
                middle = [statistics.median(steps) for steps in values]
                point[name] = statistics.median(v for steps in values for v in steps)
                point["spread"] = max(point["spread"], (max(middle) - min(middle)) / statistics.median(middle))
            else:
                point[name] = statistics.median(values) / (MIB if name.endswith(("loaded", "memory")) else 1)
        figures.setdefault(axis, {})[str(value)] = point
    return figures


def plots(figures: Figures) -> list[LogLogPlot]:
    """Time and memory for every axis. A logarithm needs values above 0: smaller ones are drawn at a least value."""
    made = []
    for axis, (name, label) in AXES.items():
        corpus = axis == "records"
        for kind, title, y_label, lines, least in (
            (
                "time",
                "Time" if corpus else "Time of a step",
                "processor seconds" + " per step" * (not corpus),
                CORPUS_LINES if corpus else STEP_LINES,
                1e-4,
            ),
            (
                "memory",
                "Memory" if corpus else "Memory of a run",
                "MiB beyond the libraries",
                CORPUS_MEMORY_LINES if corpus else MEMORY_LINES,
                1.0,
            ),
        ):
            x, points = tuple(map(float, figures[axis])), figures[axis].values()
            drawn = tuple(Line(n, x, tuple(max(float(p[key]), least) for p in points)) for key, n in lines.items())
            made.append(LogLogPlot(f"{axis}-{kind}", f"{title} against {name}", label, y_label, drawn))
    return made


def format_number(value: float) -> str:
    """Three significant digits, thousands separated, no exponent; whole numbers are written whole."""
    if value >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.{1 if value >= 10 else 2}f}" if value >= 1 else f"{value:.3g}"


def slopes_text(made: Sequence[LogLogPlot]) -> str:
    """The slopes for a terminal."""
    return "\n".join(
        f"{plot.title}: " + "; ".join(f"{line.name} {format_slope(line.slope)}" for line in plot.lines) for plot in made
    )


def write_page(results_folder: Path, folder: Path) -> list[Path]:
    """Write `speed.md` and its plots from the results in a folder; returns the files, the page first."""
    names = ("scaling.json", "step.json", "step-pretrained.json")
    results, steps, pretrained = (read_json(results_folder / name) for name in names)
    made = {plot.key: plot for plot in plots(results["figures"])}
    files = [write_atomic(folder / f"speed-{key}.svg", draw(plot)) for key, plot in made.items()]
    return [write_atomic(folder / "speed.md", page(results, steps, pretrained, made)), *files]


def page(
    results: Mapping[str, Any], steps: Mapping[str, Any], pretrained: Mapping[str, Any], made: Mapping[str, LogLogPlot]
) -> str:
    """The Markdown page; `steps`, `pretrained`: results of `step`, `step_pretrained`, `made`: plots by their keys."""
    sizes, layers, records = results["sizes"], results["figures"]["layers"], results["figures"]["records"]
    (least_layers, few), (most_layers, many) = next(iter(layers.items())), list(layers.items())[-1]
    most_records, last = list(records.items())[-1]

    def section(axis: str, first: str, columns: Mapping[str, str]) -> str:
        both = (made[f"{axis}-{kind}"] for kind in ("time", "memory"))
        shown = (f"![{plot.title}](speed-{plot.key}.svg)\n\n{_slope_table(plot)}" for plot in both)
        return "\n\n".join((_table(results["figures"][axis], first, columns), *shown))

    return (Path(__file__).with_name("page.md").read_text("utf-8")).format(
        **results,
        steps=steps,
        step_ratios=_step_ratios(steps["cases"]),
        pretrained=pretrained,
        pretrained_ratios=_pretrained_ratios(pretrained["cases"]),
        least_layers=least_layers,
        most_layers=most_layers,
        **{f"growth_{path}": format_number(many[path] / few[path]) for path in PATHS},
        most_records=f"{int(most_records):,}",
        load_microseconds=format_number(last["load"] / int(most_records) * 1e6),
        loaded_bytes=format_number(last["loaded"] * MIB / int(most_records)),
        all_steps=sizes["warm_up"] + sizes["corpus_steps"],
        in_memory=IN_MEMORY // 2**20,
        layers=section("layers", "layers", STEP_COLUMNS),
        answer=section("answer", "answer tokens", STEP_COLUMNS),
        records=section("records", "records", CORPUS_COLUMNS),
    )


def _step_ratios(cases: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [f"`{group}` {size}", *(f"{v:.1f}" for v in (*case["ratio"].values(), case["ceiling"]))]
        for group, sizes in cases.items()
        for size, case in sizes.items()
    ]
    return _markdown(["case", "plain step / ours, min", "median", "max", "ceiling"], rows)


def _pretrained_ratios(cases: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [name, *(f"{case['ratio'][other][key]:.1f}" for other in ("plain", "trl") for key in ("min", "median", "max"))]
        for name, case in cases.items()
    ]
    columns = [f"{other} / ours, {key}" for other in ("plain", "trl style") for key in ("min", "median", "max")]
    return _markdown(["blocks that train", *columns], rows)


def _table(points: Mapping[str, Point], first: str, columns: Mapping[str, str]) -> str:
    """One row per point."""
    rows = []
    for value, point in points.items():
        figures = {**point, "plain / cached": point["plain"] / point["cached"]}
        rows.append([f"{int(value):,}", *(format_number(figures[key]) for key in columns.values())])
    return _markdown([first, *columns], rows)


def _slope_table(plot: LogLogPlot) -> str:
    rows = [[line.name, format_slope(line.slope), format_slope(line.last_slope)] for line in plot.lines]
    return _markdown(["line", "slope", "last two points"], rows)


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """All columns but the first are aligned to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
