"""Token ids of a whole text, cut in two at a character.

A text that is tokenized in two parts gets other tokens at the border than the whole: sentencepiece models put a space
before every text, and byte-level models join a space to the word behind it. So the whole is tokenized and then cut.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from expunge.corpus.record import Record
from expunge.errors import InputError

Ids = tuple[int, ...]
LETTERS, LETTERS_PER_TOKEN = 1_000_000, 32


def refuse_long(record: Record, context: int) -> None:
    """`InputError` for a text that is too long for the context however it is tokenized; nothing is tokenized here."""
    letters = sum(map(len, (record.prompt, record.answer, *(turn.content for turn in record.history))))
    if letters > max(LETTERS, LETTERS_PER_TOKEN * context):
        what = f"holds {letters:,} characters, the model reads at most {context:,} tokens"
        raise InputError(f'record "{record.id}"', what, "shorten it, or split it")


def cut_ids(tokenizer: Any, texts: Sequence[str], borders: Sequence[int]) -> list[tuple[Ids, Ids]]:
    """For each text its ids before and behind a border, counted in characters; both together are those of the whole.

    A token that crosses the border stands behind it. A tokenizer without offsets (written in Python) is asked for the
    ids of the first part too, and the border stands where they part from those of the whole.
    """
    if not texts:
        return []
    fast = getattr(tokenizer, "is_fast", False)
    options = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
    encoded = tokenizer(list(texts), return_offsets_mapping=fast, **options)
    if fast:
        places = [_first_behind(o, border) for o, border in zip(encoded["offset_mapping"], borders, strict=True)]
    else:
        starts = tokenizer([text[:border] for text, border in zip(texts, borders, strict=True)], **options)
        places = [_common(*pair) for pair in zip(encoded["input_ids"], starts["input_ids"], strict=True)]
    return [(tuple(ids[:at]), tuple(ids[at:])) for ids, at in zip(encoded["input_ids"], places, strict=True)]


def _first_behind(offsets: Sequence[tuple[int, int]], border: int) -> int:
    """Position of the first token that ends behind `border`."""
    return next((k for k, (_, end) in enumerate(offsets) if end > border), len(offsets))


def _common(ids: Sequence[int], others: Sequence[int]) -> int:
    """Length of the common start of two lists."""
    return next((k for k, pair in enumerate(zip(ids, others, strict=False)) if pair[0] != pair[1]), len(others))


def start_ids(tokenizer: Any) -> Ids:
    """The ids that the tokenizer itself puts before every text, such as a start token; often none."""
    whole = list(tokenizer("x")["input_ids"])
    inner = list(tokenizer("x", add_special_tokens=False)["input_ids"])
    starts = (k for k in range(len(whole) - len(inner) + 1) if whole[k : k + len(inner)] == inner)
    return tuple(whole[: next(starts, 0)])


@dataclass(frozen=True)
class SpecialStrings:
    """Texts that a tokenizer reads as control tokens, such as `</s>` or `<|im_end|>`."""

    tokenizer: Any

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each string."""
        added = getattr(self.tokenizer, "added_tokens_decoder", {})
        ids = {str(token): number for number, token in added.items() if getattr(token, "special", False)}
        for name in getattr(self.tokenizer, "all_special_tokens", ()):
            ids.setdefault(str(name), int(self.tokenizer.convert_tokens_to_ids(name)))
        return {name: number for name, number in ids.items() if name.strip()}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, sorted(self.ids, key=len, reverse=True))) or "(?!)")

    def find(self, text: str) -> str | None:
        """The first string in `text` that becomes a control token, or None."""
        hits = list(dict.fromkeys(self._pattern.findall(text)))
        if not hits:
            return None
        ids = set(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        return next((hit for hit in hits if self.ids[hit] in ids), None)
