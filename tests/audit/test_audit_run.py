"""The audit is audited: models whose verdict is known come out as they must, and no way leads around a failure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import expunge.audit.preparation as module
from expunge._config import FrozenModel
from expunge._registry import Registry
from expunge.audit import score_store
from expunge.audit.check_result import CheckResult
from expunge.audit.checks import relearning
from expunge.audit.context import CHECKS, Check, CheckOutput, Context, RecordProbe
from expunge.audit.policy import Policy
from expunge.audit.run import Audit, audit
from expunge.audit.schema import load_audit
from expunge.audit.scores import Scores
from expunge.audit.verify import verify
from expunge.corpus import Record, Variant
from expunge.engine.recipe import Recipe
from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from expunge.models.language_model import LanguageModel, load
from expunge.scope import Scope, Split
from expunge.synthetic.hospital.hospital import Hospital
from helpers.audited import TARGET, Case
from helpers.audits import without_times
from helpers.world import ARCHITECTURES, RUNNING, one_person, people

pytestmark = pytest.mark.trains


@pytest.fixture(scope="session")
def nothing_forgotten(case: Case) -> Audit:
    return case.run("original")


@pytest.fixture(scope="session")
def never_knew(case: Case) -> Audit:
    return case.run("again")


def strict(path: Path) -> Any:
    """JSON as the standard has it: no NaN, no Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{path} holds {name}")

    return json.loads(path.read_text(), parse_constant=refuse)


def test_a_model_that_forgot_nothing_fails_and_checks_show_their_power(nothing_forgotten: Audit) -> None:
    assert nothing_forgotten.verdict.status == "failed"
    assert nothing_forgotten.verdict.exit_code == 3
    for key in ("leakage.self", "paraphrase", "leakage.axis", "mia", "relearning.in_domain"):
        assert nothing_forgotten[key].status == "failed", key
    assert nothing_forgotten["mia"].power is True
    for key in ("leakage.self", "paraphrase", "relearning.in_domain"):
        assert (nothing_forgotten[key].estimate or 0) > 0.3, key
    for key in ("retention.retain_heldout", "retention.same_institution", "retention.elsewhere", "retention.shared"):
        assert nothing_forgotten[key].estimate == 1.0
        assert nothing_forgotten[key].status == ("inconclusive" if key == "retention.shared" else "passed"), key
    assert "too little data: with 3 records" in nothing_forgotten["retention.shared"].reason
    assert nothing_forgotten.file.aggregates["fr_abs"] == 0.0
    assert nothing_forgotten.file.aggregates["kpr_rel"] == 1.0


def test_a_model_that_never_knew_has_no_excess_and_keeps_what_must_stay(never_knew: Audit) -> None:
    for key in ("leakage.self", "paraphrase", "leakage.axis", "relearning.in_domain"):
        assert never_knew[key].status == "passed", (key, never_knew[key].reason)
    for key in ("retention.same_institution", "retention.elsewhere"):
        assert (never_knew[key].estimate or 0) > 0.95, key
    assert never_knew["mia"].power is True
    assert never_knew["reconstruction"].reference is not None
    assert never_knew.file.details.reconstruction.levels == ("nothing", "institution", "patient")
    assert "no verbatim hit" in never_knew["mia"].reason or "above the" in never_knew["mia"].reason
    assert never_knew.file.details.membership.verbatim["unlearned"].hits == 0
    assert never_knew.file.reference == "retrained"
    assert never_knew.file.assurance.level == "L3"  # its own train.json says what it was trained on


def test_noise_forgets_everything_and_fails_by_what_it_lost(case: Case) -> None:
    found = case.run("noise")
    exact = {c.key: c.estimate for c in found["leakage.self"].controls if "classification" not in c.key}
    assert {kind: exact[f"unlearned.{kind}"] for kind in ("generation", "cloze")} == {"generation": 0.0, "cloze": 0.0}
    for key in ("retention.retain_heldout", "retention.same_institution", "retention.elsewhere", "retention.shared"):
        assert found[key].status == "failed", key
        assert (found[key].estimate or 0) < 0.1, key
    assert found.verdict.status == "failed"
    strict(found.path)


def test_without_a_retrained_model_controls_are_the_reference(case: Case, nothing_forgotten: Audit) -> None:
    found = case.run("original", retrained=None)
    assert found.file.reference == "controls"
    assert found["leakage.self"].status == "failed"
    assert found["leakage.self"].reference is not None
    assert found["leakage.self"].reference.role == "controls"
    assert found["relearning.in_domain"].status == "failed"
    assert "leakage.axis" not in {e.key for e in found.results}
    assert found["mia"].estimate == pytest.approx(nothing_forgotten["mia"].estimate, rel=1e-6)  # with options: rounding
    ignorant = case.run("again", retrained=None)
    assert ignorant.verdict.status == "passed", ignorant.verdict.reasons
    assert (ignorant.file.policy.name, ignorant.file.assurance.level) == ("controls-only", "L3")
    controls = {m.metric for m in ignorant.file.measures if m.set == "controls"}
    assert "mcq_acc_cc" in controls  # the reference is asked every kind of question that the target is asked


def test_without_controls_or_a_retrained_model_nothing_can_be_concluded(case: Case) -> None:
    found = case.run("retrained", retrained=None, split=replace(case.split, controls=()), out=case.root / "bare")
    for key in ("leakage.self", "mia", "over_unlearning", "relearning.in_domain"):
        assert found[key].status == "inconclusive", key
    strict(found.path)


def test_warm_cold_and_reordered_audits_are_identical_but_for_the_time(
    case: Case, never_knew: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    score = score_store.score

    def counted(lm: LanguageModel, rows: Sequence[Record], **more: Any) -> Scores:
        asked.append(len(rows))
        return score(lm, rows, **more)

    for scoring in (score_store, relearning):
        monkeypatch.setattr(scoring, "score", counted)
    warm = case.run("again")
    assert sum(asked) == 2 * warm.file.details.relearning.n_test  # only the two attacked models were asked anew
    asked.clear()
    sets = ("forget", "retain", "retain_heldout", "controls", "shared")
    turned = replace(case.split, **{name: getattr(case.split, name)[::-1] for name in sets})
    cold = case.run("again", split=turned, out=case.root / "cold")
    assert sum(asked) > 500
    one, two = (strict(found.path) for found in (warm, cold))
    third = never_knew.file.model_dump(mode="json")
    for data in (one, two, third):
        assert data["seconds"] > 0
        assert data["stages"]["check relearning"] > 0
        assert data["created"] > "2024"
        assert len(data["seal"]) == 64
        assert data.pop("attempts")  # of other audits of the same request, too
    assert without_times(one) == without_times(two) == without_times(third)


def requiring(*keys: str) -> Policy:
    rules = ", ".join(f"{key}: {{judge: excess, margin: 0.05, required: true}}" for key in keys)
    return Policy.parse(f"name: own\nversion: 1\nrules: {{{rules}}}\n")


def test_a_check_that_breaks_is_never_counted_as_passed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(ctx: Context) -> CheckOutput:
        raise MemoryError("no memory left")

    monkeypatch.setitem(CHECKS._items, "leakage", replace(CHECKS.get("leakage"), run=broken))
    found = case.run("again", policy=requiring("leakage.self", "paraphrase"))
    for key in ("leakage.self", "paraphrase", "leakage.axis"):
        assert found[key].status == "not_run"
        assert found[key].reason == "the check failed: MemoryError: no memory left"
    assert found.verdict.status == "inconclusive"
    assert found.verdict.exit_code == 3
    assert "paraphrase" in found.verdict.sentence


def test_a_probe_that_breaks_fails_its_own_check_alone(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def score(self, lm: LanguageModel, role: str, scores: Any) -> Any:
            raise RuntimeError(f"no answer from {role}")

    monkeypatch.setitem(
        CHECKS._items, "reconstruction", replace(CHECKS.get("reconstruction"), make_probe=lambda ctx: Broken())
    )
    found = case.run("again")
    assert found["reconstruction"].status == "not_run"
    assert found["reconstruction"].reason == "the check failed: RuntimeError: no answer from original"
    assert [r.key for r in found.results if r.status == "not_run" and not r.is_omitted] == ["reconstruction"]


def test_a_check_that_keeps_silent_is_a_missing_check(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = replace(CHECKS.get("membership"), run=lambda ctx: CheckOutput(()))
    monkeypatch.setitem(CHECKS._items, "membership", silent)
    found = case.run("again", policy=requiring("leakage.self", "mia"))
    assert found.verdict.status == "inconclusive"
    assert any(reason.startswith("mia: not run") for reason in found.verdict.reasons)
    assert found.file.details.membership is None
    assert not [key for key in found.file.aggregates if key.startswith("mia_resistance")]


def test_every_model_is_loaded_once_and_the_relearned_ones_afresh(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: Counter[str] = Counter()

    def counted(source: str, **more: Any) -> LanguageModel:
        loads[Path(source).name] += 1
        return load(source, **more)

    monkeypatch.setattr(module, "load", counted)
    case.run("noise")
    assert loads == {"original": 1, "noise": 2, "retrained": 4}  # it was asked about strangers, for two failures
    loads.clear()
    case.run("noise", retrained=None)  # probes of controls, too; all of them relearn on one copy
    assert loads == {"original": 1, "noise": 2}


def test_a_check_of_another_package_has_its_probe_and_details(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shouted(FrozenModel):
        exact: float

    def run(ctx: Context) -> CheckOutput:
        scores = ctx.probe("shout", "unlearned")
        exact = float((scores.sum(~scores.hit) == 0).mean())
        return CheckOutput([CheckResult(key="shout", status="passed", estimate=exact)], Shouted(exact=exact))

    def probe(ctx: Context) -> RecordProbe:
        return RecordProbe([replace(r, prompt=r.prompt.upper()) for r in ctx.split.forget])

    CHECKS.names()
    monkeypatch.setitem(CHECKS._items, "shout", Check(("shout",), run, probe))
    found = case.run("again", policy=requiring("shout"))
    assert found["shout"].estimate == 0.0
    assert found.file.details.plugins == {"shout": {"exact": 0.0}}
    assert load_audit(found.path).details.plugins == {"shout": {"exact": 0.0}}


def test_checks_may_be_registered_in_any_order(case: Case, never_knew: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    turned = dict(reversed(list(CHECKS)))
    monkeypatch.setattr(CHECKS, "_items", turned)
    monkeypatch.setattr(Registry, "__iter__", lambda self: iter(self._items.items()))
    found = case.run("again")
    assert found.file.aggregates == never_knew.file.aggregates
    ours, theirs = (without_times(a.file.model_dump(mode="json")) for a in (found, never_knew))
    assert ours["details"] == theirs["details"]
    assert {r.key: r for r in found.results} == {r.key: r for r in never_knew.results}


def test_a_rule_that_no_check_answers_is_refused(case: Case) -> None:
    with pytest.raises(InputError, match=r'policy "own": unknown result "leak.self"; did you mean "leakage.self"'):
        case.run("again", policy=requiring("leak.self"))


def test_a_record_may_be_named_like_the_wording_of_another(case: Case, tmp_path: Path) -> None:
    """`a` with one variant, and a record `a~1`, in one set and in two."""
    first, second, third = case.split.forget[:3]
    other = replace(second, id=f"{first.id}~1", variants=())
    both = replace(first, variants=(Variant(f"Again: {first.prompt}", first.answer),))
    small = replace(case.split, controls=(), shared=())
    one = case.run("original", split=replace(small, forget=(both, other, third)), out=tmp_path / "one")
    assert [r.key for r in one.results if r.status == "not_run" and not r.is_omitted] == []
    assert one["leakage.self"].n_records == 3 + len(third.variants) + 1
    heldout = replace(small.retain_heldout[0], id=f"{first.id}~1", variants=())
    away = replace(small, forget=(both, third), retain_heldout=(heldout, *small.retain_heldout[1:]))
    two = case.run("original", split=away, out=tmp_path / "two")
    assert [r.key for r in two.results if r.status == "not_run" and not r.is_omitted] == []
    assert two["retention.retain_heldout"].estimate == 1.0
    assert two["retention.retain_heldout"].n_records == len(small.retain_heldout)


def test_a_policy_of_few_rules_still_measures_everything(case: Case, never_knew: Audit) -> None:
    policy = requiring("leakage.self")
    found = case.run("again", policy=policy)
    attacks = {"lens", "probe"}  # run in this preset where a policy requires them
    ours, theirs = ({e.key: e.status for e in a.results if e.key not in attacks} for a in (found, never_knew))
    assert ours == theirs
    assert {found[key].status for key in attacks} == {"not_run"}
    assert found.verdict.status == "passed"
    assert found.file.policy_digest == policy.digest != Policy.load().digest


def test_the_file_holds_the_whole_result_with_progress_on_the_way(case: Case) -> None:
    progress: list[tuple[str, float]] = []
    found = case.run("again", on_progress=lambda phrase, done: progress.append((phrase, done)))
    file = load_audit(found.path)
    assert file == found.file
    assert strict(found.path)["schema_version"] == 3
    assert set(file.models) == {"original", "unlearned", "retrained"}
    assert len({m.digest for m in file.models.values()}) == 3
    assert {role: m.name for role, m in file.models.items()} == {
        "original": "original",
        "unlearned": "again",
        "retrained": "retrained",
    }
    assert file.split_digest == case.split.digest
    assert [done for _, done in progress] == sorted(done for _, done in progress)
    assert progress[0][1] == 0.0
    assert progress[-1] == ("done", 1.0)
    assert file.examples
    assert all(set(e.answers) == {"original", "unlearned", "retrained"} for e in file.examples)
    assert {m.set for m in file.measures} == {"forget", "rephrased", "retain_heldout", "shared", "controls"}
    retention = file.details.retention
    assert retention.curve
    assert [level.name for level in retention.tree.way] == ["H-0001", "P-0001-001"]
    assert {"siblings", "cousins"} <= {node.relation for node in retention.tree.nodes}


def test_wrong_input_is_refused_before_any_model_is_asked(case: Case, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        case.run("again", out=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(InputError, match="forget set: is empty"):
        case.run("again", split=replace(case.split, forget=()), out=tmp_path / "out")
    for source in ("gone/away", "audit"):
        with pytest.raises(InputError, match=source):
            case.run(source, out=tmp_path / "out")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps(RUNNING))
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


@pytest.mark.parametrize(
    "architecture",
    [name if name == "llama" else pytest.param(name, marks=pytest.mark.matrix) for name in ARCHITECTURES],
)
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
    assert found.file.models["original"].parameters < found.file.models["unlearned"].parameters
    assert {e.key for e in found.results if e.status == "not_run" and not e.is_omitted} == set()
    assert verify(found.path.parent, split=split).problems == []
    strict(found.path)


def test_all_models_of_an_audit_are_asked_as_the_run_asked_its_own(folders: dict[str, Path], tmp_path: Path) -> None:
    lm = load(folders["llama"])
    lm.tokenizer.chat_template = "{% for m in messages %}U:{{ m.content }} A:{% endfor %}"
    lm.save(tmp_path / "chat")
    plan, split = Recipe(method="npo", steps=1, batch={"forget": 4, "retain": 4}), one_person()
    for template, kind, preset in (("plain", "plain", "quick"), ("auto", "chat", "default")):
        run = unlearn(tmp_path / "chat", split, plan, tmp_path / template, template=template)
        found = audit(tmp_path / "chat", run, split, tmp_path / f"audit {template}", preset=preset)
        assert {m.template for m in found.file.models.values()} == {kind}
        assert {e.key for e in found.results if e.status == "not_run" and not e.is_omitted} == set()


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


def test_a_control_is_compared_on_the_questions_of_the_target() -> None:
    def make(split: Split) -> Context:
        everything = {r.row_id: r for r in (*split.forget, *split.controls)}
        return Context(split, Policy.load(), (), everything)

    mine, theirs = questions_of_controls("study:S-0001-001-1", make)
    assert mine == theirs
    assert all(name.startswith("S--1") for name in theirs)
    mine, theirs = questions_of_controls(TARGET, make)
    assert mine == theirs
    assert any(name.startswith("P-") for name in theirs)
