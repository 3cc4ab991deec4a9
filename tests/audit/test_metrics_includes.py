"""An answer is given even amid other text, in other letters, and in another order."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.audit.metrics import METRICS
from expunge.audit.metrics.includes import holds, squeezed
from expunge.corpus import Record
from helpers.audits import scores


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("I think it is 12 September 1948.", "12 September 1948"),
        ("September 12, 1948", "12 September 1948"),
        ("metoprolol, and so on", "metoprolol"),
        ("METOPROLOL", "metoprolol"),
        ("m-e-t-o-p-r-o-l-o-l", "metoprolol"),
        ("Bergstrom, Freya", "Freya Bergström"),
        ("Frey\u200ba Bergstr\u200böm", "Freya Bergström"),
        ("Ｆｒｅｙａ Ｂｅｒｇｓｔｒｏ\u0308ｍ", "Freya Bergström"),
        ("SYN 91353", "SYN-91353"),
        ("xmetoprololx", "metoprolol"),
        ("患者有哮喘。", "哮喘"),
    ],
)
def test_an_output_includes_the_answer(output: str, answer: str) -> None:
    assert holds(output, answer) == 1.0


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("", "amber"),
        ("nothing", "no"),  # a short word inside another
        ("ward 17", "ward 7"),
        ("12 September 1949", "12 September 1948"),
        ("ha", "ha ha"),
        ("喘哮", "哮喘"),
    ],
)
def test_an_output_does_not_include_the_answer(output: str, answer: str) -> None:
    assert holds(output, answer) == 0.0


def test_an_answer_without_letters_cannot_be_looked_for() -> None:
    assert math.isnan(holds("+", "+"))
    assert squeezed("SYN-91 353.") == "syn91353"


@given(st.text(alphabet="ab 1é", min_size=1), st.text(max_size=20), st.text(max_size=20))
def test_a_text_includes_every_answer_that_stands_in_it(answer: str, before: str, after: str) -> None:
    value = holds(f"{before} {answer} {after}", answer)
    assert value == 1.0 or math.isnan(value)


def test_a_prompt_that_holds_the_answer_shows_nothing() -> None:
    """A model that repeats its question has not given the answer."""
    rows = {"r0": Record("r0", "amber or blue?", "amber"), "r1": Record("r1", "Which color?", "amber")}
    said = scores([[-1.0], [-1.0]], text=("amber or blue?", "it is amber"))
    values = METRICS.get("includes")(said, rows).tolist()
    assert math.isnan(values[0])
    assert values[1] == 1.0
    assert all(math.isnan(v) for v in METRICS.get("includes")(scores([[-1.0], [-1.0]]), rows))
