"""Fixture X: one sequence, two answer tokens, a vocabulary of four, the answer always id 0."""

import pytest
import torch
from torch import Tensor

from expunge.methods import ModelOutputs

P = ((0.5, 0.25, 0.125, 0.125), (0.25, 0.5, 0.125, 0.125))
P_REF = ((0.8, 0.1, 0.05, 0.05), (0.5, 0.3, 0.1, 0.1))


def outputs(probabilities: Tensor, reference: ModelOutputs | None = None) -> ModelOutputs:
    """Outputs for answer id 0 everywhere; `probabilities` [A, V] becomes one sequence, logits = ln p."""
    logits = probabilities.log().unsqueeze(0)
    size = logits.shape[:2]
    return ModelOutputs(
        logprob=logits[..., 0],
        mask=torch.ones(size, dtype=torch.bool),
        labels=torch.zeros(size, dtype=torch.int64),
        logits=logits,
        reference=reference,
    )


@pytest.fixture
def x() -> ModelOutputs:
    return outputs(torch.tensor(P), outputs(torch.tensor(P_REF)))


@pytest.fixture
def x_ref() -> ModelOutputs:
    """The model is still its reference."""
    return outputs(torch.tensor(P_REF), outputs(torch.tensor(P_REF)))
