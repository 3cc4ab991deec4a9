"""expunge: make a language model forget a person, and show the evidence.

    corpus → scope → method → engine → audit → report

Everything is imported on first use, so that `import expunge` is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOME = {
    "Corpus": "expunge.corpus",
    "Record": "expunge.corpus",
    "Scope": "expunge.scope",
    "Split": "expunge.scope",
    "Recipe": "expunge.engine.recipe",
    "unlearn": "expunge.engine.unlearn",
    "train": "expunge.engine.train.train_model",
    "TrainConfig": "expunge.engine.train.train_loop",
    "TinyConfig": "expunge.models.tiny",
    "export": "expunge.models.export",
    "load": "expunge.models.language_model",
    "load_corpus": "expunge.corpus",
    "run_audit": "expunge.audit.run",
    "Policy": "expunge.audit.policy",
    "write_report": "expunge.report.render",
    "Hospital": "expunge.synthetic.hospital.hospital",
    "InputError": "expunge.errors",
}
_AS = {"run_audit": "audit"}  # the package `audit` keeps its name

if TYPE_CHECKING:
    from expunge.audit.policy import Policy
    from expunge.audit.run import audit as run_audit
    from expunge.corpus import Corpus, Record, load_corpus
    from expunge.engine.recipe import Recipe
    from expunge.engine.train.train_loop import TrainConfig
    from expunge.engine.train.train_model import train
    from expunge.engine.unlearn import unlearn
    from expunge.errors import InputError
    from expunge.models.export import export
    from expunge.models.language_model import load
    from expunge.models.tiny import TinyConfig
    from expunge.report.render import write_report
    from expunge.scope import Scope, Split
    from expunge.synthetic.hospital.hospital import Hospital

__all__ = [
    "Corpus",
    "Hospital",
    "InputError",
    "Policy",
    "Recipe",
    "Record",
    "Scope",
    "Split",
    "TinyConfig",
    "TrainConfig",
    "export",
    "load",
    "load_corpus",
    "run_audit",
    "train",
    "unlearn",
    "write_report",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'expunge' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), _AS.get(name, name))


def __dir__() -> list[str]:
    """The public names, for completion."""
    return [*__all__, "__version__"]
