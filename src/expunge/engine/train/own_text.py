"""Text that a model writes itself, to hold it near to itself while it is taught.

Its own training data are not at hand. It continues short openings of sentences, and answers short questions, by drawing
from its own distribution; while it learns, the KL divergence from its first distribution on these texts is added to
the loss.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.corpus import Record
from expunge.engine.reference import MEMORY_BUDGET, Reference, kept_bytes
from expunge.engine.sampling import batch_at, permutation
from expunge.models.collate import collate, pad_ids
from expunge.models.forward import answer_forward
from expunge.models.language_model import LanguageModel
from expunge.models.prefix_cache import PrefixCache
from expunge.models.prompt_template import Encoded

OPENINGS = (
    *("The", "In the", "A", "When", "It is", "There are", "One of the", "For many", "Most people", "How to", "After"),
    *("Although", "Some", "Question: What", "Die", "Der", "Ein", "Im Jahr", "Wenn", "Das", "Viele", "In der"),
)
QUESTIONS = (
    *("What is a volcano?", "How do airplanes fly?", "Name three kinds of fruit.", "Why is the sea salty?"),
    *("What is the largest city of Turkey?", "When was the telephone invented?", "Who wrote the Odyssey?"),
    *("How many meters are in a kilometer?", "What color is a ripe tomato?", "Which animal says meow?"),
    *("Explain what a contract is.", "Write a short greeting.", "What does a nurse do?", "What is a vaccine?"),
    *("How does one cook rice?", "Give an example of a metal.", "What is seven times eight?", "Tell me a short story."),
    *(
        "Translate good morning into Italian.",
        "Where do penguins live?",
        "Was ist ein Vulkan?",
        "Nenne drei Obstsorten.",
    ),
    *(
        "Welche Farbe hat eine Zitrone?",
        "Wo leben Pinguine?",
        "Wann wurde das Telefon erfunden?",
        "Wie kocht man Reis?",
    ),
)
TOKENS = 48  # drawn per text


@dataclass(frozen=True)
class OwnText:
    """Texts of a model with the distributions that it first had on them."""

    items: Sequence[Encoded]
    reference: Reference
    rows: int
    weight: float
    seed: int
    cache: PrefixCache | None = None

    @classmethod
    def of(cls, lm: LanguageModel, rows: int, weight: float, seed: int, cache_bytes: int = 0) -> OwnText | None:
        """Draw the texts and keep the distributions of `lm`, which has learnt nothing yet.

        Args:
            lm: the model, as `make_trainable` leaves it.
            rows: texts per step.
            weight: of the divergence beside the loss.
            seed: of the draws and of their order.
            cache_bytes: memory for the states of frozen lower blocks; 0 for none.

        Returns:
            None for a model whose context leaves no room for text.
        """
        items = draw(lm, seed)
        if not items:
            return None
        order = permutation(len(items), seed, "own text, most", 0)
        most = MEMORY_BUDGET // max(1, kept_bytes(lm.module, TOKENS))
        items = [items[int(k)] for k in order[: max(1, most)]]
        reference = Reference(lm.module, dict(enumerate(items)), logits=True)
        cache = PrefixCache.build(lm.module, items, budget=cache_bytes) if cache_bytes else "not wanted"
        return cls(items, reference, min(rows, len(items)), weight, seed, None if isinstance(cache, str) else cache)

    def penalty(self, module: Any, step: int) -> Tensor:
        """`weight` times the mean KL divergence from the first distribution to that of `module`, in nats per token.

        Up to the entropy of the first distribution, which has no gradient and would cost another pass over it.
        `step` decides which texts are read; all are read once before one is read again.
        """
        part = batch_at(step, self.rows, len(self.items), self.seed, "own text")
        batch = collate([self.items[k] for k in part]).to(next(module.parameters()).device)
        with self.cache.context(part, batch) if self.cache else nullcontext():
            logits = answer_forward(module, batch).logits
        first = self.reference.outputs(part, batch).logits
        assert first is not None
        return self.weight * torch.nn.functional.cross_entropy(logits[batch.mask], first[batch.mask].softmax(-1))

    def close(self) -> None:
        """Free what is stored."""
        if self.cache:
            self.cache.close()


@torch.no_grad()
def draw(lm: LanguageModel, seed: int) -> list[Encoded]:
    """What `lm` writes behind `OPENINGS`, plainly, and behind `QUESTIONS`, in its template, at temperature 1."""
    stops, pad, start = lm.template.stops, int(lm.tokenizer.eos_token_id), lm.tokenizer.bos_token_id
    head = () if start is None else (int(start),)
    prompts = [(*head, *lm.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in OPENINGS]
    prompts += [lm.template.question(Record("own", text, "")).prompt for text in QUESTIONS]
    longest = max(map(len, prompts))
    count = min(TOKENS, lm.context - longest)
    if count < 2:
        return []
    ids, mask = (x.to(lm.device) for x in pad_ids(prompts, pad, left=True))
    with torch.random.fork_rng(devices=[] if lm.device.type == "cpu" else [lm.device]):
        torch.manual_seed(seed)
        written = lm.module.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=count,
            pad_token_id=pad,
            eos_token_id=sorted(stops),
        )
    texts = [_up_to_end(row, stops) for row in written[:, longest:].tolist()]
    return [Encoded(f"own-{k}", p, t, ends=False) for k, (p, t) in enumerate(zip(prompts, texts, strict=True))]


def _up_to_end(ids: Sequence[int], stops: Collection[int]) -> tuple[int, ...]:
    return tuple(ids[: next((k + 1 for k, i in enumerate(ids) if i in stops), len(ids))])
