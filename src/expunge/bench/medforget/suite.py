"""`expunge bench medforget`: four levels of a tree, methods that train and methods that edit, tuned alike.

Every row stands beside the retrained model and a second retrained seed. Surprising: one setting of a row serves all
four levels, as a recipe must that does not know what it will be asked to forget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from expunge._io import write_json
from expunge.bench.concepts.cell import Cell
from expunge.bench.concepts.intervals import t_interval
from expunge.bench.concepts.lab import Bench
from expunge.bench.concepts.measure import Scored
from expunge.bench.concepts.rows import REFERENCES, Row
from expunge.bench.concepts.rows import chosen as selected
from expunge.bench.concepts.suite import Cells, Preset, Suite
from expunge.bench.concepts.suite import preset as named
from expunge.bench.concepts.summary import COLUMNS, summarised
from expunge.bench.concepts.tuning import grid
from expunge.bench.medforget import columns as read
from expunge.bench.medforget import gallery, page, pictures
from expunge.bench.medforget.probe import CUES as WAYS
from expunge.bench.medforget.probe import attacked, examine, examined
from expunge.bench.medforget.rows import CANDIDATE, CUES, LEVELS, MAIN, ROWS, level
from expunge.bench.tune import Setting
from expunge.engine.train.train_loop import TrainConfig
from expunge.models.tiny import TinyConfig
from expunge.models.vision.tiny_vision import TinyVision

NAME = "medforget"
MORE = (*read.KEYS, *(f"keep_{r}" for r in read.RELATIONS), "leak_excess", *read.ATTACKED, "whose", "cost")
COST_OF = "simnpo"


class MedForget(Preset):
    """A preset with rows that are run on one level only: what each cue of `twin` does."""

    cue_rows: tuple[str, ...] = ()
    cue_level: str = Field("patient", description="level on which they are run")


SMALL = Bench(
    model=TinyConfig(layers=2, width=64, heads=4, vocabulary=1024),
    vision=TinyVision(layers=1, width=48),
    memorise=TrainConfig(target_accuracy=0.99, epochs=80, batch=32),
    batch=16,
)
MODEL = Bench(
    model=TinyConfig(layers=4, width=96, heads=4, vocabulary=2048),
    vision=TinyVision(),
    memorise=TrainConfig(target_accuracy=0.99, epochs=60),
    batch=32,
)
LARGE = Bench(
    model=TinyConfig(layers=8, width=256, heads=8, vocabulary=4096),
    vision=TinyVision(layers=4, width=128),
    memorise=TrainConfig(target_accuracy=0.99, epochs=40, batch=128, precision="bfloat16"),
    batch=32,
)
PRESETS = {
    "smoke": MedForget(
        domains=tuple(level(n, "small") for n in LEVELS),
        bench=SMALL,
        seeds=(42,),
        keep=0.98,
        rows=("grad_diff", "npo", "simnpo", "twin", "chip", "manu"),
        settings=(Setting(lr_factor=1, steps=100),),
    ),
    "cpu": MedForget(
        domains=tuple(level(n, "cpu") for n in LEVELS),
        bench=MODEL,
        rows=MAIN,
        keep=0.95,
        settings=grid((0.3, 1.0, 3.0), (280,)),
        tune_on=2,
        together=True,
        cue_rows=tuple(CUES),
    ),
    "gpu": MedForget(
        domains=tuple(level(n, "default") for n in LEVELS),
        bench=LARGE,
        rows=MAIN,
        keep=0.95,
        settings=grid((0.3, 1.0, 3.0), (400,)),
        tune_on=2,
        together=True,
        cue_rows=tuple(CUES),
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

    only     rows to run beside the references, without the comparison of cues; empty means all
    results  the page to write, or a folder for `medforget.md`
    InputError for an unknown preset or row, a seed twice, or a folder that holds another run.
    """
    chosen = named(preset, PRESETS)
    todo = selected(ROWS, chosen.rows, only)
    extra = selected(ROWS, (CANDIDATE, *chosen.cue_rows)) if chosen.cue_rows and not only else ()
    with Suite(NAME, preset, chosen, Path(out), seeds, workers, say) as suite:
        suite.teach(suite.cells)
        tuning = suite.tune(todo)
        found = suite.about(suite.cells) | {
            "tuning": tuning,
            "recipes": {r.name: [r.recipe, *r.sets] for r in todo},
            "tuned_on": [str(d) for d in chosen.domains[: chosen.tune_on]] if len(chosen.settings) > 1 else [],
        }
        found |= _compared(suite, todo, suite.cells, tuning)
        if extra:
            cells = [c for c in suite.cells if str(c.domain) == chosen.cue_level]
            same = {d: {row.name: of[CANDIDATE] for row in extra} for d, of in tuning.items()}
            found["by_cue"] = _compared(suite, extra, cells, same) | {"level": chosen.cue_level}
        found["gallery"] = gallery.gather(suite, tuning, todo)
        found["worlds"] = {str(s): _world(suite.cells, s) for s in suite.seeds}
        found["by_level"] = short(found)
        found["table"] = page.text_table(found)
        write_json(Path(out) / f"{NAME}.json", found)
        if results is not None:
            drawn = {
                "levels.svg": pictures.levels(found),
                "distance.svg": pictures.curves(found),
                "context.svg": pictures.contexts(found),
                "gallery.svg": gallery.draw(found["gallery"]),
            }
            page.publish(found, drawn, Path(results))
    return found


def short(found: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float | None]]]:
    """level → method → the figures that a smoke test looks at."""
    names = {
        "leak": "leak_excess",
        "reconstruct_gain": "gain",
        "siblings": "keep_siblings",
        "unrelated": "keep_unrelated",
        **{task: f"forget_{task}" for task in read.TASKS},
    }
    return {
        str(d): {
            row: {name: of[d].get(column) for name, column in names.items()}
            for row, of in found["by_domain"].items()
            if d in of
        }
        for d in found["domains"]
    }


def _world(cells: Sequence[Cell], seed: int) -> dict[str, Any]:
    """What the world of a seed holds: sizes of its sets and the shares of retained relations."""
    from expunge.synthetic.base import WORLDS

    domain = next(c.domain for c in cells if c.seed == seed)
    kind: Any = WORLDS.get(domain.world, "world")
    told = kind.preset(domain.preset, seed=seed, **domain.settings).describe()
    return {name: told[name] for name in ("rows", "sets", "retain_shares", "digest") if name in told}


def _compared(
    suite: Suite, todo: Sequence[Row], cells: Sequence[Cell], tuning: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Rows on cells with every column, curves and matrices: ready for JSON."""
    found, failed = suite.audit(todo, cells, tuning)
    places = suite.places(todo, cells, tuning)
    asking = [(cell, *place) for (_, cell), place in places.items() if not examined(place[1])]
    suite._each(examine, asking, lambda k, said: f"{asking[k][0]}: {asking[k][1].parent.name}: asked by every cue")
    curves: dict[str, Any] = {name: {} for name in found}
    contexts: dict[str, Any] = {name: {} for name in found}
    matrices: dict[str, Any] = {name: {} for name in found}
    for cell in cells:
        domain, seed, sets = str(cell.domain), str(cell.seed), cell.sets()
        original = Scored.load(suite.lab.scores(cell, REFERENCES[0]))
        own = {name: found[name][domain][seed] for name in found}
        for name, of in own.items():
            if (name, cell) not in places:
                continue
            model, scores = places[name, cell]
            scored, attack, asked = Scored.load(scores), attacked(scores), examine(cell, model, scores)
            more = (
                read.by_task(scored, sets)
                | read.by_relation(scored, original, sets)
                | {"whose": asked["whose"]}
                | (read.by_attack(attack) if attack else dict.fromkeys(("top1", "top1_level0", "gain", "lead")))
            )
            of |= {k: None if v is None else round(v, 6) for k, v in more.items()}
            curves[name].setdefault(domain, {})[seed] = read.by_distance(scored, original, sets)
            if attack:
                contexts[name].setdefault(domain, {})[seed] = pictures.by_level(attack)
            matrices[name].setdefault(domain, {})[seed] = asked["cues"]
        _beside(own)
    return summarised(found, failed, (*COLUMNS, *MORE)) | {
        "curves": curves,
        "contexts": contexts,
        "matrices": {n: _mean_matrix(of) for n, of in matrices.items()},
        "against": _against(found),
    }


def _beside(own: Mapping[str, dict[str, float | None]]) -> None:
    """Columns that compare the models of a cell."""
    unit = own.get(COST_OF, {}).get("seconds")
    for of in own.values():
        if of:
            of |= read.beside(of, own[REFERENCES[1]])
            of["cost"] = of["seconds"] / unit if unit and of.get("seconds") is not None else None  # type: ignore[operator]


def _mean_matrix(of: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Trained cue → probe cue → mean over levels and seeds."""
    found: dict[tuple[str, str], list[float]] = {}
    for matrix in (m for of_seed in of.values() for m in of_seed.values()):
        for trained, row in matrix.items():
            for probe, value in row.items():
                found.setdefault((trained, probe), []).append(value)
    return {
        t: {p: sum(v) / len(v) for p in WAYS if (v := found.get((t, p)))}
        for t in WAYS
        if any((t, p) in found for p in WAYS)
    }


def _against(found: Mapping[str, Cells]) -> dict[str, dict[str, Any]]:
    """row → level → column → mean and interval over seeds, of what is above the retrained model."""
    return {
        row: {
            domain: {
                c: _told([of[c] for of in seeds.values() if of.get(c) is not None])
                for c in (
                    "leak_excess",
                    "top1_excess",
                    "gain_excess",
                    "gain",
                    "retention",
                    "keep_siblings",
                    "keep_unrelated",
                )
            }
            for domain, seeds in of_row.items()
        }
        for row, of_row in found.items()
    }


def _told(values: Sequence[Any]) -> dict[str, Any]:
    interval = t_interval(values)
    return {
        "mean": round(sum(values) / len(values), 6) if values else None,
        "interval": None if interval is None else [round(v, 6) for v in interval],
    }
