"""The page of `scaling`: tables and log-log plots of its results."""

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
X_LABELS = {"layers": "layers", "answer": "answer tokens, end token included", "records": "records in the corpus"}
AXES = {"layers": "layers", "answer": "answer length", "records": "records"}
STEP_COLUMNS = {  # heading → name of a figure
    "step, cached (s)": "cached",
    "step, plain (s)": "plain",
    "memory, cached (MiB)": "cached_memory",
    "memory, plain (MiB)": "plain_memory",
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
CORPUS_TIMES = {
    "cached": "step, cached",
    "plain": "step, plain",
    "load": "load and resolve",
    "rows": "draw and encode rows",
    "cache": "build the cache",
}

Figures = Mapping[str, Mapping[str, Mapping[str, float]]]  # axis → value → name → figure


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
    """Time and memory for every axis."""
    made = []
    for axis, name in AXES.items():
        points = figures[axis]
        if axis == "records":
            up, titles = "processor seconds", ("Time against records", "Memory against records")
            times = [_line(points, label, key) for key, label in CORPUS_TIMES.items()]
            loaded = _line(points, "load and resolve", "loaded", 1.0)
            memory = [loaded, _line(points, "whole run, cached", "memory", 1.0)]
        else:
            up, titles = (
                "processor seconds per step",
                (f"Time of a step against {name}", f"Memory of a run against {name}"),
            )
            times = [_line(points, f"step, {path}", path) for path in PATHS]
            memory = [_line(points, f"run, {path}", f"{path}_memory", 1.0) for path in PATHS]
        made.append(LogLogPlot(f"{axis}-time", titles[0], X_LABELS[axis], up, tuple(times)))
        made.append(LogLogPlot(f"{axis}-memory", titles[1], X_LABELS[axis], "MiB beyond the libraries", tuple(memory)))
    return made


def _line(points: Mapping[str, Mapping[str, float]], name: str, key: str, least: float = 1e-4) -> Line:
    """A line through `key`; smaller values are drawn at `least`, because a logarithm needs values above 0."""
    return Line(name, tuple(float(x) for x in points), tuple(max(float(p[key]), least) for p in points.values()))


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
    """Write `speed.md` and its plots from `scaling.json` and `step.json`; returns the files, the page first."""
    results, steps = (read_json(results_folder / name) for name in ("scaling.json", "step.json"))
    made = {plot.key: plot for plot in plots(results["figures"])}
    files = [write_atomic(folder / f"speed-{key}.svg", draw(plot)) for key, plot in made.items()]
    return [write_atomic(folder / "speed.md", page(results, steps, made)), *files]


def page(results: Mapping[str, Any], steps: Mapping[str, Any], made: Mapping[str, LogLogPlot]) -> str:
    """The Markdown page; `steps`: results of `step`, `made`: plots by their keys."""
    sizes, figures, machine = results["sizes"], results["figures"], results["machine"]
    packages, load = machine["packages"], results["load_average"]
    prompt, answer = sizes["row"]
    layers, records = figures["layers"], figures["records"]
    largest, (last_records, last) = list(layers)[-1], list(records.items())[-1]
    growth = {path: layers[largest][path] / next(iter(layers.values()))[path] for path in PATHS}

    def shown(axis: str) -> str:
        both = (made[f"{axis}-{kind}"] for kind in ("time", "memory"))
        return "\n\n".join(f"![{plot.title}](speed-{plot.key}.svg)\n\n{_slope_table(plot)}" for plot in both)

    parts = [
        "# Speed",
        "Written by `python -m benchmarks.speed.scaling --page` from `benchmarks/results/speed/`.",
        "## A training step",
        f"Measured {steps['measured']}. Our step and the step of common scripts (whole model, a second model as "
        "reference, logits at all positions) run on the same rows in one process, and their losses agree. Processor "
        "time of one thread, width 256; N/k: adapters on the last k of N blocks. The ceiling counts passes of tokens "
        "through blocks; a ratio can exceed it where the output head or padding weighs more.",
        _step_ratios(steps["cases"]),
        "## How cost grows",
        f"Measured {results['measured']}.",
        f"From {next(iter(layers))} to {largest} layers a cached step takes {format_number(growth['cached'])} times as "
        f"long and a plain one {format_number(growth['plain'])} times. Loading and resolving {int(last_records):,} "
        f"records takes {format_number(last['load'] / int(last_records) * 1e6)} microseconds and at most "
        f"{format_number(last['loaded'] * MIB / int(last_records))} bytes of memory per record.",
        "### What was measured",
        f"NPO with cross-entropy on retain rows, {sizes['rows']} + {sizes['rows']} rows per step, LoRA of rank "
        f"{sizes['rank']} on the last {sizes['blocks']} blocks of a Llama of width {sizes['width']} with random "
        "weights, in float32. **Cached**: the frozen blocks below are computed once per row before the first step. "
        "**Plain**: the same run with `memory.prefix_cache=false`, which computes them in every step; losses and "
        "gradients are equal up to rounding.",
        f"Every point is the median of {sizes['rounds']} × {sizes['steps']} steps ({sizes['rounds']} × "
        f"{sizes['corpus_steps']} on a corpus, {sizes['plain_steps']} of them on the plain path) after "
        f"{sizes['warm_up']} that are not counted, in rounds through all points, each measurement in a process of its "
        "own. **Time** is processor time of that process at one thread. The medians of one point differed between "
        f"rounds by at most {results['spread']:.0%}. **Memory** is the peak of resident memory beyond that after a "
        "tiny first run, which leaves out the libraries.",
        f"Machine: {machine['machine']}, {machine['cores']} cores, 1 thread, no accelerator; torch "
        f"{packages['torch']}, transformers {packages['transformers']}, Python {machine['python']}; load average "
        f"{load[0]:.1f} to {load[1]:.1f}.",
        "A **slope** is the power p in cost = c·nᵖ, fitted to all points by least squares on the logarithms: 0 is "
        "flat, 1 is proportional. Where a fixed cost hides a growing one a line bends; the slope between its last two "
        "points is then the better extrapolation.",
        "### Layers",
        f"Rows of {prompt} + {answer} tokens, vocabulary {sizes['vocabulary']}, {sizes['pool']} forget and "
        f"{sizes['pool']} retain rows in all.",
        _table(layers, "layers", STEP_COLUMNS),
        shown("layers"),
        "### Answer length",
        f"{sizes['depth']} layers, prompts of {sizes['prompt']} tokens, else as above.",
        _table(figures["answer"], "answer tokens", STEP_COLUMNS),
        shown("answer"),
        "### Records",
        "Synthetic corpora in Parquet, 24 records per person in a tree of four levels; the run forgets one person with "
        f"a model of {sizes['depth']} layers in {sizes['warm_up'] + sizes['corpus_steps']} steps. Rows are tokenized "
        "byte by byte, so that all are equally long (about 75 tokens). `rows`: what the run feeds to the model; more "
        "are not encoded for the cache, however large the corpus.",
        _table(records, "records", CORPUS_COLUMNS),
        shown("records"),
        f"Memory under 1 MiB is drawn as 1 MiB. A corpus of more than {IN_MEMORY // 2**20} MiB lies in a file. Records "
        "in memory are all encoded once, to refuse one that is too long; of those in a file only what is drawn, so "
        "drawing and encoding may be cheaper for a larger corpus.",
    ]
    return "\n\n".join(parts) + "\n"


def _step_ratios(cases: Mapping[str, Mapping[str, Any]]) -> str:
    heads = ["case", "plain step / ours, min", "median", "max", "ceiling"]
    rows = [
        [f"`{group}` {size}", *(f"{v:.1f}" for v in (*case["ratio"].values(), case["ceiling"]))]
        for group, sizes in cases.items()
        for size, case in sizes.items()
    ]
    return _markdown(heads, rows)


def _table(points: Mapping[str, Mapping[str, float]], first: str, columns: Mapping[str, str]) -> str:
    """One row per point; step tables also have the ratio of the two paths."""
    ratio = columns is STEP_COLUMNS
    heads = [first, *columns, *(["plain / cached"] if ratio else [])]
    rows = [
        [
            f"{int(value):,}",
            *(format_number(point[key]) for key in columns.values()),
            *([format_number(point["plain"] / point["cached"])] if ratio else []),
        ]
        for value, point in points.items()
    ]
    return _markdown(heads, rows)


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """All columns but the first are aligned to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _slope_table(plot: LogLogPlot) -> str:
    rows = [[line.name, format_slope(line.slope), format_slope(line.last_slope)] for line in plot.lines]
    return _markdown(["line", "slope", "last two points"], rows)
