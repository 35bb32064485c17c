"""How fast PDUs may leave an account. Pure: every time is monotonic seconds that the caller gives.

Throttling halves the rate. It comes back by itself: in equal steps to what the SMSC last bore, then faster and
faster, so that a calm minute gives the agreed rate again, however low the rate had fallen.
"""

from __future__ import annotations

CATCH_UP_SECONDS = 0.005
"""What a late timer may make up for; the largest burst is what the rate gives in this time, and one."""
HOLD_SECONDS = 1.0
"""Silence after a throttling; a peer that goes on throttling, or is near its limits, is heeded once in this time."""
REGAIN_SECONDS = 10.0
"""After which the rate is again what the SMSC bore before it complained."""
PROBE_SECONDS = 50.0
"""From there to the agreed rate."""
SLOWEST_PER_SECOND = 1.0
UNLIMITED_PER_SECOND = 100_000.0
"""Where no rate is agreed, the way up ends here."""
EASE = 0.8
"""What an SMSC that nears its limits is given of the rate."""

# congestion_state in percent, SMPP 5.0 §4.8.4.18: 80 to 89 is an optimum, from 90 on the SMSC nears congestion.
OPTIMUM, NEAR, CONGESTED = 80, 90, 100


class Pace:
    """A smooth token bucket: PDUs leave at equal distances."""

    def __init__(self, per_second: float) -> None:
        """`per_second` is the agreed rate; 0 is no limit."""
        self._agreed = per_second or float("inf")
        self._distance = 1.0 / self._agreed
        self._next = 0.0
        self.slowed = False
        """Whether the SMSC made it slower than agreed."""
        self._from = self._borne = self._agreed
        self._since = 0.0
        """The way up begins here: at the end of the silence, where there is one."""
        self._heeded_until = 0.0
        self._second_began = 0.0
        self._taken = 0
        self._measured = 0.0

    def rate(self, now: float) -> float:
        """PDUs a second at this moment; infinity is no limit."""
        if not self.slowed:
            return self._agreed
        goal = min(self._agreed, UNLIMITED_PER_SECOND)
        calm = max(now - self._since, 0.0)
        regained = self._from + (self._borne - self._from) * min(calm / REGAIN_SECONDS, 1.0)
        rate = regained + goal * (max(calm - REGAIN_SECONDS, 0.0) / PROBE_SECONDS) ** 2
        if rate < goal:
            return rate
        self.slowed = False
        return self._agreed

    def change(self, per_second: float, now: float) -> None:
        """Agree on another rate, 0 for no limit; what the SMSC made slow stays so until it recovers."""
        self._agreed = per_second or float("inf")
        self._distance = 1.0 / self._agreed
        self._next = min(self._next, max(now, self._since) + 1.0 / self.rate(now))

    def delay(self, now: float) -> float:
        """Seconds until the next PDU may leave; 0 or less is now."""
        return self._next - now

    def take(self, now: float) -> None:
        """Count a PDU that leaves now."""
        if now - self._second_began >= 1.0:
            self._measured = self._taken / (now - self._second_began)
            self._second_began, self._taken = now, 0
        self._taken += 1
        earliest = now - CATCH_UP_SECONDS
        begin = self._next if self._next > earliest else earliest
        self._next = begin + (1.0 / self.rate(now) if self.slowed else self._distance)

    def slow(self, now: float) -> None:
        """The SMSC throttles: be silent, then go at half the rate that it had to bear. Once for one hold."""
        if now >= self._heeded_until:
            self._next = now + HOLD_SECONDS
            self._ease(now, 0.5, self._next)

    def congestion(self, state: int, now: float) -> None:
        """Heed a congestion_state: at its optimum go no faster, near its limits a little slower, beyond them half."""
        if state >= CONGESTED:
            self.slow(now)
        elif state >= NEAR:
            if now >= self._heeded_until:
                self._ease(now, EASE, now)
        elif state >= OPTIMUM and self.slowed and now >= self._since:
            self._from = self._borne = self.rate(now)
            self._since = now

    def _ease(self, now: float, part: float, since: float) -> None:
        slowest = min(SLOWEST_PER_SECOND, self._agreed)
        self._borne = min(self.rate(now), max(self._measured, float(self._taken), slowest))
        self._from = max(self._borne * part, slowest)
        self._since, self._heeded_until = since, now + HOLD_SECONDS
        self.slowed = True
