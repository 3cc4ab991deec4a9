"""Floors that sink where a person's answers have become less likely than other people's are."""

from __future__ import annotations

import torch

from expunge.methods.twin.loss_floors import LossFloors


def two_people() -> LossFloors:
    """Rows 0 and 1 of one person (2 and 6 nats), row 2 the teacher's own answer, row 3 of another person."""
    return LossFloors(torch.tensor([2.0, 6.0, 0.0, 4.0]), torch.tensor([0, 0, 0, 1]), least=1.5)


def test_floors_stay_while_answers_are_likelier_than_they_should_be() -> None:
    floors = two_people()
    floors.record([0, 1, 2, 3], torch.tensor([1.0, 2.0, 9.0, 3.9]))
    floors.step()
    assert floors.current.tolist() == [2.0, 6.0, 0.0, 4.0]


def test_floors_sink_with_the_relative_error_of_the_subjects_mean() -> None:
    """Mean loss 8 where 4 was drawn: error -1, factor 1 - .1; the own row, at 99 nats, does not count."""
    floors = two_people()
    floors.record([0, 1, 2], torch.tensor([4.0, 12.0, 99.0]))
    floors.step()
    torch.testing.assert_close(floors.current, torch.tensor([1.8, 5.4, 0.0, 4.0]))


def test_no_floor_sinks_under_the_least_and_they_rise_again() -> None:
    floors = two_people()
    floors.record([0, 1], torch.tensor([400.0, 400.0]))
    floors.step()
    assert floors.current.tolist() == [1.5, 1.5, 0.0, 4.0]
    floors.record([0, 1], torch.tensor([0.0, 0.0]))
    for _ in range(8):
        floors.step()
    assert floors.current.tolist() == [2.0, 6.0, 0.0, 4.0]


def test_a_restored_state_goes_on_alike() -> None:
    floors, other = two_people(), two_people()
    floors.record([0, 1], torch.tensor([5.0, 9.0]))
    floors.step()
    other.restore(floors.state())
    for each in (floors, other):
        each.record([0], torch.tensor([7.0]))
        each.step()
    assert torch.equal(floors.current, other.current)
