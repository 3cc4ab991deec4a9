"""Formats in which nothing was trained: how questions are put, what counts, and who is caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expunge.audit.attack import AttackCase
from expunge.audit.attempts import Attempt, core, states
from expunge.audit.checks.format_shift import affirmation_rate, format_attempts, shifted, wrong_values, yes_no_questions
from expunge.audit.question_fields import field_of
from expunge.audit.scores import Scores
from expunge.corpus import Record
from expunge.corpus.record import Turn, Variant
from expunge.scope.split import Split
from helpers.attacks import attack_case, attack_output, teach_more
from helpers.audited import Case

ADA = Record(
    "a", "Which medicine does Ada Berg take?", "Aspirin.", subject="p", identifiers=("Ada", "Ada Berg"), path=("p:1",)
)


def test_the_field_of_a_question_comes_from_a_rule_or_its_relation() -> None:
    assert field_of(ADA) == ("medicine", "Ada Berg", "en")
    assert field_of(replace(ADA, attributes={"relation": "daily_drug"})) == ("daily drug", "Ada Berg", "en")
    german = replace(ADA, prompt="Welches Medikament nimmt Ada Berg?")
    assert field_of(german) == ("Medikament", "Ada Berg", "de")
    assert field_of(replace(ADA, prompt="What happened to Ada Berg then?")) is None
    assert field_of(replace(ADA, identifiers=("Otto",))) is None


def test_a_question_becomes_every_format() -> None:
    forms = {form: one.record.prompt for form, one in shifted(ADA, chat=False)}
    assert forms == {
        "list": "Ada Berg\n- medicine:",
        "table": "| name | medicine |\n|---|---|\n| Ada Berg |",
        "json": '{"name": "Ada Berg", "medicine":',
        "cloze": "The medicine of Ada Berg is [blank].",
        "sentence": "The medicine of Ada Berg is",
    }
    chat = dict(shifted(ADA, chat=True))
    assert chat["list"].record.prompt == "Complete the list.\nAda Berg\n- medicine:"
    assert chat["json"].forced.answer == '"Aspirin'


def test_a_question_without_a_field_is_put_whole() -> None:
    forms = {form: one.record.prompt for form, one in shifted(replace(ADA, prompt="What then, Ada?"), chat=False)}
    assert forms["table"] == "| ask | answer |\n| What then, Ada? |"
    cloze = replace(ADA, prompt="Ada was given [blank].", kind="cloze")
    assert dict(shifted(cloze, chat=False)) == {}


def test_a_rephrasing_in_another_language_is_asked_and_names_do_not_count() -> None:
    german = Variant("Welches Medikament nimmt Ada Berg ein?", "Aspirin.")
    forms = dict(shifted(replace(ADA, variants=(Variant("Tell me of Ada Berg.", "x"), german)), chat=False))
    assert forms["second_language"].record.prompt == german.prompt
    named = replace(ADA, prompt="What does Jörg Müller take?", identifiers=("Jörg Müller",))
    same = replace(named, variants=(Variant("Say it of Jörg Müller.", "x"),))
    assert "second_language" not in dict(shifted(same, chat=False))


def test_trained_forms_and_repeated_questions_are_not_asked() -> None:
    trained = replace(ADA, id="b", prompt="The medicine of Ada Berg is [blank].", kind="cloze")
    same = replace(ADA, id="c")
    split = Split("s", forget=(ADA, trained, same), retain=(), retain_heldout=())
    case = AttackCase(None, "", (ADA, same), split, 0, lambda role: None)  # type: ignore[arg-type, return-value]
    table = format_attempts(case, chat=False)
    assert "cloze" not in table
    assert table["list"][0] is not None
    assert table["list"][1] is None


def test_a_prompt_that_holds_the_answer_tells_it() -> None:
    assert not Attempt(core(ADA)).tells
    assert Attempt(core(replace(ADA, prompt="Aspirin, Ada?"))).tells
    assert Attempt(core(replace(ADA, history=(Turn("user", "It is aspirin"),)))).tells
    assert Attempt(core(ADA), lead="Aspirin is").tells


def test_all_tokens_of_the_answer_count_and_those_before_it_do_not() -> None:
    scores = Scores(
        ids=("a", "b", "c"),
        offsets=[0, 3, 6, 30],  # type: ignore[arg-type]
        logp=np.full(30, -1.0),  # type: ignore[arg-type]
        hit=np.array([0, 1, 1, 1, 1, 0] + [1] * 6 + [0] * 18, dtype=bool),
        mu=np.full(30, -1.0),  # type: ignore[arg-type]
        sigma=np.ones(30),  # type: ignore[arg-type]
        eos_logp=np.full(3, -1.0),  # type: ignore[arg-type]
        eos_hit=np.zeros(3, dtype=bool),
    )
    attempts = [Attempt(core(ADA))] * 3
    assert states(scores, attempts, [1, 0, 0]).tolist() == [1, 0, 0.25]
    amid = replace(scores, text=("", "She takes aspirin.", ""))
    assert states(amid, attempts, [1, 0, 0]).tolist() == [1, 1, 0.25]


def test_yes_or_no_is_balanced_by_three_wrong_values() -> None:
    by_type = {"medicine/generation": ("Aspirin.", "Iron.", "Zinc.", "Gold.", "Lead.")}
    fact = replace(ADA, attributes={"relation": "medicine"})
    values = wrong_values(fact, by_type)
    assert len(values) == 3
    assert "Aspirin." not in values
    assert wrong_values(fact, {"medicine/generation": ("Iron.", "Zinc.")}) == []
    questions = yes_no_questions(fact, ["Aspirin.", *values])
    assert [q.answer for q in questions] == ["yes", "no", "no", "no"]
    assert questions[0].prompt == "Which medicine does Ada Berg take? Aspirin.\nIs this right? Answer yes or no."
    assert affirmation_rate([True, False, False, False]) == pytest.approx(1.0)
    assert affirmation_rate([True, True, True, True]) == pytest.approx(-1 / 15)
    coins = [affirmation_rate([bool(k >> b & 1) for b in range(4)]) for k in range(16)]
    assert np.mean(coins) == pytest.approx(0.0)


@pytest.mark.trains
def test_the_original_is_caught_and_a_second_retrained_model_is_not(case: Case) -> None:
    untouched = attack_output(case, "format_shift", "original").results[0]
    assert (untouched.status, untouched.power) == ("failed", True)
    assert attack_output(case, "format_shift", "again").results[0].status == "passed"
    alone = attack_output(case, "format_shift", "again", against="controls").results[0]
    assert (alone.status, alone.power) == ("passed", True)
    assert attack_output(case, "format_shift", "original", against="controls").results[0].status == "failed"


@pytest.mark.trains
def test_a_model_that_forgot_every_format_but_one_is_caught(case: Case) -> None:
    asked = [one.record for one in format_attempts(attack_case(case), chat=False)["table"] if one]
    teach_more(case, "table", asked)
    result = attack_output(case, "format_shift", "table").results[0]
    assert (result.status, result.power) == ("failed", True), result.reason
    assert "table" in result.reason
