"""The page of `which-objective` and its table for the terminal. Every verdict is decided by the run's own figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expunge._io import write_atomic, write_json
from expunge.bench.concepts.prose import method, tuned
from expunge.bench.concepts.rows import REFERENCES
from expunge.bench.concepts.summary import shown, table
from expunge.bench.table import markdown, plain

NAME = "which-objective.md"
CANDIDATE = "twin"  # the row that the goals are read off
MAIN = {
    "distance_to_retrained": "distance",
    "retention": "kept",
    "leak_mean": "exact",
    "choice_cc": "choice, cc",
    "ks": "KS",
    "auc_gap": "ΔAUC loss",
    "entropy_gap": "ΔAUC entropy",
    "relearned": "relearned",
    "int4": "int4",
    "cost": "cost",
}
KEPT = {
    "retention": "all retain_heldout",
    "retention_siblings": "siblings",
    "retention_L12": "L1 and L2",
    "relearned": "relearned",
    "relearned_benign": "relearned, benign",
}
AGAINST = {
    "distance_to_retrained": "distance",
    "retention": "kept",
    "ks": "KS",
    "choice_cc": "choice, cc",
    "relearned": "relearned",
}
GOALS = (  # column, words, limit, direction (1: at least, -1: at most)
    ("exact_excess", "exact answers − retrained", 0.02, -1),
    ("choice_excess", "choice (cc) − retrained", 0.10, -1),
    ("auc_gap", "AUC by loss, off the retrained one", 0.05, -1),
    ("entropy_gap", "AUC by entropy, off the retrained one", 0.05, -1),
    ("relearn_excess", "relearned − retrained", 0.10, -1),
    ("int4_excess", "int4 − retrained", 0.02, -1),
    ("retention", "kept, all retain_heldout", 0.99, 1),
    ("retention_L12", "kept, L1 and L2", 0.99, 1),
    ("retention_siblings", "kept, siblings", 0.97, 1),
    ("cost", "time over SimNPO's", 1.5, -1),
)
SIDE = {
    "distance_to_retrained": "distance",
    "retention": "kept",
    "leak_mean": "exact",
    "choice_cc": "choice, cc",
    "ks": "KS",
    "auc_gap": "ΔAUC loss",
    "entropy_gap": "ΔAUC entropy",
    "relearned": "relearned",
}
KS_LIMIT = 1.5  # times the distance between two retrained seeds
INTRODUCTION = """# Which objective comes closest to the model that never knew

Written by the command itself. Every cell is a request to a world whose truth is known: an original that knows the
target, a retrained model that never met it, and a second retrained seed, which is the noise floor. Worlds that
settings were chosen on are not audited."""

TRIED = """## What the tuning worlds taught

Worlds of seeds 7, 8 and 9, whose figures stand in no table. What helped is in `twin`:

- **An answer is as unlikely as it is rare.** A retrained model finds what many others say likely and what nobody else
  says far-fetched; floors drawn from all answers of the type make every fact as likely as the next. Drawn from answers
  that as many others give, they follow the retrained model's losses fact by fact.
- **Floors as targets.** A floor alone lets true answers sink far below what strangers' answers have.
- **One twin for a person.** A twin for every fact has to be learnt fact by fact, and what stays pays for it; one for
  all is a change of what the name means. It makes relearning easier, though: what was one change is undone as one.
- **Both divergences.** KL from the teacher alone leaves a model that hedges where it cannot follow, and its
  entropy marks the person.

What did not help, or only moved along the trade of forgetting against keeping: a tolerance on the distance to the
teacher; ranks 2, 4 and 32; the lower or the upper half of the blocks alone; full weights; longer runs; larger batches;
a pull on hidden states; a last phase that only keeps; adapters that start along forget-against-retain directions; other
people's questions asked about what is left of a person; a group of a batch, or a penalty on logits, for answers that
the target shares with others. What is lost outside the target is mostly just that: retain_heldout records whose answer the
target has, too. Controls of a study by another number rather than another name give the truth away."""

THREATS = """## Threats to validity

- Models are small and made from scratch on invented records; nothing here shows that a setting is right for a large
  pretrained model. Audit yours.
- Method and score have the same authors. `distance` is a plain sum of ours; every part of it stands beside it.
- One setting per row serves all requests, as a default must; it was chosen by means over the requests of the trials.
- `twin` and its fixed numbers were worked out on worlds of seeds 7, 8 and 9; of the rows beside it only rate was tried.
  Its `drop_blocks` was raised from 0 after the demo of seed 42, another hospital than this one, failed on relearning.
- Worlds of seeds 42, 123 and 789 were audited once before, with earlier forms of `twin`.
- Three seeds: a seed is a world, its original and its run at once, so intervals are wide and hold for such worlds.
- Retention is read off a third of what stays, which no run is given. Whoever gives all records keeps more.
- Times were taken on a shared machine, rows at different moments, so `cost` is rough; `expunge bench step` is exact.
- Relearning is one attack with fixed steps and rate. Longer training brings more back, from the retrained model too."""


def text_table(found: Mapping[str, Any]) -> str:
    """One row per model and method for a terminal."""
    return plain(["row", *MAIN.values()], table(found, MAIN, spread=False))


def publish(found: Mapping[str, Any], pictures: Mapping[str, str], results: Path) -> Path:
    """Write the page, its pictures and its figures; returns the page."""
    target = results if results.suffix == ".md" else results / NAME
    folder = target.with_suffix("")
    for name, picture in pictures.items():
        write_atomic(folder / name, picture)
    write_json(folder / "found.json", dict(found))
    return write_atomic(target, page(found, folder.name))


def page(found: Mapping[str, Any], pictures: str) -> str:
    """The page as Markdown; `pictures` is the folder of the picture."""
    domains = list(found["domains"])
    by = [
        [row, *(f"{shown(of[d]['distance_to_retrained'], None, 2)} / {shown(of[d]['retention'])}" for d in domains)]
        for row, of in found["by_domain"].items()
    ]
    parts = [
        INTRODUCTION,
        f"    expunge bench which-objective --preset {found['preset']} --seeds {','.join(map(str, found['seeds']))}"
        + "".join(f" {option}" for option in found["options"])
        + " \\\n        --out DIR --results docs/results/which-objective.md",
        *method(found),
        tuned(found),
        "Rows: "
        + "; ".join(
            f"`{name}` = recipe `{recipe}`" + (f" with {', '.join(f'`{s}`' for s in sets)}" if sets else "")
            for name, (recipe, *sets) in found["recipes"].items()
        )
        + ".",
        f"![Distance to the retrained model and retention of every row]({pictures}/which-objective.svg)",
        f"![Retention against distance by request; a line joins the rows that none beats]({pictures}/pareto.svg)",
        "## All rows, means over requests and seeds",
        markdown(["row", *MAIN.values()], table(found, MAIN)),
        "**distance**: |Δ choice| + |Δ AUC by loss| + |Δ AUC by entropy| + KS + |Δ exact answers| on the target, "
        "against the retrained model; 0 to 5, ours. **kept**: retain_heldout records, after over before, the smaller of "
        "exact answers and answer probability. **choice, cc**: true option likeliest, corrected for chance. **KS**: "
        "largest gap between the distributions of answer losses here and on the retrained model. **ΔAUC**: distance "
        "of the membership AUC from the retrained model's. **relearned**: exact answers to nine tenths of the facts "
        "after ten steps on one tenth, mean of three draws. **int4**: exact answers with weights rounded to four "
        "bits. **cost**: seconds over those of SimNPO in the same cell, building of targets included.",
        "## Distance / kept, by request",
        markdown(["row", *domains], by),
        "## What is kept of whom, and what comes back",
        markdown(["row", *KEPT.values()], table(found, KEPT)),
        *_goals(found),
        *_against(found),
        *_sides(found),
        "## Reading",
        "\n".join(f"- {line}" for line in reading(found)),
        TRIED,
        THREATS,
    ]
    return "\n\n".join(parts) + "\n"


def judged(
    found: Mapping[str, Any], domain: str, row: str = CANDIDATE
) -> list[tuple[str, float | None, float | None, bool | None]]:
    """(goal, limit, value, reached) of a row in one kind of request, means over seeds; None: no value."""
    of = found["by_domain"][row][domain]
    floor = found["by_domain"]["retrained-2"][domain]["ks"]
    limits = [("ks", f"KS (at most {KS_LIMIT} × two seeds)", None if floor is None else KS_LIMIT * floor, -1), *GOALS]
    return [
        (words, limit, of[column], None if of[column] is None or limit is None else sign * (of[column] - limit) >= 0)
        for column, words, limit, sign in limits
    ]


def _goals(found: Mapping[str, Any]) -> list[str]:
    if CANDIDATE not in found["by_domain"]:
        return []
    domains = list(found["domains"])
    tables = {d: judged(found, d) for d in domains}
    second = {d: judged(found, d, "retrained-2") for d in domains}
    rows = [
        [
            goal[0] + ("" if "×" in goal[0] else f" ({goal[1]:g})"),
            *(
                "–"
                if (t := tables[d][k])[2] is None
                else f"{shown(t[2])} {'✓' if t[3] else '✗'} ({shown(second[d][k][2])})"
                for d in domains
            ),
        ]
        for k, goal in enumerate(tables[domains[0]])
    ]
    return [
        f"## The goals of a default, `{CANDIDATE}`",
        markdown(["goal (limit)", *domains], rows),
        "Means over seeds; ✗ is not reached. In brackets: a second retrained seed, which never met the target. The "
        "limit of KS is a multiple of its value. Its time is that of teaching.",
    ]


def _sides(found: Mapping[str, Any]) -> list[str]:
    """The smaller comparisons: a table for every request of each."""
    parts: list[str] = []
    for side in found["sides"]:
        parts += [f"## {side['title']}", side["about"]]
        least = min(share for of_cell in side["memorised"]["taught"].values() for share in of_cell.values())
        for domain, sizes in side["domains"].items():
            rows = [
                [row, *(shown(of[domain][c]) for c in SIDE)]
                for row, of in side["by_domain"].items()
                if row != REFERENCES[0] and of.get(domain)
            ]
            parts += [markdown([domain, *SIDE.values()], rows)]
            if domain not in found["domains"]:
                parts += [", ".join(f"{words} {count}" for words, count in sizes.items()) + " records."]
        parts += (
            []
            if least >= side["memorised"]["gate"]
            else [f"**Gate not passed**: a model gives only {least:.1%} of its answers."]
        )
        parts += (
            ["\n".join(f"- Failed: {row}: {line}." for row, lines in side["failed"].items() for line in lines)]
            if side["failed"]
            else []
        )
    return parts


def _against(found: Mapping[str, Any]) -> list[str]:
    if not found["against_candidate"]:
        return []
    rows = [
        [f"{row}, {d}", *(shown(of[c]["mean"], of[c]["interval"]) for c in AGAINST)]
        for row, by in found["against_candidate"].items()
        if row.startswith(("twin", "simnpo", "two"))
        for d, of in by.items()
    ]
    return [f"## Against `{CANDIDATE}`, paired by seed", markdown([f"row − {CANDIDATE}", *AGAINST.values()], rows)]


def reading(found: Mapping[str, Any]) -> list[str]:
    """What the means say."""
    of, keep = found["methods"], found["keep"]
    runs = [r for r in of if r not in REFERENCES and of[r]["distance_to_retrained"] is not None]
    if not runs:
        return ["Every run failed."]
    kept = sorted((r for r in runs if of[r]["retention"] >= keep), key=lambda r: of[r]["distance_to_retrained"])
    lines = [
        f"Two retrained seeds lie {shown(of['retrained-2']['distance_to_retrained'])} apart.",
        f"Nearest to the retrained model among rows that keep at least {keep:.0%}: "
        + (", ".join(f"`{r}` ({shown(of[r]['distance_to_retrained'])})" for r in kept[:4]) or "none")
        + ".",
        f"Below {keep:.0%}: {', '.join(f'`{r}`' for r in runs if r not in kept) or 'none'}.",
    ]
    if CANDIDATE in found["by_domain"]:
        missed = {d: [t[0] for t in judged(found, d) if t[3] is False] for d in found["domains"]}
        lines += [f"{d}: `{CANDIDATE}` misses {', '.join(names) or 'nothing'}." for d, names in missed.items()]
    return [
        *lines,
        *(
            f"Failed: {row}: {line}; the row's figures are over what is left."
            for row, entries in found["failed"].items()
            for line in entries
        ),
    ]
