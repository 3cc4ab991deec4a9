"""A suite: its preset, its folder, and the stages that all suites go through (teach, tune, audit).

    with Suite("dual-ablation", "cpu", PRESETS["cpu"], out, seeds, workers, say) as suite:
        suite.teach(suite.cells)
        tuning = suite.tune(rows)
        found = suite.audit(rows, suite.cells, tuning)

Surprising: suites may share a folder. Models and runs lie there by what they were made of, so a second suite takes
what the first has made; only the same suite with another preset is refused.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from expunge._io import read_json, write_json
from expunge.bench.concepts import lab as work
from expunge.bench.concepts.cell import Cell, Domain
from expunge.bench.concepts.lab import Bench, Lab
from expunge.bench.concepts.rows import REFERENCES, Row
from expunge.bench.concepts.tuning import chosen, joined, trial
from expunge.bench.concepts.workers import Workers
from expunge.bench.tune import KEEP, Setting
from expunge.errors import InputError, unknown

GATE = 0.95
Cells = dict[str, dict[str, dict[str, float | None]]]  # domain → seed → columns; empty where a run failed


class Preset(BaseModel):
    """Everything that a suite takes from its name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    domains: tuple[Domain, ...] = Field(min_length=1)
    bench: Bench
    rows: tuple[str, ...] = Field(min_length=1, description="names in `rows.RECIPES`")
    settings: tuple[Setting, ...] = Field(min_length=1, description="tried for every row; one means no tuning")
    seeds: tuple[int, ...] = Field((42, 123, 789), min_length=1, description="used when the command names none")
    validation: int = Field(7, description="seed of the worlds that settings are chosen on")
    tune_on: int | None = Field(
        None, ge=1, description="so many domains, the first of which serves those beyond; all if not given"
    )
    together: bool = Field(False, description="one setting for all domains, by the means over those tuned on")
    keep: float = Field(KEEP, gt=0, le=1, description="retention on validation records that a chosen setting must have")
    workers: int | None = Field(None, description="used when the command names none; else the free cores")


P = TypeVar("P", bound=Preset)


def preset(name: str, known: Mapping[str, P]) -> P:
    """`InputError` naming the nearest one."""
    if name not in known:
        raise unknown("preset", name, known, "--preset")
    return known[name]


@dataclass
class Suite:
    """One run of one suite; a context that holds the folder and the processes.

    seeds    empty means the preset's own
    workers  processes; None: the preset's own, else as many as cores are free
    """

    name: str
    label: str
    preset: Preset
    out: Path
    seeds: tuple[int, ...]
    workers: int | None
    say: Callable[[str], None]
    _lock: IO[str] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.seeds = tuple(self.seeds) or self.preset.seeds
        if len(set(self.seeds)) != len(self.seeds):
            raise InputError("--seeds", f"{','.join(map(str, self.seeds))} names one twice", "name each seed once")
        if min(self.seeds) < 0:
            raise InputError("--seeds", f"{min(self.seeds)} is below 0", "name seeds from 0 on")
        if self.preset.validation in self.seeds and len(self.preset.settings) > 1:
            raise InputError(
                "--seeds",
                f"{self.preset.validation} is the seed that settings are chosen on",
                "name others: what is audited must not have been tuned on",
            )
        self._started = time.perf_counter()
        self._workers = Workers(self.preset.workers if self.workers is None else self.workers)

    def __enter__(self) -> Suite:
        self._claim()
        return self

    def __exit__(self, *what: object) -> None:
        self._workers.close()
        if self._lock:
            self._lock.close()
            self._lock = None

    def _claim(self) -> None:
        """Take the folder, or go on in it; refuse another's, and one that is being written."""
        grows = {"seeds", "rows", "workers", "sides"}
        settled = self.preset.model_dump(mode="json", exclude=grows)
        about = {"suite": self.name, "preset": settled}
        mark = self.out / f"{self.name}.run.json"
        if self.out.exists() and not self.out.is_dir():
            raise InputError(str(self.out), "is a file", "name a folder")
        if mark.is_file():
            if read_json(mark) != about:
                raise InputError(
                    str(self.out), f"holds a run of {self.name} with another preset", "choose another folder"
                )
        elif self.out.is_dir() and any(self.out.iterdir()) and not any(self.out.glob("*.run.json")):
            raise InputError(str(self.out), "is not empty and holds no concept suite", "choose a new folder")
        write_json(mark, about)
        self._lock = (self.out / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise InputError(
                str(self.out),
                "another command is at work in this folder",
                "wait for it to end, or choose another folder",
            ) from error

    def note(self, text: str) -> None:
        self.say(f"[{time.perf_counter() - self._started:6.0f} s] {text}")

    # ---- what there is ------------------------------------------------------------------------------------------

    @cached_property
    def lab(self) -> Lab:
        return Lab(self.out, self.preset.bench)

    @property
    def cells(self) -> list[Cell]:
        """What is audited: every domain at every seed."""
        return [Cell(domain=d, seed=s) for d in self.preset.domains for s in self.seeds]

    def validation(self, domain: Domain) -> Cell:
        """The cell on which settings for `domain` are chosen."""
        domains = self.preset.domains[: self.preset.tune_on]
        return Cell(domain=domain if domain in domains else domains[0], seed=self.preset.validation)

    # ---- stages -------------------------------------------------------------------------------------------------

    def teach(self, cells: Sequence[Cell], names: Sequence[str] = REFERENCES) -> None:
        """The models of these cells."""
        todo = [(self.lab, cell, name) for cell in cells for name in names if not work.taught(self.lab, cell, name)]

        def told(k: int, found: dict[str, Any]) -> str:
            _, cell, name = todo[k]
            return f"{cell}: {name} knows {found['share']:.1%} of its rows after {found['epochs']} epochs"

        first: dict[Path, tuple[Lab, Cell, str]] = {}
        for job in todo:
            first.setdefault(self.lab.model(*job[1:]), job)
        later = [job for job in todo if job not in first.values()]  # cells that share an original that is taught once
        for todo in (list(first.values()), later):
            self._each(work.teach, todo, told)

    def perform(self, todo: Sequence[tuple[Cell, Row, Setting]]) -> None:
        """These runs, each once."""
        wanted = [(self.lab, *job) for job in dict.fromkeys(todo) if not work.performed(self.lab, *job)]

        def told(k: int, found: dict[str, Any]) -> str:
            _, cell, row, setting = wanted[k]
            how = found["failed"] or f"{found['seconds']:.0f} s"
            return f"{cell}: {row.name} ({setting}): {how}"

        self._each(work.perform, wanted, told)

    def _each(
        self, function: Callable[..., Any], todo: Sequence[tuple[Any, ...]], told: Callable[[int, Any], str]
    ) -> None:
        count = 0

        def done(k: int, found: Any) -> None:
            nonlocal count
            count += 1
            self.note(f"{count} of {len(todo)}: {told(k, found)}")

        self._workers.each(function, todo, done)

    def tune(self, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
        """domain → row → its trials and the setting chosen; a single setting is chosen without a trial."""
        settings = self.preset.settings
        if len(settings) == 1:
            only = {"trials": [], "chosen": settings[0].model_dump()}
            return {str(d): {row.name: only for row in rows} for d in self.preset.domains}
        cells = {domain: self.validation(domain) for domain in self.preset.domains}
        places = list(dict.fromkeys(cells.values()))
        self.teach(places, REFERENCES[:2])
        self.perform([(cell, row, setting) for cell in places for row in rows for setting in settings])
        trials = {
            cell: {row.name: [trial(s, self.lab.result(cell, row, s)) for s in settings] for row in rows}
            for cell in places
        }
        if self.preset.together:
            common = {row.name: joined([trials[cell][row.name] for cell in places]) for row in rows}
            trials = dict.fromkeys(places, common)
        found = {
            cell: {name: chosen(of_row, self.preset.keep) for name, of_row in of_rows.items()}
            for cell, of_rows in trials.items()
        }
        for cell, of_rows in list(found.items())[: 1 if self.preset.together else None]:
            for name, entry in of_rows.items():
                self.note(
                    f"{cell}: {name}: "
                    + ("every setting diverged" if entry["chosen"] is None else f"chosen {Setting(**entry['chosen'])}")
                )
        return {str(domain): found[cell] for domain, cell in cells.items()}

    def audit(
        self, rows: Sequence[Row], cells: Sequence[Cell], tuning: Mapping[str, Mapping[str, Any]]
    ) -> tuple[dict[str, Cells], dict[str, list[str]]]:
        """Every row on every cell under the setting chosen for its domain.

        Returns row → domain → seed → columns, references first, and row → what failed. Call `teach` before.
        """
        todo = [
            (cell, row, Setting(**entry["chosen"]))
            for cell in cells
            for row in rows
            if (entry := tuning[str(cell.domain)][row.name])["chosen"]
        ]
        self.perform(todo)
        found: dict[str, Cells] = {name: {} for name in (*REFERENCES, *(row.name for row in rows))}
        failed: dict[str, list[str]] = {}
        for cell in cells:
            for name in REFERENCES:
                _place(found[name], cell, self.lab.reference(cell, name))
            for row in rows:
                setting = next((s for c, r, s in todo if (c, r) == (cell, row)), None)
                result = (
                    "every setting of the tuning diverged" if setting is None else self.lab.result(cell, row, setting)
                )
                _place(found[row.name], cell, {} if isinstance(result, str) else result)
                if isinstance(result, str):
                    failed.setdefault(row.name, []).append(f"{cell}: {result}")
        return found, failed

    def places(
        self, rows: Sequence[Row], cells: Sequence[Cell], tuning: Mapping[str, Mapping[str, Any]]
    ) -> dict[tuple[str, Cell], tuple[Path, Path]]:
        """(row or reference, cell) → where its model lies and where its scores do; runs that failed are left out."""
        found = {
            (name, cell): (self.lab.model(cell, name), self.lab.scores(cell, name))
            for cell in cells
            for name in REFERENCES
        }
        for cell in cells:
            for row in rows:
                entry = tuning[str(cell.domain)][row.name]["chosen"]
                model = self.lab.model_of(cell, row, Setting(**entry)) if entry else None
                if model is not None:
                    folder = self.lab.run_folder(cell, row, Setting(**entry))
                    found[row.name, cell] = model, folder.with_name(folder.name + ".scores")
        return found

    def gate(self, cells: Sequence[Cell], names: Sequence[str] = REFERENCES) -> dict[str, Any]:
        """Did every model learn what it was taught? `taught`: cell → model → share of its answers given exactly."""
        taught = {str(c): {n: self.lab.taught(c, n)["share"] for n in names} for c in cells}
        return {
            "gate": GATE,
            "taught": taught,
            "passed": all(share >= GATE for of_cell in taught.values() for share in of_cell.values()),
        }

    def about(self, cells: Sequence[Cell], names: Sequence[str] = REFERENCES) -> dict[str, Any]:
        """What a reader must know of the run beside its figures; `names`: the models that were taught."""
        return {
            "bench": self.name,
            "preset": self.label,
            "seeds": list(self.seeds),
            "domains": {str(d): Cell(domain=d, seed=self.seeds[0]).sets().summary() for d in self.preset.domains},
            "model": self.preset.bench.model.model_dump(mode="json"),
            "batch": self.preset.bench.batch,
            "parameters": self.lab.taught(cells[0], REFERENCES[0])["parameters"],
            "memorised": self.gate(cells, names),
            "validation": self.preset.validation,
            "keep": self.preset.keep,
            "settings": [s.model_dump() for s in self.preset.settings],
        }


def _place(table: Cells, cell: Cell, found: dict[str, float | None]) -> None:
    table.setdefault(str(cell.domain), {})[str(cell.seed)] = {
        name: value if value is None else round(value, 6) for name, value in found.items()
    }
