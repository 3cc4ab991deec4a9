"""A scope: what a request names, as text and as a frozen expression. `parser.py` describes the syntax."""

from __future__ import annotations

from dataclasses import dataclass

from expunge.corpus import Corpus
from expunge.errors import InputError
from expunge.scope.ast import Expression, nodes
from expunge.scope.lexer import Token, tokenize
from expunge.scope.near_duplicates import NearDuplicateChoice
from expunge.scope.parser import parse
from expunge.scope.resolve import resolve
from expunge.scope.split import Split


@dataclass(frozen=True)
class Scope:
    """What to forget: the text of the request and its parsed expression."""

    text: str
    term: Expression

    @classmethod
    def parse(cls, text: str) -> Scope:
        """`InputError` for text that cannot be read, with the character, or a file that is missing."""
        return cls(text, parse(text, f'scope "{text}"'))

    def __repr__(self) -> str:
        """The kinds of its terms without the names that they name: `Scope(patient:… and not kind=…)`."""
        return f"Scope({' '.join(_without_name(t) for t in tokenize(self.text, self.where))})"

    @property
    def where(self) -> str:
        return f'scope "{self.text}"'

    def match(self, corpus: Corpus) -> frozenset[str]:
        """Ids of all records that the scope names, trained or not; `InputError` if there are none."""
        ids = self.term.match(corpus, self.where)
        if not ids:
            hint = "no record meets all its conditions; ask for less at once"
            raise InputError(self.where, "matches no record", hint)
        return ids

    def resolve(
        self,
        corpus: Corpus,
        *,
        seed: int = 42,
        heldout_share: float = 0.25,
        holdout: Corpus | None = None,
        near: NearDuplicateChoice = "report",
    ) -> Split:
        """The sets of a run; independent of the order of records.

        Args:
            heldout_share: Share of the remaining subjects that no method sees, in [0, 1).
            holdout: Further records that were never trained, beside those that the corpus marks.
            near: What happens to records outside the scope that nearly repeat one to forget: `take` forgets them too,
                `report` warns, `ignore` does not look.
        """
        return resolve(
            corpus,
            self.match(corpus),
            nodes(self.term, corpus, self.where),
            self.text,
            seed=seed,
            heldout_share=heldout_share,
            holdout=holdout,
            near=near,
        )


def _without_name(token: Token) -> str:
    """A token as it stands in the `repr` of a scope: a name is private."""
    if token.kind != "word":
        return token.kind
    if token.text.startswith("@"):
        return "@…"
    separators = (k for k, letter in enumerate(token.text) if letter in ":=" and not token.quoted[k])
    return f"{token.text[: next(separators, -1) + 1]}…"
