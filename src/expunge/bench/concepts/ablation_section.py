"""The section of `dual-ablation` and its table for the terminal. Every sentence is decided by the run's own figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.bench.concepts.prose import method, tuned
from expunge.bench.concepts.rows import REFERENCES
from expunge.bench.concepts.summary import shown, table
from expunge.bench.table import markdown, plain
from expunge.bench.tune import KEEP

MAIN = {
    "distance_to_retrained": "distance",
    "retention": "retention",
    "leak": "leak",
    "choice_cc": "choice, cc",
    "auc": "AUC",
    "mia_resistance": "MIA resistance",
    "trainable_share": "trainable",
}
CLAIMS = {"fr": "FR", "kpr": "KPR", "us": "US", "mia_resistance": "MIA resistance", "choice_cc": "choice, cc"}
PAPER = {"fr": 0.827, "kpr": 0.885, "us": 0.856, "mia_resistance": 0.89}
GOALS = PAPER | {"us": 0.95}
LEVELS = {"retention_L1": "L1", "retention_L2": "L2", "retention_L3": "L3", "retention": "all"}
AGAINST = {
    "distance_to_retrained": "distance",
    "retention": "retention",
    "choice_cc": "choice, cc",
    "leak_mean": "exact answers",
}


def text_table(found: Mapping[str, Any]) -> str:
    """One row per model and method for a terminal."""
    return plain(["row", *MAIN.values()], table(found, MAIN))


def section(found: Mapping[str, Any], pictures: str) -> str:
    """Markdown from `##` down; `pictures` is the folder of the picture."""
    domains = list(found["domains"])
    by = [
        [row, *(f"{shown(of[d]['distance_to_retrained'])} / {shown(of[d]['retention'])}" for d in domains)]
        for row, of in found["by_domain"].items()
    ]
    parts = [
        "## Ablation: what the strategy's parts do (`dual-ablation`)",
        f"    expunge bench dual-ablation --preset {found['preset']} --seeds {','.join(map(str, found['seeds']))} "
        "--out DIR --results docs/results/dual.md",
        *method(found),
        tuned(found),
        f"![Distance to the retrained model and retention of every row]({pictures}/dual-ablation.svg)",
        "### All rows",
        markdown(["row", *MAIN.values()], table(found, MAIN)),
        "**distance**: |Δ choice| + |Δ AUC by loss| + |Δ AUC by entropy| + Kolmogorov–Smirnov distance of answer "
        "losses + |Δ exact answers| on the target, all against the retrained model; 0 to 5, ours. **retention**: "
        "retain_heldout records, after over before, the smaller of exact answers and answer probability. **leak**: exact "
        "answers on the target by generation, of the kind of question that shows most. **choice, cc**: share of "
        "target questions whose true option is the likeliest, corrected for chance: 0 is guessing, below 0 "
        "avoidance. **AUC**: target against never-trained records by loss; .5 cannot be told apart, below .5 "
        "over-forgotten. **MIA resistance**: 1 − 2 |AUC − AUC of the retrained model|. **trainable**: share of "
        "parameters that may change.",
        "### Per world: distance / retention",
        markdown(["row", *domains], by),
        "### Retention by level",
        markdown(["row", *LEVELS.values()], table(found, LEVELS)),
        "### The paper's claims, in exact match",
        markdown(
            ["row", *CLAIMS.values()],
            [*table(found, CLAIMS), ["*paper, 3B model*", *(shown(PAPER.get(c)) for c in CLAIMS)]],
        ),
        "FR: 1 − exact answers on the target. KPR: exact answers on retain_heldout records. US: their mean. The paper's own "
        "figures count accuracy among options, where guessing already gives FR .75.",
    ]
    if found["against_full"]:
        parts += [
            "### Parts against the whole",
            markdown(
                ["row − full", *AGAINST.values()],
                [
                    [row, *(shown(of[c]["mean"], of[c]["interval"]) for c in AGAINST)]
                    for row, of in found["against_full"].items()
                ],
            ),
            "Paired by seed. Above 0 in distance: the variant is further from the retrained model than `full`.",
        ]
    return "\n\n".join([*parts, "### Reading", "\n".join(f"- {line}" for line in reading(found))])


def reading(found: Mapping[str, Any]) -> list[str]:
    """What the means say."""
    of = found["methods"]
    runs = [row for row in of if row not in REFERENCES and of[row]["distance_to_retrained"] is not None]
    if not runs:
        return ["Every run failed."]
    keeping = [row for row in runs if of[row]["retention"] >= KEEP]
    ranked = sorted(keeping, key=lambda row: of[row]["distance_to_retrained"])
    lines = [
        f"Two retrained seeds lie {shown(of['retrained-2']['distance_to_retrained'])} apart: nothing below that "
        "can be told from retraining."
    ]
    if ranked:
        lines.append(
            "Nearest to the retrained model among rows that keep at least "
            f"{KEEP:.0%}: " + ", ".join(f"{r} ({shown(of[r]['distance_to_retrained'])})" for r in ranked[:3]) + "."
        )
        if "full" in ranked:
            lines.append(f"`full` is number {ranked.index('full') + 1} of these {len(ranked)}.")
    if "full" in runs:
        lines.append(
            "`full` against the goals: "
            + ", ".join(
                f"{CLAIMS[c]} {shown(of['full'][c])} ({'at least' if of['full'][c] >= goal else 'below'} {goal:g})"
                for c, goal in GOALS.items()
            )
            + "."
        )
    lost = [row for row in runs if row not in keeping]
    lines.append(f"Below {KEEP:.0%} retention: {', '.join(lost) or 'none'}.")
    sure = [
        f"{row} ({'further' if d['mean'] > 0 else 'nearer'})"
        for row, entry in found["against_full"].items()
        if (d := entry["distance_to_retrained"])["interval"] and d["interval"][0] * d["interval"][1] > 0
    ]
    if found["against_full"] and len(found["seeds"]) > 1:
        lines.append(
            f"Variants whose distance differs from `full` by an interval that excludes 0: {', '.join(sure) or 'none'}."
        )
    failed = [f"{row}: {line}" for row, entries in found["failed"].items() for line in entries]
    return [*lines, *(f"Failed: {line}; the row's figures are over what is left." for line in failed)]
