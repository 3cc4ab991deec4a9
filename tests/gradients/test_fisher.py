"""Fisher information of single examples, and what is chosen by it."""

import pytest
import torch

from expunge.gradients import RULES
from expunge.gradients.fisher import levels_of, mask_gradients, mean_of_squares, top_share


def values(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers)


def test_two_opposite_examples_have_a_fisher_of_one() -> None:
    assert mean_of_squares([{"w": values(1.0)}, {"w": values(-1.0)}])["w"].tolist() == [1.0]


def test_a_tensor_missing_in_one_example_counts_as_zero_there() -> None:
    result = mean_of_squares([{"a": values(2.0)}, {"a": values(0.0), "b": values(4.0)}])
    assert {name: v.tolist() for name, v in result.items()} == {"a": [2.0], "b": [8.0]}
    assert mean_of_squares([]) == {}


def test_half_precision_does_not_swallow_small_squares() -> None:
    half = torch.tensor([1e-4], dtype=torch.float16)
    assert float(mean_of_squares([{"w": half}])["w"]) == pytest.approx(1e-8, rel=0.02)


def test_the_hand_worked_mask_keeps_one_entry_and_leaves_retain_alone() -> None:
    """methods.md C: ratios a (3, .1), b 1; of three entries the best third; g_f + g_r is {(3, 0), -1}."""
    forget = {"a": values(3.0, 0.1), "b": values(1.0)}
    chosen = top_share(forget, {"a": values(1.0, 1.0), "b": values(1.0)}, 1 / 3)
    g_f, g_r = {"a": values(1.0, 2.0), "b": values(3.0)}, {"a": values(2.0, 0.0), "b": values(-1.0)}
    got = RULES.get("sum")().combine(mask_gradients(g_f, chosen), g_r)
    assert {name: g.tolist() for name, g in got.items()} == {"a": [3.0, 0.0], "b": [-1.0]}


def test_everything_may_be_chosen_and_at_least_one_entry_is() -> None:
    forget = {"a": values(3.0, 0.1)}
    assert top_share(forget, {}, 1.0)["a"].all()
    assert top_share(forget, {}, 0.01)["a"].tolist() == [True, False]
    assert mask_gradients({"a": values(1.0, 2.0), "b": values(5.0)}, {"a": torch.tensor([True, False])})[
        "a"
    ].tolist() == [1, 0]


def test_a_tensor_belongs_to_the_level_with_the_largest_share() -> None:
    fisher = {
        "L1": {"a": values(10.0), "b": values(90.0)},
        "L4": {"a": values(0.3), "b": values(0.7), "c": values(0.0)},
    }
    assert levels_of(fisher) == {"a": "L4", "b": "L1", "c": "L4"}  # a: .1 of L1, .3 of L4
