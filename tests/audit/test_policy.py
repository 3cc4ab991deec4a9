"""Policies: data, versioned, with a digest, and helpful about mistakes."""

from importlib.resources import files

import pytest
import yaml
from pydantic import ValidationError

from expunge.audit.context import CHECKS
from expunge.audit.policy import Policy, default_policy, shipped_policies
from expunge.audit.statistics import Bootstrap
from expunge.errors import InputError

SMALL = """
name: small
version: 3
rules:
  leakage.self: {judge: excess, margin: 0.05, required: true}
  retention.siblings: {judge: retention, margin: 0.95}
"""


def test_the_required_results_of_the_shipped_policy():
    policy = Policy.load()
    assert set(policy.required) == {
        "leakage.self",
        "paraphrase",
        "relearning.in_domain",
        "mia",
        "over_unlearning",
        "lens",
        "probe",
        "retention.same_institution",
        "retention.elsewhere",
        "retention.text",
        "retention.retain",
        "cross_modal",
    }
    margins = {key: rule.margin for key, rule in policy.rules.items()}
    assert margins["leakage.self"] == 0.05
    assert margins["relearning.in_domain"] == 0.10
    assert margins["retention.same_institution"] == 0.95
    assert margins["retention.elsewhere"] == 0.98
    assert policy.rules["cross_modal"].required == "where_applicable"  # scopes without pictures do without it
    assert "retention.siblings" in policy.rules
    assert policy.membership.scores == ("loss", "entropy")
    assert policy.bootstrap == Bootstrap(draws=2000, level=0.95, seed=0, min_subjects=10)
    assert policy.matched_controls.over_range == (2.5, 97.5)


def test_the_digest_is_of_the_content_and_not_of_the_file():
    policy = Policy.parse(SMALL)
    assert Policy.parse("# a remark\n" + yaml.safe_dump(yaml.safe_load(SMALL))).digest == policy.digest
    assert Policy.parse(SMALL.replace("0.05", "0.06")).digest != policy.digest
    assert len(policy.digest) == 64


def test_a_policy_comes_from_a_file(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(SMALL)
    assert Policy.load(path) == Policy.parse(SMALL)
    with pytest.raises(InputError, match=r"none\.yaml: there is no such policy file"):
        Policy.load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("margin: 0.05", "margn: 0.05"), r'p: unknown key "rules.leakage.self.margn"; did you mean "margin"'),
        (("version: 3", "version: 3\nstatistcs: {}"), r'p: unknown key "statistcs"; did you mean "statistics"'),
        (("version: 3", "version: 3\nstatistics: {draw: 200}"), r'key "statistics.draw"; did you mean "draws"'),
        (("version: 3", ""), r'p: the key "version" is missing'),
        (("judge: excess", "judge: guess"), r"p: rules.leakage.self.judge: must be"),
        (("required: true", "required: false"), r"p: rules: no rule is required, so every audit would pass"),
        (("version: 3", "version: 3\nmembership: {scores: [los]}"), r'unknown score "los"; did you mean "loss"'),
        (("version: 3", "version: [3"), r"p:\d+: not valid YAML"),
    ],
)
def test_mistakes_are_named_with_a_remedy(change, message):
    with pytest.raises(InputError, match=message):
        Policy.parse(SMALL.replace(*change), "p")


def test_what_is_no_mapping_is_no_policy():
    with pytest.raises(InputError, match="is not a mapping"):
        Policy.parse("- a")


def test_a_policy_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Policy.parse(SMALL).version = 4


def shipped_text(name):
    return (files("expunge.audit") / "policies" / f"{name}.yaml").read_text("utf-8")


def test_three_policies_are_shipped_and_chosen_by_what_there_is():
    assert shipped_policies() == ("controls-only", "strict", "with-retrained")
    assert [Policy.load(name).reference for name in shipped_policies()] == ["controls", "both", "retrained"]
    assert [Policy.load(name).needs_retrained for name in shipped_policies()] == [False, True, True]
    assert default_policy(retrained=True) == Policy.load() == Policy.load("with-retrained")
    assert default_policy(retrained=False) == Policy.load("controls-only")
    with pytest.raises(InputError, match=r'there is no policy "controls"; did you mean "controls-only"'):
        Policy.load("controls")


def test_every_rule_names_a_result_and_strict_is_nowhere_laxer():
    known = {key for _, one in CHECKS for key in one.keys}
    strict, usual = Policy.load("strict"), Policy.load("with-retrained")
    for name in shipped_policies():
        policy = Policy.load(name)
        assert set(policy.rules) <= known
        assert policy.about
    more = {"lens", "probe", "over_unlearning"}
    assert set(strict.required) > set(usual.required) == {*Policy.load("controls-only").required, *more}
    assert strict.intervals
    for key, rule in usual.rules.items():
        laxer = rule.margin - strict.rules[key].margin
        assert laxer <= 0 if rule.judge == "retention" else laxer >= 0, key


def test_a_changed_copy_does_not_claim_to_be_the_shipped_policy(tmp_path):
    path = tmp_path / "my-policy.yaml"
    path.write_text("# a copy\n" + shipped_text("controls-only"))
    assert Policy.load(path) == Policy.load("controls-only")  # the same content is the same policy
    path.write_text(shipped_text("controls-only").replace("margin: 0.05", "margin: 0.5"))
    assert Policy.load(path).name == "my-policy.yaml (not shipped)"
    path.write_text(shipped_text("strict").replace("name: strict", "name: clinic"))
    assert Policy.load(path).name == "clinic"
    path.write_text(SMALL.replace("name: small", "name: default"))  # what the shipped one was called before
    assert Policy.load(path).name == "my-policy.yaml (not shipped)"
    changed = Policy.load("strict").model_copy(update={"known_margin": 0.5})
    assert changed.with_own_name().name == "strict (changed, not shipped)"
