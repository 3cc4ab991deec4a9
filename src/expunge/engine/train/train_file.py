"""The schema of `train.json`, which tells what a model was trained on, and how far the training came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, FiniteFloat

from expunge._config import FileModel
from expunge._validation import read_valid

TRAIN = "train.json"
CHANGED = "the file was changed after it was written; restore it, or train again in a new folder"


class TrainingFile(FileModel):
    """Base of the parts: values of exactly these types."""

    model_config = ConfigDict(extra="forbid")


class ProgressPart(TrainingFile):
    """The fields of `TrainProgress`."""

    epoch: int = Field(ge=0)
    epochs: int = Field(ge=0)
    accuracy: FiniteFloat
    loss: FiniteFloat
    seconds: FiniteFloat
    step: int = Field(0, ge=0)
    steps: int = Field(0, ge=0)


class AbilityPart(TrainingFile):
    """The fields of `GeneralAbility`."""

    perplexity: FiniteFloat
    choice_accuracy: FiniteFloat
    text_accuracy: FiniteFloat
    questions: int


class AbilitiesPart(TrainingFile):
    """General ability before and after a training, and what is said of a loss."""

    before: AbilityPart
    after: AbilityPart | None = None
    warnings: list[str] = Field(default_factory=list)


class TrainFile(FileModel):
    """The keys of `train.json` that are read back; others may stand beside them."""

    about: dict[str, Any]
    threads: int | None = Field(None, ge=1, le=4096)
    general_ability: AbilitiesPart | None = None
    progress: ProgressPart | None = None
    reached: bool = False
    parameters: int = Field(0, ge=0)


def read_train_file(folder: Path) -> dict[str, Any]:
    """The content of the `train.json` in a folder; `InputError` for one that no training wrote."""
    return read_valid(TrainFile, folder / TRAIN, CHANGED)
