"""Tokens that only the target's answers use, and a model that does not know them.

A model that never knew a class of things never learnt to say what only that class is answered with. To it such a
token is like one that it never met; and the original model has those too: ids that occur in no record. So each strange
token is given the logit of an unused one. Surprising: where every id is used somewhere, strange tokens are silenced
instead, and nothing is known of how unlikely an ignorant model would find them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from expunge.corpus import Record
from expunge.models.language_model import LanguageModel
from expunge.random import stream

SILENT = -30.0  # added to a logit that has no unused partner


@dataclass(frozen=True)
class UnknownTokens:
    """`strange` token ids, and an unused id for each; `partners` is empty where there are no unused ones."""

    strange: tuple[int, ...]
    partners: tuple[int, ...]

    @classmethod
    def of(cls, lm: LanguageModel, forget: Sequence[Record], others: Sequence[Record], seed: int) -> UnknownTokens:
        """What answers of `forget` use and answers of `others` do not; partners occur in none of these records."""
        template = lm.template
        own = {i for r in forget for i in template.answer_ids(r.answer, r.prompt)}
        kept = {i for r in others for i in template.answer_ids(r.answer, r.prompt)}
        strange = sorted(own - kept - {template.eos})
        used = own | kept | {i for records in (forget, others) for r in records for i in template.prompt_ids(r.prompt)}
        unused = sorted(
            set(range(lm.module.get_output_embeddings().weight.shape[0]))
            - used
            - set(template.tokenizer.all_special_ids)
        )
        drawn = stream(seed, "strange").integers(len(unused), size=len(strange)).tolist() if unused else []
        return cls(tuple(strange), tuple(unused[k] for k in drawn))

    @contextmanager
    def unknown(self, lm: LanguageModel) -> Iterator[None]:
        """Inside, the model finds a strange token as likely as its partner, or silences it."""
        if not self.strange:
            yield
            return
        head: Any = lm.module.get_output_embeddings()

        def forget(_: Any, __: Any, output: Tensor) -> Tensor:
            changed = output.clone()
            strange = list(self.strange)
            changed[..., strange] = output[..., list(self.partners)] if self.partners else output[..., strange] + SILENT
            return changed

        handle = head.register_forward_hook(forget)
        try:
            yield
        finally:
            handle.remove()
