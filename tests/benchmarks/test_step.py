"""Both sides of a pair compute the same losses; bounds and row lengths are right by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.speed.cases import model_config
from benchmarks.speed.end_to_end import WholeRun
from benchmarks.speed.step import CASES, StepCase, measure
from benchmarks.speed.step_roofline import loss_difference, step_work
from benchmarks.speed.synthetic_inputs import LUME, LUME_PEOPLE, synthetic_records, word_tokenizer
from expunge.corpus import load_corpus
from expunge.errors import RunFailed
from expunge.models.collate import Batch, collate
from expunge.models.prompt_template import Encoded, PromptTemplate

ROWS = ((6, 3), (4, 5), (9, 2), (5, 4), (7, 3), (5, 3))
TOY = (
    *(
        StepCase(group, method, model_config(2, 300, width=32), top, 3, ROWS, ROWS)
        for group, method, top in (
            ("npo", "npo", 1),
            ("npo", "npo", 2),
            ("grad_diff", "grad_diff", 1),
            ("dual", "dual", 1),
            ("twin", "twin", 2),
        )
    ),
    StepCase("npo_alone", "npo", model_config(2, 300, width=32), 1, 3, ROWS, None),
)
WHOLE_RUN = WholeRun(model_config(2, 400, width=32), 1, "tiny", ("steps=3", "batch={forget: 4, retain: 4}"))


@pytest.mark.trains
def test_the_plain_step_and_ours_compute_the_same_losses() -> None:
    lines: list[str] = []
    results = measure(pairs=2, cases=(*TOY, WHOLE_RUN), say=lines.append)
    assert {group: list(sizes) for group, sizes in results.items()} == {
        "npo": ["2/1", "2/2"],
        "grad_diff": ["2/1"],
        "dual": ["2/1"],
        "twin": ["2/2"],
        "npo_alone": ["2/1"],
        "end_to_end": ["2/1"],
    }
    for sizes in results.values():
        for case in sizes.values():
            assert 0 <= case["loss_difference"] < 1e-4
            assert 0 < case["ratio"]["min"] <= case["ratio"]["median"] <= case["ratio"]["max"]
            assert case["ceiling"] > 0
            assert case["batch"]
    assert len(lines) == 2 * len(TOY) + 1


def test_the_cases_and_their_batches() -> None:
    assert [case.name for case in CASES] == [
        "npo:24/4",
        "npo:28/4",
        "npo:36/4",
        "npo:28/28",
        "npo_alone:28/4",
        "npo_alone:36/4",
        "grad_diff:28/4",
        "dual:28/4",
        "twin:28/28",
        "vocab32k:28/4",
        "end_to_end:24/4",
    ]
    assert isinstance(CASES[1], StepCase)
    assert CASES[1].batch == (
        "16 forget rows of 64 tokens (16 of them answer) and 16 retain rows of 64 tokens (16 of "
        "them answer), vocabulary 2,048, width 256, float32"
    )


def test_losses_that_differ_are_refused() -> None:
    assert loss_difference("x", [(1.0, 2.0)], [(1.0, 2.0002)]) == pytest.approx(1e-4, rel=1e-2)
    with pytest.raises(RunFailed, match="bench x: the two loops disagree"):
        loss_difference("x", [(1.0, 2.0)], [(1.0, 2.1)])
    with pytest.raises(RunFailed):
        loss_difference("x", [(1.0, float("nan"))], [(1.0, float("nan"))])


def batch(*lengths: tuple[int, int]) -> Batch:
    return collate([Encoded("x", (5,) * p, (6,) * a) for p, a in lengths])


@pytest.mark.parametrize(
    ("method", "layers", "blocks", "expected"),
    [
        ("grad_diff", 28, 4, (28 + 4) / 8),
        ("npo", 28, 4, (3 * 28 + 8) / 16),
        ("dual", 28, 4, (3 * 28 + 8) / 16),
        ("npo", 28, 28, 1.25),
        ("twin", 28, 28, 1.5),
        ("twin", 24, 4, (2 * 24 + 4) / 8),
    ],
)
def test_the_ceiling_of_equal_rows_is_the_formula(method: str, layers: int, blocks: int, expected: float) -> None:
    rows = batch((48, 16), (48, 16))
    teacher_prompts = rows if method == "twin" else None
    assert step_work(method, model_config(layers), blocks, rows, rows, teacher_prompts).ceiling == pytest.approx(
        expected
    )


def test_padding_counts_for_those_who_pad() -> None:
    even, ragged = batch((6, 2), (6, 2)), batch((6, 2), (2, 2))
    assert step_work("grad_diff", model_config(4), 4, even, even).ceiling == 1.0
    assert step_work("grad_diff", model_config(4), 4, ragged, ragged).ceiling == pytest.approx(16 / 12)


def test_operations_count_the_head_and_the_last_feed_forward_part() -> None:
    rows = batch((6, 2))
    config = model_config(1, vocabulary=13 * 256)  # the head costs as much as a block
    work = step_work("grad_diff", config, 1, rows, rows)
    assert work.operations == pytest.approx((16 + 16 + 32) / (2 * 16 + 2 * (4 - 9 / 13 * 12)))


def test_synthetic_rows_have_exactly_the_given_lengths() -> None:
    template = PromptTemplate.of(word_tokenizer(300), 512)
    for lengths in (LUME, LUME_PEOPLE):
        records = synthetic_records(lengths, 300, "forget")
        assert [(len(e.prompt), len(e.answer)) for e in template.encode_all(records)] == list(lengths)
        assert all(r.identifiers[0] in r.prompt for r in records)
    assert synthetic_records(LUME, 300, "forget") != synthetic_records(LUME, 300, "retain")


def test_the_lengths_are_those_of_lume(shared_data: Path) -> None:
    """Every n-th part of the rows, in the order of their length, by its middle row."""
    folder = shared_data / "lume"
    if not folder.is_dir():
        pytest.skip("no LUME in the development data")
    from expunge.models.tiny import texts_of, train_tokenizer

    corpus = load_corpus(folder, "lume-holdout")
    template = PromptTemplate.of(train_tokenizer(texts_of(corpus), 2048), 4096)
    people = [r for r in corpus if r.attributes["task"] == "Task2"]
    for lengths, rows in ((LUME, corpus.records), (LUME_PEOPLE, people)):
        encoded = sorted((e.length, len(e.prompt), len(e.answer)) for e in template.encode_all(rows))
        middle = [encoded[int((k + 0.5) * len(encoded) / len(lengths))][1:] for k in range(len(lengths))]
        assert middle == list(lengths)
