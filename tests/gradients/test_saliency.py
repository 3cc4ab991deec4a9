"""Token saliency: running averages, the guarded ratio, and weights per sequence."""

import pytest
import torch
from torch import Tensor

from expunge.gradients import TokenSaliency
from expunge.gradients.saliency import importance, sequence_weights, update

FORGET, RETAIN = torch.tensor([3.0, 1.0, 0.5]), torch.tensor([1.0, 2.0, 0.0])


def row(*values: float) -> Tensor:
    return torch.tensor([values])


def test_the_documented_gradients_give_the_documented_weights() -> None:
    """Both means over measured ids 1.5, floor .15: ratios 3, .5, .5/.15; divided by their mean 2.277778."""
    ratio = importance(FORGET, RETAIN)
    assert ratio.tolist() == pytest.approx([3, 0.5, 3.333333])
    weights = sequence_weights(ratio[None], torch.ones(1, 3, dtype=torch.bool))
    assert weights[0].tolist() == pytest.approx([1.317, 0.220, 1.463], abs=6e-4)


def test_an_id_that_retain_never_showed_is_bounded() -> None:
    assert float(FORGET[2] / (RETAIN[2] + 1e-5)) == pytest.approx(50_000)
    assert float(importance(FORGET, RETAIN, floor=1e-9)[2]) == 4.0


def test_the_ratio_is_clipped_at_both_ends() -> None:
    """The forget mean over nine measured ids is 1.0011, so 9 becomes 8.99 and .00125 hardly changes."""
    forget = torch.tensor([9.0, *[0.00125] * 8, 0.0])
    assert importance(forget, torch.ones(10)).tolist() == pytest.approx([4, *[0.1] * 8, 0.0])


def test_what_was_never_measured_is_neutral() -> None:
    """Of what was measured, the forget mean is 4: 6 and 2 become 1.5 and .5."""
    assert importance(torch.tensor([0.0, 6.0, 2.0]), torch.ones(3)).tolist() == [0, 1.5, 0.5]
    assert importance(torch.tensor([5.0, 3.0]), torch.zeros(2)).tolist() == [0, 0]
    mask = torch.ones(2, 3, dtype=torch.bool)
    weights = sequence_weights(torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), mask)
    assert weights.tolist() == [[1.5, 0.5, 1.0], [1.0, 1.0, 1.0]]


def test_the_scale_of_either_loss_does_not_matter() -> None:
    """A sum over tokens on the forget side once put every id at the upper limit, so that all weighed the same."""
    assert importance(1000 * FORGET, RETAIN).tolist() == pytest.approx(importance(FORGET, RETAIN).tolist())
    assert importance(FORGET, 1000 * RETAIN).tolist() == pytest.approx(importance(FORGET, RETAIN).tolist())


def test_beta_survives_normalization_and_uncounted_tokens_weigh_nothing() -> None:
    labels = torch.tensor([[0, 1, 2, 0], [1, 1, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]]).bool()
    weights = sequence_weights(importance(FORGET, RETAIN)[labels], mask, beta=0.4)
    assert (weights.sum(-1) / mask.sum(-1)).tolist() == pytest.approx([0.4, 0.4])
    assert weights[1, :2].tolist() == pytest.approx([0.4, 0.4])
    assert weights[~mask].eq(0).all()


def test_a_sequence_without_counted_tokens_has_zero_weights() -> None:
    weights = sequence_weights(torch.ones(1, 2), torch.zeros(1, 2).bool())
    assert weights.tolist() == [[0, 0]]


def test_the_average_takes_the_first_value_whole_and_means_repeats() -> None:
    ema = update(torch.zeros(3), torch.tensor([0, 0, 1]), torch.tensor([2.0, 4.0, 1.0]))
    assert ema.tolist() == [3, 1, 0]
    later = update(ema, torch.tensor([[0]]), row(13.0))
    assert later.tolist() == pytest.approx([0.9 * 3 + 0.1 * 13, 1, 0])
    assert ema.tolist() == [3, 1, 0]


def test_the_state_is_plain_tensors_and_restores_the_weights() -> None:
    saliency = TokenSaliency(3)
    saliency.observe("forget", torch.tensor([0, 1, 2]), FORGET)
    saliency.observe("retain", torch.tensor([0, 1]), RETAIN[:2])
    labels, mask = torch.tensor([[0, 1, 2]]), torch.ones(1, 3, dtype=torch.bool)
    restored = TokenSaliency(3, state={k: v.clone() for k, v in saliency.state.items()})
    assert type(saliency.state) is dict
    assert torch.equal(restored.weights(labels, mask, 0.7), saliency.weights(labels, mask, 0.7))
    assert restored.weights(labels, mask)[0].tolist() == pytest.approx([1.317, 0.220, 1.463], abs=6e-4)


def test_a_fresh_state_weighs_all_tokens_alike() -> None:
    weights = TokenSaliency(3).weights(torch.tensor([[0, 1, 2]]), torch.ones(1, 3, dtype=torch.bool))
    assert weights.tolist() == [[1, 1, 1]]


def test_as_printed_the_ratio_explodes_and_is_not_normalized() -> None:
    """(3, 1, .5) over (1, 2, 0) with eps 1e-5: 3, .5, 50,000 (methods.md A1.3)."""
    raw = TokenSaliency(3, raw=True, state={"forget": FORGET.clone(), "retain": RETAIN.clone()})
    weights = raw.weights(torch.tensor([[0, 1, 2]]), torch.ones(1, 3, dtype=torch.bool), beta=0.5)
    assert weights[0].tolist() == pytest.approx([1.5, 0.25, 25_000], rel=1e-4)
    nothing = TokenSaliency(3, raw=True).weights(torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool))
    assert nothing.tolist() == [[1, 1]]


def test_every_token_may_have_its_own_beta() -> None:
    mask = torch.ones(1, 2, dtype=torch.bool)
    weights = sequence_weights(torch.ones(1, 2), mask, torch.tensor([[0.1, 1.0]]))
    assert weights[0].tolist() == pytest.approx([0.1, 1.0])


def test_an_occurrence_is_weighed_by_its_own_gradient() -> None:
    """Both means 1.5. The same id twice: 2/1 and .5/1, mean 1.25; the end token, never an input, gets 1."""
    saliency = TokenSaliency(3, by_occurrence=True, state={"forget": FORGET.clone(), "retain": RETAIN.clone()})
    mask = torch.ones(1, 3, dtype=torch.bool)
    labels, norms = torch.tensor([[0, 0, 2]]), row(2.0, 0.5, 0.0)
    assert saliency.weights(labels, mask, norms=norms)[0].tolist() == pytest.approx([1.6, 0.4, 1.0])
    assert torch.equal(saliency.weights(labels, mask), TokenSaliency(3, state=saliency.state).weights(labels, mask))
    raw = TokenSaliency(3, raw=True, by_occurrence=True, state=saliency.state)
    assert raw.weights(labels, mask, 0.5, norms)[0].tolist() == pytest.approx([1.0, 0.25, 0.5], rel=1e-4)
