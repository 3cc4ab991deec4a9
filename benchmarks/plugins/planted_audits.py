"""Planted models under audit: what every check must say of them, stated in the experiment, against what it says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from planted_models import PLANTED
from planting import PlantingGround, repeat
from pydantic import field_validator

from expunge._config import FrozenModel
from expunge._io import digest, read_json, write_json
from expunge.audit.answer_memory import remember
from expunge.audit.policy import Policy
from expunge.audit.run import audit
from expunge.bench.measures.base import Study, measure
from expunge.bench.places import ModelPlace
from expunge.errors import InputError
from expunge.models.language_model import LanguageModel
from expunge.scope import Scope
from expunge.scope.split import Split

RETRAINED = "with-retrained"
SHORT = 220  # characters of a reason that are stored


class Expectation(FrozenModel):
    """What must come out for a planted model, stated before it is run.

    Attributes:
        fails: keys of results that must fail against the retrained model.
        holds: keys that must not fail; one that was not judged does not hold.
        verdict: policy to the verdict; `refused` where the audit must not begin.
    """

    fails: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    verdict: Mapping[str, Literal["passed", "failed", "inconclusive", "refused", "not passed"]] = {}

    @field_validator("fails", "holds", mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        """Lists may hold lists, so that a file can name some keys once."""
        return [key for part in value for key in (part if isinstance(part, list | tuple) else [part])]


def mismatches(expected: Expectation, seen: Mapping[str, Any]) -> list[str]:
    """Where what was seen differs from what was stated, in words.

    Args:
        expected: what was stated.
        seen: policy to `verdict` and `results`, key to (status, ...).
    """
    results = {key: of[0] for key, of in seen.get(RETRAINED, {}).get("results", {}).items()}
    lines = [f"{key} {results.get(key, 'missing')}" for key in expected.fails if results.get(key) != "failed"]
    lines += [f"{key} {results.get(key, 'missing')}" for key in expected.holds if results.get(key) != "passed"]
    for policy, verdict in expected.verdict.items():
        if policy in seen and not _meets(seen[policy]["verdict"], verdict):
            lines.append(f"{policy}: {seen[policy]['verdict']}")
    return lines


def _meets(seen: str, stated: str) -> bool:
    return seen != "passed" if stated == "not passed" else seen == stated


@dataclass(frozen=True)
class Auditor:
    """Audits of many models beside the same original and the same yardstick, each stored in a file.

    Attributes:
        folder: of audits and planted models.
        grounds: request to what its models are made from.
        memory: what original and yardstick answered.
    """

    place: ModelPlace
    folder: Path
    memory: dict[str, Any] = field(default_factory=dict)

    @property
    def start(self) -> dict[str, Any]:
        """What models of this cell start from: arguments of `train`."""
        original = self.place.reference("original").model
        return {"tiny": self.place.runner.model_of(self.place.cell), "tokenizer_from": original}

    @cached_property
    def grounds(self) -> dict[str, PlantingGround]:
        """`one`; `several` patients; `based`: the original is a retrained model that was taught the target later."""
        place, sets = self.place, self.place.sets
        settings = place.runner.experiment.train.model_copy(update={"seed": place.cell.seed})
        original = place.reference("original").model

        def ground(split: Split, retrained: Path) -> PlantingGround:
            return PlantingGround(original, retrained, split, tuple(sets.corpus.trained), self.start, settings)

        one = ground(sets.split, place.reference("retrained").model)
        every = " or ".join(place.cell.request.build_world(place.cell.seed).subjects())
        split = Scope.parse(every).resolve(sets.corpus, seed=place.cell.seed, heldout_share=1 / 3)
        based = replace(
            one, original=self.folder / "taught-later", retrained=self.folder / "second-retrained", base=one.retrained
        )
        return {"one": one, "several": ground(split, self.folder / "retrained-several"), "based": based}

    def model(self, name: str) -> tuple[Path, PlantingGround]:
        """The planted model, made if it is not there, and its ground."""
        about = PLANTED[name]
        ground = self.grounds[about.forgets]
        if about.forgets == "several":
            ground.retrain(ground.retrained, 0)
        if about.forgets == "based":
            self.model("second-retrained")
            if ground.base and not (ground.original / "config.json").is_file():
                ground.teach(ground.base, repeat(ground.split.forget), ground.original)
        out, ready = self.folder / name, self.folder / f"{name}.made"
        if not ready.is_file():
            started = time.perf_counter()
            about.make(ground, out)
            write_json(ready, {"seconds": round(time.perf_counter() - started, 1)})
        return out, ground

    def judge(self, name: str, model: Path, ground: PlantingGround, policy: str, preset: str) -> dict[str, Any]:
        """Verdict, results and seconds of an audit of `model`, called `name` in files."""

        def one() -> dict[str, Any]:
            rule = Policy.load(policy)
            retrained = ground.retrained if rule.needs_retrained or policy == RETRAINED else None
            started = time.perf_counter()
            try:
                with remember(self.memory):
                    done = audit(
                        ground.original, model, ground.split, self.folder / "audits" / f"{name}-{policy}",
                        retrained=retrained, policy=rule, preset=preset, scores=self.folder / "scores",
                    )  # fmt: skip
            except InputError as error:
                return {"verdict": "refused", "sentence": str(error), "results": {}, "seconds": 0.0}
            results = {
                r.key: [r.status, None if r.estimate is None else round(r.estimate, 4), r.power, r.reason[:SHORT]]
                for r in done.results
                if r.status != "not_applicable" and not r.is_omitted
            }
            about = {"verdict": done.verdict.status, "sentence": done.verdict.sentence, "results": results}
            return about | {"seconds": round(time.perf_counter() - started, 1)}

        return cached(self.folder / name, [policy, Policy.load(policy).digest, preset], one)


def cached(stem: Path, about: Any, one: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `one` gave earlier under equal settings `about`, or gives now."""
    path = stem.with_name(f"{stem.name}-{digest(about)[:12]}.json")
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, one())
    content: dict[str, Any] = read_json(path)
    return content


def _summarize(study: Study) -> dict[str, Any]:
    """`planted`: model to what was stated and seen; `matrix`: check to the share of seeds that fail, by model."""
    options = study.experiment.options["planted_audits"]
    seen: dict[str, list[Mapping[str, Any]]] = {}
    for cell in study.cells:
        place = next(p for p in study.places() if p.cell == cell and p.name == "original")
        for name, of in (place.observation("planted_audits") or {}).items():
            seen.setdefault(name, []).append(of)
    rows: dict[str, dict[str, Any]] = {}
    matrix: dict[str, dict[str, str]] = {}
    for name, every in seen.items():
        expected = Expectation(**options["expected"][name])
        rows[name] = row(expected, every) | {"account": PLANTED[name].account}
        for key, counts in failures(every).items():
            matrix.setdefault(key, {})[name] = f"{counts[0]}/{counts[1]}"
    right = [row["as_stated"] == len(seen[name]) for name, row in rows.items()]
    return {
        "planted": rows,
        "matrix": dict(sorted(matrix.items())),
        "planted_right": {"all": {"models": len(rows), "right": sum(right), "seeds": len(study.cells)}},
    }


def row(expected: Expectation, every: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was stated and seen of one model, over seeds."""
    failing = failures(every)
    differences = [mismatches(expected, seen) for seen in every]

    def counted(keys: Iterable[str]) -> str:
        return ", ".join("{} {}/{}".format(key, *failing.get(key, (0, 0))) for key in keys) or "–"

    policies = list(dict.fromkeys(policy for seen in every for policy in seen))
    return {
        "fails": counted(expected.fails),
        "holds": counted(expected.holds),
        "verdicts": {policy: verdicts(seen.get(policy, {}).get("verdict") for seen in every) for policy in policies},
        "stated": {policy: expected.verdict.get(policy, "–") for policy in policies},
        "as_stated": sum(not lines for lines in differences),
        "seeds": len(every),
        "differs": "; ".join(dict.fromkeys(line for lines in differences for line in lines)) or "none",
        "seconds": sum(of["seconds"] for seen in every for of in seen.values()) / len(every),
    }


def verdicts(words: Iterable[str | None]) -> str:
    """`failed 2, passed 1`."""
    every = [word for word in words if word]
    return ", ".join(f"{word} {every.count(word)}" for word in sorted(set(every))) or "–"


def failures(every: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Key to how often it failed against the retrained model, and how often it was judged."""
    counts: dict[str, tuple[int, int]] = {}
    for seen in every:
        for key, of in seen.get(RETRAINED, {}).get("results", {}).items():
            failed, judged = counts.get(key, (0, 0))
            counts[key] = (failed + (of[0] == "failed"), judged + (of[0] in ("failed", "passed")))
    return counts


@measure("planted_audits", needs="original", summarize=_summarize)
def planted_audits(place: ModelPlace, lm: LanguageModel) -> dict[str, Any]:
    """Planted model to policy to its verdict, results and seconds."""
    options = place.options["planted_audits"]
    auditor = Auditor(place, place.base.with_name("planted"))
    names = [name for name in options["expected"] if name in options.get("models", options["expected"])]
    seen: dict[str, Any] = {name: {} for name in names}
    for policy, preset in options["presets"].items():
        for name in names:
            model, ground = auditor.model(name)
            seen[name][policy] = auditor.judge(name, model, ground, policy, preset)
    return seen
