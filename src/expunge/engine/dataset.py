"""The examples of a run and which of them are in which batch.

The seed decides everything before step 1, so only examples that some batch draws are encoded and cached, and a corpus
of millions costs what the run needs. Building the dataset never runs the model: targets and anchors come ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from expunge.concepts.annotate import Annotator
from expunge.concepts.context import levels_in_context
from expunge.concepts.dictionary import Dictionary
from expunge.concepts.tokens import token_levels
from expunge.corpus import Record
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.engine.sampling import batch_at, chunk_plan
from expunge.engine.stratified_sampling import guard_rows, guard_turns, quotas, strata
from expunge.methods.examples import Example, ExampleKind, Targets
from expunge.models.prompt_template import Encoded, PromptTemplate
from expunge.random import stream


class RunDataset:
    """All examples of a run, first those of the forget side. Batches are lists of positions in `examples`.

    examples: What is fed to the model.
    forget_count: How many of them are of the forget side, alternates included.
    retain_index: Position in `examples` of every record of the retain pool and every anchor, -1 if never drawn.
    targets: The method's targets; `Example.row` is a row of theirs.
    """

    def __init__(
        self,
        template: PromptTemplate,
        resolved: ResolvedRecipe,
        targets: Targets,
        forget: Sequence[Record],
        pool: Sequence[Record],
        anchors: Sequence[Record] = (),
        guards: Sequence[Record] = (),
    ) -> None:
        """forget, pool: see `run_questions`. anchors: see `anchors.py`. guards: `guards.py`."""
        self._guards = guards
        self._forget = forget
        self.targets, self._template, self._resolved, self._recipe = targets, template, resolved, resolved.recipe
        self._requirements = resolved.requirements
        self._levels = self._level_plan()
        self._redrawn: dict[tuple[int, int], int] = {}
        self.examples: list[Example] = self._forget_examples()
        self._first_alternate = len(self.examples)
        self.examples += targets.alternates
        self.forget_count = len(self.examples)
        self._groups: list[tuple[str, list[int], int]] = []  # of retained rows: name, positions, rows in a batch
        self.retain_index: list[int] = []
        if resolved.uses_retain:
            self._add_retain(pool, anchors)

    @cached_property
    def encoded(self) -> list[Encoded]:
        """Token ids of every example."""
        return [example.encoded for example in self.examples]

    def alternates_of(self, rows: Sequence[int]) -> list[int]:
        """Positions of the other answers of these forget rows; empty where the method compares none."""
        return [self._first_alternate + k for k in rows if k < self._first_alternate] if self.targets.alternates else []

    @cached_property
    def forget_facts(self) -> list[str]:
        """All facts of the forget side, sorted."""
        return sorted({fact for r in self._forget for fact in r.fact_keys})

    @cached_property
    def _facts(self) -> dict[str, frozenset[str]]:
        return {r.id: frozenset(r.fact_keys) for r in self._forget}

    def facts_of(self, row: int) -> frozenset[str]:
        """The facts of a forget row; empty for a row that states none of the forgotten."""
        return self._facts.get(self.examples[row].record_id, frozenset())

    def level_at(self, step: int) -> str | None:
        """Concept level of the forget batch of a step, for methods that want batches of one level."""
        return self.targets.examples[self._levels[step][0][0]].level

    # ---- examples ---------------------------------------------------------------------------------------------

    def _forget_examples(self) -> list[Example]:
        if not self.targets.redrawn:
            return self._with_token_levels(self.targets.examples)
        examples: list[Example] = []
        for step in range(self._resolved.total_steps):
            for row in self._forget_rows(step):
                example = self.targets.example(row, self._epoch(step))
                if (example.row, example.epoch) not in self._redrawn:
                    self._redrawn[example.row, example.epoch] = len(examples)
                    examples.append(example)
        return self._with_token_levels(examples)

    def _with_token_levels(self, examples: Sequence[Example]) -> list[Example]:
        """Examples with the levels that the recipe's dictionary gives to single answer tokens."""
        if not self._recipe.concepts.dictionary or self._requirements.token_weights == "none":
            return list(examples)
        annotator = Annotator(Dictionary.load(Path(self._recipe.concepts.dictionary)))
        in_context = self._requirements.sense == "context"
        return [
            replace(e, token_levels=answer_levels(self._template, annotator, e.encoded, e.level, in_context))
            for e in examples
        ]

    def _add_retain(self, pool: Sequence[Record], anchors: Sequence[Record]) -> None:
        recipe, records = self._recipe, [*pool, *anchors, *self._guards]
        self.retain_index = [-1] * len(records)
        first_guard = len(pool) + len(anchors)
        guards = [first_guard + k for k in guard_turns(self._guards)]
        if guards and not recipe.retain.balance:
            rows = guard_rows(len(guards), recipe.batch.retain)
            others = list(range(first_guard))
            self._groups = [("guards", guards, rows), ("others", others, min(len(others), recipe.batch.retain - rows))]
        if recipe.retain.balance:
            groups = sorted([*strata(pool, self._forget, len(anchors)), *([("guards", guards)] if guards else [])])
            sizes = quotas([len(places) for _, places in groups], recipe.batch.retain)
            self._groups = [(name, places, size) for (name, places), size in zip(groups, sizes, strict=True) if size]
        drawn = {k for step in range(self._resolved.total_steps) for k in self._retain_rows(step)}
        for k, item in enumerate(self._template.encode_all(records)):
            if k in drawn:
                kind: ExampleKind = "guard" if k >= first_guard else "anchor" if k >= len(pool) else "retain"
                self._append_retain(records[k], item, k, kind)

    def _append_retain(self, record: Record, item: Encoded, row: int, kind: ExampleKind = "retain") -> None:
        self.retain_index[row] = len(self.examples)
        self.examples.append(Example.of(record, item, kind, row))

    # ---- batches ----------------------------------------------------------------------------------------------

    def _epoch(self, step: int) -> int:
        """How often every forget row has been drawn before `step`."""
        count = len(self.targets.examples)
        return step * min(self._recipe.batch.forget, count) // count

    def _level_plan(self) -> list[tuple[list[int], int]]:
        """For every step: the rows of its chunk or level, and how many earlier steps had the same."""
        rows = self.targets.examples
        if self._requirements.chunk:
            return chunk_plan(len(rows), self._requirements.chunk, self._resolved.total_steps, self._recipe.seed)
        groups: dict[str | None, list[int]] = {}
        for k, example in enumerate(rows):
            groups.setdefault(example.level if self._requirements.levels else None, []).append(k)
        names = sorted(groups, key=str)
        share = [len(groups[n]) / len(rows) for n in names]
        earlier = dict.fromkeys(names, 0)
        plan: list[tuple[list[int], int]] = []
        for step in range(self._resolved.total_steps):
            name = names[0]
            if len(names) > 1:
                name = names[int(stream(self._recipe.seed, "level", step).choice(len(names), p=share))]
            plan.append((groups[name], earlier[name]))
            earlier[name] += 1
        return plan

    def _forget_rows(self, step: int) -> list[int]:
        """Rows of the targets in a step; of one concept level if the method asks for that."""
        rows, turn = self._levels[step]
        return [rows[k] for k in batch_at(turn, self._recipe.batch.forget, len(rows), self._recipe.seed, "forget")]

    def _retain_rows(self, step: int) -> list[int]:
        if self._groups:
            return [
                places[k]
                for name, places, rows in self._groups
                for k in batch_at(step, rows, len(places), self._recipe.seed, f"retain {name}")
            ]
        return batch_at(step, self._recipe.batch.retain, len(self.retain_index), self._recipe.seed, "retain")

    def forget_batch(self, step: int) -> list[int]:
        """The forget batch of a step."""
        rows = self._forget_rows(step)
        if not self.targets.redrawn:
            return rows
        drawn = [self.targets.example(row, self._epoch(step)) for row in rows]
        return [self._redrawn[example.row, example.epoch] for example in drawn]

    def retain_batch(self, step: int) -> list[int]:
        """The retain batch of a step."""
        return [self.retain_index[k] for k in self._retain_rows(step)]


def answer_levels(
    template: PromptTemplate,
    annotator: Annotator,
    item: Encoded,
    record_level: str | None = None,
    in_context: bool = False,
) -> tuple[str | None, ...]:
    """Concept level of each answer token; None where no name of a concept covers it, and for the end token.

    The text is decoded from the tokens, so that a teacher's own answer is annotated like a record's. Where it does not
    encode to the same tokens again, no level is known.

    Args:
        template: of the model.
        annotator: of the recipe's dictionary.
        item: the question and the answer.
        record_level: concept level of the record.
        in_context: a name of several levels takes that of its context: the names around it in question and answer, and
            the record. False: the highest.
    """
    text = template.tokenizer.decode(list(item.content), clean_up_tokenization_spaces=False)
    encoded = template.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    if tuple(encoded["input_ids"]) != item.content:
        return (None,) * len(item.answer)
    spans = annotator.annotate(text)
    if in_context and any(len(span.levels) > 1 for span in spans):
        question = template.tokenizer.decode(list(item.prompt), skip_special_tokens=True)
        before = [
            replace(span, start=span.start - len(question), end=span.end - len(question))
            for span in annotator.annotate(question)
        ]
        spans = levels_in_context(spans, [*before, *spans], record_level)
    levels = token_levels(spans, encoded["offset_mapping"])
    return (*levels, None) if item.ends else tuple(levels)
