"""General ability of a pretrained model after teaching and after a run: neutral text and common knowledge."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from expunge.bench.measures.base import Columns, measure
from expunge.bench.places import ModelPlace
from expunge.engine.general_ability import general_ability
from expunge.models.language_model import LanguageModel

COLUMNS = ("perplexity", "common_choice", "common_text")


def _read(place: ModelPlace) -> Columns:
    """Perplexity on neutral text, and accuracy on common knowledge by options and by text."""
    seen = place.observation("general_ability")
    fields = ("perplexity", "choice_accuracy", "text_accuracy")
    return {column: seen[name] for column, name in zip(COLUMNS, fields, strict=True)} if seen else {}


@measure("general_ability", needs="model", columns=COLUMNS, read=_read)
def abilities(place: ModelPlace, lm: LanguageModel) -> dict[str, Any]:
    """The figures of `expunge.engine.general_ability`."""
    return asdict(general_ability(lm))
