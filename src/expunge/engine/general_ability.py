"""What a model can do beside its records: perplexity on a neutral text, and 200 common-knowledge questions.

Measured before and after teaching or unlearning, on the same model family: perplexities of different tokenizers cannot
be compared.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from expunge.corpus import Record
from expunge.corpus.general_ability import general_questions, neutral_text
from expunge.models.forward import greedy
from expunge.models.language_model import LanguageModel
from expunge.models.prompt_template import Encoded, PromptTemplate
from expunge.models.shared_prefix_scoring import score_options

WINDOW = 512  # tokens per pass over the neutral text; a quarter of them is read before the first one that counts
NEW_TOKENS = 16  # of a greedy answer
MAX_PERPLEXITY_RATIO = 1.1  # after / before; above it the change is a warning
MAX_POINTS = 3.0  # percentage points of choice accuracy; a larger loss is a warning


@dataclass(frozen=True)
class GeneralAbility:
    """Three figures that teaching or unlearning should leave as they are.

    Attributes:
        perplexity: exp of the mean negative log-likelihood of a token of the neutral text.
        choice_accuracy: share of questions whose right option is likelier than all others behind `Question: … Answer:`,
            without a chat template; chance is about .25.
        text_accuracy: share of questions whose right answer occurs in the first 16 tokens that the model writes when it
            is asked in its own template.
        questions: number of questions.
    """

    perplexity: float
    choice_accuracy: float
    text_accuracy: float
    questions: int


@torch.no_grad()
def general_ability(lm: LanguageModel) -> GeneralAbility:
    """Measure `lm` as it is, with its adapter if it has one: about a minute for 135 million weights on one core.

    Questions that do not fit a short context are left out; without any, both accuracies are 0.
    """
    lm.module.eval()
    questions = [q for q in general_questions() if _fits(lm, q)]
    return GeneralAbility(
        perplexity(lm, neutral_text()), choice_accuracy(lm, questions), text_accuracy(lm, questions), len(questions)
    )


def warnings_of(before: GeneralAbility, after: GeneralAbility) -> tuple[str, ...]:
    """One clause for each bound that the change from `before` to `after` exceeds."""
    ratio = after.perplexity / before.perplexity
    points = 100 * (before.choice_accuracy - after.choice_accuracy)
    lines = []
    if not ratio <= MAX_PERPLEXITY_RATIO:
        lines.append(
            f"perplexity on neutral text rose from {before.perplexity:.1f} to {after.perplexity:.1f} "
            f"(x {ratio:.2f}, bound {MAX_PERPLEXITY_RATIO})"
        )
    if points > MAX_POINTS + 1e-9:
        lines.append(
            f"common knowledge fell from {before.choice_accuracy:.1%} to {after.choice_accuracy:.1%} "
            f"(bound {MAX_POINTS:g} points)"
        )
    return tuple(lines)


def windows(ids: Sequence[int], start: int, size: int) -> list[Encoded]:
    """Cut `ids` so that every id is predicted once, after at least `size // 4` others where there are so many.

    `start` stands before the first window. No window is longer than `size`.
    """
    before = max(1, size // 4)
    new = max(1, size - before)
    return [
        Encoded(f"window-{k}", tuple(ids[max(0, k - before) : k]) or (start,), tuple(ids[k : k + new]), ends=False)
        for k in range(0, len(ids), new)
    ]


def perplexity(lm: LanguageModel, text: str) -> float:
    """exp of the mean negative log-likelihood of the tokens of `text`, without a template; infinite on overflow."""
    ids = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
    start = lm.tokenizer.bos_token_id
    items = windows(ids, int(lm.tokenizer.eos_token_id if start is None else start), min(WINDOW, lm.context))
    total = sum(float(logp.double().sum()) for logp in score_options(lm.module, items, _log_likelihood))
    try:
        return math.exp(-total / len(ids))
    except OverflowError:
        return math.inf


def _fits(lm: LanguageModel, question: Record) -> bool:
    """Whether the longest form of `question` leaves room for an answer."""
    longest = max((lm.tokenizer(option)["input_ids"] for option in question.options), key=len)
    longest_prompt = max(
        len(lm.template.question(question).prompt), len(lm.tokenizer(_ask(question).prompt)["input_ids"])
    )
    return longest_prompt + max(len(longest) + 2, NEW_TOKENS) <= lm.context


def _ask(question: Record) -> Record:
    """`question` as plain text to go on with, in a form that models without a chat template know too."""
    return replace(question, prompt=f"Question: {question.prompt}\nAnswer:", options=())


def choice_accuracy(lm: LanguageModel, questions: Sequence[Record]) -> float:
    """Share of questions whose answer is likelier than every other option; a tie counts as wrong."""
    template = PromptTemplate.of(lm.tokenizer, lm.context, "plain")
    items, owners = [], []
    for k, question in enumerate(questions):
        for option in question.options:
            item = template.encode(replace(_ask(question), answer=option))
            items.append(replace(item, answer=item.content, ends=False))
            owners.append((k, option))
    values: list[dict[str, float]] = [{} for _ in questions]
    for (k, option), logp in zip(owners, score_options(lm.module, items, _log_likelihood), strict=True):
        values[k][option] = float(logp.double().sum())
    right = [
        all(value < likelihoods[question.answer] for option, value in likelihoods.items() if option != question.answer)
        for question, likelihoods in zip(questions, values, strict=True)
    ]
    return sum(right) / max(len(right), 1)


def text_accuracy(lm: LanguageModel, questions: Sequence[Record]) -> float:
    """Share of questions whose answer occurs, word for word, in the greedy text."""
    prompts = [lm.template.question(q).prompt for q in questions]
    texts = [lm.template.decode(ids) for ids in greedy(lm.module, prompts, lm.template.stops, NEW_TOKENS)]
    return sum(contains(text, q.answer) for text, q in zip(texts, questions, strict=True)) / max(len(questions), 1)


def contains(text: str, answer: str) -> bool:
    """Whether the words of `answer` stand in `text` one after another; case and marks between words do not count."""
    return f" {_words(answer)} " in f" {_words(text)} "


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def _log_likelihood(logits: Tensor, at: Tensor, label: Tensor, _: Tensor) -> Tensor:
    """log p of each token, [M, 1]."""
    return (logits[at, label] - logits.logsumexp(-1)[at]).unsqueeze(-1)
