"""The section of `privacy-frontier` and its table for the terminal; every sentence is decided by the run's figures.

Surprising: a row's name is what was asked for, and the column ε what its noise costs. For the noise of the paper's
formula these are two different things.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.bench.concepts.alignment_worth import sure
from expunge.bench.concepts.prose import method
from expunge.bench.concepts.summary import shown
from expunge.bench.table import markdown, plain
from expunge.privacy.accountant import TOLERANCE

FREE, PAPER = "eps-inf", "paper-formula"
NO_GUARANTEE = "no guarantee"
HEADS = (
    "row",
    "ε, PLD",
    "ε, PRV",
    "ε, RDP",
    "σ",
    "q forget",
    "q retain",
    "T",
    "ε by canaries",
    "exact answers",
    "leak",
    "AUC",
    "retention",
    "distance",
)
DOSED = ("leak_mean", "retention", "distance_to_retrained")
KEPT = ("leak_mean", "leak", "auc", "retention", "distance_to_retrained")


def text_table(found: Mapping[str, Any]) -> str:
    """One row per reference and epsilon for a terminal."""
    return plain(HEADS, rows(found))


def rows(found: Mapping[str, Any]) -> list[list[str]]:
    """What every row asked and what it cost, then what is left and what is kept."""
    return [
        [
            _called(name),
            *_asked(found, name),
            _seen(found, name),
            *(shown(of[c], found["intervals"][name][c]) for c in KEPT),
        ]
        for name, of in found["methods"].items()
    ]


def _called(name: str) -> str:
    return f"{name} ({NO_GUARANTEE})" if name == PAPER else name


def _asked(found: Mapping[str, Any], name: str) -> list[str]:
    """epsilon by PLD, PRV and RDP, sigma, both rates and the number of steps; means over seeds."""
    told = found["private"].get(name)
    if told is None:
        return [*(["∞"] if name == FREE else ["–"]), *["–"] * 6]

    def number(column: str, digits: int = 4) -> str:
        value = told[column]["mean"] if column in told else None
        return "–" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.{digits}g}"

    return [
        number("pld"),
        number("prv"),
        number("rdp"),
        number("noise_forget", 3),
        number("rate_forget", 3),
        number("rate_retain", 3),
        number("steps_forget"),
    ]


def largest(found: Mapping[str, Any], name: str) -> float | None:
    """The largest epsilon that canaries showed in any run of a row."""
    seen = [of["bound"]["epsilon"] for of in found["canaries"].get(name, {}).values() if not of["failed"]]
    return max(seen, default=None)


def _seen(found: Mapping[str, Any], name: str) -> str:
    value = largest(found, name)
    return "–" if value is None else f"≥ {value:.2f}"


def section(found: Mapping[str, Any], pictures: str) -> str:
    """Markdown from `##` down; `pictures` is the folder of the picture."""
    seen = [of for of_cell in found["canaries"].values() for of in of_cell.values() if not of["failed"]]
    parts = [
        "## Privacy: forgetting at every epsilon (`privacy-frontier`)",
        f"    expunge bench privacy-frontier --preset {found['preset']} --seeds {','.join(map(str, found['seeds']))} "
        "--out DIR --results docs/results/dual.md",
        *method(found),
        "No tuning: the recipe `dual-private` was set on a hospital of seed 7, which is not audited, and every row "
        "runs it as it is, with its own epsilon. Below, all rows with other learning rates.",
        "The target is one kind of fact (the surgical procedure) about every patient; their dates of birth stay. So "
        "everybody stands in both queries of a step, forget and retain, and both are noised and charged. Unit: a "
        "patient with all records, added or removed. Draws are independent coins (Poisson) and noise is secret, so a "
        "second run of this suite gives other figures within the intervals. `eps-inf` is the same recipe without "
        "clipping, noise and coins.",
        "**Nothing of this means that the model forgot.** Epsilon says how much the update can tell about one person "
        "who took part. What is left of the target stands in the columns on the right.",
        *(
            ["**WRONG ACCOUNTS: canaries show more than was stated.** " + "; ".join(found["broken"]) + "."]
            if found["broken"]
            else []
        ),
        markdown(HEADS, rows(found)),
        f"![Exact answers, retention and distance at every epsilon]({pictures}/privacy-frontier.svg)",
        "**σ**: noise on the sum of clipped gradients, over the clipping limit. **q**: probability of a patient to be "
        f"in a step; **T**: steps; δ = 1e-5. **ε by canaries**: {found['planted']} invented people, each put among the "
        "retained of a run of its own by a fair coin; what their losses give away bounds ε from below "
        + (
            f"({seen[0]['bound']['confidence']:.0%} confidence for each run, the largest over seeds; right guesses "
            f"alone would show {seen[0]['largest']:.2f})"
            if seen
            else ""
        )
        + ". **exact answers**, **leak**: on the target by generation, over all kinds of question, and of the one that "
        "shows most. **distance**: as above; it counts what is forgotten too "
        "thoroughly as well.",
        "### Exact answers / retention / distance, by factor on the learning rate",
        markdown(["row", *(f"× {rate}" for rate in found["doses"])], doses(found)),
        "### Reading",
        "\n".join(f"- {line}" for line in reading(found)),
        "May not be claimed on the ground of any ε: " + "; ".join(found["may_not_be_claimed"]) + ".",
    ]
    return "\n\n".join(parts)


def doses(found: Mapping[str, Any]) -> list[list[str]]:
    """One line per row: what is left, what is kept and how far that is from retraining at every learning rate."""
    return [
        [_called(name), *(" / ".join(shown(of[name][c]["mean"]) for c in DOSED) for of in found["doses"].values())]
        for name in found["recipes"]
    ]


def reading(found: Mapping[str, Any]) -> list[str]:
    """What privacy costs, whether the accounts hold, and what the paper's formula is worth."""
    of, told = found["methods"], found["private"]
    lines = []
    for name, entry in found["cost"].items():
        parts = [
            f"{words} {_signed(entry[c])}{'' if not entry[c]['interval'] or sure(entry[c]) else ' (perhaps 0)'}"
            for c, words in (
                ("leak_mean", "exact answers"),
                ("retention", "retention"),
                ("distance_to_retrained", "distance"),
            )
        ]
        lines.append(f"`{name}` − `{FREE}`: {', '.join(parts)}.")
    apart = {
        name: abs(e["pld"]["mean"] - e["prv"]["mean"])
        for name, e in told.items()
        if name != PAPER and e["pld"]["mean"] is not None and e["prv"]["mean"] is not None
    }
    if apart:
        worst = max(apart, key=lambda name: apart[name])
        lines.append(
            f"PLD and PRV lie at most {apart[worst]:.3f} apart (`{worst}`), "
            + ("as they must" if apart[worst] <= TOLERANCE else f"**more than the {TOLERANCE:g} allowed**")
            + f" (≤ {TOLERANCE:g})."
        )
    seen = {name: value for name in told if name != PAPER and (value := largest(found, name)) is not None}
    if seen:
        free = largest(found, FREE)
        lines.append(
            "Canaries: "
            + ", ".join(f"`{name}` ≥ {value:.2f}" for name, value in seen.items())
            + (f"; without privacy ≥ {free:.2f}, which is what this attack can see at all" if free is not None else "")
            + (
                ". **A bound lies above its epsilon: the accounts are wrong.**"
                if found["broken"]
                else ". None lies above its epsilon; a low bound proves nothing."
            )
        )
    if PAPER in told and told[PAPER]["pld"]["mean"] is not None:
        lines.append(
            f"The paper's formula for ε = 4 gives σ = {told[PAPER]['noise_forget']['mean']:.3g}, and that "
            f"costs ε = {told[PAPER]['pld']['mean']:,.0f}: {NO_GUARANTEE}. Its retention is "
            f"{shown(of[PAPER]['retention'])}, its distance {shown(of[PAPER]['distance_to_retrained'])}."
        )
    return lines + [
        f"Failed: {name}: {line}; the row's figures are over what is left."
        for name, entries in found["failed"].items()
        for line in entries
    ]


def _signed(found: Mapping[str, Any]) -> str:
    text = shown(found["mean"], found["interval"])
    return text if found["mean"] is None or found["mean"] < 0 else f"+{text}"
