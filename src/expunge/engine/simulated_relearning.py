"""Forgetting behind an attacker who has taught some of the facts again, in every step.

What is merely suppressed comes back as a whole when a few facts are taught again, since one change switches all of
them on. So a part of the forget term is taken at other weights: where a few gradient steps on the answers of some facts
lead. There the other facts must be forgotten, too. The gradient is used as if it had been taken at the weights of the
run, as first-order meta-learning does (after Tamirisa et al. 2024, arXiv 2408.00761, and Fan et al. 2025, arXiv
2502.05374).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from expunge.engine.dataset import RunDataset
from expunge.engine.distributed import DistributedContext
from expunge.engine.forward import ForwardRunner
from expunge.engine.gradient_source import GradientSource, Means, Parameters, Term, add_gradient
from expunge.engine.recipe_config import SimulatedRelearning
from expunge.errors import InputError
from expunge.gradients.base import Gradients
from expunge.models.collate import chunks
from expunge.random import stream

SMALLEST = 1e-12  # length of a gradient below which nothing is taught


@dataclass
class RelearningSource:
    """A gradient source whose forget term holds behind simulated relearning.

    Attributes:
        plain: The source of gradients at given weights.
        dataset: The examples of the run.
        runner: Forward passes over them.
        context: The processes of the run.
        config: The attacker.
        first: The first step that meets the attacker.
        most: Most rows that one step of the attacker teaches.
        micro: Most rows in a pass, None for all at once.
        seed: Of what is taught.
    """

    plain: GradientSource
    dataset: RunDataset
    runner: ForwardRunner
    context: DistributedContext
    config: SimulatedRelearning
    first: int
    most: int
    micro: int | None
    seed: int
    _rows: list[int] = field(default_factory=list, init=False, repr=False)

    def start_phase(self, rows: Sequence[int], parameters: Parameters) -> None:
        """See `GradientSource`. Needs all forget rows of the phase in every process (`rows_of_every_process`).

        Raises:
            InputError: no row holds a true answer, so nothing could be taught.
        """
        examples = self.dataset.examples
        forget = [k for k in rows if k < self.dataset.forget_count]
        if forget and not any(examples[k].kind == "gold" for k in forget):
            what = "teaches true answers again, and this method trains on none"
            raise InputError("relearning.steps", what, "set relearning.steps: 0")
        self._rows = sorted({k for k in rows if k < self.dataset.forget_count and examples[k].kind == "gold"})
        self.plain.start_phase(rows, parameters)

    def gradient(
        self, terms: Sequence[Term], step: int, parameters: Parameters, observe: bool = True
    ) -> tuple[Gradients, Means]:
        """See `GradientSource`."""
        facts = attacker_facts(self.dataset.forget_facts, self.config.share, self.seed, step)
        forget = next((t for t in terms if t.side == "forget"), None)
        if forget is None or step < self.first or not observe or not facts:
            return self.plain.gradient(terms, step, parameters, observe)
        others = [k for k in forget.rows if not self.dataset.facts_of(k) & facts]
        if not others:
            return self.plain.gradient(terms, step, parameters, observe)
        share = self.config.weight
        lighter = [replace(t, weight=t.weight * (1 - share)) if t is forget else t for t in terms]
        grads, means = self.plain.gradient(lighter, step, parameters, observe)
        with self._behind_attacker(facts, step, parameters):
            behind = replace(forget, rows=others, weight=forget.weight * share)
            more, _ = self.plain.gradient([behind], step, parameters, observe=False)
        for name, g in more.items():
            grads[name] = grads[name] + g if name in grads else g
        return grads, means

    @contextmanager
    def _behind_attacker(self, facts: frozenset[str], step: int, parameters: Parameters) -> Iterator[None]:
        """Inside, the parameters are where gradient steps on the answers of `facts` lead, `radius` away at most."""
        rows = [k for k in self._rows if self.dataset.facts_of(k) & facts]
        order = stream(self.seed, "taught rows", step).permutation(len(rows))
        own = self.context.shard(sorted(rows[int(k)] for k in order[: self.most]))
        before = {name: p.detach().clone() for name, p in parameters.items()}
        try:
            for _ in range(self.config.steps):
                move(parameters, self._slopes(own, parameters), self.config.radius / self.config.steps)
            yield
        finally:
            with torch.no_grad():
                for name, p in parameters.items():
                    p.copy_(before[name])

    def _slopes(self, rows: Sequence[int], parameters: Parameters) -> list[Tensor]:
        """Gradient of the summed mean answer loss of this process's rows, summed over all processes."""
        slopes = [torch.zeros_like(p) for p in parameters.values()]
        for part in chunks([self.dataset.encoded[k].length for k in rows], self.micro):
            output = self.runner.run([rows[k] for k in part], logits=False)
            mask = output.batch.mask
            loss = (-(output.logprob * mask).sum(-1) / mask.sum(-1)).sum()
            add_gradient(slopes, loss, parameters)
        return self.context.all_reduce_sum(slopes)

    def state(self) -> dict[str, Any]:
        return self.plain.state()

    def restore(self, state: dict[str, Any]) -> None:
        self.plain.restore(state)


def rows_of_every_process(dataset: RunDataset, batches: Iterable[Sequence[int]]) -> list[int]:
    """The forget rows in `batches`: which of them a process asks behind the attacker depends on what is taught."""
    return sorted({k for batch in batches for k in batch if k < dataset.forget_count})


def attacker_facts(facts: Sequence[str], share: float, seed: int, step: int) -> frozenset[str]:
    """The facts that a step's attacker teaches: a share of them, one at least, and never all; none of a single fact."""
    count = min(len(facts) - 1, max(1, round(share * len(facts))))
    if count < 1:
        return frozenset()
    order = stream(seed, "taught facts", step).permutation(len(facts))[:count]
    return frozenset(facts[int(k)] for k in order)


@torch.no_grad()
def move(parameters: Parameters, slopes: Sequence[Tensor], distance: float) -> None:
    """Go `distance` downhill: parameters (3, 4) with slopes (0.6, 0.8) and distance 5 become (0, 0)."""
    length = float(torch.sqrt(torch.stack([(s.double() ** 2).sum() for s in slopes]).sum()))
    if length > SMALLEST:
        for p, slope in zip(parameters.values(), slopes, strict=True):
            p.sub_(slope.to(p.dtype) * (distance / length))
