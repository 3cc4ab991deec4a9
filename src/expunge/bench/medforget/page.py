"""The page of `medforget`. Everything on it is made from the figures of the run; goals stand there reached or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expunge._io import write_atomic, write_json
from expunge.bench.concepts.prose import method, tuned
from expunge.bench.concepts.rows import REFERENCES
from expunge.bench.concepts.summary import shown
from expunge.bench.medforget.columns import TASKS
from expunge.bench.medforget.probe import CUES
from expunge.bench.medforget.rows import CANDIDATE
from expunge.bench.table import markdown, plain

NAME = "medforget.md"
MAIN = {
    "distance_to_retrained": "distance",
    "retention": "kept",
    "leak_excess": "leak",
    "top1_excess": "rebuilt",
    "keep_siblings": "siblings",
    "keep_cousins": "cousins",
    "keep_unrelated": "unrelated",
    "ks": "KS",
    "cost": "cost",
}
GOALS = (  # column, words, limit, sign: +1 at least, -1 at most
    *((f"excess_{task}", f"{task}: answers above the retrained model's", 0.05, -1) for task in TASKS),
    ("top1_excess", "reconstruction with full context, above the retrained model's", 0.05, -1),
    ("keep_siblings", "siblings kept", 0.95, 1),
    ("keep_unrelated", "unrelated kept", 0.98, 1),
)
INTRODUCTION = """# Forgetting at four levels of a tree of pictures and texts

A drawn hospital in the layout of MedForget (arXiv 2512.09867): institution → patient → study → section, a radiograph
per study, forget and retain sets at every level, three tasks. A third of the facts is taught by picture and name, a
third by picture alone, a third by name alone. The published data is behind credentials and its result tables could not
be confirmed, so nothing here is compared with its numbers; its two findings are tested below."""
THREATS = """## Threats to validity

- Models of about a million numbers, from scratch, on drawn pictures; nothing here shows that a setting is right for a
  large pretrained model. Audit yours.
- Some facts can be read off a picture (finding, site, extent, view). A model that never saw the record can answer
  those, so zero is not the aim; the retrained model is.
- The attack is our own protocol (docs: `expunge attack reconstruct`); MedForget's is unpublished.
- World, methods and scores have the same authors. One setting of a row serves all levels; it was chosen on two.
- A first run asked a setting to keep .98 on the validation world. No strong setting of any row did (`twin` kept .979),
  so the weakest rates were chosen everywhere; .95, the rule of the other suites, was put in its place afterwards, with
  the audited worlds already seen once. The trials above are the same in both.
- Rates are those that tuning chose, not those of the shipped recipes; see the trials.
- With so short questions context also confuses a model that never read any: the original itself puts fewer true
  answers first with full context than without, so the attack has little power at the deeper levels.
- Three seeds: a seed is a world, its models and its runs at once, so intervals are wide and hold for such worlds.
- Retention is read off a third of what stays, which no run is given. Whoever gives all records keeps more.
- `chip` and `manu` are built from descriptions; MANU's formulas were not checked against the paper.
- Times were taken on a shared machine, rows at different moments, so `cost` is rough."""


def text_table(found: Mapping[str, Any]) -> str:
    """One row per level and method for a terminal."""
    rows = [
        [f"{d}: {row}", *(shown(of[d].get(c)) for c in MAIN)]
        for d in found["domains"]
        for row, of in found["by_domain"].items()
        if d in of
    ]
    return plain(["level: row", *MAIN.values()], rows)


def publish(found: Mapping[str, Any], drawn: Mapping[str, str], results: Path) -> Path:
    """Write the page, its pictures and its figures; returns the page."""
    target = results if results.suffix == ".md" else results / NAME
    folder = target.with_suffix("")
    for name, picture in drawn.items():
        write_atomic(folder / name, picture)
    write_json(folder / "found.json", {k: v for k, v in found.items() if k != "gallery"})
    return write_atomic(target, page(found, folder.name))


def page(found: Mapping[str, Any], folder: str) -> str:
    """The page as Markdown; `folder` is that of its pictures."""
    domains = list(found["domains"])
    parts = [
        INTRODUCTION,
        f"    expunge bench medforget --preset {found['preset']} --seeds {','.join(map(str, found['seeds']))} "
        "--out DIR --results docs/results/medforget.md",
        *method(found),
        _sets(found),
        tuned(found),
        *(
            [f"Trials are means over {' and '.join(found['tuned_on'])} of that world; one setting serves all levels."]
            if found["tuned_on"]
            else []
        ),
        "## All rows by level",
        "**leak**: the most that exact answers of one of the three tasks lie above the retrained model's. "
        "**rebuilt**: true answer first of 20 candidates with full context, above the retrained model's. **kept**, "
        "siblings, cousins, unrelated: retain_heldout records, after over before, the smaller of exact answers and answer "
        "probability. **distance**: to the retrained model, 0 to 5 (as in which-objective). **KS**: largest gap of "
        "the distributions of answer losses. **cost**: seconds over SimNPO's.",
        *(
            f"### {d}\n\n"
            + markdown(
                ["row", *MAIN.values()],
                [[row, *(shown(of[d].get(c)) for c in MAIN)] for row, of in found["by_domain"].items() if d in of],
            )
            for d in domains
        ),
        "## The three tasks: exact answers on target / on retain_heldout (retain − forget)",
        *(
            f"### {d}\n\n"
            + markdown(
                ["row", *TASKS],
                [
                    [
                        row,
                        *(
                            f"{shown(of[d].get(f'forget_{t}'), None, 2)} / {shown(of[d].get(f'retain_{t}'), None, 2)} "
                            f"({shown(of[d].get(f'gap_{t}'), None, 2)})"
                            for t in TASKS
                        ),
                    ]
                    for row, of in found["by_domain"].items()
                    if d in of
                ],
            )
            for d in domains
        ),
        *_goals(found),
        *_findings(found),
        f"![Leak at the target and what is kept around it]({folder}/levels.svg)",
        f"![Kept against distance in the tree; bands span the seeds]({folder}/distance.svg)",
        f"![True answers first with growing context]({folder}/context.svg)",
        *_cues(found),
        "## What models say about a picture",
        "Seed " + str(found["seeds"][0]) + ", the first records in the order of "
        "a hash, not the best ones. All pictures are drawn; no person exists.",
        f"![Pictures with what three models say]({folder}/gallery.svg)",
        *[f"- Failed: {row}: {line}." for row, lines in found["failed"].items() for line in lines],
        THREATS,
    ]
    return "\n\n".join(parts) + "\n"


def _sets(found: Mapping[str, Any]) -> str:
    seed, world = next(iter(found["worlds"].items()))
    heads = list(dict.fromkeys(name for of in world["retain_shares"].values() for name in of))
    shares = [
        [level, *(shown(of.get(name), None, 2) for name in heads)] for level, of in world["retain_shares"].items()
    ]
    return f"Retain sets at seed {seed}, shares reached:\n\n" + markdown(["set", *heads], shares)


def _goals(found: Mapping[str, Any]) -> list[str]:
    if CANDIDATE not in found["by_domain"]:
        return []
    domains, of, second = list(found["domains"]), found["by_domain"][CANDIDATE], found["by_domain"]["retrained-2"]
    rows = []
    for column, words, limit, sign in GOALS:
        cells = []
        for d in domains:
            value = of[d].get(column)
            mark = "" if value is None else " ✓" if sign * (value - limit) >= 0 else " ✗"
            cells.append(f"{shown(value)}{mark} ({shown(second[d].get(column))})")
        rows.append([f"{words} ({limit:g})", *cells])
    return [
        f"## The goals of a default, `{CANDIDATE}`",
        markdown(["goal (limit)", *domains], rows),
        "Means over seeds; ✗ is not reached. In brackets: a second retrained seed, which never met the target.",
    ]


def _findings(found: Mapping[str, Any]) -> list[str]:
    """The two findings of MedForget's abstract, with intervals over seeds."""
    against, domains = found["against"], list(found["domains"])
    runs = [row for row in against if row not in REFERENCES]
    clean = [f"`{row}` at {d}" for row in runs for d in domains if _good(against[row].get(d))]
    table = [[row, *(_told(against[row].get(d, {}).get("gain")) for d in domains)] for row in against]
    excess = [[row, *(_told(against[row].get(d, {}).get("top1_excess")) for d in domains)] for row in runs]
    return [
        "## The source's two findings",
        "**(i) Methods cannot forget completely at every level without losing accuracy.** Rows whose mean leak is at "
        "most .05 above the retrained model and that keep at least .98 of retain_heldout records: "
        + (", ".join(clean) or "none")
        + ".",
        "**(ii) Coarse-level forgetting resists reconstruction, fine-level forgetting does not.** Gain of full context "
        "over the question alone (true answer first of 20), mean and half the 95 % interval over seeds:",
        markdown(["row", *domains], table),
        "The same above the retrained model, with full context:",
        markdown(["row", *domains], excess),
        _verdict(found),
    ]


def _good(of: Mapping[str, Any] | None) -> bool:
    if not of or of["leak_excess"]["mean"] is None or of["retention"]["mean"] is None:
        return False
    return bool(of["leak_excess"]["mean"] <= 0.05 and of["retention"]["mean"] >= 0.98)


def _verdict(found: Mapping[str, Any]) -> str:
    """Coarse against fine, by the candidate: whose excess interval lies above zero."""
    of = found["against"].get(CANDIDATE, {})
    above = [d for d, v in of.items() if v["top1_excess"]["interval"] and v["top1_excess"]["interval"][0] > 0]
    return f"For `{CANDIDATE}` the interval of that excess lies above zero at: {', '.join(above) or 'no level'}."


def _told(entry: Mapping[str, Any] | None) -> str:
    return "–" if not entry else shown(entry["mean"], entry["interval"], 2)


def _cues(found: Mapping[str, Any]) -> list[str]:
    """Trained cue against probe cue, for the references, the candidate, and its variants."""
    names = {"both": "picture and name", "image": "picture alone", "text": "name alone"}
    models = {
        name: found["matrices"][name]
        for name in ("original", "retrained", CANDIDATE, "simnpo")
        if name in found["matrices"]
    }
    rows = [
        [f"{name}: taught by {names[t]}", *(shown(of.get(t, {}).get(p), None, 2) for p in CUES)]
        for name, of in models.items()
        for t in CUES
        if t in of
    ]
    parts = [
        "## By which cue it comes back",
        "Exact answers on the target, means over levels and seeds; asked by:",
        markdown(["model", *names.values()], rows),
    ]
    whose = [
        [row, *(shown(of[d].get("whose"), None, 2) for d in found["domains"] if of[d].get("whose") is not None)]
        for row, of in found["by_domain"].items()
    ]
    heads = [d for d in found["domains"] if found["by_domain"]["original"][d].get("whose") is not None]
    if heads:
        parts += [
            "Who is it? By the picture alone, the right record number, telephone number, address or date of "
            "birth among 20 people's:",
            markdown(["model", *heads], whose),
        ]
    if "by_cue" in found:
        level, by = found["by_cue"]["level"], found["by_cue"]
        kept = {
            "distance_to_retrained": "distance",
            "retention": "kept",
            "leak_excess": "leak",
            "top1_excess": "rebuilt",
        }
        lines = [
            [
                row,
                *(shown(of[level].get(c)) for c in kept),
                *(
                    shown(by["matrices"][row].get(t, {}).get(p), None, 2)
                    for t, p in (("both", "image"), ("both", "text"))
                ),
            ]
            for row, of in by["by_domain"].items()
            if row not in REFERENCES
        ]
        parts += [
            f"Parts of `{CANDIDATE}` at {level} level: a twin that swaps words only or the picture only, and "
            "records forgotten only as they were taught (not by each cue). Last columns: taught by both, asked "
            "by the picture alone, by the name alone.",
            markdown(["row", *kept.values(), "by picture", "by name"], lines),
        ]
    return parts
