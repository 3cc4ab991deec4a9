"""Rows of exactly the wanted lengths, for timing: every token is a word drawn at random.

`LUME` and `LUME_PEOPLE` are the (prompt, answer) lengths of LUME (the data of SemEval-2025 Task 4, forget.jsonl and
retain.jsonl) under the BPE of 2,048 entries that `expunge bench lume` trains on all of its texts: rows in the order
of their total length, of which every n-th part is represented by its middle row. Surprising: most rows are short
questions and a fifth are passages ten times as long, so a batch that is padded to its longest row is mostly padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from expunge.corpus import Record
from expunge.models.tiny import EOS, PAD

Lengths = Sequence[tuple[int, int]]  # tokens of prompt and answer, the end token counted
LUME: Lengths = (
    (10, 6),
    (10, 7),
    (11, 6),
    (12, 5),
    (11, 7),
    (12, 6),
    (9, 10),
    (12, 7),
    (10, 10),
    (10, 11),
    (16, 5),
    (11, 12),
    (15, 9),
    (21, 5),
    (23, 5),
    (19, 11),
    (11, 21),
    (27, 6),
    (23, 12),
    (11, 27),
    (35, 7),
    (50, 6),
    (20, 71),
    (32, 66),
    (38, 69),
    (209, 51),
    (262, 31),
    (240, 73),
    (256, 74),
    (284, 63),
    (301, 73),
    (337, 87),
)
LUME_PEOPLE: Lengths = (  # Task2, whose rows name a person
    (10, 6),
    (10, 7),
    (11, 6),
    (10, 8),
    (12, 6),
    (13, 5),
    (12, 7),
    (12, 8),
    (10, 11),
    (14, 8),
    (10, 16),
    (11, 20),
    (12, 22),
    (29, 53),
    (28, 68),
    (63, 40),
)


def word_tokenizer(vocabulary: int) -> Any:
    """A tokenizer whose tokens are the words w2, w3, …"""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {EOS: 0, PAD: 1} | {f"w{k}": k for k in range(2, vocabulary)}
    inner = Tokenizer(models.WordLevel(words, unk_token=PAD))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=EOS, pad_token=PAD)


def made(lengths: Lengths, vocabulary: int, purpose: str, named: int = 2) -> list[Record]:
    """One record per entry of `lengths`, about a subject of its own, whom the first `named` words of the prompt name.

    The words are those of `word_tokenizer(vocabulary)`, drawn by `purpose`.
    """
    rng = np.random.default_rng(list(purpose.encode()))
    found = []
    for k, (prompt, answer) in enumerate(lengths):
        asked, said = ([f"w{word}" for word in rng.integers(2, vocabulary, count)] for count in (prompt, answer - 1))
        found.append(
            Record(
                f"{purpose}-{k}",
                " ".join(asked),
                " ".join(said),
                subject=f"{purpose}-{k}",
                identifiers=(" ".join(asked[:named]),),
            )
        )
    return found
