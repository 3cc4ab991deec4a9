"""expunge: make a language model forget a person, and show the evidence.

    corpus → scope → method → engine → audit → report

Everything is imported on first use, so that `import expunge` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Corpus": "expunge.corpus", "Record": "expunge.corpus", "Scope": "expunge.scope", "Split": "expunge.scope",
    "Recipe": "expunge.engine.recipe", "unlearn": "expunge.engine.unlearn", "memorise": "expunge.engine.teach",
    "Memorise": "expunge.engine.memorise", "TinyConfig": "expunge.models.tiny", "load": "expunge.models.language_model",
    "run_audit": "expunge.audit.run", "Policy": "expunge.audit.policy", "write_report": "expunge.report.html",
    "Hospital": "expunge.worlds.hospital", "InputError": "expunge.errors",
}
_AS = {"run_audit": "audit", "write_report": "report"}  # the rooms `audit` and `report` keep their names

if TYPE_CHECKING:
    from expunge.audit.policy import Policy
    from expunge.audit.run import audit as run_audit
    from expunge.corpus import Corpus, Record
    from expunge.engine.memorise import Memorise
    from expunge.engine.recipe import Recipe
    from expunge.engine.teach import memorise
    from expunge.engine.unlearn import unlearn
    from expunge.errors import InputError
    from expunge.models.language_model import load
    from expunge.models.tiny import TinyConfig
    from expunge.report.html import report as write_report
    from expunge.scope import Scope, Split
    from expunge.worlds.hospital import Hospital

__all__ = ["Corpus", "Hospital", "InputError", "Memorise", "Policy", "Recipe", "Record", "Scope", "Split", "TinyConfig",
           "load", "memorise", "run_audit", "unlearn", "write_report"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'expunge' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), _AS.get(name, name))
