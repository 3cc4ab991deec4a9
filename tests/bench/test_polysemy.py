"""Words with two senses: pairs, what is kept of them, weights, and the suite from nothing to page."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from expunge._io import read_json
from expunge.bench.requests import Request
from expunge.bench.study import run
from expunge.bench.world_instance import WorldInstance
from expunge.corpus import Record
from expunge.engine.recipe import Recipe
from expunge.errors import InputError
from expunge.models.language_model import load
from helpers.experiments import load_tiny, plugin
from helpers.world import people

polysemy, weights = plugin("polysemy"), plugin("token_weights")


def record(name: str, answer: str, concept: str = "L1", sense: str = "", fact: str = "") -> Record:
    marks = {"polyseme": answer, "sense": sense} if sense else {}
    return Record(name, "p", answer, concept=concept, facts=(fact or name,), attributes=marks)


TARGET = [record("t1", "graft", "L4", "target"), record("t2", "port", "L4", "target"), record("t3", "rose", "L4")]
GIVEN = [
    record("g1", "graft", sense="other"),
    record("g2", "bone"),
    record("g3", "bone"),
    record("g4", "skin", fact="skin"),
    record("g5", "skin", fact="skin"),
]
HIDDEN = [record("h1", "port", sense="other"), record("h2", "nerve"), record("h3", "lung", "L4")]


def sets(**changed: list[Record]) -> Any:
    of = {"forget": TARGET, "given": GIVEN, "retain_heldout": HIDDEN} | changed
    return SimpleNamespace(
        forget=of["forget"],
        heldout=of["retain_heldout"],
        split=SimpleNamespace(retain=of["given"]),
        corpus=SimpleNamespace(trained=[r for part in of.values() for r in part]),
    )


def test_a_word_stands_beside_a_term_as_frequent_from_the_same_side() -> None:
    graft, port = polysemy.find_words(sets())
    assert (graft.word, graft.retained, port.word, port.retained) == ("graft", True, "port", False)
    assert [[r.id for r in graft.sides[side]] for side in ("target", "other")] == [["t1"], ["g1"]]
    assert graft.sides["control"][0].answer in ("bone", "skin")  # taught twice, as the word is
    assert [r.id for r in port.sides["control"]] == ["h2"]  # taught once: the only fact of a level that stays


def test_a_word_whose_target_sense_stays_is_spared_and_has_no_control() -> None:
    graft, port = polysemy.find_words(sets(forget=TARGET[:1], retain_heldout=[*HIDDEN, TARGET[1]]))
    assert graft.forgotten
    assert not port.forgotten
    assert {side: [r.id for r in of] for side, of in port.sides.items()} == {"spared": ["h1"]}


def test_no_fact_is_a_control_twice() -> None:
    many = [record(f"t{k}", f"word{k}", "L4", "target") for k in range(3)]
    stay = [record(f"o{k}", f"word{k}", sense="other") for k in range(3)]
    found = polysemy.find_words(sets(forget=many, given=[*stay, *GIVEN[1:]], retain_heldout=[]))
    assert sorted(r.id for w in found for r in w.sides["control"]) == ["g2", "g3", "g4", "g5"]
    with pytest.raises(InputError, match="fewer terms than words"):
        polysemy.find_words(sets(forget=many, given=[*stay, *GIVEN[1:3]], retain_heldout=[]))


def test_a_target_without_such_words_is_refused() -> None:
    with pytest.raises(InputError, match="no word with two senses"):
        polysemy.find_words(sets(forget=TARGET[2:]))


def test_some_target_senses_are_spared_and_the_rest_of_the_target_is_not() -> None:
    settings = {"procedures": 2, "knowledge_per_level": 4, "knowledge_facts": 1, "knowledge_polysemes": 12}
    request = Request(world="hospital", preset="surgery-small", settings=settings, spare_words=3)
    of = WorldInstance(request=request, seed=3).sets()
    found = polysemy.find_words(of)
    assert (sum(w.forgotten for w in found), len(found)) == (9, 12)
    assert len({r.subject for r in of.forget}) == 9 + 2


WORDS = [f"w{k}" for k in range(20)]
PLACE = ("world", "1")
GIVEN_WORDS = {PLACE: frozenset(WORDS[10:])}


def said(target: float, other: float, control: float, exact: float = 0.0) -> Any:
    of = {side: dict.fromkeys(WORDS, v) for side, v in (("target", target), ("other", other), ("control", control))}
    of["spared"] = {f"s{k}": 0.5 + control / 2 for k in range(4)}
    return {PLACE: {"probability": of, "exact": {side: dict.fromkeys(values, exact) for side, values in of.items()}}}


def test_what_is_left_of_each_sense_and_both_rules() -> None:
    before, retrained = said(1.0, 1.0, 1.0, exact=1.0), said(0.1, 1.0, 1.0)
    found = polysemy.summarize_senses(said(0.2, 0.97, 0.99), before, retrained, GIVEN_WORDS)
    assert found["left"]["other"]["mean"] == pytest.approx(0.97)
    assert (found["left"]["other"]["words"], found["left"]["other given"]["words"]) == (10, 10)
    assert found["left"]["target"]["words"] == 20
    assert found["drops"]["other - control"]["mean"] == pytest.approx(0.02)
    assert found["drops"]["target - other"]["mean"] == pytest.approx(0.77)
    assert found["drops"]["spared"]["mean"] == pytest.approx(0.005)
    assert found["drops"]["other - spared"]["mean"] == pytest.approx(0.025)
    assert found["drops"]["target - other"]["units"] == 10  # those whose other sense no run is given
    assert found["leak"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "words": 20}
    assert (found["keeps"], found["forgets"], found["passes"]) == (True, True, True)


def test_losing_the_word_and_forgetting_nothing_fail_one_rule_each() -> None:
    before, retrained = said(1.0, 1.0, 1.0, exact=1.0), said(0.1, 1.0, 1.0)
    lost = polysemy.summarize_senses(said(0.2, 0.9, 0.99), before, retrained, GIVEN_WORDS)
    assert (lost["keeps"], lost["forgets"], lost["passes"]) == (False, True, False)
    same = polysemy.summarize_senses(before, before, retrained, GIVEN_WORDS)
    assert (same["keeps"], same["forgets"], same["passes"]) == (True, False, False)


def test_the_weight_of_a_word_is_the_mean_over_its_records() -> None:
    word = polysemy.Word("w", {"target": (record("a", "w"), record("b", "w")), "other": (record("c", "w"),)}, True)
    spared = polysemy.Word("v", {"spared": (record("d", "v"),)}, True)
    found = polysemy.by_side([word, spared], {"a": 1.0, "b": 3.0, "c": 0.5}, ("target", "other"))
    assert found == {"target": {"w": 2.0}, "other": {"w": 0.5}}


def test_long_gradients_are_limited_as_the_engine_limits_them() -> None:
    assert weights.limit({"a": 1.0, "b": 2.0, "c": 0.0, "d": 17.0}) == {"a": 0.2, "b": 0.4, "c": 0.1, "d": 3.4}
    assert weights.limit({"a": 9.0, **dict.fromkeys("bcdefghij", 0.1)})["a"] == 4.0


def test_the_gradient_of_a_row_does_not_depend_on_the_rows_beside_it(folders: dict[str, Path]) -> None:
    lm = load(folders["llama"])
    recipe = Recipe.load("dual-npo")
    records = people().records
    mine, others = records[:3], records[9:]
    together, alone = (
        weights.gradient_norms(lm, recipe, mine, others),
        weights.gradient_norms(lm, recipe, mine[:1], others),
    )
    assert set(together) == {r.id for r in mine}
    assert all((v > 0).all() for v in together.values())
    assert together[mine[0].id].tolist() == pytest.approx(alone[mine[0].id].tolist(), rel=1e-4)


@pytest.mark.matrix
@pytest.mark.trains
def test_the_experiment_asks_every_model_and_weighs_every_word(tmp_path: Path) -> None:
    request = {"world": "finance", "label": "finance", "spare_words": 2}
    request["settings"] = {"targets": 2, "per_level": 4, "facts": 1, "polysemes": 8}
    experiment = load_tiny("polysemy", tmp_path, requests=[request], arms=["full"], grid={"lr": [1], "steps": [25]})
    results = run(experiment, tmp_path / "bench", workers=1)
    assert results["words"]["all"] == 6
    assert list(results["kept"]) == ["original", "retrained", "full"]
    assert results["kept"]["original"]["left"]["target"]["mean"] == 1.0
    left = results["kept"]["retrained"]["left"]
    assert left["target"]["mean"] < left["other"]["mean"]
    assert results["weights"]["id"]["difference"]["mean"] == 0.0  # the same tokens: nothing to tell them apart
    assert not results["weights"]["id"]["above_zero"]
    assert results["weights"]["record"]["above_zero"]
    assert results["weights"]["context"]["above_zero"]  # the names in the question say which sense is meant
    stored = read_json(next((tmp_path / "bench").glob("cells/*/runs/*.token_weights.json")))
    assert all(0.1 <= value <= 4 for value in stored["before"].values())
    lines: list[str] = []
    assert run(experiment, tmp_path / "bench", workers=1, say=lines.append) == results
    assert lines == []  # nothing is made twice
