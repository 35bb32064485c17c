"""Answers that may have left after the SMSC's patience. No clock: every time is the test's own."""

from __future__ import annotations

import pytest

from gateway.links.lateness import HELD_UP_SECONDS, Lateness

PATIENCE = 9.5


def ticked(*moments: float) -> Lateness:
    lateness = Lateness(moments[0], PATIENCE)
    for moment in moments[1:]:
        lateness.tick(moment)
    return lateness


def test_while_the_loop_runs_what_is_read_came_now() -> None:
    assert ticked(100.0, 100.1, 100.2).arrived_at(100.25) == 100.25


@pytest.mark.parametrize("ticks", [(100.0, 100.1, 100.2), (100.0, 100.1, 100.2, 105.0)])
def test_after_a_standstill_what_is_read_may_have_come_at_its_beginning(ticks: tuple[float, ...]) -> None:
    assert ticked(*ticks).arrived_at(105.01) == ticks[-2]
    assert 105.01 - ticks[-2] > HELD_UP_SECONDS


@pytest.mark.parametrize("seconds, late", [(0.0, False), (9.5, False), (9.6, True)])
def test_an_answer_is_late_when_the_smscs_patience_is_over(seconds: float, late: bool) -> None:
    assert ticked(100.0).answered(1, 100.0, 100.0 + seconds) is late


def test_after_a_long_standstill_the_answers_just_before_it_count_as_held_back_once() -> None:
    lateness = ticked(100.0)
    for ordinal, moment in enumerate((100.05, 100.15, 100.25), 1):
        lateness.answered(ordinal, moment, moment)
        lateness.tick(moment + 0.05)
    lateness.answered(4, 100.35, 100.35)
    assert lateness.held_back(100.3 + PATIENCE) == ()
    assert lateness.held_back(100.4 + PATIENCE) == (3, 4)
    assert lateness.held_back(100.4 + PATIENCE) == ()
