"""Models of random weights, and rows of given token lengths in which every token is a random word.

`LUME` and `LUME_PEOPLE` are (prompt, answer) lengths of LUME (SemEval-2025 Task 4, forget.jsonl and retain.jsonl)
under a BPE of 2,048 entries trained on all of its texts. The rows are sorted by total length and cut into equal parts;
each part is represented by its middle row. Most rows are short questions and a fifth are passages ten times as long,
so a batch padded to its longest row is mostly padding.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from expunge.corpus import Record
from expunge.models.adapters import TrainableConfig, prepare
from expunge.models.language_model import LanguageModel
from expunge.models.tiny import EOS, PAD, TinyConfig, build

Lengths = Sequence[tuple[int, int]]  # tokens of prompt and answer, end token included
# fmt: off
LUME: Lengths = (
    (10, 6), (10, 7), (11, 6), (12, 5), (11, 7), (12, 6), (9, 10), (12, 7), (10, 10), (10, 11), (16, 5), (11, 12),
    (15, 9), (21, 5), (23, 5), (19, 11), (11, 21), (27, 6), (23, 12), (11, 27), (35, 7), (50, 6), (20, 71), (32, 66),
    (38, 69), (209, 51), (262, 31), (240, 73), (256, 74), (284, 63), (301, 73), (337, 87))
LUME_PEOPLE: Lengths = (  # Task2, whose rows name a person
    (10, 6), (10, 7), (11, 6), (10, 8), (12, 6), (13, 5), (12, 7), (12, 8), (10, 11), (14, 8), (10, 16), (11, 20),
    (12, 22), (29, 53), (28, 68), (63, 40))
# fmt: on


def random_model(config: TinyConfig, tokenizer: Any, seed: int = 1) -> LanguageModel:
    """A Llama of random weights."""
    return LanguageModel.from_parts(build(config, tokenizer, seed), tokenizer, "bench")


def word_model(config: TinyConfig) -> LanguageModel:
    """A Llama of random weights whose tokens are words."""
    return random_model(config, word_tokenizer(config.vocabulary))


def with_adapters(base: LanguageModel, train: TrainableConfig, seed: int = 1) -> LanguageModel:
    """A copy of `base` with fresh adapters."""
    return base.with_module(prepare(copy.deepcopy(base.module), train, seed))


def word_tokenizer(vocabulary: int) -> Any:
    """A tokenizer whose tokens are the words w2, w3, …"""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {EOS: 0, PAD: 1} | {f"w{k}": k for k in range(2, vocabulary)}
    inner = Tokenizer(models.WordLevel(words, unk_token=PAD))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=EOS, pad_token=PAD)


def random_words(rng: np.random.Generator, vocabulary: int, count: int) -> list[str]:
    """`count` words of `word_tokenizer(vocabulary)`."""
    return [f"w{k}" for k in rng.integers(2, vocabulary, count)]


def synthetic_records(lengths: Lengths, vocabulary: int, purpose: str, identifier_words: int = 2) -> list[Record]:
    """One record per entry of `lengths`, about a subject of its own.

    The first `identifier_words` words of a prompt name the subject; `purpose` seeds the words.
    """
    rng = np.random.default_rng(list(purpose.encode()))
    records = []
    for k, (prompt, answer) in enumerate(lengths):
        words, reply = (random_words(rng, vocabulary, count) for count in (prompt, answer - 1))
        name = " ".join(words[:identifier_words])
        id_ = f"{purpose}-{k}"
        records.append(Record(id_, " ".join(words), " ".join(reply), subject=id_, identifiers=(name,)))
    return records
