"""Scores of a model on all sets of an audit, kept in files that a digest of model, records and token ids addresses."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from expunge._io import digest
from expunge.audit.record_sets import HELDOUT, TEXT, RecordSet
from expunge.audit.scores import Scores
from expunge.audit.scoring import add_text, score
from expunge.corpus import Record
from expunge.corpus.record_store import digest_each
from expunge.models.file_digest import file_digests
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import PromptTemplate

SCORER = "4"  # changes whenever a scoring pass would give other numbers


def score_sets(
    lm: LanguageModel,
    fingerprint: str,
    role: str,
    sets: Mapping[str, RecordSet],
    folder: Path,
    files: MutableMapping[str, str] | None = None,
) -> Mapping[str, Scores]:
    """The scores of `lm` by set, of those sets that its role is asked; files in `folder` are read, new ones written.

    The text of held-out retain records is added to their scores, so that none is scored twice. `files` gets the SHA-256
    of each file by its name.
    """
    files = {} if files is None else files
    scores: dict[str, Scores] = {}
    for name, group in sets.items():
        if not group.roles or role in group.roles:
            known = scores[HELDOUT].select([r.row_id for r in group.records]) if name == TEXT else None
            scores[name] = _stored(lm, fingerprint, name, group, folder, known, files)
    return MappingProxyType(scores)


def _stored(
    lm: LanguageModel,
    fingerprint: str,
    name: str,
    group: RecordSet,
    folder: Path,
    known: Scores | None,
    files: MutableMapping[str, str],
) -> Scores:
    """From the file, or from the model: the whole of it, or text for what is `known`."""
    if not group.records:
        return score(lm, ())
    precision = str(next(lm.module.parameters()).dtype)
    asked = digest_each([r.content(), *_ids(lm.template, r)] for r in group.records)
    key = digest([SCORER, fingerprint, precision, lm.template.digest, name, group.options, group.text, asked])
    path = folder / f"{key}.npz"
    if path.is_file():
        scores = Scores.load(path)
    elif known is None:
        scores = score(lm, group.records, options=group.options, text=group.text)
        scores.save(path)
    else:
        scores = add_text(lm, known, group.records)
        scores.save(path)
    files[path.name] = file_digests(path)[""]
    return scores


def _ids(template: PromptTemplate, record: Record) -> list[list[int]]:
    """Token ids of prompt and answer, as the model reads them today; without the image, which its content names."""
    encoded = template.encode(replace(record, image=None))
    return [list(encoded.prompt), list(encoded.answer)]
