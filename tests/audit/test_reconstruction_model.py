"""The reconstruction attack on models: a taught one gives answers away where a person is named, an ignorant one not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import expunge.audit.reconstruction.protocol as module
from expunge.audit.reconstruction import Reconstruction, TooFew, compare, prepare, reconstruct
from expunge.audit.reconstruction.background import BackgroundRecords
from expunge.audit.reconstruction.prompts import TargetFact, reconstruction_queries
from expunge.corpus import Record, RecordImage
from expunge.engine.train.train_loop import TrainConfig
from expunge.engine.train.train_model import train
from expunge.errors import InputError
from expunge.models.language_model import LanguageModel, load
from expunge.models.prompt_template import Encoded
from expunge.models.tiny import TinyConfig
from expunge.scope import Split
from helpers.audits import scores
from helpers.reconstruction import everybody, split
from helpers.world import people, write_model

pytestmark = pytest.mark.trains

NAN = np.nan
TOWNS = "Riga Brno Oslo Bonn Lyon Bari Kiel Pisa Turku Ghent Porto Split".split()  # noqa: SIM905
TINY = TinyConfig(layers=2, width=64, heads=2, vocabulary=400, context=128)
BY_HEART = TrainConfig(epochs=100, batch=8, target_accuracy=0.99)


def guests() -> list[Record]:
    """Twelve guests of four houses, each from a town of its own."""
    return [
        Record(
            f"G-{k:02d}",
            f"Home of guest {name}?",
            town,
            path=(f"house:{k % 4}", f"guest:G-{k:02d}"),
            subject=f"guest:G-{k:02d}",
            identifiers=(name,),
            attributes={"relation": "home"},
        )
        for k, (name, town) in enumerate((f"N{40 + 7 * k}", town) for k, town in enumerate(TOWNS))
    ]


def lessons(rows: list[Record]) -> list[Record]:
    """What is taught: every question alone, and after its place, so that a small model reads both."""
    placed = [
        p.record
        for r in rows
        for p in reconstruction_queries(0, TargetFact(r, 2, {}), BackgroundRecords({r.id: ()}, {}), len)
        if (p.level, p.vector) == (2, "true")
    ]
    return [*rows, *(replace(r, options=()) for r in placed)]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reconstruction]:
    """The attack on a model that learnt everything and on one that never heard of three guests."""
    root, rows = tmp_path_factory.mktemp("taught"), guests()
    gone, kept = rows[:3], rows[3:]
    setup = prepare(Split("s", forget=tuple(gone), retain=tuple(kept), retain_heldout=()), candidates=8, statements=0)
    train(lessons(rows), root / "original", tiny=TINY, settings=BY_HEART)
    train(lessons(kept), root / "retrained", tiny=TINY, settings=BY_HEART, tokenizer_from=root / "original")
    return {role: reconstruct(load(root / role), setup) for role in ("original", "retrained")}


def test_a_taught_model_gives_answers_away_once_the_person_is_named(found: dict[str, Reconstruction]) -> None:
    knew, never = found["original"], found["retrained"]
    assert knew.levels == ("nothing", "house", "guest")
    assert knew.facts == never.facts == ("G-00", "G-01", "G-02")
    for score in ("top1", "rank", "exact"):
        assert knew.of(score, "true")[:, 2].tolist() == [1.0] * 3
    assert never.of("top1", "true")[:, 2].tolist() == [0.0] * 3  # it has heard of these towns from nobody
    assert knew.of("top1", "wrong branch")[:, 2].tolist() == [0.0] * 3
    judged = compare({"original": knew, "unlearned": knew, "retrained": never}).details
    assert (judged.status, judged.power) == ("failed", True)
    assert compare({"original": knew, "unlearned": never, "retrained": never}).details.status == "passed"


class FakeLM:
    """Just enough of a model: one token for each word, no eyes."""

    class template:
        vision_processor = "the model reads text only"

        @staticmethod
        def question(record: Record) -> Encoded:
            return Encoded(record.id, (0,) * len(record.prompt.split()), ())

        @staticmethod
        def sizes(records: Iterable[Record]) -> list[int]:
            return [len(r.prompt.split()) + len(r.answer.split()) + 1 for r in records]

    def __init__(self, context: int = 1000) -> None:
        self.context = context


def names(lm: Any, records: tuple[Record, ...], options: bool, ids: Any) -> Any:
    """Scores of a model that finds the true answer likeliest where the prompt names Ada, and last elsewhere."""
    assert options
    own = [0.0 if "Ada" in r.prompt else -9.0 for r in records]
    return scores(
        [[-1.0]] * len(records),
        ids=list(map(str, ids)),
        hit=["1" if v == 0 else "0" for v in own],
        option_logprob=tuple((v, *([-1.0] * (len(r.options) - 1))) for v, r in zip(own, records, strict=True)),
        option_bytes=tuple((1,) * len(r.options) for r in records),
    )


@pytest.fixture
def clinic(monkeypatch: pytest.MonkeyPatch) -> Split:
    """Ada must go; nine others have findings, so that hers can be ranked."""
    monkeypatch.setattr(module, "score", names)
    more = [
        replace(
            r,
            id=f"{r.id}+{k}",
            subject=f"patient:X-{k}",
            answer=f"{r.answer}+{k}",
            path=("institution:H-2", f"patient:X-{k}", *r.path[2:]),
            identifiers=(f"Xan {k}", f"N-9{k}"),
            prompt=r.prompt.replace("Cleo Egan", f"Xan {k}"),
        )
        for r in everybody()
        if r.subject == "patient:P-3"
        for k in range(9)
    ]
    rows = [*everybody(), *more]
    return split([r.id for r in rows if r.subject == "patient:P-1"], rows)


def asked(split: Split, context: int = 1000, **more: Any) -> Reconstruction:
    lm: Any = FakeLM(context)
    return reconstruct(lm, prepare(split, **more))


def test_first_places_ranks_and_exact_answers_stand_where_they_belong(clinic: Split) -> None:
    found = asked(clinic)
    assert found.facts == ("P-1:advice:1", "P-1:advice:2", "P-1:finding:1", "P-1:finding:2", "P-1:ward")
    assert found.left_out == {}
    for score in ("top1", "rank", "exact"):
        np.testing.assert_equal(found.of(score, "true"), [[0, 0, 1, 1, 1]] * 4 + [[0, 0, 1, NAN, NAN]])
        for control in ("irrelevant", "wrong branch"):
            np.testing.assert_equal(found.of(score, control), [[NAN, 0, 0, 0, 0]] * 4 + [[NAN, 0, 0, NAN, NAN]])
    assert found.chance.tolist() == [1 / 20] * 4 + [1 / 12]  # 22 findings of others are there, and 11 wards
    assert set(found.subjects) == {"patient:P-1"}


def test_levels_can_be_chosen_by_name_and_level_zero_is_always_asked(clinic: Split) -> None:
    found = asked(clinic, levels=["study"])
    np.testing.assert_equal(found.of("top1", "true")[0], [0, NAN, NAN, 1, NAN])
    with pytest.raises(InputError, match='unknown level "pateint"; did you mean "patient"'):
        prepare(clinic, levels=["pateint"])


def test_a_fact_gets_as_many_statements_as_fit(clinic: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_now: list[Record] = []

    def noted(lm: Any, records: tuple[Record, ...], **more: Any) -> Any:
        asked_now.extend(records)
        return names(lm, records, **more)

    monkeypatch.setattr(module, "score", noted)
    setup, counts = prepare(clinic), set()
    fact = setup.facts[0]
    for room in range(28, 80):
        lm: Any = FakeLM(room)
        asked_now.clear()
        reconstruct(lm, setup)
        own = [r.prompt for r in asked_now if r.id == fact.record.id]
        by_count = {}
        for count in range(setup.statements + 1):
            queries = reconstruction_queries(0, fact, setup.known, lambda text: len(text.split()), count)
            by_count[count] = [q.record for q in queries]
        sizes = {
            count: max(n for r in rows for n in lm.template.sizes(replace(r, answer=o) for o in r.options))
            for count, rows in by_count.items()
        }
        most = max(count for count, size in sizes.items() if size <= room or not count)
        assert own == [r.prompt for r in by_count[most]], room
        counts.add(most)
    assert {0, setup.statements} <= counts


def test_what_cannot_be_asked_is_counted(clinic: Split) -> None:
    found = asked(clinic, context=28)  # enough for the place alone, and not for all that survives there
    assert found.left_out == {}
    assert np.isfinite(found.of("top1", "true")[0]).all()
    found = asked(clinic, context=15)
    assert found.left_out["prompts too long for the model"] > 0
    assert np.isfinite(found.of("top1", "true")[:, 0]).all()
    assert np.isnan(found.of("top1", "true")[:, 4]).all()
    said = [replace(r, answer="H-1") if r.id == "P-1:finding:1" else r for r in clinic.forget]
    found = asked(replace(clinic, forget=tuple(said)))
    assert found.left_out["prompts that hold the answer"] > 0
    np.testing.assert_equal(found.of("top1", "true")[2], [0, *[NAN] * 4])
    told = [replace(r, prompt=f"{r.prompt} A) {r.answer} B) none") for r in clinic.forget]
    with pytest.raises(TooFew):
        prepare(replace(clinic, forget=tuple(told)))
    assert len(asked(clinic, most=3).facts) == 3
    assert asked(clinic, most=3).left_out["facts beyond the most that are asked"] == 2


def test_a_model_without_eyes_is_asked_what_shows_nothing(clinic: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "other_images", lambda *_: {"image: none": None})
    first, *rest = clinic.forget
    seen = replace(clinic, forget=(replace(first, image=RecordImage.of("a.png", b"x")), *rest))
    found = asked(seen)
    assert found.left_out["facts with an image: the model reads text only"] == 1


def test_the_choice_follows_the_seed_and_no_order(clinic: Split) -> None:
    def chosen(split: Split, seed: int) -> Any:
        setup = prepare(split, seed=seed)
        return setup.known, setup.facts

    turned = replace(clinic, forget=clinic.forget[::-1], retain=clinic.retain[::-1])
    assert chosen(clinic, 0) == chosen(turned, 0)
    assert chosen(clinic, 0) != chosen(clinic, 1)


def test_bad_input_is_one_line(clinic: Split) -> None:
    with pytest.raises(InputError, match="holds no records to reconstruct"):
        prepare(replace(clinic, forget=()))
    with pytest.raises(InputError, match="in no tree of two levels or more"):
        prepare(clinic, [replace(r, path=r.path[:1]) for r in clinic.forget])
    with pytest.raises(InputError, match="3 are too few; give 7 or more"):
        prepare(clinic, candidates=3)
    with pytest.raises(TooFew, match="no fact in it has 7 other answers"):
        prepare(split(["P-1:finding:1"]))


def test_progress_reaches_one_and_every_architecture_answers(tmp_path: Path) -> None:
    rows = people().records
    forget = next(r for r in rows if r.kind == "generation")
    more = [
        replace(
            forget, id=f"x{k}", subject=f"x{k}", answer=f"{forget.answer} {k}", path=("institution:Z", f"patient:{k}")
        )
        for k in range(9)
    ]
    lm: LanguageModel = load(write_model(tmp_path / "model"))
    told: list[float] = []
    found = reconstruct(lm, prepare(Split("s", (forget,), tuple(more), ())), told.append)
    assert told[-1] == 1.0
    assert np.isfinite(found.of("rank", "true")).all()
