"""Scores of a model on all sets of an audit, kept in files that a digest of model and questions addresses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from expunge._io import digest
from expunge.audit.record_sets import HELDOUT, TEXT, RecordSet
from expunge.audit.scores import Scores
from expunge.audit.scoring import add_text, score
from expunge.models.language_model import LanguageModel

SCORER = "4"  # changes whenever a scoring pass would give other numbers


def score_sets(
    lm: LanguageModel, fingerprint: str, role: str, sets: Mapping[str, RecordSet], folder: Path
) -> Mapping[str, Scores]:
    """The scores of `lm` by set, of those sets that its role is asked; files in `folder` are read, new ones written.

    The text of held-out retain records is added to their scores, so that none is scored twice.
    """
    scores: dict[str, Scores] = {}
    for name, group in sets.items():
        if not group.roles or role in group.roles:
            heldout = name == TEXT and bool(sets[HELDOUT].records)
            known = scores[HELDOUT].select([r.row_id for r in group.records]) if heldout else None
            scores[name] = _stored(lm, fingerprint, name, group, folder, known)
    return MappingProxyType(scores)


def _stored(
    lm: LanguageModel, fingerprint: str, name: str, group: RecordSet, folder: Path, known: Scores | None
) -> Scores:
    """From the file, or from the model: the whole of it, or text for what is `known`."""
    if not group.records:
        return score(lm, ())
    precision = str(next(lm.module.parameters()).dtype)
    content = [r.content() for r in group.records]
    key = digest([SCORER, fingerprint, precision, lm.template.digest, name, group.options, group.text, content])
    path = folder / f"{key}.npz"
    if path.is_file():
        return Scores.load(path)
    if known is None:
        scores = score(lm, group.records, options=group.options, text=group.text)
    else:
        scores = add_text(lm, known, group.records)
    scores.save(path)
    return scores
