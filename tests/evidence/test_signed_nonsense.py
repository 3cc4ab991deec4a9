"""Whatever two people sign, verification ends with lines, and never with a traceback."""

from __future__ import annotations

import json
import random
from collections import Counter
from functools import partial
from typing import Any

from expunge.evidence.verification import VerificationInputs, verify_bytes
from helpers.evidence import LATER, EvidenceCase, changed, trust_of

TRUST = trust_of()
VALUES: tuple[Any, ...] = (None, True, 0, -1, 1.5, 2**53 - 1, 1e300, "", "x", "0" * 64, [], {}, [[]], {"a": 1})


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [p for key, item in inner for p in ((*path, key), *places(item, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


def test_no_value_breaks_the_verification(case: EvidenceCase) -> None:
    made, draw = case.make(), random.Random(5)
    ways = places(json.loads(made.payload))
    outcomes = Counter[str]()
    for _ in range(260):
        path, new = draw.choice(ways), draw.choice(VALUES)
        lie = changed(made, partial(put, path=path, new=new))
        report = verify_bytes(lie.as_bytes(), "cert", TRUST, VerificationInputs(at=LATER, audit=case.audit)).report
        assert len(report.lines) >= 3
        outcomes["valid" if report.is_valid else "invalid"] += 1
    assert outcomes["invalid"] > 200  # what no rule ties to another value is found by signatures alone
