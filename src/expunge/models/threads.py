"""How many threads torch may use. Small models on a busy machine run many times slower with too many.

`EXPUNGE_THREADS` decides, else `OMP_NUM_THREADS`; otherwise the cores this process may use, less those that others
keep busy.
"""

from __future__ import annotations

import os

from expunge.errors import InputError


def choose_threads(cores: int, load: float) -> int:
    """Free cores, at least one: `cores` minus the one-minute load of others, rounded."""
    return max(1, cores - round(load))


def allowed() -> int:
    """What the environment asks for, else the free cores; `InputError` for a variable that holds no number."""
    name = next((n for n in ("EXPUNGE_THREADS", "OMP_NUM_THREADS") if os.environ.get(n)), None)
    if name:
        wish = os.environ[name].split(",")[0]  # OpenMP takes a list: one number for each level of nesting
        if not wish.isdigit() or int(wish) < 1:
            raise InputError(name, f'"{wish}" is not a number of threads', "use 1, 2, …")
        return int(wish)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return choose_threads(cores, os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0)


def set_threads(threads: int | None = None) -> int:
    """Set torch's intra-op threads and return the number used. `threads=None` takes what is allowed."""
    import torch

    threads = allowed() if threads is None else threads
    torch.set_num_threads(threads)
    return threads
