"""Self-test of a private run: are the gradients per unit right, and is the written adapter the one that was noised?

A few rows are compared with a plain loop, row by row, without cache, fusion or batch; the adapter is written, cleared
and read again. It is perturbed first and restored bit by bit, since B is 0 before the first step, which would hide a
wrong gradient of A.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from expunge.engine.forward import ForwardRunner
from expunge.engine.privacy.per_sample_gradients import AdaptedLayer, record_calls, unit_gradients
from expunge.gradients.base import Gradients, upcast
from expunge.gradients.private import unit_norms
from expunge.models.collate import collate
from expunge.models.forward import answer_forward, answer_logprob
from expunge.models.fused_lora import fuse, unfuse
from expunge.models.prompt_template import Encoded

ROWS = 4
PERTURBATION = 0.02  # standard deviation


@dataclass(frozen=True)
class SelfTestResult:
    """Outcome of the test.

    Attributes:
        rows: number of rows tested.
        error: largest relative difference of a unit's gradient, 2-norm.
        allowed: difference that rounding explains.
        reloaded: whether the adapter was read back bit by bit.
    """

    rows: int
    error: float
    allowed: float
    reloaded: bool

    @property
    def passed(self) -> bool:
        return self.error <= self.allowed and self.reloaded

    @property
    def reason(self) -> str:
        """What is wrong; empty if the test passed."""
        if not self.error <= self.allowed:
            return (
                f"gradients per unit differ from a plain loop by a share of {self.error:.2g} "
                f"({self.allowed:.2g} is rounding)"
            )
        return "" if self.reloaded else "the adapter is another one after it was written and read again"

    def as_row(self) -> dict[str, Any]:
        """For `privacy.json`."""
        return {"passed": self.passed, **asdict(self)}


def self_test(
    module: Any,
    runner: ForwardRunner,
    items: Sequence[Encoded],
    rows: Sequence[int],
    layers: Sequence[AdaptedLayer],
    parameters: Mapping[str, nn.Parameter],
) -> SelfTestResult:
    """Test on up to `ROWS` of `rows`, spread over their lengths; the first two belong to one unit.

    Parameters are unchanged afterwards.
    """
    order = sorted(rows, key=lambda k: items[k].length)
    chosen = [order[round(k * (len(order) - 1) / (ROWS - 1))] for k in range(ROWS)] if len(order) > ROWS else order
    owner = [max(0, k - 1) for k in range(len(chosen))]
    units = owner[-1] + 1
    with perturb(parameters):
        with record_calls(layers) as calls:
            output = runner.run(chosen, logits=False)
        grads = unit_gradients(-output.logprob.sum(), calls, output.batch, owner, units)
        unfuse(module)
        try:
            plain = _one_by_one(module, [items[k] for k in chosen], owner, units, parameters)
        finally:
            fuse(module)
        difference = unit_norms({name: grads.get(name, torch.zeros_like(g)) - g for name, g in plain.items()})
        error = float((difference / unit_norms(plain).clamp(min=torch.finfo(torch.float32).tiny)).max())
        reloaded = _reloads(module, parameters)
    head = module.get_output_embeddings().weight
    return SelfTestResult(len(chosen), error, torch.finfo(head.dtype).eps ** 0.5, reloaded)


@contextmanager
def perturb(parameters: Mapping[str, nn.Parameter]) -> Any:
    """Add small noise to every parameter inside the block; afterwards restore the bits."""
    before = {name: p.detach().clone() for name, p in parameters.items()}
    source = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad():
            for p in parameters.values():
                p.add_((PERTURBATION * torch.randn(p.shape, generator=source)).to(p.device, p.dtype))
        yield
    finally:
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(before[name])


def _one_by_one(
    module: nn.Module,
    items: Sequence[Encoded],
    owner: Sequence[int],
    units: int,
    parameters: Mapping[str, nn.Parameter],
) -> Gradients:
    """Gradients per unit, [units, ...], from one plain pass per row."""
    grads = {name: torch.zeros(units, *p.shape, device=p.device) for name, p in parameters.items()}
    for item, unit in zip(items, owner, strict=True):
        device = next(iter(parameters.values())).device
        batch = collate([item]).to(device)
        loss = -answer_logprob(answer_forward(module, batch).logits, batch).sum()
        for name, g in zip(grads, torch.autograd.grad(loss, list(parameters.values()), allow_unused=True), strict=True):
            if g is not None:
                grads[name][unit] += upcast(g)
    return grads


def _reloads(module: Any, parameters: Mapping[str, nn.Parameter]) -> bool:
    """Write the adapter, set it to zero, read it; whether all bits are back."""
    from peft.utils import load_peft_weights, set_peft_model_state_dict

    before: dict[str, Tensor] = {name: p.detach().clone() for name, p in parameters.items()}
    with tempfile.TemporaryDirectory() as folder:
        module.save_pretrained(Path(folder))
        with torch.no_grad():
            for p in parameters.values():
                p.zero_()
        set_peft_model_state_dict(module, load_peft_weights(folder, device=str(next(iter(before.values())).device)))
    return all(torch.equal(p.detach(), before[name]) for name, p in parameters.items())
