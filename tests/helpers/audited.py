"""Models whose verdict is known: trained on everything, on all but one patient (twice), and noise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.audit.audit_attempts import ATTEMPTS
from expunge.audit.plan import PLAN
from expunge.audit.run import Audit, audit
from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train
from expunge.models.language_model import LanguageModel, load
from expunge.models.tiny import TinyConfig, build
from expunge.scope import Scope, Split
from expunge.synthetic.hospital.hospital import Hospital

TARGET = "patient:P-0001-001"
TINY = TinyConfig(layers=1, width=96, heads=2, vocabulary=450, context=128)
BY_HEART = TrainConfig(epochs=40, batch=32, target_accuracy=0.99)
WORLD = Hospital(
    patients=9,
    institution_facts=0,
    patient_facts=3,
    studies=1,
    study_facts=0,
    section_facts=0,
    shared_facts=1,
    world_facts=0,
    holdout_patients=0,
    controls_for=(TARGET,),
    controls_per_target=40,
)


@dataclass
class Case:
    """Models, a split, and one folder in which all audits share their scores."""

    root: Path
    split: Split

    def run(self, unlearned: str, retrained: str | None = "retrained", **more: Any) -> Audit:
        out = more.pop("out", self.root / "audit")
        for name in (PLAN, ATTEMPTS):  # the folder serves for many audits, which have tests of their own
            if out.is_dir():
                (out / name).unlink(missing_ok=True)
        more.setdefault("preset", "quick")  # attacks have tests of their own
        return audit(
            self.root / "original",
            self.root / unlearned,
            more.pop("split", self.split),
            out,
            retrained=None if retrained is None else self.root / retrained,
            **more,
        )


def build_case(root: Path) -> Case:
    corpus = WORLD.corpus()
    split = Scope.parse(TARGET).resolve(corpus)
    train(corpus.trained, root / "original", tiny=TINY, settings=BY_HEART)
    for name, seed in (("retrained", 0), ("again", 1)):  # a model is no yardstick of itself
        train(
            [r for r in corpus.trained if r.id not in split.excluded_ids],
            root / name,
            tiny=TINY,
            settings=BY_HEART.model_copy(update={"seed": seed}),
            tokenizer_from=root / "original",
        )
    tokenizer = load(root / "original").tokenizer
    LanguageModel.from_parts(build(TINY, tokenizer, seed=5), tokenizer, "noise").save(root / "noise")
    return Case(root, split)
