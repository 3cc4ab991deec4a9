"""Logit lens: is the answer there in a lower block, although the model does not give it?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.context import CheckProfile
from expunge.audit.forced_rates import Hits, hit_rates, hits_of, passes
from expunge.audit.scores import Values
from expunge.models.residual_stream import answer_states, read_out

PROFILE = CheckProfile(
    title="Logit lens: no block holds the answer that the model withholds",
    family="white_box",
    preset="default",
    control="the retrained model, else matched controls, by the same reading",
    cost="1 pass, and the head once for every block",
    limits="The head reads what is written in its own terms; what a block holds in other terms is asked by `probe`.",
    source="nostalgebraist 2020, interpreting GPT: the logit lens; Patil et al. 2023 (arXiv 2309.17410)",
)


def ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """Rank of each label [...] among logits [..., V]: 1 for the largest."""
    own = logits.gather(-1, labels.unsqueeze(-1))
    return (logits > own).sum(-1) + 1


@attack("lens", cost=2.0, profile=PROFILE)
def lens(case: AttackCase) -> AttackOutcome:
    """True answers, as the model's own norm and head read them from the hidden state behind each block.

    An unlearned model may overwrite in its last blocks what lower ones still bring up (Patil et al. 2023). A rate is
    the share of answers of which every token is the most probable one there. The curve shows the mean of 1/rank of
    the answer's first token behind each block.
    """
    lm = case.lm
    lm.module.eval()
    items = lm.template.encode_all(case.records)
    hits: dict[int, list[Hits]] = {}
    first: dict[int, Values] = {}
    for part, batch in passes(lm, items):
        states, logits = answer_states(lm.module, batch)
        for block in range(len(states)):
            read = logits if block == len(states) - 1 else read_out(lm.module, states[block])
            own = hits.setdefault(block, [np.zeros(0, dtype=bool)] * len(items))
            for k, row in zip(part, hits_of(read, batch), strict=True):
                own[k] = row
            reciprocal = 1 / ranks(read[:, 0], batch.labels[:, 0]).to(torch.float64)
            first.setdefault(block, np.zeros(len(items)))[part] = reciprocal.cpu().numpy()
    rates = {f"block {block + 1}": hit_rates(rows, items, case.records) for block, rows in hits.items()}
    curve = [(float(block + 1), float(values.mean())) for block, values in first.items()]
    return AttackOutcome(rates, "block (mean 1/rank of the first token)", curve)
