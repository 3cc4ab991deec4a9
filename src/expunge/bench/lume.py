"""LUME / SemEval-2025 Task 4 from data to table: teach, retrain, tune, forget, score.

Every model, run and score lies in its own place under the output folder and is made once, so a killed run goes on
where it stopped. Surprising: a run folder is named after the digest of its recipes; where a shipped recipe has
changed since, only that method is run again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge._io import read_json, write_atomic, write_json
from expunge.audit.metrics.semeval import TASKS
from expunge.bench.lume_preset import PRESETS, Preset
from expunge.bench.lume_report import page, text_table
from expunge.bench.lume_scores import kept, losses, measure
from expunge.bench.lume_sets import Sets, draw
from expunge.bench.stages import key, plan, recipes, run
from expunge.bench.table import over_seeds
from expunge.bench.tune import Setting, Trial, choose, distance
from expunge.corpus import Corpus, load_corpus
from expunge.engine.train.train_model import train
from expunge.errors import InputError, RunFailed, unknown
from expunge.models.language_model import load, merge_adapter
from expunge.models.threads import set_threads
from expunge.models.tiny import texts_of, train_tokenizer

GATE = 0.9


def main(
    *, data: Path, preset: str, out: Path, seeds: tuple[int, ...], results: Path | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run the suite and return everything it found, ready for JSON (`table` is its text form).

    data     folder of LUME, or of the task release
    seeds    one original, retrained model and run per method for each; empty means the preset's own
    results  Markdown file to write, or a folder for `lume.md`
    InputError for an unknown preset, too few documents, or a folder that holds another run.
    """
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS, "--preset")
    chosen = PRESETS[preset]
    suite = Suite(load_corpus(data, "lume-holdout"), chosen, Path(out), seeds or chosen.seeds, say)
    found = {"bench": "lume", "preset": preset} | suite.run()
    found["table"] = text_table(found)
    write_json(suite.out / "lume.json", found)
    if results is not None:
        results = Path(results)
        write_atomic(results if results.suffix else results / "lume.md", page(found))
    return found


@dataclass
class Suite:
    """One run of the suite on one corpus."""

    corpus: Corpus
    preset: Preset
    out: Path
    seeds: tuple[int, ...]
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        if len(set(self.seeds)) != len(self.seeds):
            raise InputError("seeds", f"{self.seeds} names one twice", "name each seed once")
        self.sets: Sets = draw(self.corpus, self.preset.counts)
        self.recipes = recipes(self.preset.methods)
        self._started = time.perf_counter()

    def run(self) -> dict[str, Any]:
        """Everything but the table. Models and scores that are there already are taken as they are."""
        self._claim()
        set_threads()
        names = ("original", "retrained", *self.preset.methods)
        scored: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        memorised: dict[str, Any] = {}
        tuning: dict[str, Any] = {}
        for seed in self.seeds:
            models = {name: self._taught(name, seed) for name in ("original", "retrained")}
            for name, folder in models.items():
                scored[name].append(self._scores(folder))
            share = scored["original"][-1]["forget"]["rows_exact"]
            memorised[str(seed)] = {"forget": share} | {
                name: read_json(folder / "train.json")["progress"] for name, folder in models.items()
            }
            self._note(f"seed {seed}: the original reproduces {share:.1%} of the forget rows")
            tuning = tuning or self._tune(models["original"], seed)
            for method in self.preset.methods:
                scored[method].append(self._method(method, models["original"], seed, tuning[method]["chosen"]))
        rows = {
            name: [flat(*triple) for triple in zip(found, scored["original"], scored["retrained"], strict=True)]
            for name, found in scored.items()
        }
        return {
            "seeds": list(self.seeds),
            "subset": self.sets.summary(),
            "data": self.corpus.digest,
            "model": self.preset.model.model_dump(mode="json"),
            "parameters": read_json(self._folder("original", self.seeds[0]) / "train.json")["parameters"],
            "memorised": memorised,
            "gate": GATE,
            "batch": self.preset.batch,
            "gate_passed": all(m["forget"] >= GATE for m in memorised.values()),
            "recipes": {name: recipe.model_dump(mode="json") for name, recipe in self.recipes.items()},
            "settings": [s.model_dump() for s in self.preset.settings],
            "tuning": tuning,
            "twin_rows": {"named": sum(bool(r.identifiers) for r in self.sets.forget), "all": len(self.sets.forget)},
            "rows": {name: dict(zip(map(str, self.seeds), found, strict=True)) for name, found in rows.items()},
            "summary": {name: over_seeds(found) for name, found in rows.items()},
        }

    # ---- places and progress ------------------------------------------------------------------------------------

    def _claim(self) -> None:
        """Take the folder for this corpus and preset; refuse another's."""
        about = {"data": self.corpus.digest, "preset": self.preset.model_dump(mode="json")}
        mark = self.out / "bench.json"
        if self.out.exists() and not self.out.is_dir():
            raise InputError(str(self.out), "is a file", "name a folder")
        if mark.is_file():
            if read_json(mark) != about:
                raise InputError(str(self.out), "holds a run of another preset or other data", "choose another folder")
        elif self.out.is_dir() and any(self.out.iterdir()):
            raise InputError(str(self.out), "is not empty and holds no LUME run", "choose a new folder")
        write_json(mark, about)

    def _folder(self, name: str, seed: int) -> Path:
        return self.out / f"seed-{seed}" / name

    def _note(self, text: str) -> None:
        self.say(f"[{time.perf_counter() - self._started:6.0f} s] {text}")

    def _kept(self, path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What a JSON file holds, made and written first if it is not there."""
        if not path.is_file():
            write_json(path, make())
        found: dict[str, Any] = read_json(path)
        return found

    # ---- stages -------------------------------------------------------------------------------------------------

    def _tokenizer(self) -> Path:
        """One tokenizer for all models, trained on every text of the corpus so that it favours no set."""
        folder = self.out / "tokenizer"
        if not (folder / "tokenizer.json").is_file():
            train_tokenizer(texts_of(self.corpus), self.preset.model.vocabulary).save_pretrained(folder)
        return folder

    def _taught(self, name: str, seed: int) -> Path:
        folder, records = self._folder(name, seed), getattr(self.sets, name)
        self._note(f"seed {seed}: teaching the {name} model {len(records)} rows")
        progress = train(
            records,
            folder,
            tiny=self.preset.model,
            tokenizer_from=self._tokenizer(),
            settings=self.preset.memorise.model_copy(update={"seed": seed}),
        )
        self._note(f"seed {seed}: {name}: {progress.accuracy:.1%} of its rows exact after {progress.epoch} epochs")
        return folder

    def _scores(self, model: Path) -> dict[str, Any]:
        return self._kept(model.with_name(model.name + ".json"), lambda: measure(load(model), self.sets))

    def _tune(self, original: Path, seed: int) -> dict[str, Any]:
        """method → its trials and the chosen setting; a single setting is chosen without a trial."""
        settings = self.preset.settings
        if len(settings) == 1:
            return {m: {"trials": [], "chosen": settings[0].model_dump()} for m in self.preset.methods}
        before = self._kept(
            self.out / "tune" / "before.json",
            lambda: {
                "level": losses(load(original), self.sets.unseen),
                "kept": kept(load(original), self.sets.validate_keep),
            },
        )
        found = {}
        for method in self.preset.methods:
            trials = [self._trial(method, setting, original, seed, before) for setting in settings]
            best = choose(trials)
            self._note(f"{method}: chosen {best.setting}")
            found[method] = {"trials": [t.model_dump() for t in trials], "chosen": best.setting.model_dump()}
        return found

    def _trial(self, method: str, setting: Setting, original: Path, seed: int, before: dict[str, Any]) -> Trial:
        stages = plan(method, self.recipes, self.sets.validate_forget, setting, self.preset.batch, seed)
        folder = self.out / "tune" / f"{method}-{key(stages)}"

        def make() -> dict[str, Any]:
            found: dict[str, float | None] = {"distance": None, "kept": 0.0}
            with suppress(RunFailed):  # a setting may diverge; another will do
                lm = merge_adapter(load(run(stages, original, self.sets.given, folder)))
                found = {
                    "distance": distance(losses(lm, self.sets.validate_forget), before["level"]),
                    "kept": kept(lm, self.sets.validate_keep) / before["kept"],
                }
            self._note(
                f"trial of {method}, {setting}: "
                + (
                    "diverged"
                    if found["distance"] is None
                    else f"distance {found['distance']:.2f}, kept {found['kept']:.1%}"
                )
            )
            return {"setting": setting.model_dump(), **found}

        return Trial.model_validate(self._kept(folder.with_name(folder.name + ".json"), make))

    def _method(self, method: str, original: Path, seed: int, chosen: dict[str, Any]) -> dict[str, Any]:
        stages = plan(method, self.recipes, self.sets.forget, Setting(**chosen), self.preset.batch, seed)
        folder = self._folder(f"{method}-{key(stages)}", seed)

        def make() -> dict[str, Any]:
            return measure(merge_adapter(load(run(stages, original, self.sets.given, folder))), self.sets)

        found = self._kept(folder.with_name(folder.name + ".json"), make)
        self._note(
            f"seed {seed}: {method}: task aggregate {found['task_aggregate']:.3f}, exact match on forget "
            f"{found['forget']['exact']:.3f}, on retain_heldout {found['retain_heldout']['exact']:.3f}"
        )
        return found


def flat(found: dict[str, Any], original: dict[str, Any], retrained: dict[str, Any]) -> dict[str, float]:
    """The table's columns of one model: its scores, and where it stands between original and retrained."""
    gaps = [found["forget"]["losses"][c] - level for c, level in retrained["forget"]["losses"].items()]
    return {
        **{k: found[k] for k in ("task_aggregate", "mia_auc", "mia_score")},
        **found["terms"],
        **{k: found["forget"][k] for k in ("strength", "exact", "rows_exact")},
        "loss_gap": sum(gaps) / len(gaps),
        "distance": distance(found["forget"]["losses"], retrained["forget"]["losses"]),
        "kept": found["retain_heldout"]["probability"] / original["retain_heldout"]["probability"],
        "kept_exact": found["retain_heldout"]["exact"],
        "given_exact": found["given"]["exact"],
        **{f"auc_{kind}_{t}": found["auc"][kind][t] for kind in ("document", "completion") for t in TASKS},
    }
