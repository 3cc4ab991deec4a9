"""Tokens that only the target's answers use, and a model that does not know them.

A model that never met a class of things never learned to answer with the tokens of that class alone. To it such a token
is like one that it never met, and the original model has those too: ids that occur in no record. So each unknown token
is given the logit of an unused one. Where every id is used somewhere, unknown tokens are silenced instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from expunge.corpus import Record
from expunge.models.language_model import LanguageModel
from expunge.random import stream

SILENT = -30.0  # added to a logit that has no unused partner


@dataclass(frozen=True)
class UnknownTokens:
    """Unknown token ids, and an unused id for each; `partners` is empty where there are no unused ones."""

    tokens: tuple[int, ...]
    partners: tuple[int, ...]

    @classmethod
    def of(cls, lm: LanguageModel, forget: Sequence[Record], others: Sequence[Record], seed: int) -> UnknownTokens:
        """Tokens that answers of `forget` use and answers of `others` do not; partners occur in no record."""
        template = lm.template
        own_items, other_items = (
            template.encode_all(replace(r, image=None) for r in part) for part in (forget, others)
        )
        own = {i for item in own_items for i in item.answer}
        retained = {i for item in other_items for i in item.answer}
        tokens = sorted(own - retained - template.stops)
        prompts = {i for item in (*own_items, *other_items) for i in item.prompt}
        vocabulary = set(range(lm.module.get_output_embeddings().weight.shape[0]))
        unused = sorted(vocabulary - own - retained - prompts - set(template.tokenizer.all_special_ids))
        drawn = stream(seed, "strange").integers(len(unused), size=len(tokens)).tolist() if unused else []
        return cls(tuple(tokens), tuple(unused[k] for k in drawn))

    @contextmanager
    def masked(self, lm: LanguageModel) -> Iterator[None]:
        """Inside, the model finds an unknown token as likely as its partner, or silences it."""
        if not self.tokens:
            yield
            return
        head: Any = lm.module.get_output_embeddings()

        def mask(_: Any, __: Any, output: Tensor) -> Tensor:
            changed = output.clone()
            tokens = list(self.tokens)
            changed[..., tokens] = output[..., list(self.partners)] if self.partners else output[..., tokens] + SILENT
            return changed

        handle = head.register_forward_hook(mask)
        try:
            yield
        finally:
            handle.remove()
