"""Gradient rules: the hand-worked pair of methods.md C, and what each rule promises on any gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from expunge.errors import InputError
from expunge.gradients import RULES, GradientRule, Gradients
from expunge.gradients.base import cosine
from expunge.gradients.project import Project, remove_component

G_F = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(3.0)}
G_R = {"a": torch.tensor([2.0, 0.0]), "b": torch.tensor(-1.0)}


def grads(a: tuple[float, float], b: float) -> Gradients:
    return {"a": torch.tensor(a, dtype=torch.float32), "b": torch.tensor(b, dtype=torch.float32)}


def same(got: Gradients, want: Gradients, atol: float = 1e-6) -> bool:
    return got.keys() == want.keys() and all(torch.allclose(got[k], want[k], rtol=0, atol=atol) for k in want)


def dot(x: Gradients, y: Gradients) -> float:
    return sum(float((x[k].double() * y[k].double()).sum()) for k in x.keys() & y.keys())


def rule(name: str, **values: object) -> GradientRule:
    return RULES.get(name)(**values)


@pytest.mark.parametrize(
    ("made", "weight_r", "want"),
    [
        (rule("sum"), 1.0, grads((3, 2), 2)),
        (rule("project"), 0.0, grads((0, 2), 0)),
        (rule("project", alpha=0.2), 0.0, grads((0.8, 2), 2.4)),
        (rule("project", granularity="global"), 0.0, grads((1.4, 2), 2.8)),
        (rule("project", when="conflict"), 0.0, grads((1, 2), 0)),
        (rule("project"), 1.0, grads((2, 2), -1)),
        (rule("pcgrad"), 1.0, grads((3.471429, 2.142857), 2.014286)),
        (rule("agem"), 1.0, grads((1.4, 2), 2.8)),
    ],
    ids=str,
)
def test_the_hand_worked_pair_gives_the_documented_values(made: GradientRule, weight_r: float, want: Gradients) -> None:
    assert same(made.combine(G_F, G_R, weight_r=weight_r), want)


def test_the_level_alpha_of_a_method_replaces_the_rules_own() -> None:
    assert same(Project(alpha=1.0).combine(G_F, G_R, weight_r=0, alpha=0.2), grads((0.8, 2), 2.4))


def test_weights_scale_each_side() -> None:
    assert same(rule("sum").combine(G_F, G_R, weight_f=2, weight_r=-1), grads((0, 4), 7))
    assert same(Project().combine(G_F, G_R, weight_f=2, weight_r=3), grads((6, 4), -3))


def test_rows_are_projected_one_by_one_and_a_vector_is_one_row() -> None:
    g = {"m": torch.tensor([[1.0, 2.0], [3.0, 3.0]]), "v": torch.tensor([1.0, 2.0])}
    along = {"m": torch.tensor([[2.0, 0.0], [0.0, -1.0]]), "v": torch.tensor([2.0, 0.0])}
    got = remove_component(g, along, granularity="row")
    assert same(got, {"m": torch.tensor([[0.0, 2.0], [3.0, 0.0]]), "v": torch.tensor([0.0, 2.0])})
    conflict = remove_component(g, along, granularity="row", when="conflict")
    assert same(conflict, {"m": torch.tensor([[1.0, 2.0], [3.0, 0.0]]), "v": torch.tensor([1.0, 2.0])})


def test_a_retain_gradient_below_the_threshold_leaves_the_forget_gradient() -> None:
    tiny = {"a": torch.tensor([1e-13, 0.0]), "b": torch.tensor(0.0)}
    assert same(remove_component(G_F, tiny), G_F, atol=0)
    small = {"a": torch.tensor([1e-11, 0.0]), "b": torch.tensor(0.0)}
    assert same(remove_component(G_F, small), grads((0, 2), 3))


def test_half_precision_stays_half_but_its_dots_are_wide() -> None:
    """dot 257, square 259 leave 1 - 257/259 = .007722; in bfloat16 they are 256, 260 and leave .0156."""
    g, along = torch.ones(259).bfloat16(), torch.ones(259).bfloat16()
    g[:2] = 0
    got = remove_component({"w": g}, {"w": along})["w"]
    assert got.dtype == torch.bfloat16
    assert float(got[2]) == pytest.approx(0.007722, rel=4e-3)


def test_a_small_conflict_among_large_parts_is_seen_over_all_parameters() -> None:
    """The parts 1e8, -1, -1e8 sum to -1, in float32 to 0. An alpha of |along|^2 makes it g + along."""
    g = {"a": torch.tensor(1e4), "b": torch.tensor(-1.0), "c": torch.tensor(1e4)}
    along = {"a": torch.tensor(1e4), "b": torch.tensor(1.0), "c": torch.tensor(-1e4)}
    got = remove_component(g, along, alpha=2e8 + 1, granularity="global", when="conflict")
    assert {name: float(v) for name, v in got.items()} == {"a": 2e4, "b": 0, "c": 0}


def test_only_rules_that_compare_the_gradients_ask_for_them_apart() -> None:
    assert {name: made.separate for name, made in RULES} == {name: name != "sum" for name in RULES.names()}


def test_settings_are_frozen_checked_and_described() -> None:
    with pytest.raises(ValidationError):
        Project(alpha=-1)
    with pytest.raises(ValidationError):
        Project.model_validate({"granularity": "column"})
    with pytest.raises(ValidationError):
        Project.model_validate({"aplha": 1})
    with pytest.raises(ValidationError, match="frozen"):
        Project().alpha = 2  # type: ignore[misc]


@pytest.mark.parametrize("name", RULES.names())
def test_every_rule_says_what_it_does_and_where_it_is_from(name: str) -> None:
    made = RULES.get(name)
    summary, blank = [*made.__dict__["__doc__"].splitlines(), ""][:2]
    assert summary.endswith(".")
    assert not blank
    assert made.__dict__["source"]
    assert all(f.description for f in made.model_fields.values())


def test_an_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(InputError, match='did you mean "project"'):
        RULES.get("projekt")


NUMBERS = st.floats(-1, 1, width=32)


@st.composite
def gradient(draw: st.DrawFn) -> Gradients:
    def tensor(*shape: int) -> Tensor:
        size = int(torch.tensor(shape).prod())
        return torch.tensor(draw(st.lists(NUMBERS, min_size=size, max_size=size))).reshape(shape)

    return {"matrix": tensor(2, 3), "vector": tensor(2)}


PROJECTIONS = st.builds(
    Project,
    alpha=st.floats(0, 2),
    granularity=st.sampled_from(["tensor", "row", "global"]),
    when=st.sampled_from(["always", "conflict"]),
)
EVERY_RULE = st.sampled_from(RULES.names()).map(lambda name: RULES.get(name)()) | PROJECTIONS
quick = settings(max_examples=60, deadline=None)


@quick
@given(EVERY_RULE, gradient(), gradient())
def test_flipping_both_signs_flips_the_result(made: GradientRule, f: Gradients, r: Gradients) -> None:
    flipped = made.combine({k: -v for k, v in f.items()}, {k: -v for k, v in r.items()})
    assert same(flipped, {k: -v for k, v in made.combine(f, r).items()}, atol=0)


@quick
@given(PROJECTIONS, gradient(), gradient())
def test_a_full_projection_never_points_against_retain(made: Project, f: Gradients, r: Gradients) -> None:
    assert dot(made.combine(f, r, weight_r=0, alpha=1.0), r) >= -1e-6


@quick
@given(gradient(), gradient())
def test_agem_never_points_against_retain_and_is_idle_without_conflict(f: Gradients, r: Gradients) -> None:
    got = rule("agem").combine(f, r)
    assert dot(got, r) >= -1e-6
    if dot(f, r) >= 0:
        assert same(got, f, atol=0)


@quick
@given(gradient(), gradient())
def test_pcgrad_is_the_sum_without_conflict(f: Gradients, r: Gradients) -> None:
    if dot(f, r) < 0:
        r = {k: -v for k, v in r.items()}
    assert same(rule("pcgrad").combine(f, r), rule("sum").combine(f, r), atol=0)


@quick
@given(EVERY_RULE, gradient())
def test_a_zero_retain_gradient_returns_the_forget_gradient(made: GradientRule, f: Gradients) -> None:
    zero = {k: torch.zeros_like(v) for k, v in f.items()}
    assert same(made.combine(f, zero), f, atol=0)


@quick
@given(EVERY_RULE, gradient(), gradient())
def test_a_missing_name_counts_as_zero(made: GradientRule, f: Gradients, r: Gradients) -> None:
    zero = torch.zeros(2)
    only_f = made.combine(f, {"matrix": r["matrix"]})
    assert same(only_f, made.combine(f, r | {"vector": zero}), atol=0)
    assert same(made.combine({"matrix": f["matrix"]}, r), made.combine(f | {"vector": zero}, r), atol=0)


@quick
@given(PROJECTIONS, gradient(), gradient(), st.sampled_from([torch.float32, torch.bfloat16]))
def test_alpha_zero_is_the_sum_bit_for_bit(made: Project, f: Gradients, r: Gradients, dtype: torch.dtype) -> None:
    f, r = ({k: v.to(dtype) for k, v in g.items()} for g in (f, r))
    got, want = (m.combine(f, r, weight_f=0.7, weight_r=1.3, alpha=0.0) for m in (made, rule("sum")))
    assert all(torch.equal(got[k], want[k]) for k in want)


@quick
@given(EVERY_RULE, gradient(), gradient())
def test_inputs_are_left_untouched(made: GradientRule, f: Gradients, r: Gradients) -> None:
    before = {k: v.clone() for k, v in f.items()}, {k: v.clone() for k, v in r.items()}
    made.combine(f, r, weight_f=0.5, weight_r=2.0)
    assert same(f, before[0], atol=0)
    assert same(r, before[1], atol=0)


def test_sgd_after_a_full_projection_moves_along_retain_as_documented() -> None:
    lr, weight = 0.1, 0.5
    torch.manual_seed(0)
    f, r = ({k: torch.randn(s) for k, s in (("A", (2, 5)), ("B", (4, 2)))} for _ in range(2))
    step = {k: -lr * g for k, g in Project().combine(f, r, weight_r=weight).items()}
    for k in r:
        want = -lr * weight * float((r[k] ** 2).sum())
        assert float((step[k] * r[k]).sum()) == pytest.approx(want, abs=1e-6)


def test_after_adams_scaling_the_projected_gradient_is_orthogonal() -> None:
    """methods.md A1.8: P = diag(1, 4) takes (1, 1) against (2, 1) to (-.5, .25), and (P g).g_r is 0."""
    g_f, g_r, scaling = ({"w": torch.tensor(v)} for v in ([1.0, 1.0], [2.0, 1.0], [1.0, 4.0]))
    for granularity in ("tensor", "global"):
        made = Project.model_validate({"metric": "adam", "granularity": granularity})
        got = made.combine(g_f, g_r, weight_r=0, scaling=scaling)
        assert same(got, {"w": torch.tensor([-0.5, 0.25])})
        assert dot({"w": got["w"] * scaling["w"]}, g_r) == pytest.approx(0)
        assert made.preconditions
    before = Project(metric="adam").combine(g_f, g_r, weight_r=0)  # Adam has not stepped yet
    assert same(before, {"w": torch.tensor([-0.2, 0.4])})
    assert not Project().preconditions


def test_the_printed_formula_number_by_number_only_rescales() -> None:
    g_f, g_r = {"w": torch.tensor([3.0, -2.0])}, {"w": torch.tensor([1.0, 5.0])}
    got = Project(granularity="scalar", alpha=0.2).combine(g_f, g_r, weight_r=0)
    assert same(got, {"w": torch.tensor([2.4, -1.6])}, atol=1e-4)


def test_unit_gradients_lose_the_scale_of_the_losses() -> None:
    one, large = {"w": torch.tensor([3.0, 4.0])}, {"w": torch.tensor([300.0, 400.0])}
    made = Project(unit=True, alpha=0.0)
    assert same(made.combine(one, {}), {"w": torch.tensor([0.6, 0.8])})
    assert same(made.combine(large, {}), made.combine(one, {}))
    assert same(made.combine({"w": torch.zeros(2)}, {}), {"w": torch.zeros(2)})


def test_each_tensor_may_have_its_own_strength() -> None:
    got = Project().combine(G_F, G_R, weight_r=0, alpha={"a": 0.2, "b": 1.0})
    assert same(got, grads((0.8, 2), 0))


def test_the_cosine_is_over_all_parameters() -> None:
    assert cosine({"w": torch.tensor([3.0, 4.0])}, {"w": torch.tensor([4.0, 3.0])}) == pytest.approx(0.96)
    assert cosine(G_F, G_R) == pytest.approx(-1 / math.sqrt(14 * 5))
    assert math.isnan(cosine(G_F, {}))
