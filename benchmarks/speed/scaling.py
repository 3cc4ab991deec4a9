"""Measure how time and memory grow with depth, answer length and records, with the prefix cache and without.

Points are visited in rounds, so that a busy minute does not fall on one end of a line; each measurement has a process
of its own and is written to the work folder at once, so an interrupted command resumes. Times are processor seconds of
one thread. Memory is counted from a first tiny run on, so that libraries are left out. `--page` measures nothing: it
writes the page `speed.md` and its plots from the results files of `scaling` and `step`.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.memory import SCOPE, resident, write_corpus
from benchmarks.speed.program import Parts, Results, Say, program, provenance, say
from benchmarks.speed.scaling_page import PATHS, medians, plots, slopes_text, write_page
from benchmarks.speed.subprocesses import in_process, isolated
from benchmarks.speed.synthetic_inputs import random_model, synthetic_records, word_tokenizer
from expunge._io import canonical, read_json, write_json
from expunge.corpus import load_corpus
from expunge.engine.loop import Loop
from expunge.engine.loop_builder import build_loop
from expunge.engine.recipe import Recipe
from expunge.engine.recipe_config import BatchSize, Memory, Retain
from expunge.engine.run_directory import environment
from expunge.errors import InputError, RunFailed
from expunge.models.adapters import TrainableConfig, prepare
from expunge.models.language_model import LanguageModel
from expunge.models.prefix_cache import PrefixCache
from expunge.models.threads import set_threads
from expunge.models.tiny import TinyConfig, train_tokenizer
from expunge.scope import Scope

LLAMA = "transformers.models.llama.modeling_llama"
LIBRARIES = ("benchmarks.speed.scaling", "accelerate", "peft", LLAMA, "pyarrow.parquet")
LETTERS = 258  # a vocabulary of single bytes: rows of a corpus then have equal lengths, whatever its size


@dataclass(frozen=True)
class ScalingSizes:
    """What is measured; lengths in tokens, end token included."""

    layers: tuple[int, ...] = (8, 16, 24, 36, 48)
    answers: tuple[int, ...] = (2, 8, 32, 128)
    records: tuple[int, ...] = (100, 1_000, 10_000, 100_000)
    width: int = 128
    blocks: int = 4  # the last ones, which train
    row: tuple[int, int] = (24, 8)  # prompt and answer where the number of layers grows
    prompt: int = 16  # where the answer grows
    depth: int = 8  # layers where something else grows
    rounds: int = 3
    steps: int = 8  # counted steps, after the warm-up
    corpus_steps: int = 40  # counted steps of a run on a corpus; they decide how many rows are drawn
    plain_steps: int = 8  # counted steps of a plain run on a corpus, at most
    warm_up: int = 2
    rows: int = 8  # forget rows and retain rows of a batch, each
    pool: int = 32  # forget rows and retain rows there are, each
    vocabulary: int = 2048
    rank: int = 8


SHIPPED = ScalingSizes()


@dataclass(frozen=True)
class Measurement:
    """One point of an axis on one path in one round, and the arguments of its function."""

    axis: str
    value: int
    path: str
    round: int
    arguments: Mapping[str, Any]

    @property
    def key(self) -> str:
        return canonical(asdict(self)).decode()


def measurements(sizes: ScalingSizes) -> Iterator[Measurement]:
    """All measurements, round after round; the two paths of a point follow each other."""
    prompt, answer = sizes.row
    points = [("layers", n, {"layers": n, "prompt": prompt, "answer": answer}) for n in sizes.layers]
    points += [("answer", n, {"layers": sizes.depth, "prompt": sizes.prompt, "answer": n}) for n in sizes.answers]
    for turn in range(sizes.rounds):
        for axis, n, arguments in points:
            for path in PATHS:
                yield Measurement(axis, n, path, turn, arguments | {"cached": path == "cached"})
        for n in sizes.records:
            yield Measurement("records", n, "both", turn, {})


def measure(work: Path, sizes: ScalingSizes = SHIPPED, *, processes: bool = True, say: Say = say) -> Results:
    """Measure what the work folder does not hold yet.

    Args:
        work: folder for measurements and synthetic corpora.
        processes: each measurement in a process of its own; False: in this one, where memory says little.

    Returns:
        A results file: `measured` (how and when), `machine`, `sizes`, `load_average`, `figures` (medians) and
        `spread`, how far the rounds of one point differ at most.

    Raises:
        InputError: `work` holds measurements of another machine, other versions or other sizes.
    """
    resident()
    file = work / "scaling.json"
    identity = {"machine": environment() | {"cores": os.cpu_count() or 1}, "sizes": asdict(sizes)}
    known = read_json(file) if file.is_file() else identity | {"results": {}}
    if canonical({key: known[key] for key in identity}) != canonical(identity):
        what = "holds measurements of another machine, other versions or other sizes"
        raise InputError(str(work), what, "name a new folder with --work")
    results: dict[str, Any] = known["results"]
    planned = list(measurements(sizes))
    pending = [one for one in planned if one.key not in results]
    with isolated(LIBRARIES) if processes and pending else nullcontext(in_process) as call:
        for number, one in enumerate(pending, 1):
            arguments = {"sizes": sizes, **one.arguments}
            if one.axis == "records":
                arguments |= {"file": write_corpus(work, one.value), "first": write_corpus(work, min(sizes.records))}
            function: Callable[..., Any] = time_corpus if one.axis == "records" else time_steps
            results[one.key] = call(function, arguments)
            write_json(file, known)
            say(f"{number} of {len(pending)}: {one.axis} {one.value:,}, {one.path}")
    busy = [results[one.key]["busy"] for one in planned]
    figures = medians((one.axis, one.value, one.path, results[one.key]) for one in planned)
    return {
        "measured": provenance("python -m benchmarks.speed.scaling"),
        **identity,
        "load_average": [min(busy), max(busy)],
        "spread": max(point["spread"] for points in figures.values() for point in points.values()),
        "figures": figures,
    }


def time_steps(*, sizes: ScalingSizes, layers: int, prompt: int, answer: int, cached: bool) -> Results:
    """`seconds` of each counted step, and `memory`: peak bytes beyond those of a first tiny run.

    `cached`: frozen blocks are computed once per row; else in every step.
    """
    _one_thread()
    tokenizer = word_tokenizer(sizes.vocabulary)
    lengths = ((prompt, answer),) * sizes.pool
    forget, retain = (tuple(synthetic_records(lengths, sizes.vocabulary, side)) for side in ("forget", "retain"))
    _tiny_run(sizes, tokenizer, forget, retain)
    before = resident()[1]
    recipe = _recipe(sizes, sizes.warm_up + sizes.steps, sizes.blocks, cached)
    loop = build_loop(_model(tokenizer, layers, sizes.width, recipe.train), recipe.resolve(), forget, retain)
    seconds = _step_seconds(loop, sizes.warm_up)
    _check_path(loop, cached)
    return {"seconds": seconds, "memory": resident()[0] - before, "busy": os.getloadavg()[0]}


def time_corpus(*, sizes: ScalingSizes, file: Path, first: Path) -> Results:
    """A corpus from Parquet to a run that forgets its first person; `first` is a small one for the tiny first run.

    Returns:
        Seconds: `load` (and resolve), `rows` (draw and encode), `cache`, and of each step `cached` and `plain`.
        Peak bytes beyond those of the tiny run: `loaded` until resolved, `memory` until the last cached step.
        `drawn`: rows that the run feeds to the model.
    """
    _one_thread()
    tokenizer = train_tokenizer((), LETTERS)
    small = Scope.parse(SCOPE).resolve(load_corpus(first))
    _tiny_run(sizes, tokenizer, small.forget, small.retain)
    before = resident()[1]

    began = time.process_time()
    split = Scope.parse(SCOPE).resolve(load_corpus(file))
    load, loaded = time.process_time() - began, resident()[0] - before
    recipe = _recipe(sizes, sizes.warm_up + sizes.corpus_steps, sizes.blocks, True)
    lm = _model(tokenizer, sizes.depth, sizes.width, recipe.train)
    began = time.process_time()
    loop = build_loop(lm, recipe.resolve(), split.forget, split.retain)
    rows = time.process_time() - began
    began = time.process_time()
    cache = PrefixCache.build(lm.module, loop.dataset.encoded, budget=recipe.memory.cache_mib << 20)
    cache_seconds = time.process_time() - began
    if not isinstance(cache, str):
        cache.close()
    cached = _step_seconds(loop, sizes.warm_up)
    _check_path(loop, True)
    memory = resident()[0] - before
    recipe = _recipe(sizes, sizes.warm_up + min(sizes.corpus_steps, sizes.plain_steps), sizes.blocks, False)
    plain = _step_seconds(build_loop(lm, recipe.resolve(), split.forget, split.retain), sizes.warm_up)
    seconds = {"load": load, "rows": rows, "cache": cache_seconds, "cached": cached, "plain": plain}
    bytes_ = {"loaded": loaded, "memory": memory}
    return seconds | bytes_ | {"drawn": len(loop.dataset.encoded), "busy": os.getloadavg()[0]}


def _step_seconds(loop: Loop, warm_up: int) -> list[float]:
    """Processor seconds of every step after the warm-up; caches are built before the first."""
    stamps = [time.process_time()]
    loop.run(lambda event: stamps.append(time.process_time()))
    return [b - a for a, b in zip(stamps[warm_up:], stamps[warm_up + 1 :], strict=False)]


def _one_thread() -> None:
    import pyarrow

    set_threads(1)
    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)
    warnings.simplefilter("ignore", FutureWarning)  # a new process does not inherit the filter


def _tiny_run(sizes: ScalingSizes, tokenizer: Any, forget: Sequence[Any], retain: Sequence[Any]) -> None:
    """One step of a model of two blocks, so that libraries have loaded what they load at first use."""
    recipe = _recipe(sizes, 1, 1, True)
    build_loop(_model(tokenizer, 2, 32, recipe.train), recipe.resolve(), forget, retain).run(lambda event: None)


def _model(tokenizer: Any, layers: int, width: int, train: TrainableConfig) -> LanguageModel:
    base = random_model(TinyConfig(layers=layers, width=width), tokenizer)
    return base.with_module(prepare(base.module, train, 1))


def _recipe(sizes: ScalingSizes, steps: int, blocks: int, cached: bool) -> Recipe:
    return Recipe(
        method="npo",
        retain=Retain(loss="ce"),
        train=TrainableConfig(rank=sizes.rank, layers=blocks),
        steps=steps,
        batch=BatchSize(forget=sizes.rows, retain=sizes.rows),
        memory=Memory(prefix_cache=cached),
    )


def _check_path(loop: Loop, cached: bool) -> None:
    """Refuse times of the plain path under the name of the cached one."""
    if cached and loop.runner.about.startswith("plain"):
        raise RunFailed("bench scaling", f"the cache was not used ({loop.runner.about})")


def command(*, work: Path, results: Path, page: bool, docs: Path) -> Results:
    """Measure and write the results file, or write the page."""
    if page:
        return {"files": [str(file) for file in write_page(results, docs)]}
    result = measure(work)
    say(f"results: {write_json(results / 'scaling.json', result)}")
    return result


def parts(result: Results) -> Parts:
    """The result for a terminal."""
    return (f"page: {result['files'][0]}",) if "files" in result else (slopes_text(plots(result["figures"])),)


main = program(
    __doc__,
    command,
    parts,
    work={"type": Path, "default": Path("runs/bench-scaling"), "help": "folder for measurements"},
    results={"type": Path, "default": Path("benchmarks/results/speed"), "help": "folder of results"},
    page={"action": "store_true", "help": "write the page from the results, measure nothing"},
    docs={"type": Path, "default": Path("docs/benchmarks"), "help": "folder of the page"},
)

if __name__ == "__main__":
    raise SystemExit(main(None))
