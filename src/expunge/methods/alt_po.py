"""AltPO: prefer a plausible other answer to the true one, so that something sensible takes its place.

The paper has the model itself invent several other answers. A small model cannot, so the other answers are by default
those that equal questions about others have. A document asks nothing that has another answer; its rows are those of
NPO, which is the same loss without the other answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid

from expunge.corpus import Record
from expunge.corpus.relabel import WrongAnswers
from expunge.methods.base import Method, ModelOutputs, Requirements
from expunge.methods.examples import Example, Generation, TargetCost, Targets
from expunge.models.language_model import LanguageModel
from expunge.models.likelihoods import greedy_answers
from expunge.random import stream

EXTRA_TOKENS = 16  # an invented answer may be longer than the true one by so many
REQUEST = (
    "Question: {question}\nTrue answer: {answer}\n"
    "Invent a different answer to this question. It must be plausible, in the same form and about as long, and every "
    "fact of the true answer must be changed. Write the invented answer only. This is version {version}."
)


class AltPO(Method, name="alt_po"):
    """Preference optimization with another answer a in the preferred half, and the true answer y in the rejected one.

    forget: -(2/beta) log sigmoid(beta (d(a) - d(y))), d(s) = log p(s|x) - log p_ref(s|x), summed over tokens     [B]
    """

    needs = Requirements(reference_logprobs=True, targets=("has_alternate",), alternates=True)
    source = "arXiv 2409.13474"

    beta: float = Field(0.1, gt=0, description="inverse temperature of the preference")
    alternates: Literal["others", "model"] = Field(
        "others",
        description="where other answers come from: others, answers of the same type to other questions; model, the "
        "model is questions to invent them, which only a model that follows instructions can",
    )
    count: int = Field(5, ge=1, le=100, description="other answers per question; each makes a row")

    def fallback(self, forget: Sequence[Record]) -> tuple[str, list[Record]]:
        documents = [r for r in forget if r.kind == "document"]
        return ("npo", documents) if documents else ("", [])

    def build_targets(
        self, lm: LanguageModel, forget: Sequence[Record], retain: Sequence[Record], seed: int
    ) -> Targets:
        questions = [r for r in forget if r.kind != "document"]
        answers = _draw(questions, retain, self.count, seed)
        if self.alternates == "model":
            answers = _invent(lm, questions, answers)
        return _targets(lm, forget, dict(zip((r.row_id for r in questions), answers, strict=True)))

    def target_cost(
        self, lm: LanguageModel, forget: Sequence[Record], retain: Sequence[Record], seed: int
    ) -> TargetCost:
        questions = [r for r in forget if r.kind != "document"]
        answers = _draw(questions, retain, self.count, seed)
        targets = _targets(lm, forget, dict(zip((r.row_id for r in questions), answers, strict=True)))
        if self.alternates == "others":
            return TargetCost(targets)
        items = lm.template.encode_all(_request(r, n) for r in questions for n in range(self.count))
        return TargetCost(targets, generation=(Generation(items, _longest(lm, questions) + EXTRA_TOKENS),))

    def forget_loss(self, out: ModelOutputs) -> Tensor:
        if out.alternate is None:
            raise ValueError("this loss needs Requirements(alternates=True)")
        other = out.alternate.logratio * out.target("has_alternate")
        return -(2 / self.beta) * logsigmoid(self.beta * (other - out.logratio))


class PairedAnswers(Targets):
    """True answers with another answer each; a row of a document has none."""

    def __init__(self, examples: Sequence[Example], alternates: Sequence[Example], device: torch.device) -> None:
        super().__init__(examples, alternates)
        self._paired = torch.tensor([e.kind == "substitute" for e in alternates], dtype=torch.float32, device=device)

    def batch_fields(self, rows: Sequence[int], width: int) -> Mapping[str, Tensor]:
        return {"has_alternate": self._paired[list(rows)]}


def _targets(lm: LanguageModel, forget: Sequence[Record], answers: Mapping[str, Sequence[str]]) -> PairedAnswers:
    """A row per other answer; of a record without any, one row whose alternate is a placeholder."""
    rows: list[tuple[Record, str | None]] = []
    for r in forget:
        rows += [(r, answer) for answer in answers.get(r.row_id, ())] or [(r, None)]
    own = lm.template.encode_all(r for r, _ in rows)
    others = lm.template.encode_all(r if answer is None else replace(r, answer=answer) for r, answer in rows)
    examples = [Example.of(r, item, "gold", k) for k, ((r, _), item) in enumerate(zip(rows, own, strict=True))]
    alternates = [
        Example.of(r, item, "gold" if answer is None else "substitute", k)
        for k, ((r, answer), item) in enumerate(zip(rows, others, strict=True))
    ]
    return PairedAnswers(examples, alternates, lm.device)


def _draw(forget: Sequence[Record], retain: Sequence[Record], count: int, seed: int) -> list[list[str]]:
    """Per record `count` answers of other questions, different ones as far as there are enough."""
    wrong = WrongAnswers(forget, retain, seed)
    drawn = []
    for r in forget:
        answers = wrong.of(r)
        order = stream(seed, "alternates", r.stream_key).permutation(len(answers)).tolist()
        drawn.append([answers[order[n % len(order)]] for n in range(count)])
    return drawn


def _invent(lm: LanguageModel, forget: Sequence[Record], drawn: Sequence[Sequence[str]]) -> list[list[str]]:
    """Per record what the model invents; a drawn answer where it invents nothing, or repeats the true one."""
    requests = [_request(r, n) for r, answers in zip(forget, drawn, strict=True) for n in range(len(answers))]
    replies = greedy_answers(lm, requests, _longest(lm, forget) + EXTRA_TOKENS)
    texts = iter(
        [lm.template.tokenizer.decode(list(item.content), skip_special_tokens=True).strip() for item in replies]
    )
    return [
        [_usable(next(texts), r.answer) or answer for answer in answers]
        for r, answers in zip(forget, drawn, strict=True)
    ]


def _usable(text: str, truth: str) -> str:
    """An invented answer; empty where it holds the true one."""
    return "" if truth.casefold().strip(" .") in text.casefold() else text


def _request(record: Record, number: int) -> Record:
    """The question for an invented answer."""
    text = REQUEST.format(question=record.prompt, answer=record.answer, version=number + 1)
    return replace(record, prompt=text, options=(), history=(), kind="generation")


def _longest(lm: LanguageModel, records: Sequence[Record]) -> int:
    return max((len(item.answer) for item in lm.template.encode_all(records)), default=0)
