"""How fast PDUs may leave an account. Pure: every time is monotonic seconds that the caller gives."""

from __future__ import annotations

import math

CATCH_UP_SECONDS = 0.005
"""What a late timer may make up for; the largest burst is what the rate gives in this time, and one."""
HOLD_SECONDS = 1.0
"""Silence after a throttling."""
DOUBLING_SECONDS = 10.0
"""After a throttling the rate doubles in this time, until it is the agreed one again."""
SLOWEST_PER_SECOND = 1.0


class Pace:
    """A smooth token bucket: PDUs leave at equal distances. Throttling halves its rate, calm restores it."""

    def __init__(self, per_second: float) -> None:
        """`per_second` is the agreed rate; 0 is no limit."""
        self._agreed = per_second or float("inf")
        self._next = 0.0
        self._slow = self._agreed
        self._slowed_at = 0.0  # the end of the last hold
        self._second_began = 0.0
        self._taken = 0
        self._measured = 0.0

    def rate(self, now: float) -> float:
        """PDUs a second at this moment."""
        if self._slow >= self._agreed:
            return self._agreed
        doublings = min(max(now - self._slowed_at, 0.0) / DOUBLING_SECONDS, 64.0)
        return min(self._slow * math.exp2(doublings), self._agreed)

    def delay(self, now: float) -> float:
        """Seconds until the next PDU may leave; 0 or less is now."""
        return self._next - now

    def take(self, now: float) -> None:
        """Count a PDU that leaves now."""
        if now - self._second_began >= 1.0:
            self._measured = self._taken / (now - self._second_began)
            self._second_began, self._taken = now, 0
        self._taken += 1
        self._next = max(self._next, now - CATCH_UP_SECONDS) + 1.0 / self.rate(now)

    def slow(self, now: float) -> None:
        """The SMSC throttles: be silent, then go at half the rate that it had to bear. Once for one hold."""
        if now < self._slowed_at:
            return
        borne = min(self.rate(now), max(self._measured, float(self._taken), SLOWEST_PER_SECOND))
        self._slow = max(borne / 2.0, min(SLOWEST_PER_SECOND, self._agreed))
        self._slowed_at = now + HOLD_SECONDS
        self._next = now + HOLD_SECONDS
