"""The twin objective: distance to the ignorant teacher, and the floor under the true answer."""

import math
from dataclasses import replace

import pytest
import torch

from expunge.methods import ModelOutputs
from expunge.methods.twin import Twin
from expunge.methods.twin.targets import correct_leakage

TEACHER, MODEL = torch.tensor([[[0.5, 0.25, 0.25]]]), torch.tensor([[[0.25, 0.5, 0.25]]])


def row(
    p: torch.Tensor = MODEL,
    floor: float = 0.0,
    gold: bool = True,
    nll: float = 1.0,
    teacher: torch.Tensor | None = None,
) -> ModelOutputs:
    return ModelOutputs(
        logprob=torch.tensor([[-nll]]),
        mask=torch.ones(1, 1, dtype=torch.bool),
        logits=p.log(),
        targets={
            "teacher": TEACHER.log() if teacher is None else teacher.log(),
            "floor": torch.tensor([floor]),
            "is_gold": torch.tensor([gold]),
            "has_teacher": torch.tensor([True]),
        },
    )


def test_the_distance_is_forward_kl_from_the_teacher() -> None:
    """The second pair is not symmetric: .8 ln 1.6 + .2 ln .4 = .192745; the other way round it is .223144."""
    assert float(Twin().forget_loss(row())) == pytest.approx(0.173287, abs=1e-6)
    lopsided = row(TEACHER, teacher=torch.tensor([[[0.8, 0.1, 0.1]]]))
    assert float(Twin().forget_loss(lopsided)) == pytest.approx(0.192745, abs=1e-6)


def test_a_true_answer_above_the_floor_adds_its_shortfall() -> None:
    assert float(Twin().forget_loss(row(TEACHER, floor=3.0))) == pytest.approx(1.0)
    assert float(Twin(floor_weight=2.0).forget_loss(row(TEACHER, floor=3.0))) == pytest.approx(4.0)


def test_the_teachers_own_answer_has_no_floor() -> None:
    assert float(Twin().forget_loss(row(floor=3.0, gold=False))) == pytest.approx(0.173287, abs=1e-6)


def test_the_divergence_the_other_way_round_has_a_weight_of_its_own() -> None:
    """(.25, .5, .25) from (.8, .1, .1): .25 ln .3125 + .5 ln 5 + .25 ln 2.5 = .743004, on top of .677948."""
    lopsided = row(teacher=torch.tensor([[[0.8, 0.1, 0.1]]]))
    one = float(Twin().forget_loss(lopsided))
    assert one == pytest.approx(0.8 * math.log(3.2) + 0.1 * math.log(0.2) + 0.1 * math.log(0.4), abs=1e-6)
    assert float(Twin(reverse=0.5).forget_loss(lopsided)) - one == pytest.approx(0.5 * 0.743004, abs=1e-6)


def test_a_ceiling_lowers_the_loss_of_an_answer_above_its_target() -> None:
    """4 nats against a target of 2: 2 too many; below the target only the floor counts."""
    assert float(Twin().forget_loss(row(TEACHER, floor=2.0, nll=4.0))) == pytest.approx(0, abs=1e-7)
    assert float(Twin(ceiling_weight=0.25).forget_loss(row(TEACHER, floor=2.0, nll=4.0))) == pytest.approx(0.5)
    assert float(Twin(ceiling_weight=0.25).forget_loss(row(TEACHER, floor=3.0))) == pytest.approx(1.0)
    assert float(Twin(ceiling_weight=0.25).forget_loss(row(TEACHER, floor=2.0, gold=False, nll=4.0))) == pytest.approx(
        0, abs=1e-7
    )


def test_a_true_answer_is_never_drawn_down_to_where_it_would_be_known() -> None:
    """A floor of .1, which a question with options may draw, asks for nothing; 2 nats count from the least floor."""
    assert float(Twin(ceiling_weight=1.0).forget_loss(row(TEACHER, floor=0.1, nll=1.0))) == pytest.approx(0, abs=1e-7)
    assert float(Twin(ceiling_weight=1.0).forget_loss(row(TEACHER, floor=0.1, nll=2.0))) == pytest.approx(0.5)


def test_without_distance_only_the_floor_is_left() -> None:
    assert float(Twin(distil=0).forget_loss(row(floor=3.0))) == pytest.approx(1.0)
    assert float(Twin(distil=0).forget_loss(row(floor=0.5))) == 0


def test_the_loss_is_zero_once_the_model_answers_like_the_teacher() -> None:
    assert float(Twin().forget_loss(row(TEACHER, floor=3.0, nll=3.0))) == pytest.approx(0, abs=1e-7)


def test_the_floor_is_in_plain_nats_times_the_mean_token_weight() -> None:
    weighted = replace(row(TEACHER, floor=3.0), weights=torch.tensor([[0.1]]))
    assert float(Twin().forget_loss(weighted)) == pytest.approx(0.1)


def test_the_end_token_does_not_count_towards_the_floor() -> None:
    """Answer tokens of 1 and 2 nats and a certain end: 1.5 nats per token of the answer, not 1."""
    out = ModelOutputs(torch.tensor([[-1.0, -2.0, 0.0]]), torch.ones(1, 3, dtype=torch.bool))
    assert out.answer_nll.tolist() == [1.5]
    padded = ModelOutputs(
        torch.tensor([[-1.0, 0.0, 0.0], [-1.0, -2.0, 0.0]]), torch.tensor([[True, True, False], [True, True, True]])
    )
    assert padded.answer_nll.tolist() == [1.0, 1.5]


def test_the_engine_reads_how_to_build_targets_from_the_settings() -> None:
    assert (Twin().candidates, Twin().own_answer, Twin().least_floor) == (16, True, 1.5)
    assert Twin().requirements().targets == ("teacher", "floor", "is_gold", "has_teacher")


def test_a_leaked_answer_is_raised_to_the_floor() -> None:
    """p = .5 has NLL ln 2; a floor of ln 4 doubles it: p' = .25, and (.25, .25) grow by (1 - .25)/(1 - .5)."""
    log_p = torch.tensor([[0.5, 0.25, 0.25]]).log()
    found = correct_leakage(log_p, torch.tensor([0]), math.log(4)).exp()
    assert torch.allclose(found, torch.tensor([[0.25, 0.375, 0.375]]))


def test_a_teacher_above_the_floor_is_left_alone() -> None:
    log_p = torch.tensor([[0.5, 0.25, 0.25]]).log()
    assert correct_leakage(log_p, torch.tensor([1]), 1.0) is log_p


def test_a_teacher_above_its_target_is_brought_down_to_it() -> None:
    """p = .25 has NLL ln 4; a target of ln 2 halves it: p' = .5, and (.5, .25) share the other half as before."""
    log_p = torch.tensor([[0.5, 0.25, 0.25]]).log()
    found = correct_leakage(log_p, torch.tensor([1]), math.log(2), exact=True).exp()
    assert torch.allclose(found, torch.tensor([[1 / 3, 0.5, 1 / 6]]))


@pytest.mark.parametrize("sure", [1e-3, 1e-7])
def test_even_a_certain_answer_is_raised_to_the_floor(sure: float) -> None:
    log_p = torch.tensor([[1 - sure, sure / 2, sure / 2], [0.9, 0.05, 0.05]]).log()
    found = correct_leakage(log_p, torch.tensor([0, 0]), 3.0)
    assert torch.allclose(found.exp().sum(-1), torch.ones(2))
    assert float(-found[:, 0].mean()) == pytest.approx(3.0, abs=1e-4)


def test_rows_without_a_teacher_have_the_loss_of_simnpo() -> None:
    rng = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 5, generator=rng)
    labels = torch.randint(5, (2, 3), generator=rng)
    mask = torch.ones(2, 3, dtype=torch.bool)
    logprob = logits.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    teacher = torch.randn(2, 3, 5, generator=rng).log_softmax(-1)
    teacher[1] = 0.0

    def losses(has_teacher: list[bool]) -> torch.Tensor:
        targets = {
            "teacher": teacher,
            "floor": torch.tensor([1.0, 0.0]),
            "is_gold": torch.tensor([True, False]),
            "has_teacher": torch.tensor(has_teacher),
        }
        return Twin().forget_loss(ModelOutputs(logprob, mask, labels, logits, targets=targets))

    mixed = losses([True, False])
    nll = -logprob[1].mean()
    assert mixed[1].item() == pytest.approx(float(-(2 / 4.5) * torch.nn.functional.logsigmoid(4.5 * (nll - 2.5))))
    assert mixed[0].item() == losses([True, True])[0].item()
