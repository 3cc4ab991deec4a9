"""Inverted hinge: lower the answer token only as far as the runner-up, and stop.

The loss of LoKU without its initialisation of the adapter.
"""

from __future__ import annotations

from torch import Tensor

from expunge.methods.base import Method, ModelOutputs, Requirements


class IHL(Method, name="ihl"):
    """Trade the probability of each answer token for that of its strongest rival; bounded in [0, 2].

    forget: mean_t (1 + p(y_t) - max_{v != y_t} p(v))     [B]
    """

    needs = Requirements(logits=True)
    source = "arXiv 2408.06621"

    def forget_loss(self, out: ModelOutputs) -> Tensor:
        if out.labels is None:
            raise ValueError("ihl needs the labels of answer tokens")
        p = out.log_softmax.exp()
        answer = out.labels.unsqueeze(-1)
        rival = p.scatter(-1, answer, 0.0).amax(-1)
        return out.mean_t(out.weigh(1 + p.gather(-1, answer).squeeze(-1) - rival))
