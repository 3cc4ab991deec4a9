"""Scores of a model on all sets of an audit, kept in files that a digest of model and questions addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from expunge._io import digest
from expunge.audit.record_sets import HELDOUT, TEXT, RecordSet
from expunge.audit.scores import Scores
from expunge.audit.scoring import add_text, score
from expunge.models.language_model import LanguageModel

SCORER = "3"  # changes whenever a scoring pass would give other numbers


def score_sets(
    lm: LanguageModel, fingerprint: str, role: str, sets: Mapping[str, RecordSet], folder: Path
) -> Mapping[str, Scores]:
    """The scores of `lm` by set, of those sets that its role is asked; files in `folder` are read, new ones written.

    The text of held-out retain records is added to their scores, so that none is scored twice.
    """
    scores: dict[str, Scores] = {}
    for name, group in sets.items():
        if group.roles and role not in group.roles:
            continue
        if name == TEXT:
            known = scores[HELDOUT].select([r.row_id for r in group.records])
            scores[name] = _kept(
                lm, fingerprint, name, group, folder, lambda g=group, s=known: add_text(lm, s, g.records)
            )
        else:
            scores[name] = _kept(
                lm,
                fingerprint,
                name,
                group,
                folder,
                lambda g=group: score(lm, g.records, options=g.options, text=g.text),
            )
    return MappingProxyType(scores)


def _kept(
    lm: LanguageModel, fingerprint: str, name: str, group: RecordSet, folder: Path, make: Callable[[], Scores]
) -> Scores:
    if not group.records:
        return score(lm, ())
    precision = str(next(lm.module.parameters()).dtype)
    content = [r.content() for r in group.records]
    key = digest([SCORER, fingerprint, precision, lm.template.digest, name, group.options, group.text, content])
    path = folder / f"{key}.npz"
    if path.is_file():
        return Scores.load(path)
    scores = make()
    scores.save(path)
    return scores
