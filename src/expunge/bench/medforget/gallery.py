"""What models say about a picture before and after, beside the model that never knew. Drawn pictures only.

Surprising: entries are not chosen by how well they look. Of each level they are the first records in the order of a
hash: two of the target, one of its siblings.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expunge.bench.concepts.cell import Cell
from expunge.bench.concepts.measure import Scored
from expunge.bench.concepts.rows import REFERENCES, Row
from expunge.bench.concepts.suite import Suite
from expunge.bench.medforget.rows import CANDIDATE
from expunge.bench.panel import COLOURS, INK, SOFT, STYLE
from expunge.corpus import Record
from expunge.random import uniform

SHOWN = {"to be forgotten": 2, "sibling": 1}
WIDE = 46  # characters of a line


def gather(suite: Suite, tuning: Mapping[str, Mapping[str, Any]], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Entries of the first seed, level by level: picture, question, truth, and what each model says."""
    row = next((r for r in rows if r.name == CANDIDATE), rows[-1])
    cells = [c for c in suite.cells if c.seed == suite.seeds[0]]
    places = suite.places([row], cells, tuning)
    found: list[dict[str, Any]] = []
    for cell in cells:
        names = [name for name in (*REFERENCES[:2], row.name) if (name, cell) in places]
        found += _of_cell(cell, {name: Scored.load(places[name, cell][1]) for name in names})
    return found


def _of_cell(cell: Cell, models: Mapping[str, Scored]) -> list[dict[str, Any]]:
    sets = cell.sets()
    kin = [r for r in sets.retain_heldout if sets.split.relation.get(r.id) == "siblings"]
    told = []
    for about, records, part in (("to be forgotten", sets.forget, "forget"), ("sibling", kin, "retain_heldout")):
        seen = [r for r in records if r.image and r.kind == "generation"]
        for r in sorted(seen, key=lambda r: uniform("gallery", r.id))[: SHOWN[about]]:
            said = {}
            for name, scored in models.items():
                scores = getattr(scored, part)
                said[name] = scores.text[scores.ids.index(r.id)] if scores.text else ""
            told.append(
                {
                    "level": str(cell.domain),
                    "about": about,
                    "prompt": r.prompt,
                    "truth": r.answer,
                    "cue": r.attributes["cue"],
                    "said": said,
                    "picture": _encoded(r),
                }
            )
    return told


def _encoded(record: Record) -> str:
    assert record.image
    return base64.b64encode(record.image.data()).decode()


def draw(entries: Sequence[Mapping[str, Any]]) -> str:
    """The gallery as SVG, one row per entry."""
    import matplotlib
    from matplotlib.figure import Figure
    from PIL import Image

    with matplotlib.rc_context(STYLE):
        figure: Any = Figure(figsize=(8.6, 1.25 * max(1, len(entries))), facecolor="white")
        for k, entry in enumerate(entries):
            top, height = 1 - (k + 1) / len(entries), 1 / len(entries)
            axes = figure.add_axes((0.01, top + 0.06 * height, 0.13, 0.88 * height))
            image = Image.open(io.BytesIO(base64.b64decode(entry["picture"])))
            axes.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_axis_off()
            lines = [
                (f"{entry['level']}, {entry['about']}, taught by {_cue(entry['cue'])}", SOFT),
                (_cut(entry["prompt"]), INK),
                (f"truth: {entry['truth']}", INK),
                *(
                    (f"{name}: {text or '(nothing)'}", COLOURS[0] if text == entry["truth"] else INK)
                    for name, text in entry["said"].items()
                ),
            ]
            for n, (text, colour) in enumerate(lines):
                figure.text(
                    0.16 if n < 3 else 0.56,
                    top + height * (0.8 - 0.27 * (n if n < 3 else n - 3)),
                    _cut(text),
                    color=colour,
                    fontsize=8,
                    va="center",
                )
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Title": "Before and after"})
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _cue(name: str) -> str:
    return {"both": "picture and name", "image": "picture alone", "text": "name alone"}[name]


def _cut(text: str) -> str:
    return text if len(text) <= WIDE + 8 else text[: WIDE + 7] + "…"
