"""What the suite compares: eight methods that train, two that edit weights at once, at four levels of one tree.

Surprising: every row that trains has adapters of one rank on all language blocks, so that no method has more numbers
to turn than another; an edit's share of neurons is what is tuned in the place of a learning rate.
"""

from __future__ import annotations

from expunge.bench.concepts.cell import Domain
from expunge.bench.concepts.objectives import WIDE
from expunge.bench.concepts.rows import Row

TRAINED = ("ga", "grad_diff", "kl_min", "npo", "simnpo", "dual", "sequential", "twin")
EDITS = {"chip": ("settings.share=0.3",), "manu": ("settings.share=0.1",)}  # published shares change nothing here
CUES = {  # changes of `twin`, for a comparison of their own
    "twin-words": ("settings.replace=text",),
    "twin-picture": ("settings.replace=image",),
    "twin-as-taught": ("modalities=trained",),
}
ROWS = {
    row.name: row
    for row in (
        *(Row(name=name, recipe=name, sets=WIDE) for name in TRAINED),
        *(Row(name=name, recipe=name, sets=sets) for name, sets in EDITS.items()),
        *(Row(name=name, recipe="twin", sets=(*WIDE, *sets)) for name, sets in CUES.items()),
    )
}
MAIN = (*TRAINED, *EDITS)
LEVELS = ("institution", "patient", "study", "section")
CANDIDATE = "twin"


def level(name: str, preset: str) -> Domain:
    """The request that a level makes of a world of this preset."""
    return Domain(world="radiology", preset=preset, target=f"{name}_level", division="relations", label=name)
