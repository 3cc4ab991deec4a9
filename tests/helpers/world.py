"""Shared fixtures of the tests: four people, models with random weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from expunge.corpus import Corpus
from expunge.models.language_model import LanguageModel
from expunge.models.tiny import TinyConfig, build, texts_of, train_tokenizer
from expunge.scope import Scope, Split
from expunge.synthetic.hospital.hospital import Hospital

TARGET = "patient:P-0001-001"
ARCHITECTURES = ("llama", "gpt2", "qwen2")
ABOUT = {"model": "m", "method": "npo", "template": "auto", "threads": 1}  # what every run.json says
RUNNING = {"status": "running", "identity": {}, **ABOUT}


def patients_alone(patients: int, facts: int) -> Corpus:
    """Patients in institutions of their own, with `facts` facts each and nothing around them."""
    return Hospital(
        patients=patients,
        per_institution=1,
        institution_facts=0,
        patient_facts=facts,
        studies=1,
        study_facts=0,
        section_facts=0,
        shared_facts=0,
        world_facts=0,
        holdout_patients=0,
    ).corpus()


@cache
def people() -> Corpus:
    """Four patients in four institutions, 9 records each; target and others differ in every answer's owner."""
    return patients_alone(4, facts=3)


@cache
def one_person() -> Split:
    """The first patient is to be forgotten."""
    return Scope.parse(TARGET).resolve(people())


@cache
def tokenizer():  # type: ignore[no-untyped-def]
    return train_tokenizer(texts_of(people()), 400)


def small(architecture: str = "llama", layers: int = 3) -> TinyConfig:
    return TinyConfig(architecture=architecture, layers=layers, width=32, heads=2, vocabulary=400, context=128)


def write_model(folder: Path, architecture: str = "llama", seed: int = 0) -> Path:
    """A folder with a model of random weights and its tokenizer, as `save_pretrained` leaves it."""
    module = build(small(architecture), tokenizer(), seed)
    return LanguageModel.from_parts(module, tokenizer(), "test").save(folder)
