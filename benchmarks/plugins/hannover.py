"""Real chest radiographs of Hannover Medical School as a request: patients to forget, to keep, and never trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from expunge.bench.requests import PUBLISHED
from expunge.corpus import Corpus, Record, load_corpus
from expunge.errors import InputError
from expunge.random import uniform

NAME = "xray-hannover"
SALT = "expunge-bench-hannover-v1"
ROWS = (10, 70)  # questions of a patient who is used: enough to ask, and no one who is half of the corpus


def draw_patients(records: Mapping[str, list[Record]], seed: int, settings: Mapping[str, int]) -> dict[str, list[str]]:
    """`target`, `retain` and `holdout`: patients in hash order; targets and holdout have two studies or more."""
    usable = {p: rows for p, rows in records.items() if ROWS[0] <= len(rows) <= ROWS[1]}
    order = sorted(usable, key=lambda p: (uniform(f"{SALT}:{seed}", p), p))
    several = [p for p in order if len({r.path[1] for r in usable[p] if len(r.path) > 1}) > 1]
    target, holdout = settings.get("target", 3), settings.get("holdout", 6)
    if len(several) < target + holdout or len(order) <= target + holdout:
        what = f"holds {len(several)} patients with several studies, {target + holdout} are needed"
        raise InputError(NAME, what, "give the whole of it, or fewer in the settings")
    chosen = {"target": several[:target], "holdout": several[target : target + holdout]}
    rest = [p for p in order if p not in {*chosen["target"], *chosen["holdout"]}]
    return chosen | {"retain": rest[: settings.get("retain", len(rest))]}


def load(folder: Path, seed: int, settings: Mapping[str, Any]) -> tuple[Corpus, str]:
    """Records and the scope to forget; `holdout` patients are never trained."""
    by_patient: dict[str, list[Record]] = {}
    for r in load_corpus(folder, NAME).trained:
        by_patient.setdefault(r.subject, []).append(r)
    patients = draw_patients(by_patient, seed, settings)
    trained = [r for name in ("target", "retain") for p in patients[name] for r in by_patient[p]]
    holdout = [replace(r, split="holdout") for p in patients["holdout"] for r in by_patient[p]]
    return Corpus.of((*trained, *holdout), NAME), " or ".join(sorted(patients["target"]))


PUBLISHED[NAME] = load
