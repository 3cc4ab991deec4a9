"""The rows of a run and which of them stand in which batch.

Everything is decided before step 1 by the seed: so only rows that will really be drawn are encoded and cached, and
a corpus of millions costs what the run needs. Surprising: rows of `relabel` methods get another wrong answer in
every epoch, so one record stands in the table once per epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from expunge.corpus import Record
from expunge.corpus.modalities import modality_variants
from expunge.corpus.record_store import take
from expunge.engine.recipe import Recipe
from expunge.engine.rows import ForgetExample, WrongAnswers, anchors
from expunge.engine.sampling import batch_at
from expunge.engine.stratified_sampling import quotas, strata
from expunge.engine.twins import OWN, drop_leaking_anchors, twin_rows
from expunge.methods.base import Requirements
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded
from expunge.random import stream


def drawable(count: int, most: int, seed: int) -> Sequence[int]:
    """Positions of the retained records that a run of `most` draws chooses from: all, or a fixed sample."""
    if count <= most:
        return range(count)
    return sorted(stream(seed, "drawable").choice(count, most, replace=False).tolist())


class RunDataset:
    """`rows` to forget; `items`, what is fed to the model: first the forget rows, then retained rows.

    Batches are lists of positions in `items`.
    """

    def __init__(
        self, lm: LanguageModel, recipe: Recipe, needs: Requirements, forget: Sequence[Record], retain: Sequence[Record]
    ) -> None:
        self._recipe, self._needs, self._lm, self._forget = (
            recipe,
            needs,
            lm,
            modality_variants(forget, recipe.forgets_by),
        )
        self.rows = self._with_levels(self._forget_rows(retain))
        self._levels = self._level_plan()
        self.items: list[Encoded] = [row.item for row in self.rows]
        self._relabelled: dict[tuple[int, int], int] = {}
        self._item_level: dict[int, str | None] = {}
        if needs.rows == "relabel":
            self._relabel()
        self._groups: list[tuple[str, list[int], int]] = []  # of retained rows: name, positions, rows in a batch
        self.kept: list[int] = []  # position in `items` of every retained row that is drawn, others -1
        if recipe.uses_retain:
            self._retain(retain)

    # ---- rows -------------------------------------------------------------------------------------------------

    def _forget_rows(self, retain: Sequence[Record]) -> list[ForgetExample]:
        towards = self._recipe.build_method().towards
        if towards is not None:
            return twin_rows(self._lm, self._forget, retain, towards, self._recipe.seed)
        if self._needs.rows == "relabel":
            self._wrong = WrongAnswers(self._forget, retain, self._recipe.seed)
        return [ForgetExample(self._lm.template.encode(r), r.concept) for r in self._forget]

    def _with_levels(self, rows: Sequence[ForgetExample]) -> list[ForgetExample]:
        """`rows` with the levels that the recipe's hierarchy and dictionary give to records and to single tokens."""
        hierarchy, given = self._recipe.hierarchy(), self._recipe.concepts
        if hierarchy:
            by_rule = {r.id: hierarchy.level_of_record(r) for r in self._forget if r.concept is None}
            rows = [replace(row, level=row.level or by_rule.get(row.item.id.removesuffix(OWN))) for row in rows]
        if given.dictionary and self._needs.token_weights != "none":
            from expunge.concepts.annotate import Annotator
            from expunge.concepts.dictionary import Dictionary
            from expunge.engine.token_levels import answer_levels

            annotator = Annotator(Dictionary.load(Path(given.dictionary)))
            rows = [replace(row, token_levels=answer_levels(self._lm.template, annotator, row.item)) for row in rows]
        return list(rows)

    def level_of(self, item: int) -> str | None:
        """Concept level of the record behind a position in `items`."""
        return self.rows[item].level if item < len(self.rows) and not self._relabelled else self._item_level.get(item)

    def level_at(self, step: int) -> str | None:
        """Concept level of the forget batch of a step, for methods that want batches of one level."""
        return self.rows[self._levels[step][0][0]].level

    def _relabel(self) -> None:
        self.items = []
        for step in range(self._recipe.total_steps):
            for row in self.forget_rows(step):
                if (row, self._epoch(step)) not in self._relabelled:
                    self._relabelled[row, self._epoch(step)] = len(self.items)
                    drawn = self._wrong.draw(self._forget[row], self._epoch(step))
                    self.items.append(self._lm.template.encode(drawn))

    def _epoch(self, step: int) -> int:
        """How often every forget row has been drawn before `step`; always 0 where wrong answers are not renewed."""
        return 0 if not self._needs.renewed else step * min(self._recipe.batch.forget, len(self.rows)) // len(self.rows)

    def _retain(self, retain: Sequence[Record]) -> None:
        recipe = self._recipe
        chosen = drawable(len(retain), recipe.total_steps * recipe.batch.retain, recipe.seed)
        if isinstance(retain, tuple) and len(chosen) < len(retain):
            self._lm.template.encode_all(retain)  # a record that is too long is refused, drawn or not
        pool = list(take(retain, chosen))
        if recipe.retain.anchors:
            pool += drop_leaking_anchors(self._lm, anchors(pool, self._forget, recipe.seed), self._forget)
        self.kept = [-1] * len(pool)
        if recipe.retain.balance:
            groups = strata(pool, self._forget)
            asked = quotas([len(places) for _, places in groups], recipe.batch.retain)
            self._groups = [(name, places, rows) for (name, places), rows in zip(groups, asked, strict=True) if rows]
        drawn = {k for step in range(recipe.total_steps) for k in self._retain_rows(step)}
        for k, item in enumerate(self._lm.template.encode_all(pool)):
            if k in drawn:
                self.kept[k] = len(self.items)
                self._item_level[len(self.items)] = pool[k].concept
                self.items.append(item)

    # ---- batches ----------------------------------------------------------------------------------------------

    def _level_plan(self) -> list[tuple[list[int], int]]:
        """For every step: the rows of its level, and how many earlier steps had that level."""
        groups: dict[str | None, list[int]] = {}
        for k, row in enumerate(self.rows):
            groups.setdefault(row.level if self._needs.levels else None, []).append(k)
        names = sorted(groups, key=str)
        share = [len(groups[n]) / len(self.rows) for n in names]
        seen = dict.fromkeys(names, 0)
        plan: list[tuple[list[int], int]] = []
        for step in range(self._recipe.total_steps):
            name = (
                names[0]
                if len(names) == 1
                else names[int(stream(self._recipe.seed, "level", step).choice(len(names), p=share))]
            )
            plan.append((groups[name], seen[name]))
            seen[name] += 1
        return plan

    def forget_rows(self, step: int) -> list[int]:
        """Rows of the forget batch of a step; of one concept level if the method asks for that."""
        rows, turn = self._levels[step]
        return [rows[k] for k in batch_at(turn, self._recipe.batch.forget, len(rows), self._recipe.seed, "forget")]

    def _retain_rows(self, step: int) -> list[int]:
        if self._groups:
            return [
                places[k]
                for name, places, rows in self._groups
                for k in batch_at(step, rows, len(places), self._recipe.seed, f"retain {name}")
            ]
        return batch_at(step, self._recipe.batch.retain, len(self.kept), self._recipe.seed, "retain")

    def forget_batch(self, step: int) -> list[int]:
        """The forget batch of a step, as positions in `items`."""
        rows = self.forget_rows(step)
        return [self._relabelled[k, self._epoch(step)] for k in rows] if self._relabelled else rows

    def retain_batch(self, step: int) -> list[int]:
        """The retain batch of a step, as positions in `items`."""
        return [self.kept[k] for k in self._retain_rows(step)]
