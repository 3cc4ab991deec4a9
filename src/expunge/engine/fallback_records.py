"""Which records a run forgets by another objective than its method's own, said before the run and in run.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expunge._printable import pluralize
from expunge.corpus import Record
from expunge.engine.resolved_recipe import ResolvedRecipe

MAX_LISTED = 100  # ids in run.json


def fallback_summary(resolved: ResolvedRecipe, forget: Sequence[Record]) -> dict[str, Any]:
    """`{"fallback": {"objective", "count", "records"}}`, empty where the method forgets all records itself."""
    objective, records = resolved.algorithm.fallback(forget)
    if not records:
        return {}
    listed = [r.id for r in records[:MAX_LISTED]]
    return {"fallback": {"objective": objective, "count": len(records), "records": listed}}


def fallback_lines(about: dict[str, Any], forget: int) -> list[str]:
    """One line for people; none without such records. `about` holds what `fallback_summary` gives."""
    summary = about.get("fallback")
    if not summary:
        return []
    return [
        f"{summary['count']:,} of {pluralize(forget, 'record')} without a name that could be replaced: "
        f"forgotten by {summary['objective']} in the same run"
    ]
