"""Trackers: numbers and settings only, started at the first step, a failure is a warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from expunge.engine.event import Event
from expunge.engine.trackers import flat, numbers, tracking
from expunge.errors import InputError, InputWarning

EVENT = Event(step=3, phase=0, forget=2.5, retain=float("nan"), norm=1.0, lr_factor=0.5, seconds=0.1, memory=7)


class Memory(GeneralTracker):
    """Keeps what it is given."""

    name = "memory"
    requires_logging_directory = False
    seen: ClassVar[list[Any]] = []
    fails = False

    def __init__(self, run_name: str) -> None:
        super().__init__()
        self.run_name = run_name

    def start(self) -> None:
        self.seen.append(("start", self.run_name))

    @property
    def tracker(self) -> object:
        return self

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.seen.append(values)

    def log(self, values: dict[str, float], step: int | None = None, **_: object) -> None:
        if self.fails:
            raise ConnectionError("no answer")
        self.seen.append((step, values))

    def finish(self) -> None:
        self.seen.append("finish")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> type[Memory]:
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "memory", Memory)
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: ["memory"])
    monkeypatch.setattr(Memory, "seen", [])
    return Memory


def test_numbers_are_the_finite_measurements_of_a_step() -> None:
    assert numbers(EVENT) == {"forget": 2.5, "norm": 1.0, "lr_factor": 0.5, "seconds": 0.1, "memory": 7.0}
    assert numbers({"loss": 1, "note": "x", "epoch": 3}) == {"loss": 1.0}


def test_settings_are_flat_and_without_null() -> None:
    assert flat({"a": {"b": 1, "c": None}, "d": (1, 2), "e": "x"}) == {"a.b": 1, "d": "(1, 2)", "e": "x"}


def test_a_run_is_logged_from_its_first_step_to_its_end(memory: type[Memory], tmp_path: Path) -> None:
    with tracking("memory", tmp_path / "run", {"steps": 5, "optimizer": {"lr": 0.1}}) as record:
        assert memory.seen == []
        record(EVENT, 4)
        record({"loss": 0.5}, 5)
    assert memory.seen == [
        ("start", "run"),
        {"steps": 5, "optimizer.lr": 0.1},
        (4, numbers(EVENT)),
        (5, {"loss": 0.5}),
        "finish",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_that_fails_is_a_warning_and_is_asked_no_more(
    memory: type[Memory], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "fails", True)

    def log_twice() -> None:
        with tracking("memory", tmp_path / "run", {}) as record:
            record(EVENT, 1)
            record(EVENT, 2)

    with pytest.warns(InputWarning, match=r"tracker memory: stopped \(ConnectionError: no answer\); the run goes on"):
        log_twice()
    assert memory.seen == [("start", "run"), {}]


def test_without_a_name_nothing_happens(tmp_path: Path) -> None:
    with tracking(None, tmp_path / "run", {}) as record:
        record(EVENT, 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("tensorbord", '--track: unknown tracker "tensorbord"; did you mean "tensorboard"?'),
        ("comet_ml", "--track comet_ml: needs the package comet_ml, which is not installed; pip install comet_ml"),
    ],
)
def test_a_tracker_that_is_not_there_is_one_line(
    name: str, line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", list)
    with pytest.raises(InputError) as caught, tracking(name, tmp_path / "run", {}):
        pass
    assert str(caught.value).startswith(line)


def test_tensorboard_reads_back_what_was_logged(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tracking("tensorboard", tmp_path / "run", {"steps": 2, "train": {"layers": (1, 2)}}) as record:
        for step in (1, 2):
            record({"forget": step / 4}, step)
    assert not (tmp_path / "run").exists()
    events = EventAccumulator(str(tmp_path / "tracking" / "run"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("forget")] == [(1, 0.25), (2, 0.5)]
