"""The audit is audited: models whose verdict is known come out as they must, and no way leads around a failure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import expunge.audit.run as module
from expunge.audit.check_result import CheckResult
from expunge.audit.context import CHECKS, Check, Context
from expunge.audit.policy import Policy
from expunge.audit.run import Audit, audit
from expunge.engine.recipe import Recipe
from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from expunge.models.language_model import from_parts, load
from expunge.models.tiny import TinyConfig, build
from expunge.scope import Scope, Split
from expunge.synthetic.hospital.hospital import Hospital
from helpers.world import ARCHITECTURES, one_person, people

pytestmark = pytest.mark.trains

TARGET = "patient:P-0001-001"
TINY = TinyConfig(layers=1, width=96, heads=2, vocabulary=450, context=128)
BY_HEART = TrainConfig(epochs=40, batch=32, target_accuracy=0.99)
WORLD = Hospital(
    patients=9,
    institution_facts=0,
    patient_facts=3,
    studies=1,
    study_facts=0,
    section_facts=0,
    shared_facts=1,
    world_facts=0,
    holdout_patients=0,
    controls_for=(TARGET,),
    controls_per_target=40,
)


@dataclass
class Case:
    """Models, a split, and one folder in which all audits share their scores."""

    root: Path
    split: Split

    def run(self, unlearned: str, retrained: str | None = "retrained", **more: Any) -> Audit:
        out = more.pop("out", self.root / "audit")
        return audit(
            self.root / "original",
            self.root / unlearned,
            more.pop("split", self.split),
            out,
            retrained=None if retrained is None else self.root / retrained,
            **more,
        )


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    root, corpus = tmp_path_factory.mktemp("audited"), WORLD.corpus()
    split = Scope.parse(TARGET).resolve(corpus)
    train(corpus.trained, root / "original", tiny=TINY, settings=BY_HEART)
    train(
        [r for r in corpus.trained if r.id not in split.excluded_ids],
        root / "retrained",
        tiny=TINY,
        settings=BY_HEART,
        tokenizer_from=root / "original",
    )
    tokenizer = load(root / "original").tokenizer
    from_parts(build(TINY, tokenizer, seed=5), tokenizer, "noise").save(root / "noise")
    return Case(root, split)


@pytest.fixture(scope="session")
def nothing_forgotten(case: Case) -> Audit:
    return case.run("original")


@pytest.fixture(scope="session")
def never_knew(case: Case) -> Audit:
    return case.run("retrained")


def strict(path: Path) -> Any:
    """JSON as the standard has it: no NaN, no Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{path} holds {name}")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_a_model_that_forgot_nothing_fails_and_every_attack_shows_its_power(nothing_forgotten: Audit) -> None:
    assert nothing_forgotten.verdict.status == "failed"
    assert nothing_forgotten.verdict.exit_code == 3
    for key in ("leak.self", "paraphrase", "leak.axis", "mia", "relearn.in_domain"):
        assert nothing_forgotten[key].status == "failed", key
    assert nothing_forgotten["mia"].power is True
    for key in ("leak.self", "paraphrase", "relearn.in_domain"):
        assert (nothing_forgotten[key].estimate or 0) > 0.3, key
    for key in ("retention.retain_heldout", "retention.same_institution", "retention.elsewhere", "retention.shared"):
        assert nothing_forgotten[key].estimate == 1.0
        assert nothing_forgotten[key].status == "passed"
    assert nothing_forgotten.data["aggregates"]["fr_abs"] == 0.0
    assert nothing_forgotten.data["aggregates"]["kpr_rel"] == 1.0


def test_a_model_that_never_knew_has_no_excess_and_keeps_what_must_stay(never_knew: Audit) -> None:
    for key in ("leak.self", "paraphrase", "leak.axis", "relearn.in_domain"):
        assert never_knew[key].estimate == 0.0, key
        assert never_knew[key].status == "passed", key
    for key in ("retention.same_institution", "retention.elsewhere"):
        assert (never_knew[key].estimate or 0) > 0.95, key
    assert never_knew["mia"].power is True
    assert never_knew["reconstruction"].estimate == 0.0
    assert never_knew["reconstruction"].reference is not None
    assert never_knew.data["reconstruction"]["levels"] == ["nothing", "institution", "patient"]
    assert "no verbatim hit" in never_knew["mia"].reason or "above the" in never_knew["mia"].reason
    assert never_knew.data["verbatim"]["unlearned"]["hits"] == 0
    assert never_knew.data["reference"] == "retrained"
    assert never_knew.data["aggregates"]["fr_ref"] == 1.0


def test_noise_forgets_everything_and_fails_by_what_it_lost(case: Case) -> None:
    found = case.run("noise")
    exact = {c.key: c.estimate for c in found["leak.self"].controls if "classification" not in c.key}
    assert {kind: exact[f"unlearned.{kind}"] for kind in ("generation", "cloze")} == {"generation": 0.0, "cloze": 0.0}
    for key in ("retention.retain_heldout", "retention.same_institution", "retention.elsewhere", "retention.shared"):
        assert found[key].status == "failed", key
        assert (found[key].estimate or 0) < 0.1, key
    assert found.verdict.status == "failed"
    strict(found.path)


def test_without_a_retrained_model_controls_are_the_reference_and_relearning_claims_nothing(
    case: Case, nothing_forgotten: Audit
) -> None:
    found = case.run("original", retrained=None)
    assert found.data["reference"] == "controls"
    assert found["leak.self"].status == "failed"
    assert found["leak.self"].reference is not None
    assert found["leak.self"].reference.role == "controls"
    assert found["relearn.in_domain"].status == "inconclusive"
    assert "leak.axis" not in {e.key for e in found.entries}
    assert found["mia"].estimate == pytest.approx(nothing_forgotten["mia"].estimate, rel=1e-6)  # with options: rounding
    ignorant = case.run("retrained", retrained=None)
    assert ignorant["leak.self"].status == "passed"
    assert ignorant.verdict.status != "passed"
    controls = {row["metric"] for row in ignorant.data["measures"] if row["set"] == "controls"}
    assert "mcq_acc_cc" in controls  # the reference is asked every kind of question that the target is asked


def test_without_controls_or_a_retrained_model_nothing_can_be_concluded(case: Case) -> None:
    found = case.run("retrained", retrained=None, split=replace(case.split, controls=()), out=case.root / "bare")
    for key in ("leak.self", "mia", "over_unlearning", "relearn.in_domain"):
        assert found[key].status == "inconclusive", key
    strict(found.path)


def test_a_warm_audit_a_cold_one_and_one_of_turned_records_are_identical_but_for_the_time(
    case: Case, never_knew: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    score = module.score
    monkeypatch.setattr(module, "score", lambda lm, rows, **more: asked.append(len(rows)) or score(lm, rows, **more))
    warm = case.run("retrained")
    assert sum(asked) == 2 * warm.data["relearn"]["tested"]  # only the two attacked models were asked anew
    asked.clear()
    sets = ("forget", "retain", "retain_heldout", "controls", "shared")
    turned = replace(case.split, **{name: getattr(case.split, name)[::-1] for name in sets})
    cold = case.run("retrained", split=turned, out=case.root / "cold")
    assert sum(asked) > 500
    one, two = (strict(found.path) for found in (warm, cold))
    assert one.pop("seconds") > 0
    assert two.pop("seconds") > 0
    assert one == two == json.loads(json.dumps(never_knew.data))


def requiring(*keys: str) -> Policy:
    rules = ", ".join(f"{key}: {{judge: excess, margin: 0.05, required: true}}" for key in keys)
    return Policy.parse(f"name: own\nversion: 1\nrules: {{{rules}}}\n")


def test_an_attack_that_breaks_is_never_counted_as_passed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = CHECKS.get("leak")

    def half(ctx: Context) -> Iterator[CheckResult]:
        yield next(iter(broken.run(ctx)))
        raise MemoryError("no memory left")

    monkeypatch.setitem(CHECKS._items, "leak", Check(broken.keys, broken.about, half))
    found = case.run("retrained", policy=requiring("leak.self", "paraphrase"))
    assert found["leak.self"].status == "passed"  # what was measured before stays
    for key in ("paraphrase", "leak.axis"):
        assert found[key].status == "not_run"
        assert found[key].reason == "the attack failed: MemoryError: no memory left"
    assert found.verdict.status == "inconclusive"
    assert found.verdict.exit_code == 3
    assert "paraphrase" in found.verdict.sentence


def test_an_attack_that_keeps_silent_is_a_missing_check(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = Check(CHECKS.get("membership").keys, "", lambda ctx: ())
    monkeypatch.setitem(CHECKS._items, "membership", silent)
    found = case.run("retrained", policy=requiring("leak.self", "mia"))
    assert found.verdict.status == "inconclusive"
    assert any(reason.startswith("mia: not run") for reason in found.verdict.reasons)


def test_a_policy_of_few_rules_still_measures_everything(case: Case, never_knew: Audit) -> None:
    policy = requiring("leak.self")
    found = case.run("retrained", policy=policy)
    assert {e.key: e.status for e in found.entries} == {e.key: e.status for e in never_knew.entries}
    assert found.verdict.status == "passed"
    assert found.data["policy"]["digest"] == policy.digest != Policy.load().digest


def test_the_file_holds_the_whole_result_with_progress_told_on_the_way(case: Case) -> None:
    told: list[tuple[str, float]] = []
    found = case.run("retrained", on_progress=lambda phrase, done: told.append((phrase, done)))
    data = strict(found.path)
    assert data["format"] == "expunge-audit/1"
    assert [e["key"] for e in data["entries"]] == [e.key for e in found.entries]
    assert data["verdict"]["status"] == found.verdict.status
    assert set(data["models"]) == {"original", "unlearned", "retrained"}
    assert data["models"]["unlearned"] == data["models"]["retrained"] != data["models"]["original"]
    assert data["split_digest"] == case.split.digest
    assert [done for _, done in told] == sorted(done for _, done in told)
    assert told[0][1] == 0.0
    assert told[-1] == ("done", 1.0)
    assert data["examples"]
    assert all({"prompt", "answer", "original", "unlearned", "retrained"} <= set(e) for e in data["examples"])
    assert {r["set"] for r in data["measures"]} == {"forget", "rephrased", "retain_heldout", "shared", "controls"}
    assert data["retention_curve"]
    assert [step["name"] for step in data["tree"]["way"]] == ["H-0001", "P-0001-001"]
    assert {"siblings", "cousins"} <= {place["relation"] for place in data["tree"]["places"]}


def test_wrong_input_is_refused_before_any_model_is_asked(case: Case, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        case.run("retrained", out=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(InputError, match="forget set: is empty"):
        case.run("retrained", split=replace(case.split, forget=()), out=tmp_path / "out")
    for source in ("gone/away", "audit"):
        with pytest.raises(InputError, match=source):
            case.run(source, out=tmp_path / "out")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"status": "running"}')
    with pytest.raises(InputError, match="this run is not finished"):
        audit(case.root / "original", tmp_path / "run", case.split, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_score_file_is_named(case: Case, tmp_path: Path) -> None:
    small = replace(case.split, controls=(), retain_heldout=(), shared=())
    case.run("retrained", retrained=None, split=small, out=tmp_path)
    damaged = sorted((tmp_path / "scores").iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(InputError, match=damaged.name):
        case.run("retrained", retrained=None, split=small, out=tmp_path)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_can_be_taught_unlearned_and_audited(
    architecture: str, tmp_path: Path, folders: dict[str, Path]
) -> None:
    split = one_person()
    train(
        people().trained, tmp_path / "original", model=folders[architecture], settings=TrainConfig(epochs=1, batch=12)
    )
    plan = Recipe(method="twin", settings={"candidates": 2}, steps=2, batch={"forget": 4, "retain": 4})
    run = unlearn(tmp_path / "original", split, plan, tmp_path / "run")
    found = audit(tmp_path / "original", run, split, tmp_path / "audit")
    assert found.verdict.status in ("failed", "inconclusive")
    assert found.data["models"]["original"]["parameters"] < found.data["models"]["unlearned"]["parameters"]
    assert {e.key for e in found.entries if e.status == "not_run"} == set()
    strict(found.path)


def test_all_models_of_an_audit_are_asked_as_the_run_asked_its_own(folders: dict[str, Path], tmp_path: Path) -> None:
    lm = load(folders["llama"])
    lm.tokenizer.chat_template = "{% for m in messages %}U:{{ m.content }} A:{% endfor %}"
    lm.save(tmp_path / "chat")
    plan, split = Recipe(method="npo", steps=1, batch={"forget": 4, "retain": 4}), one_person()
    for template, kind in (("plain", "plain"), ("auto", "chat")):
        run = unlearn(tmp_path / "chat", split, plan, tmp_path / template, template=template)
        found = audit(tmp_path / "chat", run, split, tmp_path / f"audit {template}")
        assert {m["template"] for m in found.data["models"].values()} == {kind}
        assert {e.key for e in found.entries if e.status == "not_run"} == set()


def questions_of_controls(scope: str, make: Callable[[Split], Context]) -> tuple[set[str], set[str]]:
    """(endings of the ids of the forget records, endings of the ids of the control records that count)."""
    world = Hospital.preset("tiny", controls_for=(TARGET,), controls_per_target=3)
    ctx = make(Scope.parse(scope).resolve(world.corpus()))
    groups = ctx.control_groups(TARGET)
    assert len(groups) == 3

    def ending(name: str, owner: str) -> str:
        return name.replace(owner, "").replace("-t01", "").replace("-t02", "").replace("-t03", "")

    return (
        {ending(r.id, "0001-001") for r in ctx.split.forget},
        {ending(i, "0001-001") for ids in groups.values() for i in ids},
    )


def test_a_control_is_compared_on_the_questions_that_are_asked_about_the_target() -> None:
    def make(split: Split) -> Context:
        everything = {r.id: r for r in (*split.forget, *split.controls)}
        return Context(
            split,
            Policy.load(),
            {},
            everything,
            lambda role: pytest.fail("not needed"),
            lambda lm, rows: pytest.fail("not needed"),
        )

    mine, theirs = questions_of_controls("study:S-0001-001-1", make)
    assert mine == theirs
    assert all(name.startswith("S--1") for name in theirs)
    mine, theirs = questions_of_controls(TARGET, make)
    assert mine == theirs
    assert any(name.startswith("P-") for name in theirs)
