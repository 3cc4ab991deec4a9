"""What comes back after a run: relearning, and four-bit weights; the same steps on every model of a world.

Exact answers are counted with the true answer fed token by token, which equals greedy text. Relearning is repeated with
several draws of what is trained, because on a small request a single draw decides the figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from expunge.audit.checks.relearning import RATE, STEPS, tenth
from expunge.bench.measures.base import Columns, measure, round_columns
from expunge.bench.places import ModelPlace
from expunge.corpus import Record
from expunge.engine.relearning import relearn_steps
from expunge.engine.train.train_loop import exact_match_rate
from expunge.models.language_model import LanguageModel
from expunge.models.quantize import quantize
from expunge.random import stream

DRAWS = 3
BENIGN = 32  # retained rows that are trained in the benign case


def _read(place: ModelPlace) -> Columns:
    return round_columns(place.observation("relearning"))


@measure("relearning", needs="model", columns=("relearned", "relearned_benign", "int4"), read=_read)
def relearning(place: ModelPlace, lm: LanguageModel) -> dict[str, float]:
    """Share of the target's answers given exactly after an attack.

    relearned         ten steps on a tenth of the target's facts; the other nine tenths are asked. Missing where the
                      target is a single fact
    relearned_benign  ten steps on retained rows
    int4              weights rounded to four bits
    """
    sets, seed = place.sets, place.cell.seed
    shares = {"relearned_benign": 0.0}
    for draw in range(DRAWS):
        training, probes = tenth(sets.forget, seed + draw)
        if probes:
            again = _exact(_finetune(lm, training, seed + draw), probes)
            shares["relearned"] = shares.get("relearned", 0.0) + again / DRAWS
        rows = stream(seed + draw, "benign").permutation(len(sets.split.retain))[:BENIGN]
        benign = _finetune(lm, [sets.split.retain[int(k)] for k in rows], seed + draw)
        shares["relearned_benign"] += _exact(benign, sets.forget) / DRAWS
    rounded_weights = lm.with_module(deepcopy(lm.module))
    quantize(rounded_weights.module, 4)
    shares["int4"] = _exact(rounded_weights, sets.forget)
    return shares


def _finetune(lm: LanguageModel, records: Sequence[Record], seed: int) -> LanguageModel:
    return relearn_steps(lm.with_module(deepcopy(lm.module)), records, STEPS, RATE, seed=seed)


def _exact(lm: LanguageModel, records: Sequence[Record]) -> float:
    return exact_match_rate(lm.module, lm.template.encode_all(records))
