"""Every formula against fixture X: NLL .693147 and 1.386294, reference sum .916291, gap -1.163151."""

import math
from dataclasses import replace

import pytest
import torch

from expunge.methods import ModelOutputs, forward_kl, retain_loss
from expunge.methods.ga import GA
from expunge.methods.grad_diff import GradDiff
from expunge.methods.ihl import IHL
from expunge.methods.kl_min import KLMin
from expunge.methods.npo import NPO
from expunge.methods.random_relabel import RandomRelabel
from expunge.methods.sequential import Sequential
from expunge.methods.simnpo import SimNPO
from expunge.methods.sugd import SUGD
from expunge.methods.undial import UnDIAL


def near(value: float) -> object:
    return pytest.approx(value, rel=2e-6)


def slope(method: object, out: ModelOutputs) -> torch.Tensor:
    """d loss / d log p of each answer token."""
    logprob = out.logprob.clone().requires_grad_()
    loss = method.forget_loss(replace(out, logprob=logprob))  # type: ignore[attr-defined]
    return torch.autograd.grad(loss.sum(), logprob)[0][0]


def test_fixture_x_is_the_documented_one(x: ModelOutputs) -> None:
    assert float(x.nll_sum) == near(2.079442)
    assert float(x.nll_mean) == near(1.039721)
    assert float(x.sequence_logprob) == near(-2.079442)
    assert float(x.logratio) == near(-1.163151)


def test_ga_is_the_negative_mean_loss(x: ModelOutputs) -> None:
    assert float(GA().forget_loss(x)) == near(-1.039721)


def test_ga_leaves_a_token_alone_beyond_the_clip(x: ModelOutputs) -> None:
    assert float(GA(clip=1.0).forget_loss(x)) == near(-(0.693147 + 1.0) / 2)
    assert slope(GA(clip=1.0), x).tolist() == [0.5, 0.0]
    assert slope(GA(clip=4.0), x).tolist() == [0.5, 0.5]


def test_the_clip_comes_before_the_token_weight(x: ModelOutputs) -> None:
    weighted = replace(x, weights=torch.tensor([[0.5, 1.5]]))
    assert float(GA(clip=1.0).forget_loss(weighted)) == near(-(0.5 * 0.693147 + 1.5 * 1.0) / 2)


def test_grad_diff_adds_the_retain_loss(x: ModelOutputs) -> None:
    retain = replace(x, logprob=torch.tensor([[-1.0, -3.0]]))
    assert GradDiff.retain == "ce"
    assert float(GradDiff().forget_loss(x) + retain_loss("ce", retain)) == near(0.960279)


def test_kl_min_keeps_the_references_distribution_on_retain(x: ModelOutputs, x_ref: ModelOutputs) -> None:
    assert x.reference is not None
    tokens = forward_kl(x.reference.log_softmax, x.log_softmax)
    assert tokens[0].tolist() == [near(0.192745), near(0.148697)]
    assert float(retain_loss(KLMin.retain, x)) == pytest.approx(0.170721, abs=1e-6)
    assert float(retain_loss(KLMin.retain, x_ref)) == pytest.approx(0, abs=1e-7)
    assert float(KLMin().forget_loss(x)) == near(-1.039721)


def test_the_logit_term_is_the_mean_square_of_centered_logits(x: ModelOutputs, x_ref: ModelOutputs) -> None:
    # token 1: differences (-1.039721, .346574 three times), mean square .360340; token 2: (-.759139, .444834,
    # .157152 twice), mean square .205891
    assert float(retain_loss("logit", x)) == pytest.approx((0.360340 + 0.205891) / 2, abs=2e-6)
    assert float(retain_loss("logit", x_ref)) == pytest.approx(0, abs=1e-7)
    shifted = replace(x, logits=x.logits + 3.0)  # type: ignore[operator]
    assert float(retain_loss("logit", shifted)) == pytest.approx(float(retain_loss("logit", x)), abs=1e-6)


def test_the_logit_term_does_not_fade_where_the_model_is_sure() -> None:
    """10 against 6 nats ahead: the answer is as good as certain in both, and kl hardly sees what was lost."""
    mask, sure = torch.ones(1, 1, dtype=torch.bool), torch.tensor([[[10.0, 0.0]]])
    before = ModelOutputs(torch.zeros(1, 1), mask, logits=sure)
    after = ModelOutputs(torch.zeros(1, 1), mask, logits=sure - torch.tensor([4.0, 0.0]), reference=before)
    assert float(retain_loss("kl", after)) < 0.003
    assert float(retain_loss("logit", after)) == near(4.0)  # centred: 2 nats off on either side


def test_no_retain_term_is_zero(x: ModelOutputs) -> None:
    assert retain_loss("none", x).tolist() == [0]


def test_npo_sums_or_averages_log_p(x: ModelOutputs) -> None:
    assert float(NPO().forget_loss(x)) == near(12.733597)
    assert float(NPO(normalize="mean").forget_loss(x)) == near(13.289823)
    assert float(NPO(scale="per_token").forget_loss(x)) == near(12.733597 / 2)


def test_npo_starts_as_ascent_and_slows_down_as_the_answer_fades(x: ModelOutputs, x_ref: ModelOutputs) -> None:
    assert float(NPO().forget_loss(x_ref)) == near(13.862944)
    assert slope(NPO(), x_ref).tolist() == [near(1.0), near(1.0)]
    assert slope(NPO(), x).tolist() == [near(0.941908), near(0.941908)]


def test_npo_applies_token_weights_to_both_models(x: ModelOutputs) -> None:
    """Weights (2, 0): gap = 2 (ln .5 - ln .8) = -.940007; 20 ln(1 + exp(-.0940007)) = 12.945018."""
    weighted = replace(x, weights=torch.tensor([[2.0, 0.0]]))
    assert float(weighted.logratio) == near(-0.940007)
    assert float(NPO().forget_loss(weighted)) == near(12.945018)
    assert slope(NPO(), weighted)[1] == 0


def test_simnpo_needs_no_reference_and_vanishes_when_the_loss_is_large(x: ModelOutputs) -> None:
    alone = replace(x, reference=None)
    assert float(SimNPO().forget_loss(alone)) == pytest.approx(0.00411013, abs=1e-8)
    assert float(SimNPO(beta=2.5).forget_loss(alone)) == pytest.approx(0.0573544, abs=1e-7)
    shifted = SimNPO(beta=2.5, delta=1.039721).forget_loss(alone)
    assert float(shifted) == pytest.approx(2 / 2.5 * 0.693147, abs=1e-6)


def test_ihl_trades_the_answer_for_its_rival(x: ModelOutputs) -> None:
    assert float(IHL().forget_loss(x)) == near(1.0)
    first = replace(x, mask=torch.tensor([[True, False]]))
    second = replace(x, mask=torch.tensor([[False, True]]))
    assert float(IHL().forget_loss(first)) == near(1.25)
    assert float(IHL().forget_loss(second)) == near(0.75)
    weighted = replace(x, weights=torch.tensor([[0.5, 1.5]]))
    assert float(IHL().forget_loss(weighted)) == near((0.5 * 1.25 + 1.5 * 0.75) / 2)


def test_ihl_refuses_to_guess_the_answer(x: ModelOutputs) -> None:
    with pytest.raises(ValueError, match="needs the labels"):
        IHL().forget_loss(replace(x, labels=None))


def test_ihl_gradient_at_the_logits() -> None:
    logits = torch.tensor([[[0.7, 0.2, 0.1]]]).log().requires_grad_()
    one = torch.ones(1, 1)
    out = ModelOutputs(logprob=one * 0.7, mask=one.bool(), labels=one.long() * 0, logits=logits)
    IHL().forget_loss(out).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 0].tolist() == pytest.approx([0.35, -0.3, -0.05])


def test_random_relabel_descends_on_the_rows_it_is_given(x: ModelOutputs) -> None:
    assert float(RandomRelabel().forget_loss(x)) == near(1.039721)
    assert RandomRelabel().requirements().targets == ()


@pytest.mark.parametrize(("loss", "value"), [("npo", 12.733597), ("ga_clip", -1.039721), ("ihl", 1.0)])
def test_sequential_forgets_by_the_chosen_bounded_loss(loss: str, value: float, x: ModelOutputs) -> None:
    method = Sequential.model_validate({"loss": loss})
    assert float(method.forget_loss(x)) == near(value)
    assert method.requirements().reference_logprobs == (loss == "npo")
    assert method.requirements().logits == (loss == "ihl")


def test_sequential_clips_ascent_at_four_nats(x: ModelOutputs) -> None:
    far = replace(x, logprob=torch.tensor([[-1.0, -9.0]]))
    assert float(Sequential(loss="ga_clip").forget_loss(far)) == -2.5


def test_undial_lowers_the_true_tokens_logit(x: ModelOutputs) -> None:
    assert float(UnDIAL().forget_loss(x)) == near(1.490175)
    # beta ln 4: the targets are (.5 .25 .125 .125), which is p, and (.2 .48 .16 .16)
    assert float(UnDIAL(beta=math.log(4)).forget_loss(x)) == pytest.approx(1.244199, abs=2e-6)
    logits = x.logits.clone().requires_grad_()  # type: ignore[union-attr]
    UnDIAL(beta=math.log(4)).forget_loss(replace(x, logits=logits)).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 0].abs().max() < 1e-6
    assert logits.grad[0, 1].tolist() == pytest.approx([0.025, 0.01, -0.0175, -0.0175], abs=1e-6)


def test_sugd_is_gradient_difference_in_chunks(x: ModelOutputs) -> None:
    far = replace(x, logprob=torch.tensor([[-1.04, -1.04]]))
    kept = replace(x, logprob=torch.tensor([[-2.0, -2.0]]))
    # the mean of a forget row times -1 and a retained one times 1/2
    assert float(SUGD().forget_loss(far) + 0.5 * retain_loss("ce", kept)) / 2 == pytest.approx(-0.02)
    assert SUGD(chunk=8).requirements().chunk == 8
