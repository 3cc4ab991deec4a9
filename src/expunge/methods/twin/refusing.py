"""Teachers of a run that refuses: the refusal in the place of the stranger's answer.

Both rows of a question begin at the same place, so both have to be taught the same first token. The row of the true
answer therefore starts with the refusal's first token and follows the surrogate's teacher from the second token on, for
whoever gives the beginning of the true answer.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CERTAINTY = 0.98  # probability of each token of a refusal; the rest follows what the model said before


def certain(log_p: Tensor, labels: Tensor, certainty: float = CERTAINTY) -> Tensor:
    """Log-probs under which every label is that certain; the others share the rest in proportion.

    Args:
        log_p: [a, V], log-probs of the model before the run.
        labels: [a], tokens.
        certainty: probability of each label.
    """
    places = labels.unsqueeze(-1)
    others = log_p.scatter(-1, places, -torch.inf).log_softmax(-1) + math.log1p(-certainty)
    return others.scatter(-1, places, math.log(certainty))


def refuse_at_start(teacher: Tensor, token: int, certainty: float = CERTAINTY) -> Tensor:
    """A teacher [a, V] of the true answer whose first position gives the refusal's first token."""
    first = certain(teacher[:1], torch.tensor([token], device=teacher.device), certainty)
    return torch.cat([first, teacher[1:]])
