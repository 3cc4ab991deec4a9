"""Scores of a model on all sets of an audit, kept in files that a digest of model, records and token ids addresses.

A file holds that digest too. One that is not what its name says is refused and not scored anew in silence: whoever
audits should know that somebody has moved or changed a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from expunge._io import digest
from expunge.audit.record_sets import HELDOUT, TEXT, RecordSet
from expunge.audit.schema import load_audit
from expunge.audit.scores import BROKEN, Scores
from expunge.audit.scoring import add_text, score
from expunge.corpus.record_store import digest_each
from expunge.errors import InputError
from expunge.models.file_digest import file_digests
from expunge.models.language_model import LanguageModel

SCORER = "5"  # changes whenever a scoring pass would give other numbers


@dataclass(frozen=True)
class ScoreStore:
    """The score files of an audit.

    Attributes:
        folder: Where they lie.
        earlier: SHA-256 by name of those that an earlier audit in the same place has recorded.
        files: SHA-256 by name of those that were used.
    """

    folder: Path
    earlier: Mapping[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, out: Path, folder: Path | None) -> ScoreStore:
        """The store of the audit in `out`; its files lie there, or in another `folder`."""
        earlier: Mapping[str, str] = {}
        if (out / "audit.json").is_file():
            with suppress(InputError):  # an audit that cannot be read is made anew
                earlier = load_audit(out / "audit.json").score_files
        return cls(folder or out / "scores", earlier)

    def scores(
        self, lm: LanguageModel, fingerprint: str, role: str, sets: Mapping[str, RecordSet]
    ) -> Mapping[str, Scores]:
        """The scores of `lm` by set, of those sets that its role is asked; files are read, new ones written.

        The text of held-out retain records is added to their scores, so that none is scored twice. `fingerprint` is the
        digest of the model's content.

        Raises:
            InputError: a file is not the one that the earlier audit used, or not what its name says.
        """
        scores: dict[str, Scores] = {}
        for name, group in sets.items():
            if not group.roles or role in group.roles:
                heldout = name == TEXT and bool(sets[HELDOUT].records)
                known = scores[HELDOUT].select([r.row_id for r in group.records]) if heldout else None
                scores[name] = self._stored(lm, fingerprint, name, group, known)
        return MappingProxyType(scores)

    def _stored(self, lm: LanguageModel, fingerprint: str, name: str, group: RecordSet, known: Scores | None) -> Scores:
        """From the file, or from the model: the whole of it, or text for what is `known`."""
        if not group.records:
            return score(lm, ())
        key = _key(lm, fingerprint, name, group)
        path = self.folder / f"{key}.npz"
        if path.is_file():
            self._note(path)
            return Scores.load(path, key)
        if known is None:
            scores = score(lm, group.records, options=group.options, text=group.text)
        else:
            scores = add_text(lm, known, group.records)
        scores.save(path, key)
        self._note(path)
        return scores

    def _note(self, path: Path) -> None:
        now = file_digests(path)[""]
        if self.earlier.get(path.name, now) != now:
            raise InputError(str(path), "was changed after the audit", BROKEN)
        self.files[path.name] = now


def _key(lm: LanguageModel, fingerprint: str, name: str, group: RecordSet) -> str:
    precision = str(next(lm.module.parameters()).dtype)
    items = lm.template.encode_all(replace(r, image=None) for r in group.records)  # its content names the image
    questions = digest_each(
        [r.content(), list(item.prompt), list(item.answer)] for r, item in zip(group.records, items, strict=True)
    )
    return digest([SCORER, fingerprint, precision, lm.template.digest, name, group.options, group.text, questions])
