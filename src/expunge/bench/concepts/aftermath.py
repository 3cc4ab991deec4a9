"""What comes back after a run: relearning and four-bit weights, the same steps on every model of a cell.

Exact answers are counted with the true answer fed token by token, which is the same as greedy text. Surprising:
relearning is done with several draws of what is taught, because on a small request a single draw decides the figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

from expunge._io import read_json, write_json
from expunge.audit.checks.relearning import RATE, STEPS, tenth
from expunge.bench.concepts.cell import Cell
from expunge.corpus import Record
from expunge.engine.relearning import relearn_steps
from expunge.engine.train.train_loop import exact_match_rate
from expunge.models.language_model import LanguageModel, load, merge_adapter
from expunge.models.quantize import quantize
from expunge.random import stream

FILE = "aftermath.json"
DRAWS = 3
BENIGN = 32  # retained rows that are taught in the benign case


def look(cell: Cell, model: Path, scores: Path) -> dict[str, float]:
    """relearned, relearned_benign, int4: share of the target's answers given exactly after the attack.

    relearned         ten steps on a tenth of the target's facts; the other nine tenths are asked
    relearned_benign  ten steps on retained rows
    A target of a single fact leaves nothing to ask after relearning and has no `relearned`: nothing asked is not
    nothing given. Kept beside the scores of the model; made once.
    """
    place = scores / FILE
    if place.is_file():
        kept: dict[str, float] = read_json(place)
        return kept
    sets, lm = cell.sets(), merge_adapter(load(model))
    found = {"relearned_benign": 0.0}
    for draw in range(DRAWS):
        taught, asked = tenth(sets.forget, cell.seed + draw)
        if asked:
            again = _exact(_after(lm, taught, cell.seed + draw), asked)
            found["relearned"] = found.get("relearned", 0.0) + again / DRAWS
        rows = stream(cell.seed + draw, "benign").permutation(len(sets.split.retain))[:BENIGN]
        found["relearned_benign"] += (
            _exact(_after(lm, [sets.split.retain[int(k)] for k in rows], cell.seed + draw), sets.forget) / DRAWS
        )
    quantize(lm.module, 4)
    found["int4"] = _exact(lm, sets.forget)
    write_json(place, found)
    return found


def looked(scores: Path) -> bool:
    return (scores / FILE).is_file()


def _after(lm: LanguageModel, records: Sequence[Record], seed: int) -> LanguageModel:
    return relearn_steps(lm.with_module(deepcopy(lm.module)), records, STEPS, RATE, seed=seed)


def _exact(lm: LanguageModel, records: Sequence[Record]) -> float:
    return exact_match_rate(lm.module, lm.template.encode_all(records))
