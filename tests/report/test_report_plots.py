"""The plots: positions that can be computed by hand, and missing parts."""

import re

import pytest

from expunge.audit.schema import AuditFile
from expunge.report.plots.controls import draw_controls
from expunge.report.plots.losses import draw_losses
from expunge.report.plots.retention_curve import draw_retention_curve
from expunge.report.plots.svg import Drawing, Scale, decades, ticks
from expunge.report.plots.training import downsample, draw_training
from expunge.report.run_reader import RunRecord, TrainingStep


def read(data) -> AuditFile:
    return AuditFile.model_validate(data)


def test_a_scale_is_linear_or_logarithmic_and_clips_values():
    assert Scale(0, 10, 100, 200)(2.5) == 125
    assert Scale(0.01, 1, 0, 100, log=True)(0.1) == pytest.approx(50)
    assert Scale(0, 10, 100, 0)(25) == 0
    assert Scale(0.01, 1, 0, 100, log=True)(-3) == 0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0, 59, [0, 20, 40]), (-5.3, 6.4, [-5, 0, 5]), (0, 1.1, [0, 0.5, 1.0])],
)
def test_ticks_are_round_values_inside_the_axis(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_decades_are_the_powers_of_ten_inside():
    assert decades(0.001, 15.6) == pytest.approx([0.001, 0.01, 0.1, 1, 10])


def test_text_in_a_drawing_is_escaped():
    drawing = Drawing(10, 10, '"><script>')
    drawing.text(1, 2, "<script>")
    drawing.shape("rect", fill='"><script>')
    assert "<script>" not in drawing.markup()
    assert "&lt;script&gt;" in drawing.markup()


def test_the_losses_of_all_models_share_one_axis(build):
    panels = draw_losses(read(build()))
    assert len(panels) == 3
    assert all("forget set: median 3.000, 3 records" in p for p in panels)
    assert all("held-out retain set: median 0.020, 3 records" in p for p in panels)
    assert len({tuple(re.findall(r'text-anchor="middle"[^>]*>([\d.]+)<', p)) for p in panels}) == 1


def test_the_gray_band_needs_never_trained_records(build):
    assert all(p.count("<rect") == 1 for p in draw_losses(read(build())))
    assert all(p.count("<rect") == 0 for p in draw_losses(read(build(controls=False))))


def test_losses_of_zero_are_drawn_at_the_left_end(build):
    data = build()
    for groups in data["distributions"].values():
        groups["retain_heldout"] = [0.0, 0.0]
    assert all("median 0.000" in p and "nan" not in p for p in draw_losses(read(data)))


def test_each_control_is_a_dot_and_the_last_row_takes_the_worst_score(build):
    subjects = draw_controls(read(build()))
    assert [s.subject for s in subjects] == ["patient:P-1"]
    panel = subjects[0].panels[1]
    assert panel.count("<circle") == 3 * 4  # loss, entropy, worst
    assert "by loss: +1.25 standard deviations; by entropy: −0.50 standard deviations" in panel
    assert "worst of all: +1.25 standard deviations" in panel


def test_the_subject_with_the_largest_z_score_comes_first(build):
    data = build()
    ranks = data["details"]["membership"]["control_ranks"]["unlearned"]
    panel = ranks["patient:P-1"]
    ranks["patient:P-2"] = {**panel, "z": {"loss": 3.0, "entropy": 0.0}}
    assert [s.subject for s in draw_controls(read(data))] == ["patient:P-2", "patient:P-1"]


@pytest.mark.parametrize("far", [50.0, -50.0, 1e9])
def test_extreme_values_are_drawn_at_the_border(build, far):
    data = build()
    for ranks in data["details"]["membership"]["control_ranks"].values():
        ranks["patient:P-1"] |= {"z": {"loss": far}, "controls": {"loss": [far] * 4}}
    for panel in draw_controls(read(data))[0].panels:
        assert all(0 <= float(x) <= 340 for x in re.findall(r'cx="([-\d.]+)"', panel))


def test_retention_is_drawn_at_its_height_with_its_interval(build):
    svg = draw_retention_curve(read(build()))
    # 1.1 units from 230 up to 40: 0.96875 is at 230 - 190 * 0.96875 / 1.1
    assert re.findall(r'cy="([\d.]+)"', svg)[:2] == ["62.7", "62.7"]
    assert 'y1="68.1"' in svg  # the lower bound 0.9375
    assert "n 20" in svg
    assert "n 40" in svg


def test_an_unknown_retention_is_a_gap_and_all_unknown_is_no_plot(build):
    data = build()
    data["details"]["retention"]["curve"][0]["exact_match"] = {"estimate": None, "ci": None}
    assert draw_retention_curve(read(data)).count("<circle") == 2  # the other distance, and the legend
    for point in data["details"]["retention"]["curve"]:
        point |= {"exact_match": {}, "answer_prob": {}}
    assert draw_retention_curve(read(data)) is None


def test_long_runs_are_downsampled_to_means():
    points = [(k, float(k % 7)) for k in range(700)]
    few = downsample(points, most=100)
    assert len(few) == 100
    assert few[0] == (3.0, 3.0)
    assert sum(v for _, v in few) / len(few) == pytest.approx(sum(v for _, v in points) / len(points))


def test_a_missing_loss_has_no_panel_and_phases_are_marked():
    steps = tuple(TrainingStep(step=k, phase=int(k >= 2), forget=float(k)) for k in range(4))
    panels = draw_training(RunRecord("ga", "finished", None, "", steps))
    assert len(panels) == 1
    assert "Forget loss over 4 steps, from 0.000 at the first to 3.000 at the last." in panels[0]
    assert panels[0].count('stroke-dasharray="3 3"') == 1


def test_a_run_of_one_step_and_a_constant_loss_can_be_drawn():
    assert (
        len(draw_training(RunRecord("ga", "finished", None, "", (TrainingStep(step=0, forget=0.0, retain=-2.0),)))) == 2
    )
