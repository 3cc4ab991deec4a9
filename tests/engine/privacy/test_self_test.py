"""The self-test passes where gradients are right, leaves no trace, and notices where they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from expunge.engine.privacy import self_test
from expunge.engine.privacy.per_sample_gradients import unit_gradients
from expunge.errors import RunFailed
from expunge.models.adapters import trainable
from helpers.privacy import FIXED, engine_of, private, private_loop
from helpers.runs import changed, run, weights
from helpers.world import ARCHITECTURES


@pytest.mark.trains
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("layers", ["all", 1])
def test_it_passes_with_and_without_a_cache_and_puts_every_bit_back(
    folders: dict[str, Path], architecture: str, layers: str | int
) -> None:
    loop = private_loop(folders[architecture], private(train={"layers": layers}))
    before = weights(loop)
    rows = loop._rows_in_phase(loop.resolved.phases[0], 0)
    loop.runner.start_phase(rows)
    loop.source.start_phase(rows, trainable(loop.lm.module))
    loop.runner.end_phase()
    tested = engine_of(loop).test_result
    assert tested is not None
    assert tested.passed
    assert tested.rows == 4
    assert 0 < tested.error < 1e-5
    assert not changed(before, weights(loop))


def off_by_a_tenth(*given: Any) -> Any:
    return {name: g * 1.1 for name, g in unit_gradients(*given).items()}


def test_wrong_gradients_are_noticed_and_the_run_refused(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "unit_gradients", off_by_a_tenth)
    loop = private_loop(folders["llama"], private())
    before = weights(loop)
    with pytest.raises(RunFailed, match=r"differ from a plain loop by a share of 0\.1 .*on_failure: withhold"):
        run(loop)
    assert not changed(before, weights(loop))


@pytest.mark.trains
def test_on_request_the_run_trains_and_states_no_epsilon(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "unit_gradients", off_by_a_tenth)
    loop = private_loop(folders["llama"], private(privacy=FIXED | {"on_failure": "withhold"}))
    assert len(run(loop)) == 2
    told = engine_of(loop).statement("finished")
    assert told["epsilon"] is None
    assert told["guarantee"] is False
    assert told["may_be_claimed"] == []
    assert "differ from a plain loop" in told["withheld"]


def test_an_adapter_that_reads_back_otherwise_is_noticed(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peft.utils.set_peft_model_state_dict", lambda module, weights: None)
    with pytest.raises(RunFailed, match="another one after it was written"):
        run(private_loop(folders["llama"], private()))


def test_shaking_ends_in_the_bits_that_were_there_even_after_an_error() -> None:
    parameters = {"a": torch.nn.Parameter(torch.arange(4.0))}

    def fail() -> None:
        with self_test.perturb(parameters):
            assert not torch.equal(parameters["a"], torch.arange(4.0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.equal(parameters["a"], torch.arange(4.0))
