"""How many threads torch uses. Small models on a busy machine run many times slower with too many.

`EXPUNGE_THREADS` decides, else `OMP_NUM_THREADS`; otherwise the available cores less those that others keep busy.
"""

from __future__ import annotations

import os

from expunge.errors import InputError


def choose_threads(cores: int, load: float) -> int:
    """Free cores, at least one: `cores` minus the one-minute load average, rounded."""
    return max(1, cores - round(load))


def default_threads() -> int:
    """The number that the environment sets, else the free cores; `InputError` for a variable without a number."""
    name = next((n for n in ("EXPUNGE_THREADS", "OMP_NUM_THREADS") if os.environ.get(n)), None)
    if name:
        value = os.environ[name].split(",")[0]  # OpenMP takes a list: one number for each level of nesting
        if not value.isdigit() or int(value) < 1:
            raise InputError(name, f'"{value}" is not a number of threads', "use 1, 2, …")
        return int(value)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return choose_threads(cores, os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0)


def set_threads(threads: int | None = None) -> int:
    """Set torch's intra-op threads, None for `default_threads`; returns the number."""
    import torch

    threads = default_threads() if threads is None else threads
    torch.set_num_threads(threads)
    return threads
