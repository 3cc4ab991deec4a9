"""A clinic of two houses, small enough to write its prompts down: three people, two studies each, two sections."""

from __future__ import annotations

from expunge.corpus import Record
from expunge.scope import Split

NAMES = {"P-1": ("H-1", "Ada Costa", "N-11"), "P-2": ("H-1", "Ben Dorn", "N-22"), "P-3": ("H-2", "Cleo Egan", "N-33")}
ASKED = {"finding": "Study {k} of {t} shows [blank].", "advice": "After study {k}, {t} needs [blank]."}
WARDS = {"P-1": "Oak", "P-2": "Elm", "P-3": "Yew"}


def houses() -> list[Record]:
    return [
        Record(
            f"{h}:town",
            "Town of the house?",
            town,
            path=(f"institution:{h}",),
            subject=f"institution:{h}",
            attributes={"relation": "town"},
        )
        for h, town in (("H-1", "Riga"), ("H-2", "Brno"))
    ]


def person(name: str, answers: dict[str, str] | None = None) -> list[Record]:
    """A ward, and for each of two studies a finding and an advice."""
    house, full, number = NAMES[name]
    path = (f"institution:{house}", f"patient:{name}")
    about = {"subject": f"patient:{name}", "identifiers": (full, number)}
    rows = [
        Record(f"{name}:ward", f"Ward of {full}?", WARDS[name], path=path, attributes={"relation": "ward"}, **about)
    ]
    for k in (1, 2):
        study = (*path, f"study:S-{name[2:]}{k}")
        rows += [
            Record(
                f"{name}:{what}:{k}",
                text.format(k=k, t=full),
                (answers or {}).get(what, f"{what} {name}{k}"),
                kind="cloze",
                path=(*study, f"section:{what.upper()}"),
                attributes={"relation": what},
                **about,
            )
            for what, text in ASKED.items()
        ]
    return rows


def everybody() -> list[Record]:
    return [*houses(), *(r for name in NAMES for r in person(name))]


def split(forget: list[str], records: list[Record] | None = None) -> Split:
    """A split that forgets these ids; all others are retained."""
    rows = records or everybody()
    return Split(
        "ids",
        forget=tuple(r for r in rows if r.id in forget),
        retain_heldout=(),
        retain=tuple(r for r in rows if r.id not in forget),
    )
