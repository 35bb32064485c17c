"""How fast PDUs leave an account, and how it comes back from throttling. No clock: every time is the test's own."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.pace import CATCH_UP_SECONDS, HOLD_SECONDS, PROBE_SECONDS, REGAIN_SECONDS, Pace

CALM_SECONDS = HOLD_SECONDS + REGAIN_SECONDS + PROBE_SECONDS


def departures(pace: Pace, start: float, seconds: float, tick: float = 0.001) -> list[float]:
    """When PDUs leave if there is always one more, and the timer ticks each millisecond."""
    left = []
    for step in range(int(seconds / tick)):
        now = start + step * tick
        while pace.delay(now) <= 0:
            pace.take(now)
            left.append(now)
    return left


def at_full_speed(agreed: float, borne: float = 100.0) -> Pace:
    """A pace that the SMSC has borne for two seconds, until 1002."""
    pace = Pace(agreed)
    for step in range(int(2 * borne)):
        pace.take(1000.0 + step / borne)
    return pace


@pytest.mark.parametrize("rate", [1, 30, 100, 5_000])
def test_the_agreed_rate_is_used_and_not_exceeded_in_any_second(rate: float) -> None:
    left = departures(Pace(rate), 1000.0, 3.0)
    assert rate * 3 * 0.99 <= len(left) <= rate * (3 + CATCH_UP_SECONDS) + 1
    for first, at in enumerate(left):
        within = sum(at <= other < at + 1.0 for other in left[first : first + int(rate * 1.1) + 5])
        assert within <= rate * (1 + CATCH_UP_SECONDS) + 2
        if first > 200:
            break


def test_no_rate_is_no_limit() -> None:
    pace = Pace(0)
    for _ in range(100_000):
        assert pace.delay(5.0) <= 0
        pace.take(5.0)


def test_idleness_saves_nothing_up() -> None:
    pace = Pace(100)
    pace.take(1000.0)
    burst = 0
    while pace.delay(2000.0) <= 0:
        pace.take(2000.0)
        burst += 1
    assert burst <= 2


@pytest.mark.parametrize("agreed", [100.0, 0.0])
def test_throttling_is_silence_then_half_the_rate_then_recovery(agreed: float) -> None:
    pace, borne = at_full_speed(agreed), 100.0
    pace.slow(1002.0)
    pace.slow(1002.5)
    assert departures(pace, 1002.0, HOLD_SECONDS) == []
    assert pace.rate(1003.0) == pytest.approx(borne / 2, rel=0.05)
    assert pace.rate(1013.0) == pytest.approx(borne, rel=0.05)
    assert pace.rate(1002.0 + CALM_SECONDS) == (agreed or float("inf"))
    assert not pace.slowed


def test_what_was_lost_comes_back_in_equal_steps() -> None:
    pace = at_full_speed(100.0)
    pace.slow(1002.0)
    rates = [pace.rate(1003.0 + second) for second in range(11)]
    assert [after - before for before, after in pairwise(rates)] == pytest.approx([5.0] * 10, rel=0.05)


@pytest.mark.parametrize("agreed", [0.5, 1.0, 20.0, 10_000.0])
def test_a_calm_minute_gives_the_agreed_rate_however_low_it_had_fallen(agreed: float) -> None:
    pace = Pace(agreed)
    for second in range(0, 100, 2):
        pace.slow(1000.0 + second)
    assert pace.rate(1099.0) <= max(agreed / 2, 1.0)
    assert pace.rate(1098.0 + CALM_SECONDS) == agreed


def test_throttling_never_stops_an_account_for_good() -> None:
    pace = Pace(10)
    for second in range(0, 100, 2):
        pace.slow(1000.0 + second)
    assert pace.rate(1100.0) >= 1.0
    assert departures(pace, 1098.0, 5.0)


def test_an_smsc_that_bears_a_part_of_the_agreed_rate_is_found_out_and_seldom_asked_too_much() -> None:
    """It throttles what is above 50 in a second, on an account that agreed on 1,000."""
    pace, accepted, refused, second = Pace(1_000), 0, 0, [0.0] * 50
    for step in range(300_000):
        now = 1000.0 + step * 0.001
        while pace.delay(now) <= 0:
            pace.take(now)
            if now - second[0] >= 1.0:
                second = [*second[1:], now]
                accepted += 1
            else:
                refused += 1
                pace.slow(now)
    assert accepted > 300 * 50 * 0.6
    assert refused < accepted * 0.05


@pytest.mark.parametrize("state", [0, 29, 49, 79, 80, 89])
def test_an_smsc_at_its_ease_slows_nothing(state: int) -> None:
    pace = at_full_speed(100.0)
    pace.congestion(state, 1002.0)
    assert not pace.slowed
    assert pace.rate(1002.0) == 100.0


def test_an_smsc_near_congestion_is_eased_without_a_pause_and_once_a_second() -> None:
    pace = at_full_speed(100.0)
    for _ in range(20):
        pace.congestion(95, 1002.0)
    assert pace.rate(1002.0) == pytest.approx(80.0, rel=0.05)
    assert departures(pace, 1002.0, 0.1)
    pace.congestion(95, 1003.0)
    assert pace.rate(1003.0) < 75.0


def test_a_congested_smsc_is_treated_as_one_that_throttles() -> None:
    pace = at_full_speed(100.0)
    pace.congestion(100, 1002.0)
    assert departures(pace, 1002.0, HOLD_SECONDS) == []
    assert pace.rate(1003.0) == pytest.approx(50.0, rel=0.05)


def test_an_smsc_at_its_optimum_is_asked_no_more_than_now() -> None:
    pace = at_full_speed(100.0)
    pace.slow(1002.0)
    at_optimum = pace.rate(1005.0)
    for second in range(1005, 1025):
        pace.congestion(85, float(second))
    assert pace.rate(1025.0) == pytest.approx(at_optimum)
    assert pace.rate(1025.0 + CALM_SECONDS) == 100.0


def test_a_rate_changes_at_once() -> None:
    pace = Pace(1)
    pace.take(1000.0)
    pace.change(100, 1000.1)
    assert len(departures(pace, 1000.1, 1.0)) == pytest.approx(100, abs=2)
    pace.change(0, 1002.0)
    assert pace.rate(1002.0) == float("inf")
    pace.change(2, 1003.0)
    assert len(departures(pace, 1003.0, 10.0)) == pytest.approx(20, abs=2)


def test_a_change_of_the_rate_is_no_end_of_the_silence() -> None:
    pace = at_full_speed(100.0)
    pace.slow(1002.0)
    pace.change(1_000, 1002.1)
    assert departures(pace, 1002.1, HOLD_SECONDS - 0.1) == []
    assert pace.rate(1003.0) == pytest.approx(50.0, rel=0.05)
