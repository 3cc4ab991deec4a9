"""The page of `expunge bench growth`: tables, slopes, and what they mean, every sentence decided by the numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from expunge.bench.growth_jobs import PLAIN, POOL, RANK, ROWS, VOCABULARY, WARM
from expunge.bench.memory import SCOPE
from expunge.bench.panel import Line, Panel, signed
from expunge.bench.table import markdown
from expunge.corpus.record_store import IN_MEMORY

PATHS = ("cached", "plain")
MIB = 2.0**20
FLAT, EVEN = 0.1, 0.1  # a slope this near to 0 is called flat, this near to 1 in proportion
ACROSS = {"layers": "layers", "answer": "answer tokens, end token included", "records": "records in the corpus"}
ONE = {"layers": "layers", "answer": "answer length", "records": "records"}
STEPS = {"cached": "step, cached", "plain": "step, plain"}
CORPUS = {**STEPS, "load": "load and resolve", "rows": "draw and encode rows", "cache": "build the cache"}

Figures = dict[str, dict[str, dict[str, Any]]]  # axis → place → name → value


def gathered(found: Iterable[tuple[str, int, str, Mapping[str, Any]]]) -> Figures:
    """Medians over rounds and steps: seconds, MiB, and `spread`, how far the rounds of a point lie apart.

    `found`: axis, place on it, path and what was measured there, for every round.
    """
    rounds: dict[tuple[str, int], dict[str, list[Any]]] = {}
    for axis, place, path, result in found:
        named = (
            {f"{path}_memory": result["memory"], path: result["seconds"]}
            if axis != "records"
            else {k: v for k, v in result.items() if k != "busy"}
        )
        for name, value in named.items():
            rounds.setdefault((axis, place), {}).setdefault(name, []).append(value)
    figures: Figures = {}
    for (axis, place), values in rounds.items():
        point: dict[str, Any] = {"spread": 0.0}
        for name, many in values.items():
            if isinstance(many[0], list):
                middle = [statistics.median(one) for one in many]
                point[name] = statistics.median(v for one in many for v in one)
                point["spread"] = max(point["spread"], (max(middle) - min(middle)) / statistics.median(middle))
            else:
                inside = name in ("loaded", "memory") or name.endswith("_memory")
                point[name] = statistics.median(many) / (MIB if inside else 1)
        figures.setdefault(axis, {})[str(place)] = point
    return figures


def panels(figures: Figures) -> list[Panel]:
    """Time and memory for every axis."""
    made = []
    for axis in ("layers", "answer"):
        made += [
            Panel(
                f"{axis}-time",
                f"Time of a step against {ONE[axis]}",
                ACROSS[axis],
                "processor seconds per step",
                tuple(_line(figures[axis], STEPS[p], p) for p in PATHS),
            ),
            Panel(
                f"{axis}-memory",
                f"Memory of a run against {ONE[axis]}",
                ACROSS[axis],
                "MiB beyond the libraries",
                tuple(_line(figures[axis], f"run, {p}", f"{p}_memory", 1.0) for p in PATHS),
            ),
        ]
    return [
        *made,
        Panel(
            "records-time",
            "Time against records",
            ACROSS["records"],
            "processor seconds",
            tuple(_line(figures["records"], words, name) for name, words in CORPUS.items()),
        ),
        Panel(
            "records-memory",
            "Memory against records",
            ACROSS["records"],
            "MiB beyond the libraries",
            (
                _line(figures["records"], "load and resolve", "loaded", 1.0),
                _line(figures["records"], "whole run, cached", "memory", 1.0),
            ),
        ),
    ]


def _line(points: Mapping[str, Mapping[str, Any]], name: str, key: str, least: float = 1e-4) -> Line:
    """A line through `key`; smaller values stand at `least`, which a logarithm needs."""
    return Line(name, tuple(float(x) for x in points), tuple(max(float(p[key]), least) for p in points.values()))


def meaning(slope: float, what: str) -> str:
    """A slope in words: how it compares with proportion, and the factor for ten times as many."""
    how = (
        "flat"
        if abs(slope) <= FLAT
        else "falling"
        if slope < 0
        else "less than in proportion"
        if slope < 1 - EVEN
        else "in proportion"
        if slope <= 1 + EVEN
        else "more than in proportion"
    )
    return f"{how}; ten times the {what} means {number(10**slope)} times as much"


def number(value: float) -> str:
    """Three significant digits, thousands set apart, no exponent; whole numbers are written whole."""
    if value >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.{1 if value >= 10 else 2}f}" if value >= 1 else f"{value:.3g}"


def summary(pictures: Sequence[Panel]) -> str:
    """The slopes for a terminal."""
    return "\n".join(
        f"{p.title}: " + "; ".join(f"{line.name} {signed(line.slope)}" for line in p.lines) for p in pictures
    )


def page(
    sizes: Mapping[str, Any],
    figures: Figures,
    pictures: Sequence[Panel],
    machine: Mapping[str, Any],
    files: Mapping[str, str],
) -> str:
    """The whole Markdown page. `files`: key of a panel → file name of its picture."""
    of = {p.key: p for p in pictures}
    busy = machine["busy"]
    packages = machine["packages"]
    spread = max(point["spread"] for points in figures.values() for point in points.values())
    prompt, answer = sizes["row"]

    def shown(axis: str) -> str:
        return "\n\n".join(
            f"![{of[f'{axis}-{kind}'].title}]({files[f'{axis}-{kind}']})\n\n" + _slopes(of[f"{axis}-{kind}"], ONE[axis])
            for kind in ("time", "memory")
        )

    parts = [
        "# How cost grows",
        "Written by the command itself, pictures included:",
        "    expunge bench growth --out docs/results/speed.md",
        "## What was measured",
        f"NPO with cross-entropy on retained rows, {ROWS} + {ROWS} rows per step, LoRA of rank {RANK} on the last "
        f"{sizes['blocks']} blocks of a Llama of width {sizes['width']} with random weights, in float32. **Cached**: "
        "the frozen blocks below are computed once per row before the first step. **Plain**: the same run with "
        "`memory.prefix_cache=false`, which computes them in every step; losses and gradients are equal up to "
        "rounding.",
        f"Every point is the median of {sizes['rounds']} × {sizes['steps']} steps ({sizes['rounds']} × "
        f"{sizes['drawing']} on a corpus, {min(sizes['drawing'], PLAIN)} of them on the plain path) after {WARM} that "
        "are not counted, in rounds through all points, each measurement in a process of its own. **Time** is "
        "processor time of that process at one thread, not time on the wall: waiting for the disk and for a busy "
        f"core is left out. The medians of one point differed between rounds by at most {spread:.0%}. **Memory** is "
        "the most resident memory beyond that after a tiny first run, so about what the libraries take is left out.",
        f"Machine: {machine['machine']}, {machine['cores']} cores, 1 thread, no accelerator; torch "
        f"{packages['torch']}, transformers {packages['transformers']}, Python {machine['python']}. Other work ran "
        f"beside it: load average {min(busy):.1f} to {max(busy):.1f}.",
        "A **slope** is the power p in cost = c·nᵖ, fitted to all points by least squares on the logarithms: 0 is "
        "flat, 1 in proportion. Where a fixed cost hides a growing one a line bends; the slope between its last two "
        "points is then the better guess of how it goes on.",
        "## Layers",
        f"Rows of {prompt} + {answer} tokens, vocabulary {VOCABULARY}, {POOL} forget and {POOL} retain rows in all.",
        _steps_table(figures["layers"], "layers"),
        shown("layers"),
        "## Answer length",
        f"{sizes['depth']} layers, prompts of {sizes['prompt']} tokens, else as above.",
        _steps_table(figures["answer"], "answer tokens"),
        shown("answer"),
        "## Records",
        f"Made-up corpora in Parquet, 24 records per person in a tree of four levels; the run forgets one person "
        f"({SCOPE}) with a model of {sizes['depth']} layers in {WARM + sizes['drawing']} steps. Rows are read byte by "
        "byte, so that all are equally long (about 75 tokens). `rows`: what the run feeds to the model; more are not "
        "encoded for the cache, however large the corpus.",
        _records_table(figures["records"]),
        shown("records"),
        f"Under 1 MiB counts as 1 MiB in picture and slope. A corpus of more than {IN_MEMORY // 2**20} MiB lies in a "
        "file. Records in memory are all encoded once, to refuse one that is too long; of those in a file only what is "
        "drawn, which is why drawing and encoding may get cheaper for a larger corpus.",
        "## Reading",
        "\n".join(f"- {line}" for line in reading(figures)),
    ]
    return "\n\n".join(parts) + "\n"


def _table(
    points: Mapping[str, Mapping[str, Any]], first: str, columns: Mapping[str, Callable[[Mapping[str, Any]], float]]
) -> str:
    return markdown(
        [first, *columns],
        [[f"{int(place):,}", *(number(value(p)) for value in columns.values())] for place, p in points.items()],
    )


def _steps_table(points: Mapping[str, Mapping[str, Any]], first: str) -> str:
    return _table(
        points,
        first,
        {
            "step, cached (s)": lambda p: p["cached"],
            "step, plain (s)": lambda p: p["plain"],
            "plain / cached": lambda p: p["plain"] / p["cached"],
            "memory, cached (MiB)": lambda p: p["cached_memory"],
            "memory, plain (MiB)": lambda p: p["plain_memory"],
        },
    )


def _records_table(points: Mapping[str, Mapping[str, Any]]) -> str:
    return _table(
        points,
        "records",
        {
            "load and resolve (s)": lambda p: p["load"],
            "rows": lambda p: p["drawn"],
            "draw and encode (s)": lambda p: p["rows"],
            "build the cache (s)": lambda p: p["cache"],
            "step, cached (s)": lambda p: p["cached"],
            "step, plain (s)": lambda p: p["plain"],
            "memory, loaded (MiB)": lambda p: p["loaded"],
            "memory, whole run (MiB)": lambda p: p["memory"],
        },
    )


def _slopes(panel: Panel, what: str) -> str:
    return markdown(
        ["line", "slope", "last two points", "in words"],
        [[line.name, signed(line.slope), signed(line.last), meaning(line.slope, what)] for line in panel.lines],
    )


def reading(figures: Figures) -> list[str]:
    """What the figures say, one sentence each."""
    lines = []
    for axis, what in (("layers", "{} layers"), ("answer", "an answer of {} tokens")):
        (low, first), *_, (high, last) = figures[axis].items()
        lines.append(
            f"From {what.format(low)} to {what.format(high)} ({number(int(high) / int(low))} times) a cached step "
            f"takes {number(last['cached'] / first['cached'])} times as long and a plain one "
            f"{number(last['plain'] / first['plain'])} times; at {high} the plain one takes "
            f"{number(last['plain'] / last['cached'])} times as long as the cached one."
        )
    points = figures["records"]
    (low, first), *_, (high, last) = points.items()
    cached = [p["cached"] for p in points.values()]
    lines.append(
        f"A step does not know how large the corpus is: between {int(low):,} and {int(high):,} records the "
        f"slowest point takes {number(max(cached) / min(cached))} times as long as the fastest."
        if max(cached) / min(cached) < 1.25
        else f"The time of a step moved by a factor of {number(max(cached) / min(cached))} between corpora of "
        f"{int(low):,} and {int(high):,} records, which it should not."
    )
    lines.append(
        f"Per record, loading and resolving {int(high):,} takes "
        f"{number(last['load'] / int(high) * 1e6)} microseconds and at most "
        f"{number(last['loaded'] * MIB / int(high))} bytes of memory."
    )
    gain = last["plain"] - last["cached"]
    lines.append(
        f"At {int(high):,} records, building the cache for {int(last['drawn']):,} rows "
        + (f"costs what {math.ceil(last['cache'] / gain)} steps save." if gain > 0 else "saves nothing.")
    )
    return lines
