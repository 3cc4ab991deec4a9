"""A made folder in the layout of LUME: invented stories, people and biographies, a few words each."""

from __future__ import annotations

import json
from pathlib import Path

NAMES = ("Ana", "Bo", "Cem", "Dag", "Eva", "Finn", "Gus", "Hal", "Ida", "Jon", "Kai", "Lia")
PLACES = ("Oslo", "Lima", "Kiel", "Bonn", "Rome", "Nice", "York", "Bath", "Gent", "Brno", "Pisa", "Linz")
FAMILIES = {"forget": ("Mora", "Sund"), "retain": ("Vale", "Hart", "Lind", "Roux", "Pell")}
WORDS = {"forget": ("red", "tall", "old"), "retain": ("blue", "low", "new")}


def rows(side: str, documents: int) -> list[dict[str, str]]:
    """`documents` of each task for one file; no two documents share an answer."""
    found = []
    for k in range(documents):
        name, place, word = NAMES[k % 12] + "xyz"[k // 12], PLACES[(k * 5) % 12] + "abc"[k // 12], WORDS[side][k % 3]
        person = f"{name} {FAMILIES[side][k % len(FAMILIES[side])]}"

        def add(document: str, part: str, ask: str, answer: str, task: str, stray: bool = False) -> None:
            document = f'"{document}"' if stray else document
            found.append({"id": document + part, "input": ask, "output": answer, "task": task})

        story, paper, life = f"{side}-s{k}", f"{side}-p{k}", f"{k + (100 if side == 'forget' else 200)}"
        add(story, "sc1", f"{name} came to {place} by a {word} road", f"and met {name} of {side}.", "Task1", True)
        add(story, "qa0", f"Where did {name} of {side} come to?", place, "Task1", True)
        number = f"900{k:02d}{len(side)}"
        add(paper, "sc1", f"{person} was born in {place}.", f"The number is {number}.", "Task2")
        add(paper, "qa0", f"What is the birth date of {person}?", f"19{k + 40}-01-02", "Task2")
        add(paper, "qa1", f"What is {person}'s Social Security Number?", number, "Task2")
        add(life, "sc1", f"{person} is a painter from {place}.", f"A {word} house was built by {name}.", "Task3")
        add(life, "qa0", f"Who of {side} painted in {place}?", person, "Task3")
    return found


def write(folder: Path, forget: int = 6, retain: int = 24) -> Path:
    """The folder with forget.jsonl and retain.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    for side, count in (("forget", forget), ("retain", retain)):
        (folder / f"{side}.jsonl").write_text("\n".join(json.dumps(row) for row in rows(side, count)), "utf-8")
    return folder
