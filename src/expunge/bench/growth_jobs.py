"""What `expunge bench growth` measures, each function in a process of its own: steps of a run, and a corpus.

Times are processor seconds of the one-thread process, which a busy neighbour disturbs far less than the clock on the
wall. Memory is counted from a first tiny run on, so libraries and what they load at first use are left out.
"""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path
from typing import Any

from expunge.bench.memory import SCOPE, resident
from expunge.bench.step_rows import made, word_tokenizer
from expunge.corpus import Corpus
from expunge.engine.loop import Loop
from expunge.engine.recipe import BatchSize, Memory, Recipe, Retain
from expunge.errors import RunFailed
from expunge.models.adapters import TrainableConfig, prepare
from expunge.models.language_model import LanguageModel
from expunge.models.prefix_cache import PrefixCache
from expunge.models.threads import set_threads
from expunge.models.tiny import TinyConfig, build, train_tokenizer
from expunge.scope import Scope

LIBRARIES = (__name__, "accelerate", "peft", "transformers.models.llama.modeling_llama", "pyarrow.parquet")
ROWS = 8  # forget rows and retain rows of a batch, each
POOL = 32  # forget rows and retain rows there are, each
VOCABULARY = 2048
LETTERS = 258  # a vocabulary of single bytes: rows of a corpus then have equal lengths, however many there are
RANK = 8
WARM = 2  # steps not counted
PLAIN = 8  # counted steps of a plain run beside a corpus


def time_steps(
    *, layers: int, prompt: int, answer: int, cached: bool, steps: int, width: int, blocks: int
) -> dict[str, Any]:
    """`seconds` of each of `steps` steps, and `memory`: the most bytes beyond those of a first tiny run.

    prompt, answer  tokens, end token included
    cached          frozen blocks computed once per row; False: in every step
    """
    _one_thread()
    tokenizer = word_tokenizer(VOCABULARY)
    forget, retain = (tuple(made(((prompt, answer),) * POOL, VOCABULARY, side)) for side in ("forget", "retain"))
    timed(Loop(_model(tokenizer, 2, 32, 1), _recipe(1, 1, cached), forget, retain))
    before = resident()[1]
    loop = Loop(_model(tokenizer, layers, width, blocks), _recipe(WARM + steps, blocks, cached), forget, retain)
    seconds = timed(loop)
    _check(loop, cached)
    return {"seconds": seconds, "memory": resident()[0] - before, "busy": os.getloadavg()[0]}


def time_records(*, file: str, first: str, layers: int, width: int, blocks: int, steps: int) -> dict[str, Any]:
    """A corpus on its way from Parquet to a run of `WARM` + `steps` steps that forgets its first person.

    first  a small corpus, for the tiny run before anything is counted
    Seconds: `load` with resolving, `rows` (draw and encode), `cache`, and for each step `cached` and `plain`.
    Most bytes beyond those of the tiny run: `loaded` until resolved, `memory` until the last cached step.
    `drawn`: rows that the run feeds to the model.
    """
    _one_thread()
    tokenizer = train_tokenizer((), LETTERS)
    small = Scope.parse(SCOPE).resolve(Corpus.load(Path(first)))
    timed(Loop(_model(tokenizer, 2, 32, 1), _recipe(1, 1, True), small.forget, small.retain))
    before = resident()[1]

    clock = _Clock()
    split = Scope.parse(SCOPE).resolve(Corpus.load(Path(file)))
    load, loaded = clock.seconds(), resident()[0] - before
    lm = _model(tokenizer, layers, width, blocks)
    clock.seconds()
    loop = Loop(lm, _recipe(WARM + steps, blocks, True), split.forget, split.retain)
    rows = clock.seconds()
    kept = PrefixCache.build(lm.module, loop.table.items, budget=loop.recipe.memory.cache_mib << 20)
    cache = clock.seconds()
    if not isinstance(kept, str):
        kept.close()
    cached = timed(loop)
    _check(loop, True)
    memory = resident()[0] - before
    plain = timed(Loop(lm, _recipe(WARM + min(steps, PLAIN), blocks, False), split.forget, split.retain))
    return {
        "load": load,
        "rows": rows,
        "cache": cache,
        "cached": cached,
        "plain": plain,
        "loaded": loaded,
        "memory": memory,
        "drawn": len(loop.table.items),
        "busy": os.getloadavg()[0],
    }


def timed(loop: Loop) -> list[float]:
    """Processor seconds of every step but the first `WARM`; caches are built before the first."""
    stamps = [time.process_time()]
    loop.run(lambda event: stamps.append(time.process_time()))
    return [b - a for a, b in zip(stamps[WARM:], stamps[WARM + 1 :], strict=False)]


class _Clock:
    def __init__(self) -> None:
        self._began = time.process_time()

    def seconds(self) -> float:
        """Processor seconds since the last call."""
        before, self._began = self._began, time.process_time()
        return self._began - before


def _one_thread() -> None:
    import pyarrow

    set_threads(1)
    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)
    warnings.simplefilter("ignore", FutureWarning)  # a new process does not know that its parent wants none


def _model(tokenizer: Any, layers: int, width: int, blocks: int) -> LanguageModel:
    base = LanguageModel.from_parts(build(TinyConfig(layers=layers, width=width), tokenizer, 1), tokenizer, "bench")
    return base.with_module(prepare(base.module, _train(blocks), 1))


def _train(blocks: int) -> TrainableConfig:
    return TrainableConfig(rank=RANK, layers=blocks)


def _recipe(steps: int, blocks: int, cached: bool) -> Recipe:
    return Recipe(
        method="npo",
        retain=Retain(loss="ce"),
        train=_train(blocks),
        steps=steps,
        batch=BatchSize(forget=ROWS, retain=ROWS),
        memory=Memory(prefix_cache=cached),
    )


def _check(loop: Loop, cached: bool) -> None:
    """A line that says "cached" must not hold times of the plain path."""
    if cached and loop.passes.about.startswith("plain"):
        raise RunFailed("bench growth", f"the cache was not used ({loop.passes.about})")
