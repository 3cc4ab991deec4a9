"""Files of a run that were damaged, forged or exchanged: one line says so, or the run ends in the same bits."""

from __future__ import annotations

import json
import shutil
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from expunge.engine.event import Event
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError, InputWarning, Interrupted
from expunge.models.language_model import load
from helpers.runs import recipe
from helpers.world import one_person

PLAN: dict[str, Any] = {"steps": 6, "checkpoint_every": 2, "train": {"layers": 1}, "memory": {"cache_mib": 0}}
WEIGHTS = Path("adapter") / "adapter_model.safetensors"
LAST, PREVIOUS = Path("checkpoint") / "last", Path("checkpoint") / "previous"


def run(folders: dict[str, Path], out: Path, **changes: Any) -> Path:
    return unlearn(folders["llama"], one_person(), recipe("npo", **(PLAN | changes)), out)


def stopped_run(folders: dict[str, Path], out: Path, **changes: Any) -> Path:
    """A run that was stopped after its fifth step, with the states of steps 5 and 4."""

    def stop(event: Event, total: int) -> None:
        if event.step == 4:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted):
        unlearn(folders["llama"], one_person(), recipe("npo", **(PLAN | changes)), out, on_step=stop)
    return out


@pytest.fixture(scope="module")
def finished(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(folders, tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="module")
def stopped(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stopped_run(folders, tmp_path_factory.mktemp("stopped") / "run")


@pytest.fixture
def copy(stopped: Path, tmp_path: Path) -> Path:
    """A copy of the stopped run, to be spoiled."""
    return shutil.copytree(stopped, tmp_path / "run")


def same_bits(one: Path, two: Path) -> bool:
    first, second = load_file(one / WEIGHTS), load_file(two / WEIGHTS)
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "events.jsonl").read_text().splitlines()]


def flip(file: Path, share: float = 0.5) -> None:
    raw = bytearray(file.read_bytes())
    raw[int(share * len(raw))] ^= 1
    file.write_bytes(bytes(raw))


def change(**keys: Any) -> Callable[[Path], None]:
    def spoil(file: Path) -> None:
        file.write_text(json.dumps(json.loads(file.read_text()) | keys))

    return spoil


def without(*keys: str) -> Callable[[Path], None]:
    def spoil(file: Path) -> None:
        file.write_text(json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k not in keys}))

    return spoil


def holding(content: bytes) -> Callable[[Path], None]:
    return lambda file: file.write_bytes(content) and None  # type: ignore[func-returns-value]


def test_a_stopped_run_keeps_two_states_and_goes_on(folders: dict[str, Path], copy: Path, finished: Path) -> None:
    assert sorted(p.name for p in (copy / "checkpoint").iterdir()) == ["last", "previous"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        run(folders, copy)
    assert same_bits(copy, finished)


WRONG = {
    "a list": holding(b"[]"),
    "null": holding(b"null"),
    "a text": holding(b'"x"'),
    "empty": holding(b""),
    "binary": holding(b"\xff\xfe\x00"),
    "nested": holding(b"[" * 9000),
    "digits": holding(b'{"steps": ' + b"1" * 9000 + b"}"),
    "no identity": without("identity"),
    "identity a text": change(identity="x"),
    "identity of numbers": change(identity={"recipe": 1}),
    "no threads": without("threads"),
    "threads a text": change(threads="x"),
    "threads below 0": change(threads=-1),
    "threads too many": change(threads=10**9),
    "no model": without("model"),
    "status unknown": change(status="done"),
    "finished without steps": change(status="finished"),
    "split a list": change(split=[]),
    "stopped a text": change(stopped="x"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_run_json_of_the_wrong_shape_is_one_line(folders: dict[str, Path], copy: Path, wrong: str) -> None:
    WRONG[wrong](copy / "run.json")
    for use in (lambda: run(folders, copy), lambda: load(copy)):
        with pytest.raises(InputError, match="restore it, or run again in a new folder") as caught:
            use()
        assert str(caught.value).startswith(str(copy / "run.json"))
        assert "\n" not in str(caught.value)


def test_a_run_forged_as_finished_is_run_to_its_end(folders: dict[str, Path], copy: Path, finished: Path) -> None:
    change(status="finished", steps=6, seconds=1.0)(copy / "run.json")
    with pytest.raises(InputError, match="its weights are gone; start the run again with the same command"):
        load(copy)
    with pytest.warns(InputWarning, match="was finished, but its weights are gone; the run goes on"):
        run(folders, copy)
    assert same_bits(copy, finished)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda folder: shutil.rmtree(folder / "adapter"), "its weights are gone"),
        (lambda folder: (folder / WEIGHTS).unlink(), "its weights are gone"),
        (
            lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-9]),
            "its weights are damaged",
        ),
        (lambda folder: (folder / WEIGHTS).write_bytes(b""), "its weights are damaged"),
    ],
)
def test_a_result_whose_weights_are_gone_is_made_again(
    folders: dict[str, Path], finished: Path, tmp_path: Path, spoil: Callable[[Path], None], problem: str
) -> None:
    copy = shutil.copytree(finished, tmp_path / "run")
    spoil(copy)
    with pytest.raises(InputError, match=problem):
        load(copy)
    with pytest.warns(InputWarning, match=f"was finished, but {problem}"):
        run(folders, copy)
    assert same_bits(copy, finished)
    assert steps(copy) == list(range(6))
    assert json.loads((copy / "run.json").read_text())["status"] == "finished"


@pytest.mark.parametrize("line", [b"[]", b"{}", b"1", b"\xff", b"{", b'{"step": "0"}', b'{"step": -1}', b""])
@pytest.mark.parametrize("place", [0, 2])
def test_a_line_that_is_no_event_is_named(folders: dict[str, Path], copy: Path, line: bytes, place: int) -> None:
    events = copy / "events.jsonl"
    lines = events.read_bytes().splitlines()
    events.write_bytes(b"\n".join([*lines[:place], line, *lines[place + 1 :]]) + b"\n")
    with pytest.raises(InputError, match=rf"events.jsonl:{place + 1}.*; the file was changed after it was written"):
        run(folders, copy)


@pytest.mark.parametrize(
    "spoil", [lambda rows: rows[1:], lambda rows: [*rows[:2], *rows[3:]], lambda rows: rows + rows]
)
def test_events_before_the_checkpoint_are_there_once(
    folders: dict[str, Path], copy: Path, spoil: Callable[[list[str]], list[str]]
) -> None:
    events = copy / "events.jsonl"
    events.write_text("".join(spoil(events.read_text().splitlines(keepends=True))))
    with pytest.raises(InputError, match="does not hold the 5 steps before the checkpoint, each once"):
        run(folders, copy)


@pytest.mark.parametrize("file", ["state.json", "tensors.safetensors"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_damaged_checkpoint_ends_in_the_same_bits(
    folders: dict[str, Path], copy: Path, finished: Path, file: str, share: float
) -> None:
    flip(copy / LAST / file, share)
    with pytest.warns(InputWarning, match=r"checkpoint/last: the checkpoint is damaged .*; the one before it is used"):
        run(folders, copy)
    assert same_bits(copy, finished)
    assert steps(copy) == list(range(6))


@pytest.mark.parametrize("step", [-3, 4, 7, 99])
def test_an_edited_step_is_a_damaged_checkpoint(
    folders: dict[str, Path], copy: Path, finished: Path, step: int
) -> None:
    for place in (LAST, PREVIOUS):
        state = json.loads((copy / place / "state.json").read_text())
        state["state"]["items"][0] = ["step", {"value": step}]
        (copy / place / "state.json").write_text(json.dumps(state))
    if step == 4:
        shutil.rmtree(copy / PREVIOUS)
    with pytest.warns(InputWarning, match="there is no other, so the work starts over"):
        run(folders, copy)
    assert same_bits(copy, finished)


def test_the_checkpoint_of_another_seed_is_refused(folders: dict[str, Path], copy: Path, tmp_path: Path) -> None:
    other = stopped_run(folders, tmp_path / "other", seed=7)
    shutil.rmtree(copy / "checkpoint")
    shutil.copytree(other / "checkpoint", copy / "checkpoint")
    with pytest.raises(InputError, match="is the checkpoint of another run; remove it"):
        run(folders, copy)


def test_a_damaged_cache_is_named_and_computed_again(folders: dict[str, Path], copy: Path, finished: Path) -> None:
    (cache,) = (copy / "cache").glob("hidden-*.bin")
    flip(cache, 0.3)
    with pytest.warns(InputWarning, match=r"hidden-\w+.bin: is damaged; the states are computed again"):
        run(folders, copy)
    assert same_bits(copy, finished)


def debris(folder: Path) -> Path:
    """What a killed writer may leave before its first file, in a new folder."""
    (folder / "checkpoint" / ".new").mkdir(parents=True)
    (folder / "checkpoint" / ".new" / "tensors.safetensors").write_bytes(b"half")
    for name in (".run.json.k3j2h1ab.part", ".train.json.k3j2h1ab.part", ".audit.json.k3j2h1ab.part", "lock"):
        (folder / name).write_text("half")
    return folder


def test_debris_of_a_killed_writer_never_blocks_a_run(folders: dict[str, Path], finished: Path, tmp_path: Path) -> None:
    out = run(folders, debris(tmp_path / "run"))
    assert same_bits(out, finished)
    assert {p.name for p in out.iterdir()} == {p.name for p in finished.iterdir()}
    debris(out / "sub")
    for entry in (out / "sub").iterdir():
        if entry.is_file():
            entry.replace(out / entry.name)
    shutil.rmtree(out / "sub")
    run(folders, out)
    assert {p.name for p in out.iterdir()} == {p.name for p in finished.iterdir()}


def test_logs_are_not_written_through_links(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    out = stopped_run(folders, tmp_path / "run")
    out.joinpath("events.jsonl").unlink()
    out.joinpath("events.jsonl").symlink_to(tmp_path / "mine.txt")
    with pytest.raises(InputError):
        run(folders, out)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match="is a link that leads nowhere"):
        run(folders, tmp_path / "link")


def test_a_number_of_steps_beyond_any_use_is_refused() -> None:
    from expunge.engine.recipe import Recipe

    with pytest.raises(InputError, match=r"--set steps=10+: must be at most 1000000"):
        Recipe.load("npo", [f"steps={10**18}"])
