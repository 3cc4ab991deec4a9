"""A chain of requests is verified: who asked what before whom, on which runs, and whether the file says so still."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from expunge.audit.request_file import RequestHistory, RequestRow, RequestState
from expunge.audit.run import audit
from expunge.audit.verify import verify
from expunge.audit.verify_requests import chain_problems, history_problems, missing_problem, order_problems
from expunge.engine.request_chain import chain_after, split_after
from expunge.engine.unlearn import unlearn
from expunge.models.run_file import read_run_file
from expunge.scope import Scope
from expunge.scope.part import part_of
from helpers.runs import recipe
from helpers.world import people

SCOPES = ("patient:P-0001-001", "patient:P-0002-001")
FILE = Path("requests.json")


def asked(number: int, *runs: int, **changes: Any) -> RequestRow:
    states = tuple(RequestState(run=run, share=0.0, controls=0.0) for run in runs)
    return RequestRow(number=number, method="grad_diff", records=9, questions=9, states=states, **changes)


def history(*rows: RequestRow) -> RequestHistory:
    return RequestHistory(run="seal", requests=rows).sealed()


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ((asked(1, 0, 1, 2), asked(2, 0, 1, 2)), ""),
        ((asked(1, 0, 2), asked(2)), ""),  # a run that is gone; a request that could not be asked
        ((asked(1, 1, 2), asked(2, 1, 2)), ""),  # against the model that the first run made
        ((asked(1, 2), asked(2, 2)), "was not asked on the original and then"),
        ((asked(2, 0, 1, 2), asked(1, 0, 1, 2)), "its requests are numbered 2, 1 instead of 1 to 2"),
        ((asked(1, 0, 1, 2), asked(3, 0, 1, 2)), "its requests are numbered 1, 3 instead of 1 to 2"),
        ((asked(1, 0, 2, 1), asked(2, 0, 1, 2)), "request 1 was not asked on the original and then on every run"),
        ((asked(1, 0, 1), asked(2, 0, 1, 2)), "request 1 was not asked on the original and then on every run up to 2"),
        ((asked(1, 1, 2), asked(2, 0, 1, 2)), "request 1 was not asked on the original"),
    ],
)
def test_each_request_stands_once_and_in_order(rows: tuple[RequestRow, ...], problem: str) -> None:
    lines = list(order_problems(FILE, history(*rows)))
    assert all(problem in line for line in lines)
    assert bool(lines) == bool(problem)


LINK = {"scope": "s", "seed": 42, "near": "report", "forget": ["a", "b"], "shared": [], "run": "r", "split": "x"}
ABOUT: dict[str, Any] = {
    "seal": "seal",
    "method": "npo",
    "created": "2026-02-01",
    "request": {"forget": ["c"]},
    "chain": [{**LINK, "model": "m", "method": "twin", "created": "2026-01-01"}],
}
FIRST = {"method": "twin", "created": "2026-01-01", "records": 2}
SECOND = {"method": "npo", "created": "2026-02-01", "records": 1}


@pytest.mark.parametrize(
    ("first", "second", "about", "problem"),
    [
        ({}, {}, {}, ""),
        ({}, {}, {"seal": "another"}, "is about another run than the one that was audited"),
        ({"method": "npo"}, {}, {}, "request 1 is not that of the chain: its method differ"),
        ({"records": 7, "created": "2025"}, {}, {}, "request 1 is not that of the chain: its date, records differ"),
        ({}, {"records": 0}, {}, "request 2 is not that of the chain: its records differ"),
        ({}, {}, {"chain": []}, "holds 2 requests, and the chain of the run 1"),
    ],
)
def test_a_history_is_that_of_its_run(
    first: dict[str, Any], second: dict[str, Any], about: dict[str, Any], problem: str
) -> None:
    rows = [RequestRow(number=k, questions=1, **{**of, **c}) for k, of, c in ((1, FIRST, first), (2, SECOND, second))]
    lines = list(history_problems(FILE, history(*rows), {**ABOUT, **about}))
    assert bool(lines) == bool(problem)
    assert not lines or problem in lines[0]


def test_a_missing_history_is_a_problem_of_a_chain_alone() -> None:
    assert list(missing_problem(Path("audit"), {})) == []
    assert list(missing_problem(Path("audit"), ABOUT)) == [
        "audit/requests.json: is gone, and the run follows 1 earlier request"
    ]


@pytest.fixture(scope="module")
def chain(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of one step, the second after the first."""
    root, start, links = tmp_path_factory.mktemp("verify"), folders["llama"], []
    for k, scope in enumerate(SCOPES, 1):
        split = split_after(people(), Scope.parse(scope), links)
        start = unlearn(start, split, recipe("grad_diff", steps=1), root / f"run{k}", chain=links)
        links = chain_after(start)
    return root


def test_the_runs_of_a_chain_fit(chain: Path) -> None:
    split = split_after(people(), Scope.parse(SCOPES[1]), chain_after(chain / "run1"))
    result = verify(chain / "run2", split=split)
    assert (result.problems, result.unchecked) == ([], [])
    assert "requests before it" in result.fits
    assert "requests before it" not in verify(chain / "run1").fits


def test_an_audit_of_an_earlier_request_holds_no_history(chain: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    links = chain_after(chain / "run1")
    split = part_of(split_after(people(), Scope.parse(SCOPES[1]), links), SCOPES[0], people())
    made = audit(folders["llama"], chain / "run2", split, tmp_path / "audit", preset="quick")
    models = {"original": str(folders["llama"]), "unlearned": str(chain / "run2")}
    result = verify(made.path, split=split, models=models)
    assert result.problems == []
    assert made.file.split.is_earlier


def _drop(about: dict[str, Any]) -> None:
    about["chain"] = []


def _double(about: dict[str, Any]) -> None:
    about["chain"] *= 2


def _other_scope(about: dict[str, Any]) -> None:
    about["chain"][0]["scope"] = "0" * 64


def _fewer_records(about: dict[str, Any]) -> None:
    del about["chain"][0]["forget"][0]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_drop, "names 0 earlier requests, and the runs below it made 1"),
        (_double, "names 2 earlier requests, and the runs below it made 1"),
        (_other_scope, "request 1 is not that of the runs below it: its scope differ"),
        (_fewer_records, "request 1 is not that of the runs below it: its forget differ"),
    ],
)
def test_a_changed_chain_is_one_line(chain: Path, change: Callable[[dict[str, Any]], None], problem: str) -> None:
    about = json.loads((chain / "run2" / "run.json").read_text())
    change(about)
    (line,) = chain_problems(chain / "run2", about, str(chain / "run1"))
    assert line == f"{chain / 'run2' / 'run.json'}: {problem}"


def test_requests_are_in_the_order_of_their_dates(chain: Path) -> None:
    about = read_run_file(chain / "run2")
    about["chain"] = [about["chain"][0] | {"created": f"2026-0{k}-01"} for k in (2, 1)]
    assert any("request 2 was begun before request 1" in line for line in chain_problems(chain, about, chain / "run1"))


def test_an_exchanged_run_below_is_seen(chain: Path, tmp_path: Path) -> None:
    shutil.copytree(chain, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "run1")
    shutil.copytree(chain / "run2", tmp_path / "copy" / "run1")
    result = verify(tmp_path / "copy" / "run2")
    assert any("names 1 earlier requests, and the runs below it made 2" in line for line in result.problems)
