"""`expunge bench hierarchy-validation`: given a whole chapter, does the hierarchy decide what of it goes?

The forget set holds the target (L4) and fundamentals (L1 to L3) that are taught nowhere else, so no retained record
protects them: only alpha and beta of their levels do. Exchanging these between L1 and L4 must turn the outcome round.
Surprising: nothing is tuned. All conditions run the shipped recipe with its own steps and learning rate and differ in
alpha and beta alone, so that no choice of ours can make or hide the effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge._io import write_json
from expunge.bench.concepts import forest, sizes
from expunge.bench.concepts.alignment_worth import entry
from expunge.bench.concepts.chapters import whole
from expunge.bench.concepts.effects import Effect, Strata, effect, paired
from expunge.bench.concepts.hierarchy_section import section, text_table
from expunge.bench.concepts.intervals import estimate
from expunge.bench.concepts.levels import MEASURES, PARTS, Reading, column, reading
from expunge.bench.concepts.measure import Scored
from expunge.bench.concepts.page import publish
from expunge.bench.concepts.rows import REFERENCES, Row
from expunge.bench.concepts.suite import Preset, Suite
from expunge.bench.concepts.suite import preset as named
from expunge.bench.tune import Setting
from expunge.corpus.record import LEVELS
from expunge.engine.recipe import Recipe
from expunge.errors import InputError, unknown
from expunge.methods.dual import ALPHA, BETA

NAME = "hierarchy-validation"
MODELS = REFERENCES[:2]


def _swap(level: str, other: str, *tables: str) -> tuple[str, ...]:
    """Changes that give `level` what the shipped settings give `other`."""
    strengths: dict[str, Mapping[Any, float]] = {"alpha": ALPHA, "beta": BETA}
    return tuple(f"settings.{name}.{level}={strengths[name][other]:g}" for name in tables)


CONDITIONS = {
    row.name: row
    for row in (
        Row(name="full", recipe="dual"),
        Row(name="L4-swapped", recipe="dual", sets=_swap("L4", "L1", "alpha", "beta")),
        Row(name="L1-swapped", recipe="dual", sets=_swap("L1", "L4", "alpha", "beta")),
        Row(name="both-swapped", recipe="dual-swapped"),
        Row(name="flat", recipe="dual-flat"),
        Row(name="L4-alpha", recipe="dual", sets=_swap("L4", "L1", "alpha")),  # which of the two it is that matters
        Row(name="L4-beta", recipe="dual", sets=_swap("L4", "L1", "beta")),
        Row(name="L1-alpha", recipe="dual", sets=_swap("L1", "L4", "alpha")),
        Row(name="L1-beta", recipe="dual", sets=_swap("L1", "L4", "beta")),
        Row(name="twin-kl", recipe="twin-kl"),
        Row(name="npo", recipe="npo"),
    )
}
HALVES = ("L4-alpha", "L4-beta", "L1-alpha", "L1-beta")
MAIN = tuple(name for name in CONDITIONS if name not in HALVES)
SHIPPED = Setting(lr_factor=1.0, steps=Recipe.load("dual").resolve().total_steps)
WORLDS = ("hospital", "mental-health", "finance")
PRESETS = {
    "smoke": Preset(
        domains=(whole("mental-health", targets=8, per_level=16, facts=3, foundations=8),),
        bench=sizes.SMALL,
        rows=MAIN,
        settings=(SHIPPED,),
        seeds=(42,),
    ),
    "cpu": Preset(
        domains=tuple(whole(w, targets=12, per_level=16, facts=3, foundations=8) for w in WORLDS),
        bench=sizes.SMALL,
        rows=tuple(CONDITIONS),
        settings=(SHIPPED,),
    ),
    "gpu": Preset(
        domains=tuple(whole(w, targets=36, per_level=36, facts=5, foundations=24) for w in WORLDS),
        bench=sizes.GPT2,
        rows=tuple(CONDITIONS),
        settings=(SHIPPED,),
        workers=1,
    ),
}


@dataclass(frozen=True)
class Claim:
    """`row` - `full` on a level of the chapter has this sign; `measure` by `measure`."""

    key: str
    row: str
    level: str
    sign: int
    words: str


CLAIMS = (
    Claim("a", "L4-swapped", "L4", 1, "exchanging L4 keeps the target"),
    Claim("b", "L1-swapped", "L1", -1, "exchanging L1 harms the fundamentals"),
)
Readings = dict[str, dict[tuple[str, str], Reading]]  # condition → (world, seed) → what was read


def conditions(names: tuple[str, ...]) -> tuple[Row, ...]:
    """`InputError` for an unknown one, one twice, or without `full`, beside which all others stand."""
    for name in names:
        if name not in CONDITIONS:
            raise unknown("condition", name, CONDITIONS, "--rows")
    if len(set(names)) != len(names) or "full" not in names:
        raise InputError("--rows", f'"{",".join(names)}" lacks full or names one twice', "name full and others once")
    return tuple(CONDITIONS[name] for name in names)


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

    only     conditions to run; empty means all of the preset. Without a claim's condition the claim is not judged.
    results  the page to write the section into, or a folder for `dual.md`
    `levels` holds condition → column → mean and interval over seeds, `effects` condition → measure → level → row - full
    (see `Effect`), `by_world` the same world by world, `claims` what was claimed and whether it holds.
    InputError for an unknown preset or condition, a seed twice, or a folder that holds another run.
    """
    chosen = named(preset, PRESETS)
    todo = conditions(only or chosen.rows)
    setting = chosen.settings[0]
    with Suite(NAME, preset, chosen, Path(out), seeds, workers, say) as suite:
        suite.teach(suite.cells, MODELS)
        suite.perform([(cell, row, setting) for cell in suite.cells for row in todo])
        read, failed = readings(suite, todo, setting)
        found = suite.about(suite.cells, MODELS) | {
            "recipes": {r.name: [r.recipe, *r.sets] for r in todo},
            "worlds": [d.model_dump(mode="json") for d in chosen.domains],
        }
    found |= judged(read) | {"failed": failed}
    found["table"] = text_table(found)
    write_json(Path(out) / f"{NAME}.json", found)
    if results is not None:
        publish(found, lambda pictures: section(found, pictures), {f"{NAME}.svg": picture(found)}, Path(results))
    return found


def readings(suite: Suite, todo: tuple[Row, ...], setting: Setting) -> tuple[Readings, dict[str, list[str]]]:
    """What the models and every condition say, and condition → why there is nothing."""
    found: Readings = {name: {} for name in (*MODELS, *(r.name for r in todo))}
    failed: dict[str, list[str]] = {}
    for cell in suite.cells:
        place, sets = (cell.domain.world, str(cell.seed)), cell.sets()
        for name in MODELS:
            found[name][place] = reading(Scored.load(suite.lab.scores(cell, name)), sets)
        for row in todo:
            said = suite.lab.result(cell, row, setting)
            if isinstance(said, str):
                failed.setdefault(row.name, []).append(f"{cell}: {said}")
            else:
                folder = suite.lab.run_folder(cell, row, setting)
                found[row.name][place] = reading(Scored.load(folder.with_name(folder.name + ".scores")), sets)
    return found, failed


def judged(read: Readings) -> dict[str, Any]:
    """Tables, effects and claims from what was read; see `main`."""
    columns = [column(part, measure, level) for part in PARTS for measure in MEASURES for level in LEVELS]
    worlds = list(dict.fromkeys(world for world, _ in read["full"]))
    rows = [name for name in read if name not in (*MODELS, "full")]
    effects = {
        name: {m: {level: _against_full(read, name, m, level) for level in LEVELS} for m in MEASURES} for name in rows
    }
    claims = []
    for claim in CLAIMS:
        if claim.row in effects:
            of = {m: effects[claim.row][m][claim.level] for m in MEASURES}
            claims.append(
                {
                    "key": claim.key,
                    "row": claim.row,
                    "level": claim.level,
                    "sign": claim.sign,
                    "words": claim.words,
                    "effects": {m: e.as_row() for m, e in of.items()},
                    "holds": all(e.excludes_zero(claim.sign) for e in of.values()),
                }
            )
    return {
        "levels": {name: {c: entry(*estimate(_cells(of), c)) for c in columns} for name, of in read.items()},
        "effects": {
            name: {m: {level: e.as_row() for level, e in of.items()} for m, of in by.items()}
            for name, by in effects.items()
        },
        "by_world": {
            world: {
                name: {
                    m: {level: _against_full(read, name, m, level, world).as_row() for level in LEVELS}
                    for m in MEASURES
                }
                for name in rows
            }
            for world in worlds
        },
        "claims": claims,
    }


def _against_full(read: Readings, name: str, measure: str, level: str, world: str | None = None) -> Effect:
    """Condition - full over the concepts of a level, of all worlds or of one."""

    def strata(of: Mapping[tuple[str, str], Reading]) -> Strata:
        return {place: r.concepts[measure, level] for place, r in of.items() if world in (None, place[0])}

    return effect(paired(strata(read[name]), strata(read["full"])))


def _cells(of: Mapping[tuple[str, str], Reading]) -> dict[str, dict[str, Mapping[str, float | None]]]:
    found: dict[str, dict[str, Mapping[str, float | None]]] = {}
    for (world, seed), r in of.items():
        found.setdefault(world, {})[seed] = r.columns
    return found


def picture(found: Mapping[str, Any]) -> str:
    """What should go beside what should stay, condition by condition."""
    of = found["levels"]
    columns = [column("chapter", "exact", level) for level in ("L4", "L1")]
    groups = dict.fromkeys(MODELS, "models") | dict.fromkeys(("twin-kl", "npo"), "no hierarchy")
    marks = tuple(
        forest.Mark(
            name,
            (of[name][columns[0]]["mean"], of[name][columns[1]]["mean"]),
            (of[name][columns[0]]["interval"], of[name][columns[1]]["interval"]),
            groups.get(name, "dual"),
        )
        for name in of
        if of[name][columns[0]]["mean"] is not None
    )
    lines = tuple(
        (k, of["full"][c]["mean"], "full") for k, c in enumerate(columns) if of["full"][c]["mean"] is not None
    )
    heads = ("L4 of the chapter (should go)", "L1 of the chapter (should stay)")
    return forest.draw(forest.Forest("Exact answers on a chapter that was given whole", heads, marks, lines))
