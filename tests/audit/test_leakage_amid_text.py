"""Leakage counts an answer amid other text, against a retrained model and against the answers of controls, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from expunge.audit.check_result import CheckResult
from expunge.audit.checks.leakage import leakage, swapped_rates
from expunge.audit.context import Context
from expunge.corpus import Record, Variant
from expunge.scope import Split
from helpers.audits import context, one_token_scores

COLORS = ("amber", "blue", "crimson", "denim")
TOWNS = ("Arlo", "Bern", "Cork", "Dublin")


def about(person: str, color: str, town: str, **more: Any) -> tuple[Record, Record]:
    make = {"subject": person, "identifiers": (person,), **more}
    return (
        Record(f"{person}-color", f"Color of {person}?", color, **make),
        Record(f"{person}-town", f"Town of {person}?", town, **make),
    )


def judged(texts: dict[str, list[str]], controls: int = 0) -> CheckResult:
    """`leakage.self` of Mira's color (amber) and town (Arlo); texts by role. Controls are named Nora0, Nora1, …"""
    return next(r for r in leakage.run(asked(texts, controls)).results if r.key == "leakage.self")


def asked(texts: dict[str, list[str]], controls: int = 0) -> Context:
    rows = about("Mira", "amber", "Arlo")
    others = [
        r
        for k in range(controls)
        for r in about(f"Nora{k}", COLORS[k % 4], TOWNS[k % 4], attributes={"control_of": "Mira"})
    ]
    split = Split("s", forget=rows, retain=(), retain_heldout=(), controls=tuple(others))
    ids, names = [r.row_id for r in rows], [r.row_id for r in others]
    by_role = {}
    for role, said in texts.items():
        right = "".join("1" if t in ("amber", "Arlo") else "0" for t in said)
        by_role[role] = {"forget": one_token_scores(ids, [0.1 if c == "1" else 9.0 for c in right], right, said)}
        if controls:
            by_role[role]["controls"] = one_token_scores(names, [9.0] * len(names), "0" * len(names))
    return context(split, by_role)


KNOWN = ["amber", "Arlo"]


def test_an_answer_behind_a_preamble_is_leakage() -> None:
    texts = {"original": KNOWN, "retrained": ["no", "no"], "unlearned": ["I say amber.", "It is in Arlo, I think"]}
    result = judged(texts)
    assert (result.status, result.estimate) == ("failed", 1.0)
    assert result.reason.startswith("worst kind includes 1.000, reference includes 0.000")
    assert judged({**texts, "unlearned": ["I say blue.", "It is in Bern"]}).status == "passed"


def test_what_the_retrained_model_includes_too_is_no_leakage() -> None:
    both = ["amber or blue", "it is Bern"]
    result = judged({"original": KNOWN, "retrained": both, "unlearned": ["blue or amber", "no"]})
    assert result.status == "passed"
    assert result.reason.startswith("worst kind generation")  # the exact figure stays the judged one


def test_answers_of_controls_show_how_often_a_text_fits_by_chance() -> None:
    """The text lists all four colors, as any of them would: each control's color is in it, and no control's town."""
    listed = ["amber, blue, crimson or denim", "no"]
    ctx = asked({"original": KNOWN, "unlearned": listed}, controls=8)
    rates = swapped_rates(ctx, "includes", [r.row_id for r in ctx.split.forget])
    assert rates.worst == ("includes", 0.5)
    assert rates.of({"Nora5"}) == 0.5
    assert judged({"original": KNOWN, "unlearned": listed}, controls=8).status == "passed"


def test_against_controls_an_answer_behind_a_preamble_is_leakage() -> None:
    result = judged({"original": KNOWN, "unlearned": ["I say amber.", "It is in Arlo, I think"]}, controls=8)
    assert result.status == "failed"
    assert result.estimate == pytest.approx(1.0 - 0.25)  # a fourth of the controls has each of these answers
    assert result.reference is not None
    assert result.reference.role == "controls"


def test_a_rephrasing_is_compared_with_the_same_rephrasing_of_controls() -> None:
    variants = (Variant("Does Mira wear amber, yes or no?", "yes"), Variant("Mira's tone?", "ambery"))
    rows = (Record("m", "Color of Mira?", "amber", subject="Mira", identifiers=("Mira",), variants=variants),)
    control = Record(
        "n", "Color of Nora?", "blue", subject="Nora", identifiers=("Nora",), attributes={"control_of": "Mira"},
        variants=(Variant("Does Nora wear amber, yes or no?", "no"), Variant("Nora's tone?", "bluish")),
    )  # fmt: skip
    split = Split("s", forget=rows, retain=(), retain_heldout=(), controls=(control,))
    ids = [w.row_id for r in rows for w in r.wordings()]
    said = one_token_scores(ids, [9.0] * 3, "000", ["blue", "no", "bluish"])
    ctx = context(split, {"original": {"forget": said}, "unlearned": {"forget": said}})
    assert swapped_rates(ctx, "includes", ids).worst == ("includes", 1.0)


def test_a_model_that_repeats_the_question_gives_no_answer() -> None:
    row = Record("m", "Is Mira's color amber or blue?", "amber", subject="Mira")
    split = Split("s", forget=(row,), retain=(), retain_heldout=())
    said = {
        role: {"forget": one_token_scores(["m"], [loss], hit, [text])}
        for role, loss, hit, text in (
            ("original", 0.1, "1", "amber"),
            ("retrained", 9.0, "0", "no"),
            ("unlearned", 9.0, "0", row.prompt),
        )
    }
    result = next(r for r in leakage.run(context(split, said)).results if r.key == "leakage.self")
    assert (result.status, result.estimate) == ("passed", 0.0)
