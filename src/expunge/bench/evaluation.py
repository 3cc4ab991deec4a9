"""Scoring of records with options against the loop it replaced, timed in alternating pairs on one machine.

The plain loop reads the prompt again with the answer and with every option, in padded batches, and measures the
whole distribution for all of them. Both give the same scores, which is checked here, so the ratio compares two ways
to the same numbers.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from expunge.audit.scoring import score
from expunge.corpus import Record
from expunge.models.collate import by_length, collate
from expunge.models.forward import answer_forward
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded
from expunge.models.threads import set_threads
from expunge.models.tiny import EOS, PAD, TinyConfig, build

RECORDS, PROMPT, OPTIONS, ANSWER = 48, 48, 4, 6  # the last three: tokens, options per record, tokens


def made(vocabulary: int, records: int, config: TinyConfig) -> tuple[LanguageModel, list[Record]]:
    """A model of random weights whose tokens are words, and questions of exactly the lengths named above."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {EOS: 0, PAD: 1} | {f"w{k}": k for k in range(2, vocabulary)}
    inner = Tokenizer(models.WordLevel(words, unk_token=PAD))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=EOS, pad_token=PAD)
    rng = np.random.default_rng(0)

    def text(tokens: int) -> str:
        return " ".join(f"w{k}" for k in rng.integers(2, vocabulary, tokens))

    asked = []
    for k in range(records):
        options = tuple(text(ANSWER) for _ in range(OPTIONS))
        asked.append(Record(f"q{k}", text(PROMPT), options[k % OPTIONS], kind="classification", options=options))
    return LanguageModel.from_parts(build(config, tokenizer, 1), tokenizer, "bench"), asked


@torch.no_grad()
def plain(lm: LanguageModel, records: Sequence[Record], rows: int = 128) -> list[list[float]]:
    """Log-likelihoods of the options of each record (end token excluded), one padded row per answer and option."""
    items = lm.template.encode_all(records)
    _whole(lm, items, rows)
    asked = [(k, o) for k, r in enumerate(records) for o in r.options]
    found = _whole(lm, [lm.template.encode(replace(records[k], answer=o, options=())) for k, o in asked], rows)
    values: list[list[float]] = [[] for _ in records]
    for (k, _), value in zip(asked, found, strict=True):
        values[k].append(value)
    return values


def _whole(lm: LanguageModel, items: Sequence[Encoded], rows: int) -> list[float]:
    found = [0.0] * len(items)
    for part in by_length(items, rows):
        batch = collate([items[k] for k in part]).to(lm.device)
        log_p = answer_forward(lm.module, batch).logits.log_softmax(-1)
        p = log_p.exp()
        mu = (p * log_p).sum(-1)
        sigma = (p * (log_p - mu.unsqueeze(-1)).square()).sum(-1).sqrt()
        taken = log_p.gather(-1, batch.labels.unsqueeze(-1)).squeeze(-1)
        hit = log_p.argmax(-1) == batch.labels
        inner = batch.mask.clone().scatter_(1, batch.mask.sum(-1, keepdim=True) - 1, False)
        of_token = torch.stack([taken, hit.to(taken.dtype), mu, sigma]).cpu()
        for k, value in zip(part, (of_token[0].double() * inner.cpu()).sum(-1).tolist(), strict=True):
            found[k] = value
    return found


def main(
    *,
    pairs: int = 5,
    records: int = RECORDS,
    vocabularies: Sequence[int] = (2048, 32000),
    config: TinyConfig | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Time of the plain loop over ours, in `pairs` pairs at each vocabulary: min, median, max.

    `options[V]`: `ratio`, seconds of both (medians), and `off`, the largest difference between an option's two
    log-likelihoods in nats. The model is a Llama of 8 blocks of width 256 unless `config` says otherwise.
    """
    threads = set_threads()
    sizes: dict[str, Any] = {}
    for vocabulary in vocabularies:
        lm, asked = made(vocabulary, records, config or TinyConfig(layers=8, width=256))
        before, now = plain(lm, asked), score(lm, asked, options=True)  # also warms both up
        off = float(np.abs(np.array(before) - np.array(now.option_logprob)).max())
        theirs: list[float] = []
        ours: list[float] = []
        for pair in range(pairs):
            theirs.append(_seconds(partial(plain, lm, asked)))
            ours.append(_seconds(partial(score, lm, asked, options=True)))
            say(
                f"vocabulary {vocabulary}, pair {pair + 1} of {pairs}: the plain loop takes "
                f"{theirs[-1] / ours[-1]:.2f} times as long"
            )
        ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
        sizes[str(vocabulary)] = {
            "ratio": {"min": min(ratios), "median": statistics.median(ratios), "max": max(ratios)},
            "seconds": {"plain": statistics.median(theirs), "ours": statistics.median(ours)},
            "off": off,
        }
    return {"options": sizes, "pairs": pairs, "records": records, "threads": threads}


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
