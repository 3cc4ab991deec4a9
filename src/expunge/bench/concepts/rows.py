"""The rows of the concept suites, in one place: the name in the table, the recipe behind it, what is changed in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from expunge.bench.stages import FALLBACK
from expunge.engine.recipe import Recipe
from expunge.errors import InputError, unknown

REFERENCES = ("original", "retrained", "retrained-2")  # models, not runs
STRATEGY = {  # the strategy of the paper and its parts
    "full": "dual",
    "dual-geometric": "dual-geometric",
    "dual-token": "dual-token",
    "dual-flat": "dual-flat",
    "dual-swapped": "dual-swapped",
    "dual-attention": "dual-attention",
    "dual-paper": "dual-paper",
    "dual-small": "dual-small",
    "dual-private": "dual-private",
}
BASELINES = {
    name: name
    for name in ("twin-kl", "ga", "grad_diff", "kl_min", "npo", "simnpo", "ihl", "random_relabel", "sequential")
}
RECIPES = STRATEGY | BASELINES | {"twin": "twin"}


class Row(BaseModel):
    """One line of a table: a recipe (shipped, or a file) and `a.b=c` changes on top.

    first  a recipe that half the steps go to before; `recipe` then starts from the model which that one made
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    recipe: str
    sets: tuple[str, ...] = Field((), description="as in --set")
    first: str = ""

    def known(self) -> dict[str, Recipe]:
        """The recipe under the row's name, and what treats records that `twin` cannot; see `bench.stages`."""
        before = {self.first: Recipe.load(self.first)} if self.first else {}
        return before | {FALLBACK: Recipe.load(FALLBACK), self.name: Recipe.load(self.recipe, self.sets)}


def checked(names: Sequence[str], wanted: Sequence[str], known: Iterable[str]) -> None:
    """`InputError` for a row that is not `known`, or one that is wanted twice."""
    for name in (*names, *wanted):
        if name not in known:
            raise unknown("row", name, known, "--rows")
    if len(set(wanted)) != len(wanted):
        raise InputError("--rows", f'"{",".join(wanted)}" names one twice', "name each row once")


def rows(names: Sequence[str], wanted: Sequence[str] = ()) -> tuple[Row, ...]:
    """The rows called `names`, or those of them that are `wanted`. `InputError` for an unknown one, or one twice."""
    checked(names, wanted, RECIPES)
    return tuple(Row(name=name, recipe=RECIPES[name]) for name in names if not wanted or name in wanted)


def chosen(known: Mapping[str, Row], names: Sequence[str], wanted: Sequence[str] = ()) -> tuple[Row, ...]:
    """The rows `wanted`, of any that are known, or if none is those called `names`. `InputError` as in `rows`."""
    checked(names, wanted, known)
    return tuple(known[name] for name in wanted or names)
