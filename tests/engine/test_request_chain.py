"""Requests over time: a run after a run knows what earlier ones forgot, and keeps it out of its sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from expunge.corpus import Corpus, Record
from expunge.engine.guards import build_guards, states
from expunge.engine.recipe import Recipe
from expunge.engine.request_chain import (
    audited_request,
    chain_after,
    check_base,
    guard_note,
    record_print,
    request_summary,
    runs_of_chain,
    split_after,
)
from expunge.engine.stratified_sampling import guard_rows, guard_turns
from expunge.engine.unlearn import unlearn
from expunge.errors import InputError
from expunge.models.language_model import load
from expunge.models.run_file import ChainLink, known_splits
from expunge.scope import Scope
from helpers.runs import FEW, recipe
from helpers.world import people

SCOPES = ("patient:P-0001-001", "patient:P-0002-001", "patient:P-0003-001")
PLAN = recipe("grad_diff", steps=1)


def link(scope: str, corpus: Corpus | None = None, earlier: Sequence[ChainLink] = ()) -> ChainLink:
    """The link of a request that needs no run."""
    split = split_after(corpus or people(), Scope.parse(scope), earlier)
    about = {"run": "seal", "split": split.training_digest, "model": "m", "method": "npo", "created": ""}
    return ChainLink(**request_summary(split, 42), **about)


def of(scope: str) -> set[str]:
    corpus = people()
    return set(Scope.parse(scope).match(corpus)) & {r.id for r in corpus.trained}


def test_a_print_cannot_be_tried_with_answers() -> None:
    """Of a yes-or-no question the print would tell the answer; of a document the text is all there is."""
    asked = Record("a", "Does Anna Keller smoke?", "Yes.")
    assert record_print(asked) == record_print(replace(asked, id="b", answer="No."))
    assert record_print(asked) != record_print(replace(asked, prompt="Does Bert Keller smoke?"))
    text = Record("d", "", "A letter.", kind="document")
    assert record_print(text) != record_print(replace(text, answer="Another letter."))


@pytest.fixture(scope="module")
def chain(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs of one step, each after the one before."""
    root, runs, links = tmp_path_factory.mktemp("chain"), [folders["llama"]], []
    for k, scope in enumerate(SCOPES):
        split = split_after(people(), Scope.parse(scope), links)
        runs.append(unlearn(runs[-1], split, PLAN, root / f"run{k + 1}", chain=links))
        links = chain_after(runs[-1])
    return runs


def test_earlier_records_are_in_no_set_and_are_guarded() -> None:
    one = link(SCOPES[0])
    split = split_after(people(), Scope.parse(SCOPES[1]), [one])
    sets = {name: {r.id for r in getattr(split, name)} for name in ("forget", "retain", "retain_heldout", "shared")}
    assert not of(SCOPES[0]) & set().union(*sets.values())
    assert {r.id for r in split.guards} == of(SCOPES[0])
    assert sets["forget"] == of(SCOPES[1])
    assert split.training_digest != replace(split, guards=()).training_digest


def test_a_record_is_known_again_by_what_it_asks() -> None:
    record = people().trained[0]
    others = replace(record, id="other", subject="x", identifiers=("y",), attributes={"a": 1}, path=())
    assert record_print(others) == record_print(record)
    assert record_print(replace(record, prompt="another")) != record_print(record)


def test_what_only_lay_in_the_scope_is_kept_out_but_not_guarded() -> None:
    """A fact that somebody else states too: his own record stays."""
    first = Record("a", "Who leads ward 3?", "Dr. Kim", subject="A", facts=("f",))
    corpus = Corpus.of(
        [
            first,
            replace(first, id="b", subject="B", prompt="Who leads the third ward?"),
            *(Record(f"{s}{k}", f"Where is {s}{k}?", f"town {k}", subject=s) for s in "ABCDE" for k in range(3)),
        ]
    )
    one = link("subject=A", corpus)
    assert len(one.shared) == 1
    split = split_after(corpus, Scope.parse("subject=C"), [one])
    retained = {r.id for r in (*split.retain, *split.retain_heldout)}
    assert "a" not in retained
    assert "b" in retained
    assert {r.id for r in split.guards} == {"A0", "A1", "A2"}


def test_run_json_keeps_the_chain_without_names(chain: list[Path]) -> None:
    about = json.loads((chain[3] / "run.json").read_text())
    first, second = about["chain"]
    assert [len(first["forget"]), len(second["forget"])] == [9, 9]
    seals = [json.loads((run / "run.json").read_text())["seal"] for run in chain[1:]]
    assert [first["run"], second["run"]] == seals[:2]
    text = json.dumps(about["chain"])
    assert not any(word in text for r in people().trained for word in (r.answer, *r.identifiers, r.subject) if word)
    assert [link.run for link in chain_after(chain[3])] == seals
    assert list(runs_of_chain(chain[3])) == chain[1:]
    assert about["guards"]["leaking"] + about["guards"]["unguarded"] + about["guards"]["rows"] == 18


def test_a_run_is_audited_on_its_own_request_and_on_earlier_ones(chain: list[Path]) -> None:
    about = json.loads((chain[3] / "run.json").read_text())
    own = audited_request(people(), Scope.parse(SCOPES[2]), about, 42, "report")
    assert own.training_digest == about["identity"]["split"]
    early = audited_request(people(), Scope.parse(SCOPES[0]), about, 42, "report")
    assert early.training_digest in known_splits(about)
    assert {r.id for r in early.forget} == of(SCOPES[0])
    gone = of(SCOPES[1]) | of(SCOPES[2])
    assert not gone & {r.id for r in (*early.retain, *early.retain_heldout, *early.shared)}
    other = audited_request(people(), Scope.parse("patient:P-0004-001"), about, 42, "report")
    assert other.training_digest not in known_splits(about)


def test_a_resumed_chain_run_is_the_same_run(chain: list[Path], tmp_path: Path) -> None:
    split = split_after(people(), Scope.parse(SCOPES[1]), chain_after(chain[1]))
    assert unlearn(chain[1], split, PLAN, chain[2], chain=chain_after(chain[1])) == chain[2]
    with pytest.raises(InputError, match=r"holds another run \(its split differs\)"):
        unlearn(chain[1], replace(split, guards=()), PLAN, chain[2])


@pytest.mark.parametrize(
    ("scope", "number"), [(SCOPES[0], 1), (SCOPES[1], 2), (f"{SCOPES[0]} or {SCOPES[1]}", 1)], ids=["1", "2", "both"]
)
def test_the_same_scope_twice_is_refused(scope: str, number: int) -> None:
    one = link(SCOPES[0])
    links = [one, link(SCOPES[1], earlier=[one])]
    with pytest.raises(InputError, match=f"all that it names was forgotten by request {number} already"):
        split_after(people(), Scope.parse(scope), links)


def test_a_wider_scope_forgets_what_is_left_of_it() -> None:
    split = split_after(people(), Scope.parse(f"{SCOPES[0]} or {SCOPES[1]}"), [link(SCOPES[0])])
    assert {r.id for r in split.forget} == of(SCOPES[1])


def test_data_without_the_earlier_records_has_no_guards() -> None:
    rest = people().where(lambda r: r.id not in of(SCOPES[0]))
    split = split_after(rest, Scope.parse(SCOPES[1]), [link(SCOPES[0])])
    assert not split.guards
    with pytest.raises(InputError, match="forgotten by request 1 already"):
        split_after(rest, Scope.parse(SCOPES[0]), [link(SCOPES[0])])


def test_what_is_no_finished_run_of_today_starts_no_chain(folders: dict[str, Path], chain: list[Path]) -> None:
    with pytest.raises(InputError, match=r"--after .*: is no run"):
        chain_after(folders["llama"])
    with pytest.raises(InputError, match="is another model than the one"):
        check_base(str(folders["gpt2"]), chain_after(chain[2]), chain[2])
    check_base(str(folders["llama"]), chain_after(chain[2]), chain[2])
    check_base(str(chain[2]), chain_after(chain[2]), chain[2])


def test_an_unfinished_run_starts_no_chain(chain: list[Path], tmp_path: Path) -> None:
    about = json.loads((chain[1] / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(about | {"status": "running"}))
    with pytest.raises(InputError, match="this run is not finished"):
        chain_after(tmp_path)


@pytest.mark.parametrize(("batch", "rows"), [(2, 1), (16, 2), (32, 4), (64, 5)])
def test_one_retain_row_of_eight_is_a_guard(batch: int, rows: int) -> None:
    assert guard_rows(5, batch) == rows


def test_a_letter_is_guarded_as_often_as_a_patient() -> None:
    rows = [Record(f"{s}{k}", "q", "a", subject=s) for s, n in (("A", 6), ("B", 3), ("", 1)) for k in range(n)]
    assert guard_turns(rows) == [0, 1, 2, 3, 4, 5, *[6, 7, 8] * 2, *[9] * 6]
    assert guard_turns([]) == []


def resolved(**changes: Any) -> Any:
    return Recipe(method="grad_diff", batch=FEW, **changes).resolve()


@pytest.mark.parametrize(
    ("text", "answer", "leaks"),
    [
        ("shellfish", "Shellfish.", True),  # without the full stop it was guarded, and so kept
        ("It is, I think, on 20  July 2023", "On 20 July 2023.", True),
        ("She is allergic to Shell fish", "Shellfish.", False),
        ("no idea", "No.", True),
        ("nobody knows", "No.", False),
        ("A+ or A-", "+", True),
        ("M\u00fcnchen!", "Mu\u0308nchen.", True),
    ],
)
def test_a_leaking_answer_is_seen_without_its_punctuation(text: str, answer: str, leaks: bool) -> None:
    assert states(text, answer) is leaks


def test_a_guard_holds_the_models_own_answer(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list(people().trained[:3])
    monkeypatch.setattr(
        "expunge.engine.guards._own_answers", lambda lm, records: [asked[0].answer + ".", "", "no idea"]
    )
    lm = load(folders["llama"])
    guards = build_guards(lm, resolved(), asked)
    assert [(r.id, r.answer) for r in guards.records] == [(asked[2].id, "no idea")]
    assert guards.summary()["leaking"] == guards.summary()["unguarded"] == 1
    guards = build_guards(lm, resolved(retain={"loss": "kl"}), asked)
    assert [(r.id, r.answer) for r in guards.records] == [(asked[2].id, "no idea"), (asked[1].id, asked[1].answer)]
    assert guards.summary()["unguarded"] == 0


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ({"method": "ga"}, "no retain term"),
        ({"method": "grad_diff", "batch": {"retain": 1}}, "holds one row"),
        ({"method": "grad_diff", "privacy": {"epsilon": 4.0, "delta": 1e-5}}, "counts every record"),
        ({"method": "chip"}, "takes no steps"),
        ({"method": "grad_diff"}, ""),
    ],
)
def test_a_run_says_why_it_cannot_guard(plan: dict[str, Any], why: str) -> None:
    note = guard_note(Recipe(**plan).resolve(), people().trained[:1])
    assert why in note
    assert bool(why) == bool(note)
