"""Guards: what earlier requests forgot, kept as the model speaks of it when a later run begins.

A question is guarded by the answer that the model gives it now, so the retain term keeps what stands in the place of
the forgotten answer and never sees the true one. A model that still gives the true answer is not kept so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from expunge.corpus import Record
from expunge.corpus.text_folding import fold
from expunge.engine.request_chain import guard_note
from expunge.engine.resolved_recipe import ResolvedRecipe
from expunge.methods.base import REFERENCE_LOSSES
from expunge.models.documents import split_documents
from expunge.models.language_model import LanguageModel
from expunge.models.likelihoods import greedy_answers

WORD = re.compile(r"\w+")
MORE_TOKENS = 8  # an answer that is guarded may be longer than the longest true one by so many


@dataclass(frozen=True)
class Guards:
    """The rows of a run that guard earlier requests.

    Attributes:
        records: questions with the model's own answers; true texts that are kept as unlikely as they are.
        leaking: questions whose true answer the model gives before the run, and that are therefore not guarded.
        unguarded: records that cannot be guarded.
        reason: why not.
    """

    records: tuple[Record, ...] = ()
    leaking: int = 0
    unguarded: int = 0
    reason: str = ""

    def summary(self) -> dict[str, int | str]:
        """What run.json says of them."""
        return {
            "rows": len(self.records),
            "leaking": self.leaking,
            "unguarded": self.unguarded,
            **({"reason": self.reason} if self.reason else {}),
        }


def build_guards(lm: LanguageModel, resolved: ResolvedRecipe, earlier: Sequence[Record]) -> Guards:
    """The guards of a run; asks the model before it.

    Args:
        lm: the model before the run, which has forgotten `earlier`.
        resolved: the recipe.
        earlier: what earlier requests forgot.

    A document asks nothing that has an answer, and some models fall silent. Under `kl` and `logit` the true text is
    then kept as unlikely as it is; `ce` would teach it again, so there it is not guarded.
    """
    if reason := guard_note(resolved, earlier):
        return Guards(unguarded=len(earlier), reason=reason)
    questions = [r for r in earlier if r.kind != "document"]
    texts = _own_answers(lm, questions)
    leaks = [states(text, r.answer) for r, text in zip(questions, texts, strict=True)]
    rows = [
        replace(r, answer=text, options=(), variants=())
        for r, text, leak in zip(questions, texts, leaks, strict=True)
        if text and not leak
    ]
    silent = [r for r, text in zip(questions, texts, strict=True) if not text]
    silent += [r for r in earlier if r.kind == "document"]
    losses = {resolved.retain_loss_in(phase) for phase in resolved.phases} - {"none"}
    if losses <= set(REFERENCE_LOSSES):
        rows += split_documents(silent, lm.template)
        silent = []
    reason = "the model answers nothing, and the retain term ce would teach the true text again" if silent else ""
    return Guards(tuple(rows), leaking=sum(leaks), unguarded=len(silent), reason=reason)


def states(text: str, answer: str) -> bool:
    """Whether `text` includes the words of `answer` in a row; case, punctuation and spaces do not count."""
    output, true = (" ".join(WORD.findall(fold(part))) for part in (text, answer))
    return f" {true} " in f" {output} " if true else fold(answer) in fold(text)


def record_guards(
    lm: LanguageModel, resolved: ResolvedRecipe, earlier: Sequence[Record], about: dict[str, Any]
) -> tuple[Record, ...]:
    """The rows of the guards of a run; `about`, its run.json, says how many there are and what is not guarded."""
    if not earlier:
        return ()
    guards = build_guards(lm, resolved, earlier)
    about["guards"] = guards.summary()
    return guards.records


def _own_answers(lm: LanguageModel, questions: Sequence[Record]) -> list[str]:
    """What the model answers now, empty where it says nothing."""
    if not questions:
        return []
    items = lm.template.encode_all(questions)
    replies = greedy_answers(lm, questions, max(len(item.answer) for item in items) + MORE_TOKENS)
    return [lm.template.tokenizer.decode(list(reply.content), skip_special_tokens=True).strip() for reply in replies]
