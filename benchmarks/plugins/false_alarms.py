"""False alarms: retrained models of many seeds under audit. None of them met the target, so every failure is one.

Each is audited against one other retrained model, and, by the policy without one, against matched controls. Models of a
world are not independent of its target, so rates are also given world by world.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from planted_audits import RETRAINED, Auditor

from expunge._binomial import clopper_pearson
from expunge.bench.measures.base import Study, measure
from expunge.bench.places import ModelPlace
from expunge.models.language_model import LanguageModel

FIRST = 100  # added to the seed of the world for the first model; those of the plantings are smaller
TWINS = ("second-retrained", "third-retrained", "same-basis")  # plantings that never met the target either
BY_OTHERS = "by the margin alone"  # in the reason of a failure that was held against others
OTHER_UNITS = ("retention.", "mia", "over_unlearning")  # results that are no excess of a rate
STATED = 0.05  # the level that a default policy is meant to have


@measure("false_alarms", needs="original", summarize=lambda study: _summarize(study))
def false_alarms(place: ModelPlace, lm: LanguageModel) -> dict[str, Any]:
    """Number of the model to policy to its verdict, results and seconds."""
    options = place.options["false_alarms"]
    auditor = Auditor(place, place.base.with_name("planted"))
    names = {str(k + 1): f"innocent-{k + 1}" for k in range(options["models"])}
    seen: dict[str, Any] = {number: {} for number in names}
    for policy, preset in options["presets"].items():
        for number, name in names.items():
            out = innocent(auditor, int(number))
            seen[number][policy] = auditor.judge(name, out, auditor.grounds["one"], policy, preset)
    return seen


def innocent(auditor: Auditor, number: int) -> Path:
    """The retrained model of this number, from 1 on, made if it is not there."""
    out = auditor.folder / f"innocent-{number}"
    auditor.grounds["one"].retrain(out, FIRST + number - 1)
    return out


def alarm_rates(every: Sequence[Mapping[str, Any]], margins: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Key to failures among judged models with the bounds of Clopper and Pearson, and to those at other margins.

    Args:
        every: one policy's `verdict` and `results` of each model; a refused audit is counted apart.
        margins: key to margins that the estimate is held against as well, without intervals or ranges.
    """
    keys = sorted({key for seen in every for key in seen["results"]})
    rows = {key: _rate(key, [seen["results"][key] for seen in every if key in seen["results"]]) for key in keys}
    for key, values in margins.items():
        if key in rows:
            of = [e for seen in every if key in seen["results"] and (e := seen["results"][key][1]) is not None]
            over = {f"{value:g}": sum(e > value + 1e-9 for e in of) for value in values}
            rows[key]["over"] = {value: n / len(of) for value, n in over.items()} if of else {}
    return rows


def _rate(key: str, results: Sequence[Sequence[Any]]) -> dict[str, Any]:
    failed = sum(status == "failed" for status, *_ in results)
    by_range, undecided = (
        sum(status == word and BY_OTHERS in reason for status, _, _, reason in results)
        for word in ("passed", "inconclusive")
    )
    judged = undecided + sum(status in ("failed", "passed") for status, *_ in results)
    is_excess = not key.startswith(OTHER_UNITS)
    estimates = sorted(estimate for _, estimate, *_ in results if estimate is not None and is_excess)
    return {
        **rate(failed, judged),
        "inconclusive": len(results) - judged,
        "by_range": by_range,
        "undecided": undecided,
        "without_range": rate(failed + by_range + undecided, judged)["share"],
        "largest": estimates[-1] if estimates else None,
        "p90": estimates[math.ceil(0.9 * len(estimates)) - 1] if estimates else None,
    }


def rate(failed: int, judged: int) -> dict[str, Any]:
    """Failures among judged models: their share with its bounds, and whether these leave room for the stated level."""
    if not judged:
        return {"failed": failed, "judged": 0, "share": None, "meets": None}
    low, high = clopper_pearson(failed, judged)
    share = {"mean": failed / judged, "low": low, "high": high}
    meets = "yes" if high <= STATED else "no" if low > STATED else "open"
    return {"failed": failed, "judged": judged, "share": share, "meets": meets}


def verdict_rates(every: Iterable[str]) -> dict[str, Any]:
    """Share of models whose verdict was failed, and of those that did not pass for any reason."""
    words = list(every)
    failed, short = words.count("failed"), len(words) - words.count("passed")
    return {
        **rate(failed, len(words)),
        "not_passed": rate(short, len(words))["share"],
        "refused": words.count("refused"),
    }


def _summarize(study: Study) -> dict[str, Any]:
    """`alarms`: policy to key to rates; `alarm_verdicts`: policy, and policy by seed of the world, to rates."""
    options = study.experiment.options["false_alarms"]
    seen: dict[str, dict[int, list[Mapping[str, Any]]]] = {}
    for place in study.places():
        if place.name == "original":
            planted = place.observation("planted_audits") or {}
            innocent_ones = [
                *(place.observation("false_alarms") or {}).values(),
                *(planted[n] for n in TWINS if n in planted),
            ]
            for of in innocent_ones:
                for policy, result in of.items():
                    seen.setdefault(policy, {}).setdefault(place.cell.seed, []).append(result)
    alarms, verdicts = {}, {}
    for policy, by_seed in seen.items():
        every = [result for results in by_seed.values() for result in results]
        alarms[policy] = alarm_rates(every, options.get("margins", {}) if policy == RETRAINED else {})
        verdicts[policy] = verdict_rates(result["verdict"] for result in every)
        for seed, results in by_seed.items():
            verdicts[f"{policy}, world {seed}"] = verdict_rates(result["verdict"] for result in results)
    over = {key: row["over"] for key, row in alarms.get(RETRAINED, {}).items() if "over" in row}
    return {"alarms": alarms, "alarm_verdicts": verdicts, "alarm_margins": over}
