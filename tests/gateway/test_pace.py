"""How fast PDUs may leave an account, and how it comes back from throttling. No clock: every time is the test's own."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count, pairwise

import pytest

from gateway.accounts.pace import CATCH_UP_SECONDS, HOLD_SECONDS, HOLD_SECONDS_MAX, Pace

Refuses = Callable[[float], bool]
"""Whether an SMSC throttles a PDU that comes at a time."""
BEGIN = 1000.0
TICK_SECONDS = 0.001


def departures(pace: Pace, start: float, seconds: float, tick: float = 0.001) -> list[float]:
    """When PDUs leave if there is always one more, and the timer ticks each millisecond."""
    left = []
    for step in range(int(seconds / tick)):
        now = start + step * tick
        while pace.delay(now) <= 0:
            pace.take(now)
            left.append(now)
    return left


def at_full_speed(agreed: float, borne: int = 100) -> Pace:
    """A pace at which the SMSC has taken so many a second for two seconds, until 1002."""
    pace = Pace(agreed)
    for step in range(2 * borne):
        pace.take(BEGIN + step / borne)
        pace.accepted(BEGIN + step / borne)
    return pace


class Traffic:
    """What an SMSC accepts and refuses, if so many a second are offered to it; what is refused comes again."""

    def __init__(self, pace: Pace, per_second: float, refuses: Refuses, latency: float = 0.02, window: int = 200):
        self.accepted: list[float] = []
        """When, in seconds from the beginning."""
        self.refused: list[float] = []
        self.waiting = 0.0
        self._pace, self._per_second, self._refuses = pace, per_second, refuses
        self._latency, self._window = latency, window
        self._in_flight: deque[tuple[float, float, bool]] = deque()
        self._again: list[float] = []
        self._now = BEGIN

    def run(self, seconds: float) -> Traffic:
        for _ in range(round(seconds / TICK_SECONDS)):
            self._now += TICK_SECONDS
            self.waiting += self._per_second * TICK_SECONDS
            self._answers()
            while self._again and self._again[0] <= self._now:
                heappop(self._again)
                self.waiting += 1
            while self.waiting >= 1 and len(self._in_flight) < self._window and self._pace.delay(self._now) <= 0:
                self._pace.take(self._now)
                self.waiting -= 1
                self._in_flight.append((self._now + self._latency, self._now, self._refuses(self._now)))
        return self

    def _answers(self) -> None:
        now = self._now
        while self._in_flight and self._in_flight[0][0] <= now:
            _, left_at, refused = self._in_flight.popleft()
            (self.refused if refused else self.accepted).append(now - BEGIN)
            if refused:
                self._pace.refused(left_at, now)
                heappush(self._again, now + 0.5)
            else:
                self._pace.accepted(now)

    def per_second(self, since: float, until: float) -> float:
        """Accepted between these seconds."""
        return sum(since <= at < until for at in self.accepted) / (until - since)

    @property
    def refused_part(self) -> float:
        return len(self.refused) / (len(self.refused) + len(self.accepted))


def at_random(part: float, seed: int) -> Refuses:
    chance = random.Random(seed)
    return lambda now: chance.random() < part


def every(nth: int) -> Refuses:
    number = count(1)
    return lambda now: next(number) % nth == 0


def in_any_second(limit: int) -> Refuses:
    """A sliding window, as SMSCs have."""
    taken: deque[float] = deque()

    def refuses(now: float) -> bool:
        while taken and now - taken[0] >= 1.0:
            taken.popleft()
        if len(taken) >= limit:
            return True
        taken.append(now)
        return False

    return refuses


def in_each_second(limit: int) -> Refuses:
    """A counter that begins anew with each second of the clock."""
    taken = [0.0, 0]

    def refuses(now: float) -> bool:
        if int(now) != taken[0]:
            taken[:] = [int(now), 0]
        taken[1] += 1
        return taken[1] > limit

    return refuses


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


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("agreed", [0.0, 1.2])
@pytest.mark.parametrize("part", [0.01, 0.03])
@pytest.mark.parametrize("offered", [50, 300])
def test_a_refusal_now_and_then_costs_nothing(offered: int, part: float, agreed: float, seed: int) -> None:
    traffic = Traffic(Pace(agreed * offered), offered, at_random(part, seed)).run(30.0)
    assert len(traffic.refused) > 30 * offered * part / 3
    assert traffic.per_second(0.0, 30.0) >= 0.98 * offered


@pytest.mark.parametrize("nth", [10, 20, 50, 100])
@pytest.mark.parametrize("offered", [50, 300])
def test_what_is_refused_at_any_rate_does_not_wear_the_rate_down(offered: int, nth: int) -> None:
    traffic = Traffic(Pace(0), offered, every(nth)).run(60.0)
    assert traffic.per_second(0.0, 60.0) >= 0.95 * offered
    assert traffic.per_second(50.0, 60.0) >= 0.95 * offered


@pytest.mark.parametrize("latency", [0.002, 0.02, 0.3])
@pytest.mark.parametrize("agreed", [0, 1_000, 150])
@pytest.mark.parametrize("limits", [in_any_second, in_each_second])
def test_a_limit_of_the_smsc_is_found_and_kept(limits: Callable[[int], Refuses], agreed: int, latency: float) -> None:
    traffic = Traffic(Pace(agreed), 1_000, limits(100), latency).run(60.0)
    assert traffic.per_second(0.0, 60.0) >= 90
    assert traffic.per_second(20.0, 60.0) >= 95
    assert traffic.refused_part <= 0.15


def test_a_limit_that_falls_is_found_again() -> None:
    before, after = in_any_second(100), in_any_second(20)
    traffic = Traffic(Pace(0), 200, lambda now: (before if now < BEGIN + 20 else after)(now)).run(60.0)
    assert traffic.per_second(25.0, 60.0) >= 18
    assert sum(at >= 25.0 for at in traffic.refused) / 35 <= 6


@pytest.mark.parametrize("agreed", [0, 1_000])
def test_when_the_limit_is_lifted_the_full_rate_is_back_within_a_minute(agreed: int) -> None:
    limit, pace = in_any_second(20), Pace(agreed)
    traffic = Traffic(pace, 1_000, lambda now: now < BEGIN + 30 and limit(now)).run(90.0)
    assert traffic.per_second(60.0, 90.0) >= 990
    assert pace.rate(BEGIN + 90.0) == (agreed or float("inf"))
    assert not pace.slowed


@pytest.mark.parametrize("seconds, again", [(1, 5), (10, 10), (60, 15), (300, 20)])
def test_an_smsc_that_refused_everything_is_hardly_asked_and_soon_served_again(seconds: float, again: float) -> None:
    traffic = Traffic(Pace(0), 100, lambda now: BEGIN + 10 < now < BEGIN + 10 + seconds)
    traffic.run(10 + seconds + 30)
    assert sum(at >= 12 for at in traffic.refused) <= 20 + seconds
    assert traffic.per_second(10 + seconds + again, 10 + seconds + again + 5) >= 95


def test_a_single_refusal_on_an_idle_link_holds_up_the_next_screen_for_a_moment_only() -> None:
    pace = Pace(100)
    pace.take(BEGIN)
    pace.refused(BEGIN, BEGIN + 0.02)
    assert pace.delay(BEGIN + 0.02) <= 0.25
    assert len(departures(pace, BEGIN + 0.02, 1.0)) >= 70
    assert not pace.slowed


def test_what_left_before_a_silence_does_not_prolong_it() -> None:
    pace = Pace(0)
    for _ in range(200):
        pace.take(BEGIN)
    for _ in range(200):
        pace.refused(BEGIN, BEGIN + 0.02)
    assert 0 < pace.delay(BEGIN + 0.02) <= HOLD_SECONDS + 1e-9


def test_the_silence_grows_while_the_smsc_refuses_what_leaves_after_it_and_no_longer() -> None:
    pace, now, holds = Pace(100), BEGIN, []
    for _ in range(8):
        pace.take(now)
        pace.refused(now, now)
        holds.append(pace.delay(now))
        now += pace.delay(now)
    assert holds[:3] == pytest.approx([HOLD_SECONDS, 2 * HOLD_SECONDS, 4 * HOLD_SECONDS])
    assert all(after >= before for before, after in pairwise(holds))
    assert holds[-1] == pytest.approx(HOLD_SECONDS_MAX)
    pace.take(now)
    pace.accepted(now)
    now += 10.0
    pace.take(now)
    pace.refused(now, now)
    assert pace.delay(now) <= 1.0


@pytest.mark.parametrize("state", [0, 29, 49, 79, 80, 89])
def test_an_smsc_at_its_ease_slows_nothing(state: int) -> None:
    pace = at_full_speed(100.0)
    pace.congestion(state, 1002.0)
    assert not pace.slowed
    assert pace.rate(1002.0) == 100.0


def throttled_at_full_speed(agreed: float) -> Pace:
    """A pace that bore 100 a second, and of which then a whole window was refused at 1002.1."""
    pace = at_full_speed(agreed)
    for _ in range(200):
        pace.refused(1002.0, 1002.1)
    return pace


@pytest.mark.parametrize("state, part", [(95, 0.8), (100, 0.5)])
def test_an_smsc_near_congestion_is_eased_without_a_pause_and_once_a_second(state: int, part: float) -> None:
    pace = at_full_speed(100.0)
    for _ in range(20):
        pace.congestion(state, 1002.0)
    assert pace.rate(1002.0) == pytest.approx(100 * part, rel=0.05)
    assert departures(pace, 1002.0, 0.1)
    pace.congestion(state, 1003.0)
    assert pace.rate(1003.0) < 100 * part


def test_an_smsc_at_its_optimum_is_asked_no_more_than_now() -> None:
    pace = throttled_at_full_speed(1_000.0)
    at_optimum = pace.rate(1005.0)
    for second in range(1005, 1025):
        pace.congestion(85, float(second))
    assert pace.slowed
    assert pace.rate(1025.0) == pytest.approx(at_optimum, rel=0.3)
    assert pace.rate(1085.0) == 1_000.0


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
    pace = throttled_at_full_speed(150.0)
    silence = pace.delay(1002.1)
    pace.change(1_000, 1002.1)
    assert pace.delay(1002.1) == pytest.approx(silence)
    assert pace.rate(1003.0) == pytest.approx(100.0, rel=0.05)
