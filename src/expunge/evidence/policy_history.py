"""The audit policies that were shipped, by name: the present version, and those before it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from expunge._yaml import load_yaml
from expunge.audit.policy import Policy, shipped_policies

FILE = files("expunge.evidence") / "templates" / "policies.yaml"


@cache
def policy_history() -> dict[str, frozenset[str]]:
    """Name -> digests of all its shipped versions, the present one included."""
    text = FILE.read_text("utf-8")
    known = {str(name): frozenset(str(d) for d in rows.values()) for name, rows in load_yaml(text, FILE.name).items()}
    present = {name: frozenset({Policy.load(name).digest}) for name in shipped_policies()}
    return {name: known.get(name, frozenset()) | present.get(name, frozenset()) for name in {*known, *present}}
