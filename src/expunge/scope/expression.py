"""A scope: what a request names, as text and as a frozen expression. `grammar.py` says how to write one."""

from __future__ import annotations

from dataclasses import dataclass

from expunge.corpus import Corpus
from expunge.errors import InputError
from expunge.scope.ast import Expression, nodes
from expunge.scope.parser import parse
from expunge.scope.resolve import resolve
from expunge.scope.split import Split


@dataclass(frozen=True)
class Scope:
    """What must go. `text` is what was asked for; `term` is what it means, files already read."""

    text: str
    term: Expression

    @classmethod
    def parse(cls, text: str) -> Scope:
        """`InputError` for text that cannot be read, with the character, or a file that is missing."""
        return cls(text, parse(text, f'scope "{text}"'))

    @property
    def where(self) -> str:
        return f'scope "{self.text}"'

    def match(self, corpus: Corpus) -> frozenset[str]:
        """Ids of all records that the scope names, trained or not; `InputError` if there are none."""
        found = self.term.match(corpus, self.where)
        if not found:
            raise InputError(
                self.where, "matches no record", "no record meets all its conditions; ask for less at once"
            )
        return found

    def resolve(
        self, corpus: Corpus, *, seed: int = 42, untouched_share: float = 0.25, holdout: Corpus | None = None
    ) -> Split:
        """The sets of a run. Depends on the records, the scope, seed and share only, not on any order.

        untouched_share  share of the remaining subjects that no method sees, in [0, 1)
        holdout          further records that were never trained, beside those that the corpus marks
        """
        return resolve(
            corpus,
            self.match(corpus),
            nodes(self.term, corpus, self.where),
            self.text,
            seed=seed,
            untouched_share=untouched_share,
            holdout=holdout,
        )
