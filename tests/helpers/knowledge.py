"""Helpers for tests of the worlds of knowledge."""

from __future__ import annotations

import re
from itertools import chain

import pytest

from expunge.synthetic.knowledge.domains.finance import Finance
from expunge.synthetic.knowledge.domains.mental_health import MentalHealth
from expunge.synthetic.knowledge.domains.surgery import Surgery

EACH = pytest.mark.parametrize("kind", [Surgery, MentalHealth, Finance], ids=lambda kind: kind.name)


def stem(prompt):
    """A prompt without its options."""
    return prompt.split(" A) ")[0]


def words(texts):
    return {w.casefold() for w in re.findall(r"[^\W\d_]+", " ".join(texts))}


def texts(records):
    """Everything that these records say, rephrasings and options included."""
    return "\n".join(chain.from_iterable((w.prompt, w.answer, *w.options) for r in records for w in r.wordings()))
