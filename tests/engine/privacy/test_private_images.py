"""A private run on records with pictures draws what its accountant counted: records, not forms of them."""

from __future__ import annotations

from expunge.engine.loop_builder import build_loop
from expunge.engine.privacy.private_dataset import PrivateDataset
from expunge.models.adapters import prepare
from helpers.privacy import UNFELT, private
from helpers.vision_models import rows, seeing

ROWS = rows(24)
FORGET = [r for r in ROWS if r.subject in ("patient:0", "patient:1")]
RETAIN = [r for r in ROWS if r not in FORGET]


def test_a_unit_brings_its_own_records_and_no_others() -> None:
    recipe = private("simnpo", UNFELT, steps=1, batch={"forget": 1000, "retain": 1000})
    assert recipe.modalities == "each"
    lm = seeing()
    loop = build_loop(lm.with_module(prepare(lm.module, recipe.train, 0)), recipe.resolve(), FORGET, RETAIN)
    assert isinstance(loop.dataset, PrivateDataset)
    subjects = {r.id: r.subject for r in ROWS}
    drawn = loop.dataset.drawn("forget", 0)
    assert sorted(loop.dataset.examples[k].record_id for _, found in drawn for k in found) == sorted(
        r.id for r in FORGET
    )
    for _, found in drawn:
        assert len({subjects[loop.dataset.examples[k].record_id] for k in found}) == 1
