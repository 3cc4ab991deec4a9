"""The public names: what `dir` offers, and `repr`s that are short and say nothing about anybody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import expunge
from expunge.audit.check_result import CheckResult
from expunge.audit.context import Context, RecordProbe
from expunge.audit.policy import Policy
from expunge.audit.run import Audit
from expunge.audit.schema import AuditFile
from expunge.corpus import Turn, Variant
from expunge.corpus.loaders.base import SourceRow
from expunge.engine.recipe import Recipe
from expunge.scope import Scope, Split
from helpers.audits import audit_data, scores

NAME, QUESTION, ANSWER = "Jürgen Müller", "Which drug does Jürgen Müller take?", "Amlodipine 10 mg"
RECORD = expunge.Record(
    "r1",
    QUESTION,
    ANSWER,
    subject=NAME,
    path=(f"patient:{NAME}",),
    identifiers=(NAME,),
    variants=(Variant("What does Jürgen Müller take?", ANSWER),),
    history=(Turn("system", f"{NAME} is a patient."),),
)


def split(*forget: expunge.Record) -> Split:
    return Split(scope=f'patient:"{NAME}"', forget=forget, retain=(), retain_heldout=())


def audit() -> AuditFile:
    data = audit_data()
    data["split"]["targets"] = [NAME]
    data["split"]["scope"] = f'patient:"{NAME}"'
    data["examples"] = [{"prompt": QUESTION, "answer": ANSWER, "kind": "generation", "answers": {"original": ANSWER}}]
    return AuditFile.model_validate(data)


THINGS = {
    "record": RECORD,
    "variant": RECORD.variants[0],
    "turn": RECORD.history[0],
    "row": SourceRow("a.csv:2", {"prompt": QUESTION, "answer": ANSWER}, Path()),
    "split": split(RECORD),
    "scope": Scope.parse(f'patient:"{NAME}" and not (kind=cloze)'),
    "audit": Audit(audit(), Path("audit/audit.json")),
    "audit file": audit(),
    "audit split": audit().split,
    "audit example": audit().examples[0],
    "audit details": audit().details,
    "result": CheckResult(key="mia", status="failed", reason=f"{NAME} ranks first"),
    "scores": scores([[-1.0, -2.0]], ids=[NAME], text=(ANSWER,)),
    "probe": RecordProbe((RECORD,)),
    "context": Context(split(RECORD), Policy.load(), ("original", "unlearned"), {"r1": RECORD}),
    "recipe": Recipe.load("twin"),
}


@pytest.mark.parametrize("name", THINGS)
def test_a_repr_is_short_and_names_nobody(name: str) -> None:
    for text in (repr(THINGS[name]), str(THINGS[name])):
        assert len(text) < 240
        assert text.startswith(type(THINGS[name]).__name__)
        for private in (NAME, QUESTION, ANSWER, "Müller", "Amlodipine"):
            assert private not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'patient:"{NAME}" and not kind=cloze', "Scope(patient:… and not kind=…)"),
        ("institution:H1/patient:P-1 | ids:a,b", "Scope(institution:… or ids:…)"),
        ("(subject:X)", "Scope(( subject:… ))"),
    ],
)
def test_the_repr_of_a_scope_keeps_kinds_and_operators(text: str, expected: str) -> None:
    assert repr(Scope.parse(text)) == expected


def test_the_repr_of_a_record_says_which_and_of_what_kind() -> None:
    assert repr(RECORD) == "Record(id='r1', kind='generation', split=None, variants=1, history=1)"


def test_the_repr_of_scores_counts_records_and_tokens() -> None:
    assert repr(scores([[-1.0, -2.0], [-0.5]])) == "Scores(ids=2, logp=3, text=None, option_logprob=None)"


def test_dir_offers_the_public_names_without_importing_them() -> None:
    code = (
        "import sys, expunge; print(dir(expunge) == sorted([*expunge.__all__, '__version__']), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_python_m_expunge_is_the_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "expunge", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"expunge {expunge.__version__}\n"
