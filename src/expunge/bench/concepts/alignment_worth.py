"""What a gradient rule is worth beside the plain sum: at equal steps, and where both forget as much.

Surprising: at equal steps every projection keeps more, because it forgets less. So do two knobs that everybody has, a
smaller learning rate and a heavier retain term. The sum is run along both, and a rule is held against what the sum
keeps where as many exact answers on the target are left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from expunge.bench.concepts.intervals import Columns, difference, estimate
from expunge.bench.concepts.suite import Cells
from expunge.bench.concepts.summary import ends, rounded

Point = tuple[float, float]  # (leak, retention)
EQUAL_STEPS = {"retention": "retention", "leak": "leak_mean", "distance": "distance_to_retrained", "drift": "drift"}


def kept_at(leak: float, points: Sequence[Point]) -> float | None:
    """What is kept where so much leaks, on straight lines between `points`; None where none of them leaks so little.

    Of points that leak alike the one that keeps most counts, and above the largest leak what is kept there.
    """
    best: dict[float, float] = {}
    for x, y in points:
        best[x] = max(y, best.get(x, y))
    line = sorted(best.items())
    if not line or leak < line[0][0]:
        return None
    for (x0, y0), (x1, y1) in pairwise(line):
        if leak <= x1:
            return y0 + (y1 - y0) * (leak - x0) / (x1 - x0)
    return line[-1][1]


def matched(own: Columns, line: Sequence[Columns]) -> float | None:
    """Retention of a run above that of the sum at the run's leak; `line`: columns of the sum along one knob."""

    def point(of: Columns) -> Point | None:
        leak, kept = of.get("leak_mean"), of.get("retention")
        return None if leak is None or kept is None else (leak, kept)

    mine = point(own)
    plain = kept_at(mine[0], [p for of in line if (p := point(of))]) if mine else None
    return None if mine is None or plain is None else mine[1] - plain


def worth(rule: Cells, plain: Cells, lines: Mapping[str, Sequence[Cells]]) -> dict[str, Any]:
    """rule - sum, mean and interval over seeds.

    plain    the sum at the rule's own setting: `equal_steps` holds the columns of `EQUAL_STEPS`
    lines    knob → the sum along it, the original among them: `equal_leak` holds for each knob what is kept beside it,
             over all domains and in each of them, and in how many runs that could be told (`compared` of `runs`)
    """
    return {
        "equal_steps": {name: entry(*difference(rule, plain, c)) for name, c in EQUAL_STEPS.items()},
        "equal_leak": {knob: _beside(rule, line) for knob, line in lines.items()},
    }


def _beside(rule: Cells, line: Sequence[Cells]) -> dict[str, Any]:
    own: Cells = {
        d: {s: {"": matched(of, [step[d][s] for step in line])} for s, of in seeds.items()} for d, seeds in rule.items()
    }
    values = [of[""] for seeds in own.values() for of in seeds.values()]
    return entry(*estimate(own, "")) | {
        "compared": sum(v is not None for v in values),
        "runs": len(values),
        "by_domain": {domain: entry(*estimate(one(own, domain), "")) for domain in own},
    }


def drop(cells: Cells, first: str, last: str, column: str = "retention") -> dict[str, Any]:
    """How much more of a column there is in the last domain than in the first, paired by seed."""
    return entry(*difference({"": cells[last]}, {"": cells[first]}, column))


def one(cells: Cells, domain: str) -> Cells:
    return {domain: cells[domain]}


def entry(mean: float | None, interval: tuple[float, float] | None) -> dict[str, Any]:
    return {"mean": rounded(mean), "interval": ends(interval)}


def sure(found: Mapping[str, Any]) -> int:
    """1 or -1 where the interval lies on one side of 0, else 0 (also without an interval)."""
    if found["interval"] is None:
        return 0
    low, high = found["interval"]
    return 1 if low > 0 else -1 if high < 0 else 0
