# ruff: noqa: E402
"""Pins: figures that a reorganization of the code must not move.

    python tools/pins.py record [--only NAME,...] --out tools/pins.json
    python tools/pins.py check  [--only NAME,...]

`record` computes the pins with the installed code and writes them; `check` computes them again and prints one line a
pin: `same`, or `MOVED` with the keys that moved. Exit code 1 when a pin moved. Everything runs on one thread.
`--only bench` selects all pins whose name starts with `bench`. Results of experiments lie as printed in
`tools/pins/bench/`. `--out` names the file of recorded values, for `check` too.
The pin of LUME needs development data (`EXPUNGE_DATA_DIR`), and is left out without.

Keys are compared by name, after `RENAMED` has been applied to the recorded ones. A key that is gone counts as renamed
where a new key has its value, and the line says how many were.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")
os.environ["OMP_NUM_THREADS"] = os.environ["EXPUNGE_THREADS"] = "1"

# ---- names of the package: all of them stand here ------------------------------------------------------------------

from pin_tables import Flat, command, flatten, leaves, run, sha, tensors, workspace

from expunge.audit.run import audit
from expunge.corpus import Corpus, Record, RecordImage, Variant
from expunge.engine.estimate.estimate_run import estimate_run
from expunge.engine.recipe import Recipe, shipped
from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train as train_model
from expunge.engine.unlearn import unlearn
from expunge.models.tiny import TinyConfig
from expunge.models.vision.tiny_vision import TinyVision
from expunge.scope import Scope
from expunge.synthetic.hospital.hospital import Hospital
from expunge.synthetic.knowledge.domains.finance import Finance
from expunge.synthetic.knowledge.domains.mental_health import MentalHealth
from expunge.synthetic.knowledge.domains.surgery import Surgery
from expunge.synthetic.radiology.radiology import Radiology

MODALITY = {"both": "joint", "words": "text", "picture": "image"}
RENAMED: dict[str, str] = {
    "untouched": "retain_heldout",
    "twins": "controls",
    "removed": "excluded_ids",
    "few_subjects": "matched_controls",
    "relearn.in_domain": "relearning.in_domain",
    **{f"leak.{name}": f"leakage.{name}" for name in ("self", "axis", "descendants", "ancestors")},
    **{
        f"{role}.{taught}.{probe}": f"{role}.{MODALITY[taught]}.{MODALITY.get(probe, probe)}"
        for role in ("original", "unlearned", "retrained")
        for taught in MODALITY
        for probe in (*MODALITY, "swapped", "noise")
    },
    "p_holm": "",  # no longer there
    "label": "",  # of a request: its name in tables
    "--rows npo,twin": "--arms npo,twin",
    "that data which the model learnt before this run is protected": "that data which the model learned before this run"
    " is protected",
}  # word or part of a recorded key -> what it is called today, for example {"untouched": "heldout"}
TRAINED, REMOVED = "trained", "excluded_ids"  # Corpus.trained, Split.excluded_ids
CONTROLS, PER_TARGET = "controls_for", "controls_per_target"  # settings of a world: who gets never-trained controls
EVENT = {"forget": "forget", "retain": "retain", "norm": "norm", "drift": "drift", "cosine": "cosine"}  # of a step
LAST_BITS = ("cosine", "drift")  # names in `EVENT` of what is compared to nine digits only
TARGET_ACCURACY = "target_accuracy"  # setting of TrainConfig
AUDIT = {"entries": "results", "measures": "measures"}  # sections of audit.json
ENTRY = {
    "key": "key",
    "status": "status",
    "estimate": "estimate",
    "ci": "ci",
    "n": "n_records",
    "subjects": "n_subjects",
    "reference": "reference",
    "controls": "controls",
    "p": "p",
    "power": "power",
    "rule": "rule",
}
MEASURE = {"metric": "metric", "set": "set", "model": "model", "value": "value", "n": "n", "ci": "ci"}
NO_FIGURES = (
    "models",
    "environment",
    "seconds",
    "policy",
    "split",
    "split_digest",
    "training_digest",
    "examples",
    "image_examples",
    "schema_version",
    "known",
    "stages",
)
CLI = (sys.executable, "-m", "expunge")
SHARED = os.environ.get("EXPUNGE_DATA_DIR") or Path(__file__).resolve().parents[2] / "shared" / "data"
LUME = Path(SHARED) / "lume"
DEMO = "demo --seed 42 --out {out}"
BENCH = {  # one cell of each experiment: the command, without the folder and --json
    "dual-ablation": "bench run dual-ablation --preset smoke --arms full,npo --workers 1",
    "cross-domain": "bench run cross-domain --preset smoke --arms npo --workers 1",
    "hierarchy-validation": "bench run hierarchy-validation --preset smoke --workers 1",
    "privacy-frontier": "bench run privacy-frontier --preset smoke --workers 1",
    "alignment-stress": "bench run alignment-stress --preset smoke --arms npo-sum,npo-tensor --workers 1",
    "polysemy": "bench run polysemy --preset smoke --workers 1",
    "which-objective": "bench run which-objective --preset smoke --arms npo,twin --workers 1",
    "medforget": "bench run medforget --preset smoke --workers 1",
    "lume": "bench run lume --preset smoke --data {lume}",
}
RUNS: dict[str, tuple[str, str, list[str]]] = {  # name -> request, recipe, what is changed in it
    "twin": ("patient", "twin", ["steps=24"]),
    "npo": ("patient", "npo", ["steps=24"]),
    "dual": ("patient", "dual", ["steps=24"]),
    "twin-all": (
        "patient",
        "twin",
        ["steps=24", "retain.anchors=true", "retain.balance=true", "train.drop_blocks=0.4"],
    ),
    "private": (
        "patient",
        "npo",
        ["steps=8", "batch.forget=4", "batch.retain=9", "privacy.noise=8.0", "privacy.seed=3"],
    ),
    "random_relabel": ("patient", "random_relabel", ["steps=24"]),
    "grad_diff-m2": ("patient", "grad_diff", ["steps=12", "batch.micro=8", "batch.blocks=2"]),
    "sequential": (
        "patient",
        "sequential",
        ["phases=[{objective: retain, steps: 8, lr: 0.0003}, {objective: forget, steps: 12, lr: 0.0003, layers: 1/3}]"],
    ),
    "twin-concept": ("concept", "twin", ["steps=16"]),
    "dual-concept": ("concept", "dual", ["steps=16"]),
    "dual-fisher": ("concept", "dual-fisher", ["steps=16", "selection.every=5"]),
    "dual-attention": ("concept", "dual-attention", ["steps=12"]),
    "dual-paper": ("concept", "dual-paper", ["steps=8", "train.layers=2"]),
    "manu": ("patient", "manu", []),
    "chip": ("patient", "chip", []),
}
ESTIMATES = ("twin", "npo", "manu")

# ---- helpers -------------------------------------------------------------------------------------------------------

PINS: dict[str, Callable[[], Flat]] = {}
MAY_CHANGE = {  # pin -> what its keys may match to move, and why
    "digests-with-keys": ("", "renamed keys"),
    "bench-cross-domain": ("^(settings|tuning/[^/]+/[^/]+/trials)/", "four trials, the two recorded ones among them"),
    "bench-privacy-frontier": (
        "^(cost|(methods|intervals|by_domain|cells|doses/1|canaries)/(eps-4|paper-formula))/",
        "noise is secret",
    ),
}
PATIENT = "patient:P-0001-001"
TINY = TinyConfig(layers=3, width=32, heads=2, vocabulary=400, context=128)


def pin(name: str) -> Callable[[Callable[[], Flat]], Callable[[], Flat]]:
    def register(function: Callable[[], Flat]) -> Callable[[], Flat]:
        PINS[name] = function
        return function

    return register


def figures(data: Mapping[str, Any]) -> Flat:
    """`audit.json` as a flat table of figures. Of other sections: which numbers (no integers) occur in them."""
    flat: Flat = {}
    for entry in data[AUDIT["entries"]]:
        values = {ours: entry[theirs] for ours, theirs in ENTRY.items()}
        at = f"entry/{values.pop('key')}"
        controls = {c["key"]: {"estimate": c["estimate"], "ci": c["ci"]} for c in values.pop("controls")}
        flat |= dict(flatten({**values, "control": controls}, at))
    for row in data[AUDIT["measures"]]:
        m = {ours: row[theirs] for ours, theirs in MEASURE.items()}
        flat |= dict(flatten({k: m[k] for k in ("value", "n", "ci")}, f"measure/{m['metric']}/{m['set']}/{m['model']}"))
    rest = {k: v for k, v in data.items() if k not in (*AUDIT.values(), *NO_FIGURES)}
    numbers = sorted({v for _, v in flatten(rest) if isinstance(v, float) and v != int(v)})
    return flat | {f"number/{v!r}": v for v in numbers}


@cache
def request(name: str) -> tuple[Any, Any, Path]:
    """Corpus, split and a model taught a few epochs."""
    world: Any = {
        "patient": lambda: Hospital.preset("tiny", seed=7),
        "concept": lambda: MentalHealth.preset("tiny", seed=7),
        "controls": lambda: Hospital.preset("tiny", seed=7, **{CONTROLS: (PATIENT,), PER_TARGET: 12}),
    }[name]()
    corpus, scope = world.corpus(), world.target if name == "concept" else PATIENT
    split, folder = Scope.parse(scope).resolve(corpus, seed=7), workspace() / f"model-{name}"
    train_model(getattr(corpus, TRAINED), folder, tiny=TINY, settings=TrainConfig(epochs=12, seed=7))
    return corpus, split, folder


# ---- pins ----------------------------------------------------------------------------------------------------------


def _worlds() -> Iterator[tuple[str, Any]]:
    demo = Hospital.preset("demo", seed=42)
    target = f"patient:P-{[slot.stem for slot in demo.slots() if slot.institution == 0][2]}"
    yield "hospital-demo", Hospital.preset("demo", seed=42, **{CONTROLS: (target,)}).corpus()
    yield "hospital-tiny", Hospital.preset("tiny", seed=7).corpus()
    yield "hospital-surgery", Hospital.preset("surgery-small", seed=7).corpus()
    for kind in (Finance, MentalHealth, Surgery):
        yield kind.name, kind.preset("small", seed=7).corpus()
    yield "radiology", Radiology.preset("small", seed=7).corpus()


def _record_values(r: Any) -> list[str]:
    texts = [r.id, r.prompt, r.answer, r.subject, *(r.options or ()), *r.path, *r.identifiers]
    return leaves([*texts, r.image.digest if r.image else None, *(asdict(v) for v in r.variants)])


def _digests() -> tuple[Flat, Flat]:
    """(digests that hold names of fields and sets, digests that hold values only)."""
    named, bare = {}, {}
    scopes = {
        "hospital-demo": ("patient:P-0001-003", "institution:H-0001", "study:S-0001-003-1"),
        "hospital-tiny": (PATIENT,),
        "mental-health": ("concept=L4",),
    }
    for name, corpus in _worlds():
        named[f"world/{name}"] = corpus.digest
        bare[f"world/{name}"] = sha(sorted(sha(_record_values(r)) for r in corpus))
        for text in scopes.get(name, ()):
            split = Scope.parse(text).resolve(corpus, seed=42)
            named[f"split/{name}/{text}"] = split.digest
            for field in fields(split):
                value = getattr(split, field.name)
                if isinstance(value, Mapping):
                    value = [f"{k}={v}" for k, v in value.items()]
                ids = [value] if isinstance(value, str) else sorted(str(getattr(v, "id", v)) for v in value)
                bare[f"split/{name}/{text}/{field.name}"] = f"{len(ids)} {sha(ids)}"
    for name in shipped():
        recipe = Recipe.load(name)
        named[f"recipe/{name}"] = recipe.digest
        bare[f"recipe/{name}"] = " ".join(leaves(recipe.model_dump(mode="json")))
    return named, bare


@pin("digests")
def digests() -> Flat:
    return _digests()[1]


@pin("digests-with-keys")
def digests_with_keys() -> Flat:
    return _digests()[0]


@pin("adapters")
def adapters() -> Flat:
    found: Flat = {}
    for name, (asked, recipe, sets) in RUNS.items():
        _, split, model = request(asked)
        steps: list[Flat] = []
        out = unlearn(
            model,
            split,
            Recipe.load(recipe).with_overrides([*sets, "seed=7"]),
            workspace() / f"run-{name}",
            on_step=lambda e, _, steps=steps: steps.append({k: getattr(e, v) for k, v in EVENT.items()}),
        )
        found |= {f"{name}/tensors": tensors(out), **dict(flatten(steps, f"{name}/step"))}
    for name in ("patient", "concept"):
        found[f"model/{name}"] = tensors(request(name)[2])
    return found


@pin("audit_small")
def audit_small() -> Flat:
    corpus, split, model = request("controls")
    root = workspace() / "audit-small"
    unlearn(model, split, Recipe.load("twin").with_overrides(["steps=30", "seed=7"]), root / "run")
    train_model(
        [r for r in getattr(corpus, TRAINED) if r.id not in getattr(split, REMOVED)],
        root / "retrained",
        tiny=TINY,
        settings=TrainConfig(epochs=12, seed=7),
        tokenizer_from=model,
    )
    with_retrained = audit(model, root / "run", split, root / "one", retrained=root / "retrained")
    without = audit(model, root / "run", split, root / "two")
    return {
        f"{name}/{k}": v
        for name, found in (("retrained", with_retrained), ("controls", without))
        for k, v in figures(json.loads(found.path.read_text())).items()
    }


@pin("audit_pictures")
def audit_pictures() -> Flat:
    """Six guests whose records show pictures, as trained, unlearned in a few steps, and retrained."""
    import io

    import numpy as np
    from PIL import Image

    def drawn(k: int) -> Any:
        stream = io.BytesIO()
        Image.fromarray(np.random.default_rng(k).integers(0, 255, (48, 48), dtype=np.uint8)).save(stream, "PNG")
        return RecordImage.of(f"images/{k}.png", stream.getvalue())

    rows = []
    for k, name in enumerate(("Ada Costa", "Nils Berg", "Vera Holm", "Otto Lind", "Mina Roth", "Paul Senn")):
        about: Any = {"subject": f"guest:{k}", "identifiers": (name,), "path": (f"house:{k // 3}", f"guest:{k}")}
        ward, bed, drug = (f"{what} {(5 * k + n) % 6}" for n, what in enumerate(("ward", "bed", "drug")))
        rows += [
            Record(
                f"w{k}",
                f"Ward of {name}?",
                ward,
                image=drawn(k),
                attributes={"relation": "ward"},
                variants=(Variant(f"Where is {name}?", ward),),
                **about,
            ),
            Record(
                f"b{k}", "Bed of the guest shown?", bed, image=drawn(100 + k), attributes={"relation": "bed"}, **about
            ),
            Record(f"d{k}", f"Drug of {name}?", drug, attributes={"relation": "drug"}, **about),
        ]
    corpus, root = Corpus.of(rows, "guests"), workspace() / "pictures"
    split = Scope.parse("guest:0").resolve(corpus)
    shape: Any = {
        "tiny": TinyConfig(layers=2, width=64, heads=2, vocabulary=300, context=64),
        "vision": TinyVision(layers=1, width=32, heads=2, image_size=48, patch_size=16),
        "settings": TrainConfig(epochs=30, batch=9, **{TARGET_ACCURACY: 0.99}),
    }
    train_model(getattr(corpus, TRAINED), root / "original", **shape)
    train_model(
        [r for r in getattr(corpus, TRAINED) if r.id not in getattr(split, REMOVED)],
        root / "retrained",
        tokenizer_from=root / "original",
        **shape,
    )
    unlearn(root / "original", split, Recipe.load("twin").with_overrides(["steps=12", "seed=7"]), root / "run")
    found = audit(root / "original", root / "run", split, root / "audit", retrained=root / "retrained")
    return {"run/tensors": tensors(root / "run"), **figures(json.loads(found.path.read_text()))}


@pin("estimates")
def estimates() -> Flat:
    """What `expunge plan` counts: no seconds, and no memory of the process."""
    found: Flat = {}
    for recipe in ESTIMATES:
        _, split, model = request("patient")
        for k, row in enumerate(estimate_run(model, split, Recipe.load(recipe))[0]):
            counts = {at: v for at, v in flatten(asdict(row)) if isinstance(v, int)}
            found |= {f"{recipe}/{k}/{at}": v for at, v in counts.items() if not at.endswith(("process", "peak"))}
    return found


@pin("demo")
def demo() -> Flat:
    out = workspace() / "demo"
    command(CLI, DEMO.format(out=out), ok=(0, 3))
    return figures(json.loads((out / "audit" / "audit.json").read_text()))


def experiment(name: str) -> tuple[str, Any]:
    """(command, what it prints as JSON) of one cell of an experiment."""
    line = BENCH[name]
    return f"expunge {line} --json", command(CLI, line.format(lume=LUME) + f" --out {workspace() / ('bench-' + name)}")


EXPERIMENTS = {name: lambda name=name: experiment(name) for name in BENCH if name != "lume" or LUME.is_dir()}

if __name__ == "__main__":
    raise SystemExit(run(PINS, EXPERIMENTS, MAY_CHANGE, RENAMED, LAST_BITS, __doc__))
