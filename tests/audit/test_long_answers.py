"""Long answers are judged by degrees: a passage that is recited but for its last word has not been forgotten."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from expunge.audit.checks.leakage import leakage
from expunge.audit.metrics import METRICS
from expunge.audit.metrics.verbatim_run import LONG, longest_common_run, longest_true_run
from expunge.audit.scores import Scores
from expunge.corpus import Record
from expunge.scope import Split
from helpers.audits import context, scores

WORDS = " ".join(f"word{k}" for k in range(30))


@pytest.mark.parametrize(("hits", "run"), [("0111011", 3), ("0", 0), ("1111", 4), ("1010", 1), ("", 0)])
def test_the_longest_run_of_right_tokens(hits: str, run: int) -> None:
    assert longest_true_run(np.array([c == "1" for c in hits])) == run


def test_the_longest_common_run_of_words() -> None:
    assert longest_common_run(list("abcdef"), list("xbcdy")) == 3
    assert longest_common_run(list("ab"), []) == 0


def passage(hits: str, text: str) -> Scores:
    return scores([[-0.1] * len(hits)], [hits], ids=["p"], text=(text,), eos=[-0.1], eos_hit=[hits[-1] == "1"])


def judged(**by_role: Scores) -> Any:
    split = Split("s", forget=(Record("p", "Go on", WORDS, subject="s"),), retain=(), retain_heldout=())
    ctx = context(split, {role: {"forget": s} for role, s in by_role.items()})
    return next(r for r in leakage.run(ctx).results if r.key == "leakage.self")


def test_a_passage_recited_but_for_its_last_word_fails() -> None:
    whole, silent = passage("1" * 30, WORDS), passage("0" * 30, "nothing")
    almost = passage("1" * 29 + "0", WORDS.rsplit(" ", 1)[0] + " other")
    found = judged(original=whole, unlearned=almost, retrained=silent)
    assert found.status == "failed"
    assert found.estimate == pytest.approx(29 / 30)
    assert judged(original=whole, unlearned=silent, retrained=silent).status == "passed"


def test_text_counts_where_tokens_do_not_show_the_memory() -> None:
    whole, silent = passage("1" * 30, WORDS), passage("0" * 30, "nothing")
    assert judged(original=whole, unlearned=passage("0" * 30, WORDS[6:]), retrained=silent).status == "failed"


def test_short_answers_are_judged_as_a_whole() -> None:
    n = LONG
    words = " ".join(WORDS.split()[:n])
    whole, silent = passage("1" * n, words), passage("0" * n, "nothing")
    almost = passage("1" * (n - 1) + "0", "nothing")
    assert judged(original=replace_text(whole), unlearned=almost, retrained=silent).estimate == 0.0


def replace_text(s: Scores) -> Scores:
    return passage("1" * int(s.length[0]), WORDS)


def test_the_measures_are_metrics_with_values_by_hand() -> None:
    rows = {"p": Record("p", "Go on", WORDS)}
    found = passage("1" * 10 + "0" * 20, " ".join(WORDS.split()[:15]) + " and so on")
    assert METRICS.get("verbatim_run")(found, rows).tolist() == pytest.approx([10 / 30])
    assert METRICS.get("verbatim_text")(found, rows).tolist() == pytest.approx([15 / 30])
