"""How rows, sums and messages are dealt among processes, without any process."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from expunge.engine import distributed as room
from expunge.engine.distributed import DistributedContext
from expunge.errors import InputError


class Talk:
    """What `accelerate` would do for process `index` of `count` that all hold the same."""

    def __init__(self, index: int, count: int) -> None:
        self.process_index, self.num_processes, self.device = index, count, torch.device("cpu")
        self.sent: list[torch.Tensor] = []

    def reduce(self, value: Any, how: str) -> Any:
        self.sent.append(value)
        return value * self.num_processes if how == "sum" else value


def test_every_row_of_a_batch_belongs_to_one_process() -> None:
    three = [DistributedContext(Talk(k, 3)) for k in range(3)]
    assert [r.shard([7, 8, 9, 10, 11]) for r in three] == [[7, 10], [8, 11], [9]]
    assert [r.shard([5]) for r in three] == [[5], [], []]
    assert DistributedContext().shard([7, 8]) == [7, 8]


def test_assigned_rows_cover_all_batches_and_equal_counts_borrow() -> None:
    batches = [[0, 1, 2], [3, 1, 0]]  # process 0: 0, 2, 3; process 1: 1
    one, two = DistributedContext(Talk(0, 2)), DistributedContext(Talk(1, 2))
    assert (one.assigned_rows(batches), two.assigned_rows(batches)) == ([0, 2, 3], [1])
    assert (one.assigned_rows(batches, equal=True), two.assigned_rows(batches, equal=True)) == ([0, 2, 3], [0, 1, 2])
    assert DistributedContext().assigned_rows(batches, equal=True) == [0, 1, 2, 3]
    assert DistributedContext().assigned_rows([]) == []


def test_gradients_are_reduced_in_one_message_per_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk(0, 2)
    values = [torch.arange(6.0).view(2, 3), torch.tensor(5.0), torch.ones(2, dtype=torch.bfloat16), torch.zeros(0, 4)]
    found = DistributedContext(talk).all_reduce_sum(values)
    assert [len(sent) for sent in talk.sent] == [7, 2]
    assert all(torch.equal(f, 2 * v) and f.dtype == v.dtype for f, v in zip(found, values, strict=True))
    monkeypatch.setattr(room, "MESSAGE", 24)  # bytes: six numbers of four
    talk.sent.clear()
    again = DistributedContext(talk).all_reduce_sum(values)
    assert [len(sent) for sent in talk.sent] == [6, 1, 2]
    assert all(torch.equal(a, f) for a, f in zip(again, found, strict=True))


def test_a_process_alone_sums_nothing_and_its_errors_are_told_by_it() -> None:
    alone = DistributedContext()
    value = torch.ones(3)
    assert alone.all_reduce_sum([value])[0] is value
    assert (
        alone.all_reduce_max(4),
        alone.any(False),
        alone.broadcast_from_main(lambda: 5),
        alone.main_process_first(lambda: 6),
    ) == (4, False, 5, 6)
    with pytest.raises(InputError) as caught, alone.report_once(), alone.synchronized():
        raise InputError("here", "is wrong")
    assert caught.value.silent is False


def test_processes_that_do_not_find_each_other_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    assert DistributedContext.init().num_processes == 1
    import accelerate

    def fail(cpu: bool) -> None:
        raise ValueError("MASTER_ADDR expected, but not set\nsecond line")

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(accelerate, "Accelerator", fail)
    with pytest.raises(InputError, match=r"^launch: the processes did not find each other \(MASTER_ADDR exp.*guide"):
        DistributedContext.init("cpu")
