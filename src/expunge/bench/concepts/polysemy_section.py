"""The section of `polysemy` and its tables for the terminal. Every sentence is decided by the figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.bench.concepts.hierarchy_section import interval, number, worlds
from expunge.bench.concepts.polysemy_kept import KEEP, MARGIN
from expunge.bench.concepts.prose import method, tuned
from expunge.bench.concepts.summary import shown
from expunge.bench.table import markdown, plain

KEPT = (
    "row",
    "target left",
    "other left",
    "[low, high]",
    "other, given",
    "control left",
    "spared left",
    "other − control",
    "other − spared",
    "target − other",
    "leak − retrained",
    "passes",
)
WEIGHTS = ("weight", "target", "other", "target − other", "verdict")
NAMES = {
    "id": "saliency by vocabulary id (eq. 13)",
    "record": "… × β of the record (as shipped)",
    "token": "… × β of the token, from the dictionary",
    "before": "gradient of the very row, before the run",
    "after": "gradient of the very row, after the run",
}
WHY = {  # what is known of these outcomes beforehand; any other is left to the reader
    ("id", 0): "the average belongs to the id, and the word is the whole answer in both contexts",
    ("record", 1): "the level of the record says which sense is meant, not the saliency",
    ("token", 0): "the dictionary has the word under both senses, and where the highest level counts both pass as L4",
    ("before", 0): "nothing in the row's own loss says which sense is to go, and the model knows both equally well",
}


def text_table(found: Mapping[str, Any]) -> str:
    """Both tables for a terminal."""
    return "\n\n".join([plain(KEPT, _kept(found)), plain(WEIGHTS, _weights(found))])


def _kept(found: Mapping[str, Any]) -> list[list[str]]:
    def row(of: Mapping[str, Any]) -> list[str]:
        left, drops, leak = of["left"], of["drops"], of["leak"]
        return [
            shown(left["target"]["mean"]),
            shown(left["other"]["mean"]),
            _bounds(left["other"]),
            shown(left["other given"]["mean"]),
            shown(left["control"]["mean"]),
            shown(left["spared"]["mean"]),
            *(_effect(drops[name]) for name in ("other - control", "other - spared", "target - other")),
            f"{shown(leak['mean'])} {_bounds(leak)}".strip(),
            "yes" if of["passes"] else "no",
        ]

    return [[name, *row(of)] for name, of in found["kept"].items()]


def _bounds(of: Mapping[str, Any]) -> str:
    return "" if of["low"] is None else f"[{shown(of['low'])}, {shown(of['high'])}]"


def _effect(e: Mapping[str, Any]) -> str:
    if e["mean"] is None:
        return "–"
    return number(e["mean"]) + (f" [{interval(e['deciding'])}]" if e["deciding"] else "")


def _weights(found: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            NAMES[kind],
            shown(of["target"]),
            shown(of["other"]),
            _effect(of["difference"]),
            "follows context" if of["above_zero"] else "against context" if of["below_zero"] else "does not",
        ]
        for kind, of in found["weights"].items()
    ]


def section(found: Mapping[str, Any], pictures: str) -> str:
    """Markdown from `##` down; `pictures` is the folder of the picture."""
    words = found["words"]
    parts = [
        "## Words with two senses (`polysemy`)",
        f"    expunge bench polysemy --preset {found['preset']} --seeds {','.join(map(str, found['seeds']))} "
        "--out DIR --results docs/results/dual.md",
        *method(found),
        worlds(found),
        tuned(found),
        f"At least {words['per_cell']} words per world and seed ({words['all']} in all) answer one question of the "
        "target and one everyday question, in the same wording with the same options. Runs are given two thirds of the "
        f"everyday questions; figures on the other sense are over the {words['retain_heldout']} words whose everyday "
        "question no run is given, unless they say `given`. **Control**: a fact that stays, from the same side of the "
        "split, whose answer is taught as often as the word in both senses together. **Spared**: the everyday question "
        f"of words whose target sense is not to be forgotten ({words['spared']}, of which no run is given "
        f"{words['spared_untouched']}): the same kind of question, so what it loses is not owed to the word.",
        f"![Answer probability left of either sense]({pictures}/polysemy.svg)",
        "### What is left of a word",
        markdown(KEPT, _kept(found)),
        "**left**: answer probability after over before, sums over words; the interval is a bootstrap over words. "
        "**other − control**, **other − spared**: how much further the other sense falls than these, and **target "
        "− other**, how much further the target sense falls than the other, in answer probability, with the 95 % "
        "interval "
        + ("over seeds. " if len(found["seeds"]) > 1 else "over words, because there is a single seed. ")
        + "**leak**: exact answers in the target's sense, minus those of the retrained model. **passes**: lower bound "
        f"of `other left` at least {KEEP:g}, and upper bound of the leak at most {MARGIN:g}.",
    ]
    if found["weights"]:
        parts += [
            "### Does the weight of a word follow its context?",
            markdown(WEIGHTS, _weights(found)),
            "Weights of the same word in a forget loss where it answers the target's question and where it answers the "
            "everyday one (where it never stands in a forget batch: it is what it would get there), in the run `full`. "
            "Those of single rows are taken with the row's own forget loss, over the mean of all rows, within the "
            "engine's limits; over the mean of their own answer, as eq. 13 is here, they would be 1 in both "
            "contexts, since the word is the whole answer. **verdict**: whether the interval lies above 0, below 0, or "
            "around it.",
        ]
    return "\n\n".join([*parts, "### Reading", "\n".join(f"- {line}" for line in lines(found))])


def lines(found: Mapping[str, Any]) -> list[str]:
    """What the figures say."""
    told = []
    runs = {name: of for name, of in found["kept"].items() if name not in ("original", "retrained")}
    passing = [name for name, of in runs.items() if of["passes"]]
    told.append(f"Rows that keep the other sense and forget the target's: {', '.join(passing) or 'none'}.")
    for rule, words in (
        ("keeps", f"keep the other sense (lower bound below {KEEP:g})"),
        ("forgets", f"forget the target's sense (upper bound of the leak above {MARGIN:g})"),
    ):
        failing = [name for name, of in runs.items() if not of[rule]]
        told.append(f"Rows not shown to {words}: {', '.join(failing) or 'none'}.")
    if not found["kept"]["retrained"]["passes"]:
        told.append("The retrained model does not pass either: there are too few words to show that anything does.")
    for against, words in (
        ("control", "terms of one sense and equal frequency"),
        ("spared", "the same question about words whose target sense is spared"),
    ):
        hurt = [name for name, of in runs.items() if (e := of["drops"][f"other - {against}"]["deciding"]) and e[0] > 0]
        told.append(
            f"Rows whose other sense falls further than {words}, by an interval above 0: {', '.join(hurt) or 'none'}."
        )
    for kind, of in found["weights"].items():
        sign = of["above_zero"] - of["below_zero"]
        state = {
            1: "is larger in the target's context",
            -1: "is smaller in the target's context",
            0: "shows no difference between contexts",
        }[sign]
        why = f": {WHY[kind, sign]}" if (kind, sign) in WHY else ""
        name = NAMES[kind].replace("…", "saliency")
        told.append(f"{name[0].upper()}{name[1:]} {state} ({_effect(of['difference'])}){why}.")
    return [*told, *(f"Failed: {name}: {line}." for name, entries in found["failed"].items() for line in entries)]
