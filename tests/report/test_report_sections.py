"""The text of each section: numbers by hand, and sentences for missing parts."""

import pytest

from expunge.audit.check_result import IntervalEstimate
from expunge.audit.schema import AuditFile
from expunge.report import tables
from helpers.report import Page


def row(html: Page, section: str, name: str, cells: int) -> list[str]:
    """The first `cells` words after a row's name."""
    rest = html.text(section).split(name, 1)[1].split()
    return rest[:cells]


@pytest.mark.parametrize(
    ("statuses", "label", "sentence"),
    [
        (
            {},
            "Passed",
            "On all 11 required checks the model behaves like a model that was never trained on the forget set",
        ),
        ({"mia": "failed"}, "Not passed", "1 of 11 required checks failed: traces of the forget set are left."),
        (
            {"retention.elsewhere": "failed"},
            "Not passed",
            "1 of 11 required checks failed: knowledge that must stay is damaged.",
        ),
        (
            {"mia": "failed", "retention.elsewhere": "failed", "paraphrase": "not_run"},
            "Not passed",
            "2 of 11 required checks failed: traces of the forget set are left, and knowledge that must stay is "
            "damaged",
        ),
        (
            {"paraphrase": "not_run", "mia": "inconclusive"},
            "Inconclusive",
            "No required check failed, but 2 of 11 could not decide. The audit does not show forgetting",
        ),
    ],
)
def test_the_first_screen_gives_the_verdict_in_a_word_and_a_sentence(page, build, statuses, label, sentence):
    text = Page(page(build(statuses))).text("verdict")
    assert sentence in text
    assert f"{label} {sentence}" in text.replace("✓ ", "").replace("✕ ", "").replace("? ", "")


def test_the_first_screen_shows_scope_and_meaning(page, build, run_dir):
    text = Page(page(build(), run_dir)).text("verdict")
    assert "Forget set 1 subject, 12 records Method “twin”, 40 steps Reference retrained model" in text
    assert "What the verdict means" in text
    assert "It is not a proof that nothing can ever be recovered." in text
    assert "It is a measurement, not legal advice." in text


def test_the_first_screen_shows_the_key_metrics_of_every_model(page, build):
    html = Page(page(build()))
    assert row(html, "verdict", "Leakage: worst kind of question", 3) == ["1.000", "0.375", "0.250"]
    assert row(html, "verdict", "Membership AUC by loss", 3) == ["0.500", "0.750", "0.500"]
    assert row(html, "verdict", "Exact match", 3) == ["1.000", "0.375", "0.250"]
    html = Page(page(build(retrained=False)))
    assert row(html, "verdict", "Leakage: worst kind of question", 3) == ["1.000", "0.375", "0.250"]
    assert row(html, "verdict", "Exact match", 3) == ["1.000", "0.375", "–"]


def test_a_failed_check_is_not_listed_as_passed(page, build):
    text = Page(page(build({"mia": "not_run", "paraphrase": "failed"}))).text("verdict")
    assert "! Not run Membership: the records look never trained" in text
    assert "✕ Not passed Leakage, rephrased: nor to rephrased questions" in text
    assert text.count("✓ Passed") == 9


def test_metrics_have_n_every_model_the_difference_and_the_interval(page, build):
    html = Page(page(build()))
    assert row(html, "tables", "Leakage: free questions", 5) == ["8", "1.000", "0.375", "0.250", "+0.125"]
    assert row(html, "tables", "Leakage: worst kind of question", 8) == [
        "12",
        "1.000",
        "0.375",
        "0.250",
        "+0.125",
        "0.062",
        "to",
        "0.188",
    ]
    assert row(html, "tables", "Leakage: multiple choice, corrected for chance", 5) == [
        "4",
        "0.500",
        "−0.125",
        "−0.250",
        "+0.125",
    ]
    assert row(html, "tables", "Membership AUC by loss", 5) == ["12", "0.500", "0.750", "0.500", "+0.250"]
    assert row(html, "tables", "Exact match", 5) == ["40", "1.000", "0.375", "0.250", "0.975"]


def test_without_a_retrained_model_the_reference_is_the_controls(page, build):
    html = Page(page(build(retrained=False)))
    text = html.text("tables")
    assert "This audit has no retrained model." in text
    assert "Matched controls reference" in text
    assert row(html, "tables", "Answer probability", 8) == [
        "12",
        "1.000",
        "0.375",
        "0.312",
        "0.281",
        "to",
        "0.344",
        "+0.062",
    ]
    assert row(html, "tables", "Answer probability, rephrased", 5) == ["36", "1.000", "0.375", "–", "–"]
    assert "Retrained" not in html.text("examples")
    assert "--retrained" not in html.text("method")
    assert len([p for p in html.all("svg") if "retrained" in p["aria-label"]]) == 0


def test_an_auc_difference_has_the_interval_of_the_audit(build):
    data = build()
    data["details"]["membership"]["excess"] = {"loss": {"estimate": 0.25, "ci": [0.125, 0.375]}}
    rows = {r.name: r for r in tables.forget_rows(AuditFile.model_validate(data))}
    assert rows["Membership AUC by loss"].comparison == IntervalEstimate(estimate=0.25, ci=(0.125, 0.375))


def test_a_shared_description_is_shown_once(build):
    rows = tables.forget_rows(AuditFile.model_validate(build()))
    descriptions = tables.group_descriptions([*rows, *rows])
    assert len(descriptions) == len({r.description for r in rows})
    assert descriptions[rows[0].description] == rows[0].name


@pytest.mark.parametrize(
    ("without", "section", "sentence", "plots"),
    [
        ({"controls": False}, "controls", "The audit has no matched controls", 3 + 1),
        ({"tree": False}, "retention", "No record of the held-out retain set has a distance to the target", 3 + 3 + 1),
        ({}, "training", "The report has no run directory", 3 + 3 + 1 + 1),
    ],
)
def test_a_missing_part_is_a_sentence_and_not_an_empty_plot(page, build, without, section, sentence, plots):
    html = Page(page(build(**without)))
    assert sentence in html.text(section)
    assert len(html.all("svg")) == plots


def test_many_subjects_are_not_ranked_among_controls(page, build):
    data = build()
    data["details"]["membership"]["control_ranks"] = {}
    assert "Subjects are not ranked among controls in this audit" in Page(page(data)).text("controls")


def test_an_audit_without_details_names_every_missing_part(page, build):
    data = build(controls=False, tree=False)
    data |= {"distributions": {}, "examples": [], "measures": [], "details": {}, "not_tested": []}
    html = Page(page(data))
    assert html.all("svg") == []
    assert "The audit holds no losses." in html.text("losses")
    assert "The audit holds no examples." in html.text("examples")
    assert "The audit holds no metrics on the forget set." in html.text("tables")
    assert "The held-out retain set is empty" in html.text("tables")


def test_every_result_has_status_estimate_reference_rule_and_reason(page, build):
    data = build({"mia": "failed", "paraphrase": "not_run"})
    text = Page(page(data)).text("checks")
    for result in data["results"]:
        assert result["key"] in text
        assert result["reason"] in text
    assert (
        "leakage.self · required ✓ Passed 0.125 0.062 to 0.188 0.250 Retrained at most 0.05 above the reference" in text
    )
    assert "mia · required ✕ Not passed 1.250 0.000 Matched controls not above the controls' 95th percentile" in text
    assert "inside the middle 95 % of the controls" in text
    assert "at least 0.95 of the original" in text
    assert "! Not run" in text
    assert "p = 0.200 . Power: the same test detects the original model" in text.replace("p = 0.200.", "p = 0.200 .")


def test_undecided_checks_are_repeated_under_limits(page, build):
    text = Page(page(build({"mia": "inconclusive", "paraphrase": "not_run"}))).text("limits")
    assert "quantization (int8, int4)" in text
    assert "? Inconclusive “Membership: the records look never trained”: reason of mia" in text
    assert "! Not run “Leakage, rephrased: nor to rephrased questions”: reason of paraphrase" in text
    assert "With 4 controls no rank can be rarer than 0.200 (one in 5)." in text
    assert "could still be up to 52.7 % (95 % bound)" in text  # 1 - 0.05 ** (1/4)
    assert "1 subject is fewer than 10" in text


def test_answers_are_verbatim_and_a_true_one_is_marked(page, build):
    text = Page(page(build())).text("examples")
    assert "1 May 1950 1 May 1950 = true answer (empty) 2 June 1960" in text
    assert text.count("= true answer") == 1


def test_the_method_section_shows_recipe_command_and_policy(page, build, run_dir):
    data = build()
    data["split"]["scope"] = "patient:'O Brien'"
    text = Page(page(data, run_dir)).text("method")
    assert "method: twin rule: null" in text
    assert """--scope 'patient:'"'"'O Brien'"'"''""" in text
    assert "retention.elsewhere retention 0.98 yes" in text
    assert "Published aggregates (for comparison only)" in text
    assert "fr_abs forgetting rate: 1 − accuracy after 0.625" in text
    assert "fr_rel forgetting rate: (before − after) / before –" in text
    assert data["policy_digest"] in Page(page(data, run_dir)).text("scope")
