"""Places in the pictures that can be computed by hand."""

import re

import pytest

from expunge.audit.schema import AuditFile
from expunge.report.plots.controls import control_panels
from expunge.report.plots.losses import losses
from expunge.report.plots.retention_curve import curve
from expunge.report.plots.svg import Drawing, Scale, decades, ticks
from expunge.report.plots.training import thinned, training
from expunge.report.run_reader import RunRecord, TrainingStep


def read(data) -> AuditFile:
    return AuditFile.model_validate(data)


def test_a_scale_is_linear_or_logarithmic_and_keeps_values_inside():
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


def test_words_in_a_drawing_are_escaped():
    pen = Drawing(10, 10, '"><script>')
    pen.text(1, 2, "<script>")
    pen.shape("rect", fill='"><script>')
    assert "<script>" not in pen.markup()
    assert "&lt;script&gt;" in pen.markup()


def test_the_losses_of_all_models_share_one_axis_and_name_medians_and_counts(build):
    panels = losses(read(build()))
    assert len(panels) == 3
    assert all("forgotten: median 3.000, 3 records" in p for p in panels)
    assert all("kept: median 0.020, 3 records" in p for p in panels)
    assert len({tuple(re.findall(r'text-anchor="middle"[^>]*>([\d.]+)<', p)) for p in panels}) == 1


def test_the_grey_band_is_the_middle_of_the_never_seen_and_is_absent_without_them(build):
    assert all(p.count("<rect") == 1 for p in losses(read(build())))
    assert all(p.count("<rect") == 0 for p in losses(read(build(controls=False))))


def test_losses_of_zero_are_drawn_at_the_left_end(build):
    data = build()
    for groups in data["distributions"].values():
        groups["retain_heldout"] = [0.0, 0.0]
    assert all("median 0.000" in p and "nan" not in p for p in losses(read(data)))


def test_a_subject_stands_beside_one_dot_per_control_and_the_worst_row_takes_the_worst_of_each(build):
    found = control_panels(read(build()))
    assert [s.subject for s in found] == ["patient:P-1"]
    panel = found[0].panels[1]
    assert panel.count("<circle") == 3 * 4  # loss, entropy, worst
    assert "by loss: +1.25 standard deviations; by entropy: −0.50 standard deviations" in panel
    assert "worst of all: +1.25 standard deviations" in panel


def test_the_most_conspicuous_subject_comes_first(build):
    data = build()
    ranks = data["details"]["membership"]["control_ranks"]["unlearned"]
    place = ranks["patient:P-1"]
    ranks["patient:P-2"] = {**place, "z": {"loss": 3.0, "entropy": 0.0}}
    assert [s.subject for s in control_panels(read(data))] == ["patient:P-2", "patient:P-1"]


@pytest.mark.parametrize("far", [50.0, -50.0, 1e9])
def test_values_far_away_stand_at_the_border_of_the_picture(build, far):
    data = build()
    for ranks in data["details"]["membership"]["control_ranks"].values():
        ranks["patient:P-1"] |= {"z": {"loss": far}, "controls": {"loss": [far] * 4}}
    for panel in control_panels(read(data))[0].panels:
        assert all(0 <= float(x) <= 340 for x in re.findall(r'cx="([-\d.]+)"', panel))


def test_retention_is_drawn_at_its_height_with_its_interval(build):
    drawn = curve(read(build()))
    # 1.1 units from 230 up to 40: 0.96875 stands at 230 - 190 * 0.96875 / 1.1
    assert re.findall(r'cy="([\d.]+)"', drawn)[:2] == ["62.7", "62.7"]
    assert 'y1="68.1"' in drawn  # the lower bound 0.9375
    assert "n 20" in drawn
    assert "n 40" in drawn


def test_an_unknown_retention_leaves_a_gap_and_unknown_everywhere_leaves_no_picture(build):
    data = build()
    data["details"]["retention"]["curve"][0]["exact_match"] = {"estimate": None, "ci": None}
    assert curve(read(data)).count("<circle") == 2  # the other distance, and the key
    for point in data["details"]["retention"]["curve"]:
        point |= {"exact_match": {}, "answer_prob": {}}
    assert curve(read(data)) is None


def test_long_runs_are_thinned_to_means_that_keep_the_overall_mean():
    points = [(k, float(k % 7)) for k in range(700)]
    few = thinned(points, most=100)
    assert len(few) == 100
    assert few[0] == (3.0, 3.0)
    assert sum(v for _, v in few) / len(few) == pytest.approx(sum(v for _, v in points) / len(points))


def test_a_loss_that_was_not_computed_has_no_panel_and_phases_are_marked():
    steps = tuple(TrainingStep(step=k, phase=int(k >= 2), forget=float(k)) for k in range(4))
    panels = training(RunRecord("ga", "finished", None, "", steps))
    assert len(panels) == 1
    assert "Forget loss over 4 steps, from 0.000 at the first to 3.000 at the last." in panels[0]
    assert panels[0].count('stroke-dasharray="3 3"') == 1


def test_a_run_of_one_step_and_a_constant_loss_can_be_drawn():
    assert len(training(RunRecord("ga", "finished", None, "", (TrainingStep(step=0, forget=0.0, retain=-2.0),)))) == 2
