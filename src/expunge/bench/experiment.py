"""An experiment as data: requests, arms, grid, selection rule, measures, claims and goals, loaded from YAML.

The keys of the file stand for its largest CPU size; `presets` overlays them (mappings are merged, lists replaced).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from expunge._text_file import read_text
from expunge._validation import mapping, validate
from expunge._yaml import load_yaml
from expunge.bench.base_model import PretrainedBase
from expunge.bench.experiment_parts import Claim, ExperimentPart, Goals, PageSpec
from expunge.bench.pipeline import FALLBACK, Trial
from expunge.bench.requests import Request
from expunge.engine.recipe import Recipe
from expunge.engine.train.fine_tune import FineTuneConfig
from expunge.engine.train.train_loop import TrainConfig
from expunge.errors import InputError, unknown
from expunge.models.tiny import TinyConfig
from expunge.models.vision.tiny_vision import TinyVision

REFERENCES = ("original", "retrained", "retrained-2")  # models of a comparison that are no runs
CPU = "cpu"
GridKey = Literal["lr", "rate", "retain_weight", "retain", "steps"]


class Arm(ExperimentPart):
    """A recipe (shipped, or a file) with changes; one line of a table."""

    name: str = ""
    recipe: str
    set: tuple[str, ...] = Field((), description="changes of the recipe, as in --set")
    after: str = Field("", description="recipe that has the first half of the steps")
    tuned_as: str = Field("", description="arm whose chosen trial this arm takes")
    optional: bool = Field(False, description="run only where a side or the command names it")
    steps: float = Field(1.0, gt=0, description="factor on the steps of its trials, for arms with other row counts")
    threads: int | None = Field(None, ge=1, description="threads of its runs; another number rounds differently")

    @field_validator("set", mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        """Changes may hold lists of changes, so that a file can name some of them once."""
        return [c for part in value for c in (part if isinstance(part, list) else [part])]

    def recipes(self) -> dict[str, Recipe]:
        """The recipe under the arm's name, and those of the stages around it."""
        before = {self.after: Recipe.load(self.after)} if self.after else {}
        return before | {FALLBACK: Recipe.load(FALLBACK), self.name: Recipe.load(self.recipe, self.set)}

    def as_row(self) -> list[str]:
        """Recipe and changes, for the results."""
        notes = [f"after half of the steps with {self.after}"] if self.after else []
        notes += [f"{self.steps:g} × the steps"] if self.steps != 1 else []
        return [self.recipe, *self.set, *notes]


class Tuning(ExperimentPart):
    """How the trial of an arm is chosen: the same grid for every arm, one rule."""

    grid: Mapping[GridKey, tuple[float, ...]] = Field(
        description="lr and retain_weight are factors on the recipe's values, rate and retain the values themselves, "
        "the same for every arm; and steps; the first key is the outermost loop"
    )
    across_seeds: bool = Field(
        False,
        description="trials run on the audited worlds; the choice for a seed is made on the other seeds",
        exclude_if=lambda wanted: not wanted,
    )
    alone: bool = Field(
        False,
        description="with across_seeds and one seed, the choice is made on the audited world itself, as the page says",
        exclude_if=lambda wanted: not wanted,
    )
    seed: int = Field(7, description="seed of the validation worlds, which are not audited")
    requests: int | None = Field(None, ge=1, description="number of requests tuned on; the first serves all others")
    together: bool = Field(False, description="one trial for all requests, by the means over those tuned on")
    min_retention: float = Field(0.95, gt=0, le=1, description="retention on validation records of a chosen trial")
    measure: str = Field("", description="measure that judges a trial on other records of the same world")
    rule: str = Field("", description="the selection rule in words, where a measure judges")
    choose: bool = Field(True, description="false: the first trial of the grid, without a choice")

    def trials(self) -> tuple[Trial, ...]:
        """Every combination of the grid."""
        names = {"lr": "lr_factor", "retain_weight": "retain_factor"}
        return tuple(
            Trial(**{names.get(key, key): value for key, value in zip(self.grid, values, strict=True)})
            for values in product(*self.grid.values())
        )

    @model_validator(mode="after")
    def _one_of_each(self) -> Tuning:
        for factor, value in (("lr", "rate"), ("retain_weight", "retain")):
            if factor in self.grid and value in self.grid:
                raise ValueError(f'"{factor}" and "{value}" are the same quantity: give one of them')
        return self

    def rule_text(self) -> str:
        """The selection rule in words."""
        return self.rule or (
            f"of the trials with a retention of at least {self.min_retention:.0%} on validation records never given to "
            "the run, the one nearest to the validation world's retrained model; if none keeps that much, the one that "
            "keeps most"
        )


class SideComparison(ExperimentPart):
    """A smaller comparison with the trials that the main one chose; `key` names its place in the results."""

    title: str
    about: str = ""
    arms: tuple[str, ...] = Field(min_length=1)
    requests: tuple[Request, ...] = Field(min_length=1)
    key: str = ""


class PairedComparison(ExperimentPart):
    """arm - `minus` in `columns`, paired by seed; stored in the results under `key`."""

    key: str
    minus: str
    arms: tuple[str, ...] = Field((), description="all others if empty")
    columns: tuple[str, ...]
    by_request: bool = False


class Experiment(ExperimentPart):
    """One comparison in one size."""

    name: str
    preset: str
    question: str
    model: TinyConfig | PretrainedBase
    vision: TinyVision = TinyVision()
    train: TrainConfig = Field(description="its seed is replaced by that of the world")
    batch: int = Field(ge=1, description="forget rows and retain rows per step")
    gate: float = Field(0.95, description="share of its rows that every reference must give exactly")
    gate_column: str = Field("", description="column of a measure that the gate looks at instead")
    requests: tuple[Request, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((42, 123, 789), min_length=1)
    references: tuple[str, ...] = REFERENCES
    arms: Mapping[str, Arm]
    selected: tuple[str, ...] = ()
    tune: Tuning
    sides: tuple[SideComparison, ...] = ()
    plugins: tuple[Path, ...] = Field((), description="Python files with further measures or published text")
    measures: tuple[str, ...]
    options: Mapping[str, Mapping[str, Any]] = {}
    compare: tuple[PairedComparison, ...] = ()
    claims: tuple[Claim, ...] = ()
    goals: Goals | None = None
    report: PageSpec
    workers: int | None = Field(None, description="used where the command names none; else the free cores")

    @model_validator(mode="after")
    def _known(self) -> Experiment:
        names = [*self.selected, *(name for side in self.sides for name in side.arms)]
        names += [arm.tuned_as for arm in self.arms.values() if arm.tuned_as]
        if missing := [name for name in names if name not in self.arms]:
            raise ValueError(f'there is no arm "{missing[0]}"')
        if len({str(r) for r in self.requests}) != len(self.requests):
            raise ValueError("two requests have the same label")
        for request in self.requests:
            self.model_of(request)
        return self

    @classmethod
    def load(cls, name: str | Path, preset: str = CPU) -> Experiment:
        """The experiment `name` (in `benchmarks/experiments`, or a path of a YAML file) in the size `preset`."""
        path = locate(name)
        raw = _read(path)
        presets = mapping(raw.pop("presets", None), "presets", path)
        if preset != CPU and preset not in presets:
            raise unknown("preset", preset, [CPU, *presets], "--preset")
        change = dict(mapping(presets.get(preset), f"presets.{preset}", path))
        if isinstance(change.get("arms"), list):
            change["selected"] = change.pop("arms")
        raw = overlay(raw, change)
        if isinstance(arms := raw.get("arms"), dict):
            raw["arms"] = {
                k: {**({"recipe": v} if isinstance(v, str) else mapping(v, f"arms.{k}", path)), "name": k}
                for k, v in arms.items()
            }
        raw = {key: value for key, value in raw.items() if not str(key).startswith("_")}  # those hold YAML anchors
        if isinstance(page := raw.get("report"), str):
            raw["report"] = _read(path.parent / page)
        raw["plugins"] = [path.parent.resolve() / p for p in raw.get("plugins", ())]
        load_plugins(raw["plugins"])
        pretrained = isinstance(raw.get("model"), dict) and "pretrained" in raw["model"]
        kind = ExperimentOnPretrained if pretrained else ExperimentFromScratch
        return validate(kind, raw | {"name": path.stem, "preset": preset}, str(path))

    def with_model(self, given: str | None) -> Experiment:
        """The experiment with its pretrained model found, at `given` or where the file says.

        Raises:
            InputError: there is none, or `given` for an experiment that trains from scratch.
        """
        if isinstance(self.model, PretrainedBase):
            return self.model_copy(update={"model": self.model.located(given)})
        if given:
            raise InputError("--model", f"{self.name} trains its models from scratch", "leave it out")
        return self

    def model_of(self, request: Request) -> TinyConfig | PretrainedBase:
        """The model with what the request changes in it."""
        return type(self.model).model_validate({**dict(self.model), **request.model})

    def model_about(self) -> dict[str, Any]:
        """The model, for the results."""
        return self.model.about() if isinstance(self.model, PretrainedBase) else self.model.model_dump(mode="json")

    def select(self, wanted: Sequence[str] = ()) -> tuple[Arm, ...]:
        """The arms called `wanted`, or those of the preset; `InputError` for an unknown one, or one twice."""
        for name in wanted:
            if name not in self.arms:
                raise unknown("arm", name, self.arms, "--arms")
        if len(set(wanted)) != len(wanted):
            raise InputError("--arms", f'"{",".join(wanted)}" names one twice', "name each arm once")
        names = wanted or self.selected or tuple(name for name, arm in self.arms.items() if not arm.optional)
        return tuple(self.arms[name] for name in names)

    def recipes(self, arms: Iterable[Arm]) -> dict[str, Any]:
        """Arm to recipe, with its changes where any arm of the experiment changes something."""
        plain = not any(arm.set or arm.after for arm in self.arms.values())
        return {arm.name: arm.recipe if plain else arm.as_row() for arm in arms}


class ExperimentFromScratch(Experiment):
    """Its models are small and start from random weights."""

    model: TinyConfig


class ExperimentOnPretrained(Experiment):
    """Its original and its retrained models are taught from the same pretrained one."""

    model: PretrainedBase
    train: FineTuneConfig = Field(
        description="as in `expunge train --model`; its seed is replaced by that of the world"
    )


def load_plugins(paths: Iterable[Path]) -> None:
    """Import these files, each once in a process; what they define registers itself."""
    for path in paths:
        if path.stem in sys.modules:
            continue
        spec = spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None or not path.is_file():
            raise InputError(str(path), "is no Python file", "correct the key plugins of the experiment")
        module = sys.modules[path.stem] = module_from_spec(spec)
        spec.loader.exec_module(module)


def overlay(base: Any, change: Any) -> Any:
    """`base` with `change` on top: mappings are merged, all else is replaced."""
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    return {**base, **{key: overlay(base[key], value) if key in base else value for key, value in change.items()}}


def folder() -> Path:
    """`benchmarks` of the checkout: below the current folder or one above it, else beside the package's source."""
    places = [*(p / "benchmarks" for p in (Path.cwd(), *Path.cwd().parents)), Path(__file__).parents[3] / "benchmarks"]
    for place in places:
        if (place / "experiments").is_dir():
            return place
    raise InputError("bench", "there is no folder benchmarks/experiments here", "run it in a checkout, or name a YAML")


def names() -> list[str]:
    """Names of the experiments in the checkout."""
    return sorted(path.stem for path in (folder() / "experiments").glob("*.yaml"))


def locate(name: str | Path) -> Path:
    """The YAML file of an experiment; `InputError` naming the nearest one."""
    if Path(name).suffix in (".yaml", ".yml"):
        return Path(name)
    if (there := folder() / "experiments" / f"{name}.yaml").is_file():
        return there
    raise unknown("experiment", str(name), names(), "bench")


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(str(path), "there is no such file", "name an experiment, or a YAML file")
    raw = load_yaml(read_text(path), str(path), "correct the file")
    if not raw:
        raise InputError(str(path), "holds no keys", "see benchmarks/README.md")
    return raw
