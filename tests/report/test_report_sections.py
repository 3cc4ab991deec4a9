"""What each section says, with numbers that can be checked by hand, and what it says when a part is missing."""

import pytest

from expunge.audit.check_result import IntervalEstimate
from expunge.audit.schema import AuditFile
from expunge.report import tables
from helpers.report import Page


def row(found: Page, section: str, name: str, cells: int) -> list[str]:
    """The words that follow a row's name, `cells` of them."""
    rest = found.text(section).split(name, 1)[1].split()
    return rest[:cells]


@pytest.mark.parametrize(
    ("statuses", "word", "sentence"),
    [
        ({}, "Passed", "On all 6 required checks the model behaves like a model that never learnt the named records"),
        ({"mia": "failed"}, "Not passed", "1 of 6 required checks failed: traces of the named records are left."),
        (
            {"retention.elsewhere": "failed"},
            "Not passed",
            "1 of 6 required checks failed: knowledge that had to stay was damaged.",
        ),
        (
            {"mia": "failed", "retention.elsewhere": "failed", "paraphrase": "not_run"},
            "Not passed",
            "2 of 6 required checks failed: traces of the named records are left, "
            "and knowledge that had to stay was damaged",
        ),
        (
            {"paraphrase": "not_run", "mia": "inconclusive"},
            "Not shown",
            "No required check failed, but 2 of 6 could not decide. Forgetting is not shown",
        ),
    ],
)
def test_the_first_screen_gives_the_verdict_in_a_word_and_a_sentence(page, build, statuses, word, sentence):
    text = Page(page(build(statuses))).text("verdict")
    assert sentence in text
    assert f"{word} {sentence}" in text.replace("✓ ", "").replace("✕ ", "").replace("? ", "")


def test_the_first_screen_says_what_was_asked_and_what_the_verdict_does_not_mean(page, build, run_dir):
    text = Page(page(build(), run_dir)).text("verdict")
    assert "Asked to forget patient:P-1 Concerns 1 subject, 12 records Method “twin”, 40 steps" in text
    assert "What this means" in text
    assert "It is not a proof that nothing can ever be recovered." in text
    assert "It is a measurement, not a legal opinion." in text


def test_a_check_that_did_not_pass_is_never_listed_as_passed_on_the_first_screen(page, build):
    text = Page(page(build({"mia": "not_run", "paraphrase": "failed"}))).text("verdict")
    assert "! Not run An outsider cannot tell" in text
    assert "✕ Not passed Nor are the true answers given to rephrased questions" in text
    assert text.count("✓ Passed") == 4


def test_figures_stand_beside_the_yardstick_with_n_difference_and_the_intervals_of_the_audit(page, build):
    found = Page(page(build()))
    assert row(found, "figures", "Free questions: true answers given", 5) == ["8", "1.000", "0.375", "0.250", "+0.125"]
    assert row(found, "figures", "Worst kind of question", 8) == [
        "12",
        "1.000",
        "0.375",
        "0.250",
        "+0.125",
        "0.062",
        "to",
        "0.188",
    ]
    assert row(found, "figures", "Multiple choice, corrected for chance: true answers given", 5) == [
        "4",
        "0.500",
        "−0.125",
        "−0.250",
        "+0.125",
    ]
    assert row(found, "figures", "by loss (AUC)", 5) == ["12", "0.500", "0.750", "0.500", "+0.250"]
    assert row(found, "figures", "Exact answers", 5) == ["40", "1.000", "0.375", "0.250", "0.975"]


def test_without_a_retrained_model_the_controls_are_the_yardstick_and_the_page_says_so(page, build):
    found = Page(page(build(retrained=False)))
    text = found.text("figures")
    assert "No retrained model was given." in text
    assert "Never-trained controls yardstick" in text
    assert row(found, "figures", "Probability of the true answer", 8) == [
        "12",
        "1.000",
        "0.375",
        "0.312",
        "0.281",
        "to",
        "0.344",
        "+0.062",
    ]
    assert row(found, "figures", "The same, asked in other words", 5) == ["36", "1.000", "0.375", "–", "–"]
    assert "Retrained" not in found.text("said")
    assert "--retrained" not in found.text("method")
    assert len([p for p in found.all("svg") if "retrained" in p["aria-label"]]) == 0


def test_the_audits_own_interval_of_an_auc_difference_is_shown(build):
    data = build()
    data["details"]["membership"]["excess"] = {"loss": {"estimate": 0.25, "ci": [0.125, 0.375]}}
    found = {f.name: f for f in tables.gone(AuditFile.model_validate(data))}
    assert found["Telling members from strangers by loss (AUC)"].last == IntervalEstimate(
        estimate=0.25, ci=(0.125, 0.375)
    )


def test_figures_of_one_explanation_are_explained_once(build):
    rows = tables.gone(AuditFile.model_validate(build()))
    explained = tables.explained([*rows, *rows])
    assert len(explained) == len({r.about for r in rows})
    assert explained[rows[0].about] == rows[0].name


@pytest.mark.parametrize(
    ("without", "section", "words", "pictures"),
    [
        ({"controls": False}, "controls", "There are no never-trained controls in this audit", 3 + 1),
        ({"tree": False}, "retention", "No retain_heldout record has a distance to the target in a tree", 3 + 3),
        ({}, "training", "No run directory was given to this report", 3 + 3 + 1),
    ],
)
def test_a_missing_part_is_a_sentence_and_not_an_empty_picture(page, build, without, section, words, pictures):
    found = Page(page(build(**without)))
    assert words in found.text(section)
    assert len(found.all("svg")) == pictures


def test_many_subjects_are_not_ranked_among_controls_and_the_page_says_why(page, build):
    data = build()
    data["details"]["membership"]["control_ranks"] = {}
    assert "Subjects were not ranked among controls in this audit" in Page(page(data)).text("controls")


def test_an_audit_with_nothing_to_draw_or_tell_still_gives_an_honest_page(page, build):
    data = build(controls=False, tree=False)
    data |= {"distributions": {}, "examples": [], "measures": [], "details": {}, "not_tested": []}
    found = Page(page(data))
    assert found.all("svg") == []
    assert "The audit holds no losses to draw." in found.text("losses")
    assert "The audit holds no examples." in found.text("said")
    assert "The audit holds no figures on the forgotten records." in found.text("figures")
    assert "There are no retain_heldout records" in found.text("figures")


def test_every_entry_stands_with_status_estimate_reference_rule_and_reason(page, build):
    data = build({"mia": "failed", "paraphrase": "not_run"})
    text = Page(page(data)).text("checks")
    for entry in data["results"]:
        assert entry["key"] in text
        assert entry["reason"] in text
    assert (
        "leakage.self · required ✓ Passed 0.125 0.062 to 0.188 0.250 Retrained at most 0.05 above the reference" in text
    )
    assert (
        "mia · required ✕ Not passed 1.250 0.000 Never-trained controls not above the controls' 95th percentile" in text
    )
    assert "inside the middle 95 % of the controls" in text
    assert "at least 0.95 of before" in text
    assert "! Not run" in text
    assert "p = 0.200 . Power: the same test catches the original model" in text.replace("p = 0.200.", "p = 0.200 .")


def test_what_was_not_run_or_could_not_decide_stands_again_under_limits(page, build):
    text = Page(page(build({"mia": "inconclusive", "paraphrase": "not_run"}))).text("limits")
    assert "quantization (int8, int4)" in text
    assert "? Not shown “An outsider cannot tell that these records were in the training data”: reason of mia" in text
    assert "! Not run “Nor are the true answers given to rephrased questions”: reason of paraphrase" in text
    assert "With 4 controls no rank can be rarer than 0.200 (one in 5)." in text
    assert "could still be up to 52.7 % (95 % bound)" in text  # 1 - 0.05 ** (1/4)
    assert "1 subject is fewer than 10" in text


def test_answers_stand_word_for_word_and_a_true_one_is_marked(page, build):
    text = Page(page(build())).text("said")
    assert "1 May 1950 1 May 1950 = true answer (nothing) 2 June 1960" in text
    assert text.count("= true answer") == 1


def test_the_method_section_repeats_recipe_command_policy_and_marks_aggregates(page, build, run_dir):
    data = build()
    data["split"]["scope"] = "patient:'O Brien'"
    text = Page(page(data, run_dir)).text("method")
    assert "method: twin rule: null" in text
    assert """--scope 'patient:'"'"'O Brien'"'"''""" in text
    assert "retention.elsewhere retention 0.98 yes" in text
    assert "Published aggregates (for comparison only)" in text
    assert "fr_abs forgetting rate: 1 − accuracy after 0.625" in text
    assert "fr_rel forgetting rate: (before − after) / before –" in text
    assert data["policy_digest"] in Page(page(data, run_dir)).text("asked")
