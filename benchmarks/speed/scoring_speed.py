"""Time the scoring of records with options against one padded row per answer and option.

The plain loop reads the prompt again with the answer and with every option, and measures the whole distribution for
all of them. Both give the same scores, which is checked. Pairs alternate in one process; seconds on the wall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from benchmarks.speed.cases import compare_times, seconds_of
from benchmarks.speed.program import PAIRS, Parts, Results, Say, program, say
from benchmarks.speed.synthetic_inputs import random_model, random_words, word_tokenizer
from expunge.audit.scoring import score
from expunge.cli.result import ResultTable
from expunge.corpus import Record
from expunge.errors import RunFailed
from expunge.models.collate import by_length, collate
from expunge.models.forward import answer_forward
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded
from expunge.models.threads import set_threads
from expunge.models.tiny import TinyConfig

RECORDS, PROMPT, OPTIONS, ANSWER = 48, 48, 4, 6  # records, prompt tokens, options of a record, answer tokens
VOCABULARIES = (2048, 32000)
COLUMNS = ("vocabulary", "min", "plain / ours", "max", "plain, s", "ours, s")
TOLERANCE = 1e-3  # nats by which two log-likelihoods of an option may differ


def synthetic_questions(vocabulary: int, records: int, config: TinyConfig) -> tuple[LanguageModel, list[Record]]:
    """A model of random weights whose tokens are words, and questions of exactly the lengths above."""
    tokenizer = word_tokenizer(vocabulary)
    rng = np.random.default_rng(0)

    def text(tokens: int) -> str:
        return " ".join(random_words(rng, vocabulary, tokens))

    questions = []
    for k in range(records):
        options = tuple(text(ANSWER) for _ in range(OPTIONS))
        questions.append(Record(f"q{k}", text(PROMPT), options[k % OPTIONS], kind="classification", options=options))
    return random_model(config, tokenizer), questions


@torch.no_grad()
def plain_scores(lm: LanguageModel, records: Sequence[Record], rows: int = 128) -> list[list[float]]:
    """Log-likelihoods of the options of each record, end token excluded; one padded row per answer and option."""
    _loglikelihoods(lm, lm.template.encode_all(records), rows)
    items = [lm.template.encode(replace(r, answer=option, options=())) for r in records for option in r.options]
    values = iter(_loglikelihoods(lm, items, rows))
    return [[next(values) for _ in r.options] for r in records]


def _loglikelihoods(lm: LanguageModel, items: Sequence[Encoded], rows: int) -> list[float]:
    values = [0.0] * len(items)
    for part in by_length(items, rows):
        batch = collate([items[k] for k in part]).to(lm.device)
        log_p = answer_forward(lm.module, batch).logits.log_softmax(-1)
        p = log_p.exp()
        mu = (p * log_p).sum(-1)
        sigma = (p * (log_p - mu.unsqueeze(-1)).square()).sum(-1).sqrt()
        target = log_p.gather(-1, batch.labels.unsqueeze(-1)).squeeze(-1)
        hit = log_p.argmax(-1) == batch.labels
        inner = batch.mask.clone().scatter_(1, batch.mask.sum(-1, keepdim=True) - 1, False)
        of_token = torch.stack([target, hit.to(target.dtype), mu, sigma]).cpu()  # what scoring measures of a token
        for k, value in zip(part, (of_token[0].double() * inner.cpu()).sum(-1).tolist(), strict=True):
            values[k] = value
    return values


def measure(
    *,
    pairs: int = 5,
    records: int = RECORDS,
    vocabularies: Sequence[int] = VOCABULARIES,
    config: TinyConfig | None = None,
    say: Say = say,
) -> Results:
    """Time of the plain loop over ours, in `pairs` pairs at each vocabulary.

    Returns:
        `options`: vocabulary → `ratio`, `seconds` (medians), and `off`, the largest difference between the two
        log-likelihoods of an option in nats; beside it `pairs`, `records`, `threads`. The model is a Llama of 8
        blocks of width 256 unless `config` says otherwise.

    Raises:
        RunFailed: the two ways do not find the same log-likelihoods.
    """
    threads = set_threads()
    sizes: Results = {}
    for vocabulary in vocabularies:
        lm, questions = synthetic_questions(vocabulary, records, config or TinyConfig(layers=8, width=256))
        expected, scores = plain_scores(lm, questions), score(lm, questions, options=True)  # also warms both up
        off = float(np.abs(np.array(expected) - np.array(scores.option_logprob)).max())
        if not off < TOLERANCE:
            raise RunFailed("bench scoring", f"the two ways differ by {off:.2g} nats", "their times cannot be compared")
        seconds: dict[str, list[float]] = {"plain": [], "ours": []}
        for pair in range(pairs):
            plain = seconds_of(partial(plain_scores, lm, questions))
            ours = seconds_of(partial(score, lm, questions, options=True))
            seconds["plain"].append(plain)
            seconds["ours"].append(ours)
            say(
                f"vocabulary {vocabulary}, pair {pair + 1} of {pairs}: the plain loop takes {plain / ours:.2f} times "
                "as long"
            )
        sizes[str(vocabulary)] = {**compare_times(seconds), "off": off}
    return {"options": sizes, "pairs": pairs, "records": records, "threads": threads}


def parts(result: Results) -> Parts:
    """The result for a terminal."""
    rows = [
        [int(vocabulary), *size["ratio"].values(), *size["seconds"].values()]
        for vocabulary, size in result["options"].items()
    ]
    return (ResultTable(COLUMNS, rows),)


main = program(__doc__, measure, parts, pairs=PAIRS)

if __name__ == "__main__":
    raise SystemExit(main(None))
