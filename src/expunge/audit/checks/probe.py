"""Hidden-state probe: does a map that was learned on other people read the answer from a lower block?"""

from __future__ import annotations

import numpy as np
import torch

from expunge.audit.attack import AttackCase, AttackOutcome, attack
from expunge.audit.attacked_groups import LARGE
from expunge.audit.checks.ablate_direction import prompt_states
from expunge.audit.checks.lens import MARGIN, ranks
from expunge.audit.context import CheckProfile
from expunge.audit.hidden_probe import Places, out_of_fold, translated
from expunge.audit.record_sets import drawn
from expunge.audit.scores import Values
from expunge.models.language_model import LanguageModel
from expunge.models.residual_stream import block_count, read_out, spread_blocks

BLOCKS = 8  # of the model, the last one among them
ROWS, ROWS_LARGE = 256, 64  # retained records that the map is learned on
LEAST_PEOPLE = 3
PASS = 64  # states that are read at a time
PROFILE = CheckProfile(
    title="Hidden-state probe: no lower block holds the answer in terms that hold for other people",
    family="white_box",
    preset="default",
    control="the retrained model with a map of its own, else matched controls by the same map",
    cost="1 pass over the target and 256 retained records (64 of a large model), and a linear solution by block",
    limits="A linear map that is learned on retained facts; the first token of the answer alone counts.",
    source="Belrose et al. 2023 (arXiv 2303.08112), tuned lens; Patil et al. 2023 (arXiv 2309.17410)",
)


@torch.no_grad()
def reciprocal_ranks(lm: LanguageModel, states: Values, labels: Places) -> Values:
    """1/rank of each label [N] by the model's norm and head on states [N, H]."""
    weight = lm.module.get_output_embeddings().weight
    rates = []
    for k in range(0, len(states), PASS):
        hidden = torch.as_tensor(states[k : k + PASS]).to(weight.device, weight.dtype).unsqueeze(1)
        own = torch.as_tensor(labels[k : k + PASS], device=weight.device)
        rates.append((1 / ranks(read_out(lm.module, hidden)[:, 0], own).double()).cpu().numpy())
    return np.concatenate(rates)


@attack("probe", cost=4.0, profile=PROFILE, margin=MARGIN, by_range="controls", needs_power=True)
@torch.no_grad()
def probe(case: AttackCase) -> AttackOutcome:
    """How high the answer is ranked in the states of a lower block, translated to those of the last one.

    The translation is learned on retained records, where the model knows the answer, and applied to the target, whom
    it did not see: a last block that was changed for the target alone is bypassed. The block is the one that reads
    retained records of people best whom its map was not learned on, so the target has no part in the choice. A rate
    is 1/rank of the answer's first token. The curve shows that of these other people by block.
    """
    lm = case.lm
    lm.module.eval()
    most = ROWS_LARGE if lm.parameters > LARGE else ROWS
    others = drawn([r for r in case.split.retain if r.image is None], most, "probe")
    subjects = [r.subject for r in others]
    if len(set(subjects)) < LEAST_PEOPLE:  # inconclusive: the records exist, and cannot be judged
        return AttackOutcome({"best block": np.full(len(case.records), np.nan)})
    everyone = [*others, *case.records]
    labels = np.array([item.answer[0] for item in lm.template.encode_all(everyone)])
    blocks = spread_blocks(block_count(lm.module), BLOCKS)
    states = prompt_states(lm, everyone, blocks).double().numpy()
    own, end = len(others), states[-1, : len(others)]
    curve: list[tuple[float, float]] = []
    for number, block in enumerate(blocks[: max(1, len(blocks) - 1)]):

        def rate(translation: Values, places: Places) -> Values:
            return reciprocal_ranks(lm, translation, labels[places])

        curve.append((float(block + 1), out_of_fold(states[number, :own], end, subjects, rate, case.seed)))
    best = max(range(len(curve)), key=lambda number: curve[number][1])
    read = translated(states[best, :own], end, states[best, own:])
    rates = reciprocal_ranks(lm, read, labels[own:])
    return AttackOutcome({"best block": rates}, "block (other people)", curve)
