"""The dual strategy: levels, and which loss its weights reach."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from expunge.errors import InputError
from expunge.methods import ModelOutputs
from expunge.methods.dual import Dual


@pytest.mark.parametrize(
    ("level", "alpha", "beta"),
    [("L1", 1.0, 0.1), ("L2", 0.733, 0.4), ("L3", 0.467, 0.7), ("L4", 0.2, 1.0), (None, 0.2, 1.0)],
)
def test_levels_have_the_papers_strengths_and_no_level_means_l4(level: str | None, alpha: float, beta: float) -> None:
    assert Dual().projection(level) == alpha
    assert Dual().token_factor(level) == beta
    assert Dual.rule == "project"


def test_one_level_can_be_set_and_the_others_keep_their_default() -> None:
    method = Dual.model_validate({"alpha": {"L4": 0.5}})
    assert [method.projection(level) for level in ("L1", "L4")] == [1.0, 0.5]


def test_an_unknown_level_is_refused_in_settings_and_in_data() -> None:
    with pytest.raises(ValidationError, match="L5"):
        Dual.model_validate({"alpha": {"L5": 0.5}})
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Dual.model_validate({"beta": {"L1": -0.5}})
    with pytest.raises(InputError, match='unknown concept level "L5"'):
        Dual().projection("L5")


def test_projection_only_asks_for_no_saliency_and_does_not_weigh(x: ModelOutputs) -> None:
    method = Dual(token_weights="none")
    assert method.requirements().token_weights == "none"
    assert method.token_factor("L1") == 1.0
    assert float(method.forget_loss(x)) == pytest.approx(12.733597)


@pytest.mark.parametrize(("loss", "value"), [("npo", 12.945018), ("ga_clip", -0.693147), ("ihl", 1.25)])
def test_token_weights_reach_every_loss(loss: str, value: float, x: ModelOutputs) -> None:
    """Weights (2, 0) leave the first token only, counted twice over two tokens."""
    weighted = replace(x, weights=torch.tensor([[2.0, 0.0]]))
    assert float(Dual.model_validate({"loss": loss}).forget_loss(weighted)) == pytest.approx(value, rel=2e-6)


def test_unit_weights_change_nothing(x: ModelOutputs) -> None:
    ones = replace(x, weights=torch.ones(1, 2))
    assert torch.equal(Dual().forget_loss(ones), Dual(token_weights="none").forget_loss(x))
