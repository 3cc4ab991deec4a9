"""The day that a chat template writes is the day on which the run started."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from expunge._io import read_json
from expunge.audit.run_identity import loading_options
from expunge.engine.event import Event
from expunge.engine.unlearn import unlearn
from expunge.errors import Interrupted
from expunge.models.language_model import load
from helpers.runs import recipe
from helpers.world import one_person

DATED = (
    "{{ strftime_now('%d %b %Y') }}\n{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)


@pytest.fixture
def on_day(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set today to this day of March 2026."""

    def set_day(day: int) -> None:
        class Calendar(date):
            @classmethod
            def today(cls) -> Calendar:
                return cls(2026, 3, day)

        monkeypatch.setattr("expunge.models.prompt_template.calendar_date", Calendar)

    return set_day


@pytest.fixture
def dated(folders: dict[str, Path], tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(folders["llama"], folder)
    (folder / "chat_template.jinja").write_text(DATED)
    return folder


def test_a_run_that_goes_on_another_day_gives_the_same_bits(
    dated: Path, tmp_path: Path, on_day: Callable[[int], None]
) -> None:
    plan = recipe("npo", steps=4, checkpoint_every=100, optimizer={"lr": 0.05})

    def stop(event: Event, total: int) -> None:
        if event.step == 1:
            signal.raise_signal(signal.SIGTERM)

    on_day(1)
    whole = unlearn(dated, one_person(), plan, tmp_path / "whole")
    with pytest.raises(Interrupted):
        unlearn(dated, one_person(), plan, tmp_path / "run", on_step=stop)
    on_day(2)
    run = unlearn(dated, one_person(), plan, tmp_path / "run")
    assert [read_json(r / "run.json")["template_date"] for r in (whole, run)] == ["2026-03-01"] * 2
    one, two = (load_file(r / "adapter" / "adapter_model.safetensors") for r in (whole, run))
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_an_audit_asks_on_the_day_of_the_run(dated: Path, tmp_path: Path, on_day: Callable[[int], None]) -> None:
    on_day(1)
    run, record = unlearn(dated, one_person(), recipe("npo", steps=1), tmp_path / "run"), one_person().forget[0]
    before = load(run).template
    on_day(2)
    assert loading_options(run)["template_date"] == "2026-03-01"
    original, result = load(dated, **loading_options(run)).template, load(run).template
    assert original.encode(record) == result.encode(record) == before.encode(record)
    assert original.digest == result.digest == before.digest
    today = load(dated).template
    assert today.date == "2026-03-02"
    assert today.encode(record) != result.encode(record)
    assert today.digest != result.digest


def test_no_day_is_noted_where_the_template_writes_none(folders: dict[str, Path], tmp_path: Path) -> None:
    run = unlearn(folders["llama"], one_person(), recipe("npo", steps=1), tmp_path / "run")
    assert "template_date" not in read_json(run / "run.json")
