"""Do trials chosen for one request hold for another? Every choice is audited on all requests."""

from __future__ import annotations

from typing import Any

from expunge.bench.analysis import Cells, difference, entry, estimate
from expunge.bench.measures.base import Study, measure

COLUMNS = ("distance_to_retrained", "retention")


@measure("transfer", needs="study")
def transfer(study: Study) -> dict[str, Any]:
    """`matrix`: arm, tuned on, applied to, column; `transfer`: foreign minus own trial over pairs, paired by seed."""
    requests = [str(r) for r in study.experiment.requests]
    failed: dict[str, Any] = {}
    tables = {}
    for source in requests:
        lines: dict[str, list[str]] = {}
        tables[source] = study.audit(study.arms, dict.fromkeys(requests, study.tuning[source]), lines)
        if lines:
            failed[source] = lines
    first = next(iter(tables.values()))
    names = [arm.name for arm in study.arms]
    return {
        "matrix": {name: {source: _row(of[name]) for source, of in tables.items()} for name in names},
        "transfer": {name: _transfer({source: of[name] for source, of in tables.items()}) for name in names},
        "references": {name: _row(first[name]) for name in study.experiment.references},
        "failed": failed,
    }


def _row(cells: Cells) -> dict[str, Any]:
    return {request: {c: entry(*estimate({request: of}, c)) for c in COLUMNS} for request, of in cells.items()}


def _transfer(by_source: dict[str, Cells]) -> dict[str, Any]:
    foreign, own = {}, {}
    for source, cells in by_source.items():
        for request, of_seeds in cells.items():
            if request != source:
                pair = f"{source} in {request}"
                foreign[pair], own[pair] = of_seeds, by_source[request][request]
    return {c: entry(*difference(foreign, own, c)) for c in COLUMNS}
