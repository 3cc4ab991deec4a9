"""One page for all concept suites: each keeps its own section beside the page, and the page is put together anew.

    docs/results/dual.md                  the page
    docs/results/dual/dual-ablation.json  figures and section of one suite
    docs/results/dual/dual-ablation.svg   its picture

Surprising: no suite reads or writes another's section, so they can be run in any order and any number of times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from expunge._io import read_json, write_atomic, write_json

ORDER = ("dual-ablation", "hierarchy-validation", "privacy-frontier", "alignment-stress", "polysemy", "cross-domain")
NAME = "dual.md"
INTRODUCTION = """# The hierarchical dual strategy on worlds whose truth is known

Written by the commands themselves. Models are small and made from scratch; every audited cell has an original that
knows the target, a retrained model that never met it, and a second retrained seed, which shows how far two honest
answers lie apart. Targets of different seeds share no fact. Cells of tables give a mean over worlds and seeds and,
after ±, half the 95 % interval of that mean over seeds (Student's t: three seeds make it wide, and it says nothing
about other worlds or larger models).
"""


def publish(
    found: Mapping[str, Any], section: Callable[[str], str], pictures: Mapping[str, str], results: Path
) -> Path:
    """Write the section of a suite and the page; returns the page.

    found     what the suite found; `bench` names it
    section   called with the folder that pictures lie in, seen from the page; returns Markdown from `##` down
    pictures  file name → SVG
    results   the page, or a folder for `dual.md`
    """
    page = results if results.suffix == ".md" else results / NAME
    folder = page.with_suffix("")
    for name, picture in pictures.items():
        write_atomic(folder / name, picture)
    write_json(folder / f"{found['bench']}.json", {"section": section(folder.name), "found": dict(found)})
    there = [folder / f"{name}.json" for name in ORDER]
    sections = [read_json(file)["section"].strip() for file in there if file.is_file()]
    return write_atomic(page, "\n\n".join([INTRODUCTION.strip(), *sections]) + "\n")
