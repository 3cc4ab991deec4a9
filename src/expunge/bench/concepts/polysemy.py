"""`expunge bench polysemy`: words that mean one thing in the target and another outside it.

Two questions. What is left of the other sense when the target sense has gone, beside terms that are as frequent and
have one sense only? And does the weight that a word gets in the forget loss follow its context?
Surprising: nothing is tuned; every row runs its shipped recipe, with the steps of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge._io import write_json
from expunge.audit.scores import Scores
from expunge.audit.scoring import score
from expunge.bench.concepts import forest, sizes
from expunge.bench.concepts.cell import Cell
from expunge.bench.concepts.chapters import with_words
from expunge.bench.concepts.effects import effect, paired
from expunge.bench.concepts.hierarchy_validation import SHIPPED
from expunge.bench.concepts.measure import LONGEST
from expunge.bench.concepts.page import publish
from expunge.bench.concepts.polysemy_kept import KEEP, Said, kept, said
from expunge.bench.concepts.polysemy_section import section, text_table
from expunge.bench.concepts.polysemy_weights import KINDS, weigh, weighed
from expunge.bench.concepts.polysemy_words import Word, asked, by_side
from expunge.bench.concepts.polysemy_words import words as words_of
from expunge.bench.concepts.rows import REFERENCES, rows
from expunge.bench.concepts.suite import Preset, Suite
from expunge.bench.concepts.suite import preset as named
from expunge.models.language_model import load, merge_adapter

NAME = "polysemy"
MODELS = REFERENCES[:2]
FILE = "polysemy.npz"  # beside the other scores of a model
ROWS = ("full", "dual-geometric", "dual-token", "npo", "twin-kl")
WEIGHED = "full"  # the row whose token weights are looked at
SIZE = {"polysemes": 40, "spared": 10}  # words with two senses per world and seed; so many keep their target sense
WORLDS = ("hospital", "mental-health", "finance")
PRESETS = {
    "smoke": Preset(
        domains=(with_words("mental-health", targets=8, per_level=16, facts=2, **SIZE),),
        bench=sizes.SMALL,
        rows=ROWS,
        settings=(SHIPPED,),
        seeds=(42,),
    ),
    "cpu": Preset(
        domains=tuple(with_words(w, targets=8, per_level=16, facts=2, **SIZE) for w in WORLDS),
        bench=sizes.SMALL,
        rows=ROWS,
        settings=(SHIPPED,),
    ),
    "gpu": Preset(
        domains=tuple(with_words(w, targets=36, per_level=36, facts=5, **SIZE) for w in WORLDS),
        bench=sizes.GPT2,
        rows=ROWS,
        settings=(SHIPPED,),
        workers=1,
    ),
}


def main(
    *,
    preset: str,
    out: Path,
    seeds: tuple[int, ...],
    only: tuple[str, ...] = (),
    results: Path | None = None,
    workers: int | None = None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Run the suite and return everything it found, ready for JSON (`table` is its text form).

    only     rows to run; empty means all of the preset. Without `full` no weights are looked at.
    results  the page to write the section into, or a folder for `dual.md`
    `kept` holds row → what `polysemy_kept.kept` says, `weights` kind (see `polysemy_weights.weigh`) → mean in either
    context, the effect target - other over words, and whether its deciding interval lies above 0.
    InputError for an unknown preset or row, a seed twice, or a folder that holds another run.
    """
    chosen = named(preset, PRESETS)
    todo = rows(chosen.rows, only)
    setting = chosen.settings[0]
    with Suite(NAME, preset, chosen, Path(out), seeds, workers, say) as suite:
        lab, cells = suite.lab, suite.cells
        suite.teach(cells, MODELS)
        suite.perform([(cell, row, setting) for cell in cells for row in todo])
        failed = {
            row.name: lines
            for row in todo
            if (lines := [f"{c}: {r}" for c in cells if isinstance(r := lab.result(c, row, setting), str)])
        }
        models = {(name, cell): (lab.model(cell, name), lab.scores(cell, name)) for cell in cells for name in MODELS}
        for cell in cells:
            for row in todo:
                if (model := lab.model_of(cell, row, setting)) is not None:
                    folder = lab.run_folder(cell, row, setting)
                    models[row.name, cell] = (model, folder.with_name(folder.name + ".scores"))
        unasked = [(cell, *places) for (_, cell), places in models.items() if not (places[1] / FILE).is_file()]
        suite._each(ask, unasked, lambda k, _: f"{unasked[k][0]}: asked {unasked[k][1].name}")
        runs = [
            (lab, cell, row, setting)
            for cell in cells
            for row in todo
            if row.name == WEIGHED and (row.name, cell) in models
        ]
        unweighed = [run for run in runs if not weighed(*run)]
        suite._each(weigh, unweighed, lambda k, _: f"{unweighed[k][1]}: weights of {WEIGHED}")
        found = suite.about(cells, MODELS) | {
            "recipes": {row.name: row.recipe for row in todo},
            "failed": failed,
            "worlds": [d.model_dump(mode="json") for d in chosen.domains],
        }
        words = {cell: words_of(cell.sets()) for cell in cells}
        found["words"] = _counts(list(words.values()))
        found["kept"] = _kept({key: places[1] for key, places in models.items()}, words)
        found["weights"] = weights([(run[1], words[run[1]], weigh(*run)) for run in runs])
    found["table"] = text_table(found)
    write_json(Path(out) / f"{NAME}.json", found)
    if results is not None:
        publish(found, lambda pictures: section(found, pictures), {f"{NAME}.svg": picture(found)}, Path(results))
    return found


def ask(cell: Cell, model: Path, folder: Path) -> None:
    """Score the words of a cell, in all groups, on one model."""
    found = score(merge_adapter(load(model)), asked(words_of(cell.sets())), text=True, max_new_tokens=LONGEST)
    found.save(folder / FILE)


def _counts(cells: Sequence[Sequence[Word]]) -> dict[str, int]:
    """Words whose target sense is to be forgotten: least in a cell, in all, retain_heldout; and spared ones, likewise."""
    return {
        "per_cell": min(sum(w.forgotten for w in of) for of in cells),
        "all": sum(w.forgotten for of in cells for w in of),
        "retain_heldout": sum(w.forgotten and not w.given for of in cells for w in of),
        "spared": sum(not w.forgotten for of in cells for w in of),
        "spared_untouched": sum(not (w.forgotten or w.given) for of in cells for w in of),
    }


def _kept(folders: Mapping[tuple[str, Cell], Path], words: Mapping[Cell, tuple[Word, ...]]) -> dict[str, Any]:
    of: dict[str, dict[tuple[str, str], Said]] = {}
    for (name, cell), folder in folders.items():
        place = cell.domain.world, str(cell.seed)
        of.setdefault(name, {})[place] = said(words[cell], Scores.load(folder / FILE))
    given = {(c.domain.world, str(c.seed)): frozenset(w.word for w in mine if w.given) for c, mine in words.items()}
    original, retrained = (of[name] for name in MODELS)
    return {name: kept(found, original, retrained, given) for name, found in of.items()}


def weights(found: Sequence[tuple[Cell, Sequence[Word], Mapping[str, Mapping[str, float]]]]) -> dict[str, Any]:
    """Kind → mean weight in either context and their difference over words; empty where nothing was weighed."""
    told = {}
    for kind in KINDS if found else ():
        senses = {(c.domain.world, str(c.seed)): by_side(mine, of[kind], ("target", "other")) for c, mine, of in found}
        target, other = ({place: of[sense] for place, of in senses.items()} for sense in ("target", "other"))
        difference = effect(paired(target, other))
        told[kind] = {
            "target": effect(target).as_row()["mean"],
            "other": effect(other).as_row()["mean"],
            "difference": difference.as_row(),
            "above_zero": difference.excludes_zero(1),
            "below_zero": difference.excludes_zero(-1),
        }
    return told


def picture(found: Mapping[str, Any]) -> str:
    """What is left of either sense, row by row."""
    groups = dict.fromkeys(MODELS, "models") | dict.fromkeys(("twin-kl", "npo"), "baselines")

    def mark(name: str, left: Mapping[str, Any]) -> forest.Mark:
        ends = [None if of["low"] is None else (of["low"], of["high"]) for of in (left["target"], left["other"])]
        return forest.Mark(
            name, (left["target"]["mean"], left["other"]["mean"]), (ends[0], ends[1]), groups.get(name, "strategy")
        )

    marks = tuple(mark(name, of["left"]) for name, of in found["kept"].items())
    goal = found["kept"]["retrained"]["left"]["target"]["mean"]
    return forest.draw(
        forest.Forest(
            "Answer probability left of words with two senses",
            ("in the target's sense (should go)", "in the other sense, retain_heldout (should stay)"),
            marks,
            ((0, goal, "retrained"), (1, KEEP, f"{KEEP:g}")),
        )
    )
