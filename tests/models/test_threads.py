"""How many threads torch may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from expunge.errors import InputError
from expunge.models.threads import choose_threads, set_threads


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    for name in ("EXPUNGE_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("cores", "load", "threads"), [(8, 0.2, 8), (8, 2.6, 5), (2, 1.2, 1), (2, 9, 1), (1, 0, 1)])
def test_busy_cores_are_left_to_others_but_one_is_always_used(cores: int, load: float, threads: int) -> None:
    assert choose_threads(cores, load) == threads


def test_the_environment_decides_ours_before_that_of_openmp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert set_threads() == torch.get_num_threads() == 3
    monkeypatch.setenv("EXPUNGE_THREADS", "2")
    assert set_threads() == torch.get_num_threads() == 2
    assert set_threads(1) == torch.get_num_threads() == 1


@pytest.mark.parametrize("wish", ["0", "-1", "two", "1.5"])
def test_a_variable_without_a_number_of_threads_is_refused(monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    monkeypatch.setenv("EXPUNGE_THREADS", wish)
    with pytest.raises(InputError, match=f'EXPUNGE_THREADS: "{wish}" is not a number of threads'):
        set_threads()


def test_without_a_variable_at_least_one_thread_is_used() -> None:
    assert set_threads() >= 1
