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
from expunge.methods.examples import Generation
from expunge.models.documents import split_documents
from expunge.models.language_model import LanguageModel
from expunge.models.likelihoods import greedy_answers
from expunge.models.prompt_template import Encoded

WORD = re.compile(r"\w+")
SILENT = "the model answers nothing, and the retain term ce would teach the true text again"
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
    questions = _questions(earlier)
    texts = _own_answers(lm, questions)
    leaks = [states(text, r.answer) for r, text in zip(questions, texts, strict=True)]
    rows = [
        replace(r, answer=text, options=(), variants=())
        for r, text, leak in zip(questions, texts, leaks, strict=True)
        if text and not leak
    ]
    silent = [r for r, text in zip(questions, texts, strict=True) if not text]
    silent += [r for r in earlier if r.kind == "document"]
    if _keeps_distributions(resolved):
        rows += split_documents(silent, lm.template)
        silent = []
    return Guards(tuple(rows), leaking=sum(leaks), unguarded=len(silent), reason=SILENT if silent else "")


def planned_guards(
    lm: LanguageModel, resolved: ResolvedRecipe, earlier: Sequence[Record]
) -> tuple[tuple[Record, ...], tuple[Generation, ...]]:
    """What an estimate counts: the rows of the guards, and the answers that the run asks for beforehand.

    The model is not asked. Every question is taken to be guarded, with its true answer, which is about as long as the
    model's own.
    """
    if guard_note(resolved, earlier):
        return (), ()
    questions = _questions(earlier)
    rows: list[Record] = [replace(r, options=(), variants=()) for r in questions]
    if _keeps_distributions(resolved):
        rows += split_documents([r for r in earlier if r.kind == "document"], lm.template)
    items = lm.template.encode_all(questions)
    return tuple(rows), (Generation(items, _new_tokens(items)),) if items else ()


def guard_summary(resolved: ResolvedRecipe, earlier: Sequence[Record]) -> dict[str, int | str]:
    """What an estimate says of the guards, documents counted whole: the model may leak or fall silent, and is not
    asked."""
    if reason := guard_note(resolved, earlier):
        return Guards(unguarded=len(earlier), reason=reason).summary()
    silent = 0 if _keeps_distributions(resolved) else len(earlier) - len(_questions(earlier))
    summary = Guards(unguarded=silent, reason=SILENT if silent else "").summary()
    return {**summary, "rows": len(earlier) - silent}


def _questions(earlier: Sequence[Record]) -> list[Record]:
    return [r for r in earlier if r.kind != "document"]


def _keeps_distributions(resolved: ResolvedRecipe) -> bool:
    """Whether no phase has a retain term that teaches the text of its rows."""
    losses = {resolved.retain_loss_in(phase) for phase in resolved.phases} - {"none"}
    return losses <= set(REFERENCE_LOSSES)


def _new_tokens(items: Sequence[Encoded]) -> int:
    return max(len(item.answer) for item in items) + MORE_TOKENS


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
    replies = greedy_answers(lm, questions, _new_tokens(items))
    return [lm.template.tokenizer.decode(list(reply.content), skip_special_tokens=True).strip() for reply in replies]
