"""Privacy of runs: what each states, what canaries show, and all arms at every learning rate.

Canaries take part in a run of their own with the same recipe and epsilon: a hundred invented people would change what
is left of the target and what is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from expunge._io import read_json
from expunge.bench.analysis import entry, estimate
from expunge.bench.measures.base import Cells, Columns, Study, measure
from expunge.bench.places import ModelPlace
from expunge.engine.privacy.canaries import bound, make
from expunge.engine.privacy.statement import NOT_CLAIMABLE
from expunge.engine.unlearn import unlearn
from expunge.errors import RunFailed
from expunge.privacy.empirical_bound import epsilon_at_least
from expunge.scope.split import Split

CONFIDENCE = 0.95
DELTA = 1e-5  # of the bound where the run itself states none
COINS = 7_001  # added to the seed: coins of canaries are not those of anything else
COSTS = ("leak_mean", "retention", "distance_to_retrained")


def statement(place: ModelPlace) -> Columns:
    """Columns of `privacy.json` of a run: noise and rate by side, epsilon by accountant (None where withheld).

    Empty for a run without privacy.
    """
    path = place.base / "run-1" / "privacy.json"
    if not path.is_file():
        return {}
    stated = read_json(path)
    sides = {query["query"]: query for query in stated["queries"]}
    epsilon = stated["epsilon"] or {}
    columns: Columns = {
        f"{key}_{side}": float(query[key]) for side, query in sides.items() for key in ("noise", "rate", "steps")
    }
    columns |= {name: epsilon.get(name) for name in ("pld", "prv", "rdp")}
    units = float(stated["units"]["together"])
    return columns | {"delta": stated["delta"], "guarantee": float(stated["guarantee"]), "units": units}


def _summarize(study: Study) -> dict[str, Any]:
    """`private`: arm to what its runs stated; `canaries`: arm to bounds of epsilon from below; `broken`: runs whose
    bound is above what they stated; `doses`: factor on the learning rate to arm to costs.
    """
    stated: dict[str, Cells] = {}
    shown: dict[str, dict[str, Any]] = {arm.name: {} for arm in study.arms}
    for place in study.runs():
        request, seed = str(place.cell.request), str(place.cell.seed)
        if columns := statement(place):
            stated.setdefault(place.name, {}).setdefault(request, {})[seed] = columns
        about = {"seed": place.cell.seed, "domain": request}
        shown[place.name][str(place.cell)] = about | place.observation("canaries")
    doses = {}
    for trial in sorted(study.experiment.tune.trials(), key=lambda t: t.lr_factor):
        tables = study.audit(study.arms, study.fixed(trial, study.arms), {})
        names = [arm.name for arm in study.arms]
        doses[f"{trial.lr_factor:g}"] = {n: {c: entry(*estimate(tables[n], c)) for c in COSTS} for n in names}
    return {
        "private": {name: {c: entry(*estimate(of, c)) for c in _columns(of)} for name, of in stated.items()},
        "doses": doses,
        "stated": stated,
        "canaries": shown,
        "planted": study.experiment.options["canaries"]["planted"],
        "broken": broken(stated, shown),
        "may_not_be_claimed": list(NOT_CLAIMABLE),
    }


def _columns(cells: Cells) -> list[str]:
    return list(dict.fromkeys(c for of_seeds in cells.values() for of in of_seeds.values() for c in of))


@measure("canaries", needs="run", summarize=_summarize)
def canaries(place: ModelPlace) -> dict[str, Any]:
    """A run with canaries among the retained people: the bound of epsilon from below, and the largest possible one.

    Half of the coins are guessed.
    """
    count = place.options["canaries"]["planted"]
    (stage,) = place.stages()
    sets, original = place.sets, place.reference("original").model
    planted = make(sets.split.retain, count, place.cell.seed + COINS)
    split = planted.plant(Split("bench", stage.forget, tuple(sets.split.retain), ()))
    try:
        run = unlearn(original, split, stage.recipe, place.base.with_name(f"{place.base.name}-canaries-{count}"))
    except RunFailed as error:
        return {"failed": str(error)}
    own = run / "privacy.json"
    delta = read_json(own)["delta"] if own.is_file() else DELTA
    guesses = count // 2
    least = bound(planted, original, run, guesses=guesses, delta=delta, confidence=CONFIDENCE)
    largest = epsilon_at_least(guesses, guesses, count, delta, CONFIDENCE)
    return {"failed": None, "bound": asdict(least), "included": sum(planted.included), "largest": largest}


def broken(stated: Mapping[str, Cells], shown: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Runs whose canaries rule out the epsilon that was stated, as lines."""
    lines = []
    for name, of_cell in shown.items():
        for where, seen in of_cell.items():
            epsilon = stated.get(name, {}).get(seen["domain"], {}).get(str(seen["seed"]), {}).get("pld")
            if not seen["failed"] and epsilon is not None and seen["bound"]["epsilon"] > epsilon:
                least = seen["bound"]["epsilon"]
                lines.append(f"{where}: {name} states epsilon = {epsilon:.3f}, its canaries show at least {least:.3f}")
    return lines
