"""Records that cannot be asked about a surrogate: no name in the question and no image, or a plain document.

They are forgotten in the same run by another bounded loss, which needs no teacher: SimNPO raises the mean loss of the
true answer until it is about `DELTA` nats a token, which small models give to text that they never read.
The shipped recipe documents does the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from expunge.corpus import Record
from expunge.corpus.surrogates import can_ask_about_another
from expunge.methods.base import ModelOutputs
from expunge.methods.examples import Example
from expunge.methods.refusals import refusal
from expunge.methods.simnpo import SimNPO
from expunge.methods.twin.config import TwinConfig
from expunge.methods.twin.refusing import certain
from expunge.methods.twin.rows import DELTA, TwinRow
from expunge.models.language_model import LanguageModel
from expunge.models.likelihoods import answer_log_softmax

SIMNPO = SimNPO(delta=DELTA)
OBJECTIVE = f"simnpo (delta {DELTA:g} nats per token)"


def split_by_surrogate(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """The records that can be asked about a surrogate, and those that the fallback forgets."""
    with_surrogate: list[Record] = []
    alone: list[Record] = []
    for r in records:
        (with_surrogate if can_ask_about_another(r) else alone).append(r)
    return with_surrogate, alone


def fallback_loss(out: ModelOutputs) -> Tensor:
    """The loss of rows without a teacher, [B]."""
    return SIMNPO.forget_loss(out)


def fallback_rows(lm: LanguageModel, records: Sequence[Record], config: TwinConfig, seed: int) -> list[TwinRow]:
    """Gold rows of records that the fallback forgets, with refusals beside them where the run refuses."""
    items = lm.template.encode_all(records)
    none = torch.zeros(0, lm.module.get_output_embeddings().weight.shape[0], device=lm.device)
    rows = [TwinRow(Example.of(r, item, "gold", 0), item, none) for r, item in zip(records, items, strict=True)]
    questions = [r for r in records if r.kind != "document"]
    if config.say == "refuse" and questions:
        refusals = lm.template.encode_all(replace(r, answer=refusal(r, seed), options=()) for r in questions)
        teachers = answer_log_softmax(lm, refusals)
        rows += [
            TwinRow(Example.of(r, item, "substitute", 0), item, certain(t, torch.tensor(item.answer, device=t.device)))
            for r, item, t in zip(questions, refusals, teachers, strict=True)
        ]
    return rows
