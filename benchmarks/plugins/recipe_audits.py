"""Shipped recipes under the whole audit: what each attack brings out above the retrained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from pydantic import Field

from expunge.audit.run import audit
from expunge.bench.measures.base import Study, measure
from expunge.bench.places import ModelPlace
from expunge.bench.runner import load_merged
from expunge.bench.world_instance import OWN_SETS, RecordSets, WorldInstance
from expunge.corpus import Corpus, Record
from expunge.scope import Scope
from expunge.synthetic.base import World
from expunge.synthetic.hospital.demo_world import demo_world

NAME = "demo-hospital"
KEPT = "retention."  # results whose estimate is a share, not an excess


class DemoHospital(World, name=NAME):
    """The hospital of `expunge demo`, with its target and the controls of it."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"demo": {}}

    seed: int = Field(42, ge=0, description="seed of every draw")
    size: str = Field("demo", description="preset of the hospital")

    @property
    def target(self) -> str:
        """The scope of the patient."""
        return demo_world(self.size, self.seed)[1]

    def corpus(self) -> Corpus:
        """The records, controls included."""
        return demo_world(self.size, self.seed)[0].corpus()

    def controls(self, subject: str, m: int = 4) -> list[Record]:
        """Records of never-trained controls of a patient."""
        return demo_world(self.size, self.seed)[0].controls(subject, m)


def demo_sets(cell: WorldInstance) -> RecordSets:
    """As the demo has them: everything retained is given to the run."""
    corpus, target = cell.request.corpus(cell.seed)
    split = Scope.parse(target).resolve(corpus, seed=cell.seed)
    return RecordSets(corpus, split, split.holdout)


OWN_SETS[NAME] = demo_sets


def _summarize(study: Study) -> dict[str, Any]:
    """`attacks`: result to arm to its excess by seed; `arms`: arm to verdicts, failures and retention."""
    seen: dict[str, list[Mapping[str, Any]]] = {}
    for place in study.runs():
        if not place.failure():
            seen.setdefault(place.name, []).append(place.observation("recipe_audits"))
    keys = sorted({key for every in seen.values() for of in every for key in of["results"]})
    attacks = {
        key: {name: shown([of["results"].get(key) for of in every]) for name, every in seen.items()}
        for key in keys
        if not key.startswith(KEPT)
    }
    arms = {name: row(every) for name, every in seen.items()}
    return {"attacks": attacks, "arms": arms}


def shown(results: Sequence[Sequence[Any] | None]) -> str:
    """The excess at each seed, a failure in bold: `.05, **.20**`; `–` where a result was not judged."""
    words = []
    for of in results:
        if of is None or of[1] is None:
            words.append("–")
        else:
            words.append(f"**{of[1]:.2f}**" if of[0] == "failed" else f"{of[1]:.2f}")
    return ", ".join(words)


def row(every: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Verdicts, mean number of failed attacks and checks, smallest retention and mean seconds of one arm."""
    failed = [sum(of[0] == "failed" for key, of in one["results"].items() if not key.startswith(KEPT)) for one in every]
    kept = [of[1] for one in every for key, of in one["results"].items() if key.startswith(KEPT) and of[1] is not None]
    return {
        "verdicts": ", ".join(one["verdict"] for one in every),
        "failed": sum(failed) / len(failed),
        "least_kept": min(kept, default=None),
        "seconds": sum(one["seconds"] for one in every) / len(every),
    }


@measure("recipe_audits", needs="run", summarize=_summarize)
def recipe_audits(place: ModelPlace) -> dict[str, Any]:
    """The audit of a run against the retrained model: verdict, seconds, and status and estimate of each result."""
    options = place.options["recipe_audits"]
    with TemporaryDirectory(dir=place.base) as folder:
        model = load_merged(place).save(Path(folder) / "merged")  # a run knows the split of its bench, not this one
        return _audit(place, model, options["preset"])


def _audit(place: ModelPlace, model: Path, preset: str) -> dict[str, Any]:
    done = audit(
        place.reference("original").model,
        model,
        place.sets.split,
        place.file("audit"),
        retrained=place.reference("retrained").model,
        preset=preset,
        scores=place.runner.folder(place.cell) / "scores",
    )
    results = {
        r.key: [r.status, None if r.estimate is None else round(r.estimate, 4)]
        for r in done.results
        if r.status != "not_applicable" and not r.is_omitted
    }
    return {"verdict": done.verdict.status, "seconds": done.file.seconds, "results": results}
