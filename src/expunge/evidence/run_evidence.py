"""What a finished run, or a model that was trained again, says about itself, for a certificate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from expunge._io import read_object
from expunge._text_file import read_text
from expunge._yaml import load_yaml
from expunge.errors import InputError
from expunge.evidence.certificate_schema import PrivacyBlock
from expunge.models.fingerprint import ADAPTER_CONFIG, EXPORTED, check_result, model_digest, result_folder
from expunge.models.run_seal import SEAL, check_sealed
from expunge.models.source import quantization_of, read_finished_run

TRAINED = "train.json"
AGAIN = "bring the file back, or unlearn again in a new folder"


@dataclass(frozen=True)
class RunEvidence:
    """The facts of a run that a certificate states.

    Attributes:
        folder: The folder of the run, or of the trained model.
        result: The folder with what it made.
        digest: Model digest of the whole: with the base under an adapter.
        is_run: False for a trained model.
        about: The content of run.json or train.json.
        recipe: The recipe.
        environment: Versions.
        privacy: The privacy accounting, if there was one.
    """

    folder: Path
    result: Path
    digest: str
    is_run: bool
    about: dict[str, Any]
    recipe: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    privacy: PrivacyBlock | None = None

    @property
    def identity(self) -> Mapping[str, str]:
        """Digests of recipe, model, tokenizer and records of a run; empty for a trained model."""
        identity: Mapping[str, str] = self.about.get("identity", {})
        return identity

    @property
    def method(self) -> str:
        """Name of the method."""
        return str(self.about["method"]) if self.is_run else "retrain"

    @property
    def seal(self) -> str:
        """Seal of run.json; empty for a trained model."""
        return str(self.about.get(SEAL, ""))

    @property
    def seed(self) -> str:
        """Seed of the run or the training, as text."""
        settings = self.recipe if self.is_run else self.about.get("about", {}).get("settings", {})
        return str(settings.get("seed", "")) if isinstance(settings, dict) else ""


def read_run(folder: Path, fresh: bool = True) -> RunEvidence:
    """The facts of a finished run, or of a model that `expunge train` wrote.

    Raises:
        InputError: it is neither, is not finished, or is not as it was written.
    """
    if not (folder / "run.json").is_file():
        if not (folder / TRAINED).is_file():
            raise InputError(str(folder), "holds no run", "give the folder that expunge unlearn (or train) wrote")
        about = read_object(folder / TRAINED, AGAIN)
        if "progress" not in about:
            raise InputError(str(folder), "its training is not finished", "start the same expunge train again")
        return RunEvidence(folder, folder, model_digest(str(folder), fresh), False, about)
    about = read_finished_run(folder)
    check_sealed(folder, about)
    check_result(folder, fresh)
    recipe = load_yaml(read_text(folder / "recipe.yaml", AGAIN), str(folder / "recipe.yaml"), AGAIN)
    environment = read_object(folder / "environment.json", AGAIN)
    privacy = read_privacy(folder / "privacy.json") if (folder / "privacy.json").is_file() else None
    digest = model_digest(str(folder), fresh)
    return RunEvidence(folder, result_folder(folder), digest, True, about, recipe, environment, privacy)


def read_privacy(file: Path) -> PrivacyBlock:
    """The accounting in a privacy.json; its noise is that of the run alone."""
    raw = read_object(file, AGAIN)
    epsilon = raw.get("epsilon")
    try:
        value = None if epsilon is None or raw["withheld"] else float(epsilon["pld"])
        return PrivacyBlock(
            epsilon=value,
            delta=float(raw["delta"]),
            unit=str(raw["unit"]),
            relation=str(raw["relation"]),
            sampler="Poisson sampling of units",
            accountants={str(k): str(v) for k, v in raw["accountants"].items()},
            guarantee=bool(raw["guarantee"]),
            history="this_run",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(str(file), "is no privacy statement that expunge wrote", AGAIN) from error


def form_of(folder: Path) -> str:
    """`adapter` for a folder that needs a base model beside it, else `model`."""
    is_adapter = (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file()
    return "adapter" if is_adapter else "model"


def dtype_of(folder: Path, about: Mapping[str, Any]) -> str:
    """Precision by the configuration of a model folder, else as the run loaded its model."""
    if (folder / EXPORTED).is_file():
        return str(read_object(folder / EXPORTED).get("dtype", "unknown"))
    config = read_object(folder / "config.json") if (folder / "config.json").is_file() else {}
    stored = config.get("dtype") or config.get("torch_dtype") or about.get("dtype") or "unknown"
    return str(stored)


def quantization(folder: Path) -> str:
    """How the files of a folder are quantized; `none` for weights in full."""
    if any(file.suffix.lower() == ".gguf" for file in folder.iterdir()):
        return "gguf"
    return quantization_of(folder) or "none"


def check_export(folder: Path, run: RunEvidence) -> None:
    """`InputError` if a model folder is no export of the run."""
    facts = read_object(folder / EXPORTED) if (folder / EXPORTED).is_file() else {}
    source = facts.get("run")
    if not isinstance(source, dict) or source.get("digest") != run.digest:
        what = f"is no export of the run {run.folder}"
        raise InputError(str(folder), what, "give the folder that expunge export made from this run")
