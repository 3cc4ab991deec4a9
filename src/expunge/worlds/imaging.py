"""Which picture a question shows, and what is drawn in it: the study's own findings in a person's own chest."""

from __future__ import annotations

from functools import lru_cache

from expunge.corpus import Picture
from expunge.worlds import charts
from expunge.worlds.draw import pick
from expunge.worlds.people import Bed, person
from expunge.worlds.radiograph import png, radiograph
from expunge.worlds.relations import SECTION
from expunge.worlds.shape import Shape
from expunge.worlds.spots import LEAST, role
from expunge.worlds.wording import Fact

DRAWN = {r.name: r for rows in SECTION.values() for r in rows}


def seen(shape: Shape, bed: Bed, fact: Fact) -> tuple[Bed, int]:
    """The bed and study whose picture a fact is asked with.

    A study's facts show that study, a patient's the first, an institution's the first of one of its patients: one
    of those whom no request names as a whole.
    """
    if len(fact.path) > 2:
        return bed, int(fact.path[2][-1])
    if len(fact.path) == 2:
        return bed, 1
    first = shape.opening(bed.institution)
    hosts = [host for k in range(LEAST) if role(host := shape.bed(first + 4 * k)) != "patient"]
    return pick(hosts, shape.seed, bed.institution, fact.relation.name, purpose="host of a picture"), 1


def picture(shape: Shape, bed: Bed, study: int, twin: int, size: int) -> Picture:
    """The picture of a study of the person in a bed, or of one of its twins."""
    who = person(shape.seed, bed, twin)
    finding, site, extent, view = (str(charts.value(shape, who, DRAWN[name], study))
                                   for name in ("finding", "site", "extent", "view"))
    data = _drawn(shape.seed, who.number, finding, site, extent, view, size)
    return Picture.of(f"images/S-{who.stem}-{study}.png", data)


@lru_cache(maxsize=1024)
def _drawn(seed: int, number: int, finding: str, site: str, extent: str, view: str, size: int) -> bytes:
    return png(radiograph(seed, number, finding, site, extent, view, size))
