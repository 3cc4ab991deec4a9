"""Learning-rate schedules by hand, and optimizers that go on from a saved state to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from expunge.engine import checkpoint
from expunge.engine.optimizer import OptimizerConfig, OptimizerGroup, embeddings, lr_factor
from expunge.models.language_model import load
from helpers.world import ARCHITECTURES


@pytest.mark.parametrize(
    ("schedule", "warmup", "factors"),
    [
        ("constant", 0.0, [1, 1, 1, 1]),
        ("linear", 0.0, [1, 0.75, 0.5, 0.25]),
        ("cosine", 0.0, [1, 0.853553, 0.5, 0.146447]),
        ("linear", 0.5, [0.5, 1, 1, 0.5]),
        ("constant", 0.5, [0.5, 1, 1, 1]),
        ("cosine", 0.5, [0.5, 1, 1, 0.5]),
        ("linear", 0.1, [1, 0.75 / 0.9, 0.5 / 0.9, 0.25 / 0.9]),
    ],
)
def test_rates_of_four_steps_by_hand(schedule: str, warmup: float, factors: list[float]) -> None:
    assert [lr_factor(schedule, warmup, step, 4) for step in range(4)] == pytest.approx(factors, abs=1e-5)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0.0, 0.02, 0.3, 0.99])
@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_a_rate_is_never_zero_before_the_end_and_never_above_one(schedule: str, warmup: float, steps: int) -> None:
    factors = [lr_factor(schedule, warmup, step, steps) for step in range(steps)]
    assert all(0 < f <= 1 for f in factors)
    assert lr_factor(schedule, warmup, steps, steps) == pytest.approx(1.0 if schedule == "constant" else 0.0)


def parameters() -> dict[str, nn.Parameter]:
    torch.manual_seed(0)
    return {
        "matrix": nn.Parameter(torch.randn(4, 3)),
        "vector": nn.Parameter(torch.randn(4)),
        "table": nn.Parameter(torch.randn(5, 3)),
    }


def push(found: dict[str, nn.Parameter], optimizers: OptimizerGroup, step: int) -> None:
    for k, p in enumerate(found.values()):
        p.grad = torch.sin(torch.arange(p.numel(), dtype=torch.float32) + step + k).reshape(p.shape)
    optimizers.step(1.0 - 0.1 * step)
    optimizers.zero_grad()


@pytest.mark.parametrize("name", ["adamw", "muon", "sgd"])
def test_a_saved_state_goes_on_to_the_same_bits(name: Literal["adamw", "muon", "sgd"], tmp_path: Path) -> None:
    settings = OptimizerConfig(name=name, lr=0.1, adamw_lr=0.05, weight_decay=0.01)
    straight = parameters()
    table = {id(straight["table"])}
    optimizers = OptimizerGroup(settings, straight, table)
    for step in range(3):
        push(straight, optimizers, step)
    checkpoint.save(tmp_path / "c", {"optimizer": optimizers.state(), "p": dict(straight)})
    saved = checkpoint.load(tmp_path / "c")
    assert saved is not None
    resumed = {n: nn.Parameter(v.clone()) for n, v in saved["p"].items()}
    later = OptimizerGroup(settings, resumed, {id(resumed["table"])})
    later.restore(saved["optimizer"])
    for step in range(3, 6):
        push(straight, optimizers, step)
        push(resumed, later, step)
    assert all(torch.equal(straight[n], resumed[n]) for n in straight)


def small_steps(dtype: torch.dtype, steps: int = 100) -> tuple[Tensor, OptimizerGroup]:
    """How far 100 steps of 1e-4 with the same gradient move weights of about 1."""
    weight = nn.Parameter(torch.linspace(0.5, 1.5, 64).to(dtype))
    start = weight.detach().float().clone()
    optimizers = OptimizerGroup(OptimizerConfig(name="sgd", lr=1e-4), {"weight": weight}, set())
    for _ in range(steps):
        weight.grad = torch.ones(64, dtype=dtype)
        optimizers.step(1.0)
        optimizers.zero_grad()
    return weight.detach().float() - start, optimizers


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_hundred_small_steps_move_half_precision_as_float32(dtype: torch.dtype) -> None:
    moved, _ = small_steps(dtype)
    expected, _ = small_steps(torch.float32)
    assert torch.allclose(expected, torch.full((64,), -0.01), atol=1e-5)
    half_a_unit = torch.finfo(dtype).eps / 2 * 1.5
    assert float((moved - expected).abs().max()) <= half_a_unit  # rounded once, not a hundred times
    assert float(moved.mean()) == pytest.approx(-0.01, rel=0.1)


def test_half_precision_goes_on_from_its_copies(tmp_path: Path) -> None:
    _, optimizers = small_steps(torch.bfloat16, 3)
    checkpoint.save(tmp_path / "c", {"optimizer": optimizers.state()})
    saved = checkpoint.load(tmp_path / "c")
    assert saved is not None
    weight = nn.Parameter(torch.zeros(64, dtype=torch.bfloat16))
    later = OptimizerGroup(OptimizerConfig(name="sgd", lr=1e-4), {"weight": weight}, set())
    later.restore(saved["optimizer"])
    weight.grad = torch.zeros(64, dtype=torch.bfloat16)
    later.step(1.0)
    expected = torch.linspace(0.5, 1.5, 64).bfloat16().float() - 3e-4
    assert torch.allclose(weight.float(), expected, rtol=torch.finfo(torch.bfloat16).eps)
    copies = saved["optimizer"][-1]["weight"]
    assert torch.allclose(copies, expected, atol=1e-6)


def test_muon_takes_matrices_and_leaves_tables_and_vectors_to_adamw() -> None:
    found = parameters()
    optimizers = OptimizerGroup(OptimizerConfig(name="muon", lr=0.1, adamw_lr=0.05), found, {id(found["table"])})
    mine = [[id(p) for g in part.param_groups for p in g["params"]] for part in optimizers.parts]
    assert mine == [[id(found["matrix"])], [id(found["vector"]), id(found["table"])]]
    assert optimizers.base == [[0.1], [0.05]]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_tables_of_a_model_are_found_by_structure(folders: dict[str, Path], architecture: str) -> None:
    module = load(folders[architecture]).module
    named = {id(p): n for n, p in module.named_parameters()}
    tables = {"gpt2": {"transformer.wte.weight", "transformer.wpe.weight"}}
    assert {named[k] for k in embeddings(module)} == tables.get(
        architecture, {"model.embed_tokens.weight", "lm_head.weight"}
    )
