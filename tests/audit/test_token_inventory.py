"""Names that a vocabulary holds as single tokens, although nobody else needs them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from expunge.audit.checks.token_inventory import (
    Inventory,
    TokenInventoryProbe,
    is_single_token,
    judge_inventory,
    token_inventory_probe,
)
from expunge.audit.context import CHECKS, Context
from expunge.audit.policy import Policy, shipped_policies
from expunge.audit.tokenizer_origin import LINE, untested_tokenizer
from expunge.corpus import Record
from expunge.models.language_model import load
from expunge.scope import Split


def people(count: int, word: str = "Person") -> dict[str, frozenset[str]]:
    return {f"c{k}": frozenset({f"{word}{k}"}) for k in range(count)}


@pytest.mark.parametrize(
    ("targets", "single", "controls", "status", "estimate"),
    [
        ({"t": frozenset({"Freya", "91353"})}, {"Freya"}, 40, "failed", 0.5),
        ({"t": frozenset({"Freya", "91353"})}, set(), 40, "passed", 0.0),
        ({"t": frozenset({"Freya", "91353"})}, {"Freya", *(f"Person{k}" for k in range(17))}, 40, "failed", 0.5),
        ({"t": frozenset({"Freya", "91353"})}, {"Freya", *(f"Person{k}" for k in range(18, 36))}, 36, "passed", 0.5),
        ({"t": frozenset({"Freya", "91353"})}, {"Freya"}, 3, "inconclusive", 0.5),
        ({"t": frozenset({"Freya", "91353"})}, set(), 0, "passed", 0.0),
    ],
)
def test_the_share_of_the_target_is_compared_with_that_of_controls(
    targets: dict[str, frozenset[str]], single: set[str], controls: int, status: str, estimate: float
) -> None:
    probe = TokenInventoryProbe(targets, people(controls))
    output = judge_inventory(Inventory(probe, frozenset(single)), 0.05)
    (result,) = output.results
    assert (result.status, result.estimate) == (status, estimate)
    assert output.details.single == len({"Freya", "91353"} & single)  # type: ignore[union-attr]


def records(name: str, subject: str, **more: object) -> Record:
    return Record(subject, f"Ward of {name}?", "ward 1", subject=subject, identifiers=(name,), **more)  # type: ignore[arg-type]


def test_words_that_others_hold_do_not_count() -> None:
    split = Split(
        scope="s",
        forget=[records("Freya Berg", "patient:P-77")],
        retain=[records("Otto Berg", "patient:P-01")],
        retain_heldout=[],
        controls=[records("Mila Sand", "patient:P-77~1", attributes={"control_of": "patient:P-77"})],
    )
    context = Context(split, Policy.load("controls-only"), ("original", "unlearned"), {})
    probe = token_inventory_probe(context)
    assert probe
    assert probe.targets == {"patient:P-77": frozenset({"Freya"})}
    assert probe.controls == {"patient:P-77~1": frozenset({"Mila", "Sand"})}
    nobody = replace(split, forget=[records("Otto Berg", "x")])
    assert token_inventory_probe(replace(context, split=nobody)) is None
    assert CHECKS.get("token_inventory").run(context).results[0].status == "not_applicable"


def test_no_shipped_policy_requires_it() -> None:
    assert all("token_inventory" not in Policy.load(name).rules for name in shipped_policies())


def test_a_token_of_a_small_vocabulary(folders: dict[str, Path]) -> None:
    lm = load(folders["llama"])
    known = next(w for w in lm.template.tokenizer.get_vocab() if w.isalpha() and w.isascii() and len(w) > 3)
    assert is_single_token(lm, known)
    assert not is_single_token(lm, "Qxvzjkpwqxvz")


def test_a_tokenizer_trained_here_is_named_as_untested(tmp_path: Path) -> None:
    assert untested_tokenizer(str(tmp_path)) == ()
    for about, lines in (
        ('{"about": {"tokenizer": "False", "start": {"layers": 1}}}', (LINE,)),
        ('{"about": {"tokenizer": "own", "start": {"layers": 1}}}', (LINE,)),
        ('{"about": {"tokenizer": "True", "start": {"layers": 1}}}', ()),
        ('{"about": {"tokenizer": "False", "start": "digest of a model"}}', ()),
        ("[]", ()),
    ):
        (tmp_path / "train.json").write_text(about)
        assert untested_tokenizer(str(tmp_path)) == lines
