"""Logit lens: is the answer there in a lower block, although the model does not give it?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.context import CheckProfile
from expunge.audit.forced_rates import passes
from expunge.models.residual_stream import answer_states, block_count, read_out

MARGIN = 0.10  # ranks of what no model knows differ more than answers do
PROFILE = CheckProfile(
    title="Logit lens: no block holds the answer that the model withholds",
    family="white_box",
    preset="default",
    control="the retrained model, else matched controls, by the same reading",
    cost="1 pass, and the head once for every block",
    limits="The first token alone counts, and common first words are ranked high by all models. What a block holds in "
    "terms that the head does not read stays unseen. A recipe with `lower_blocks` trains on this very reading; `probe` "
    "reads in another way.",
    source="nostalgebraist 2020, interpreting GPT: the logit lens; Patil et al. 2023 (arXiv 2309.17410)",
)


def ranks(logits: Tensor, labels: Tensor) -> Tensor:
    """Rank of each label [...] among logits [..., V]: 1 for the largest."""
    own = logits.gather(-1, labels.unsqueeze(-1))
    return (logits > own).sum(-1) + 1


@attack("lens", cost=2.0, profile=PROFILE, margin=MARGIN, by_range="controls", needs_power=True)
@torch.no_grad()
def lens(case: AttackCase) -> AttackOutcome:
    """How high the model's own norm and head rank the answer in the hidden state behind each lower block.

    An unlearned model may overwrite in its last blocks what lower ones still bring up (Patil et al. 2023). A rate is
    the mean of 1/rank of the answer's first token: 1 where it is the most probable one, near 0 where it is far from
    it. The last block is left out of the judgement, since it is what the model says, unless there is no other.
    """
    lm = case.lm
    lm.module.eval()
    items = lm.template.encode_all(case.records)
    first = np.zeros((block_count(lm.module), len(items)))
    for part, batch in passes(lm, items):
        states, _ = answer_states(lm.module, batch)
        for block, hidden in enumerate(states):
            logits = read_out(lm.module, hidden[:, :1])[:, 0]
            first[block, part] = (1 / ranks(logits, batch.labels[:, 0]).to(torch.float64)).cpu().numpy()
    lower = range(max(1, len(first) - 1))
    curve = [(float(block + 1), float(values.mean())) for block, values in enumerate(first)]
    return AttackOutcome({f"block {block + 1}": first[block] for block in lower}, "block", curve)
