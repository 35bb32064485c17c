"""How fast PDUs may leave an account. Pure: every time is monotonic seconds that the caller gives.

What the SMSC bears is what it accepted in the last seconds. A refusal now and then among many acceptances says nothing
about the rate and costs nothing. Where too many are refused, the rate falls to what was accepted meanwhile, and
then grows faster and faster: a little above that within seconds, a hundred times within half a minute.
"""

from __future__ import annotations

from math import exp, inf, sqrt

CATCH_UP_SECONDS = 0.005
"""What a late timer may make up for; the largest burst is what the rate gives in this time, and one."""
SECONDS_KEPT = 4
"""Of so many seconds, the present one included, acceptances and refusals are counted."""
FEW = 0.05
"""The part of the PDUs that may be refused without any consequence; a single PDU of few may be, too."""
MANY = 0.25
"""From here on each round is heeded."""
IN_A_ROW = 5
"""So many refusals without an acceptance between them are answered by silence, however many acceptances were before."""
HEED_SECONDS = 4.5
"""Between FEW and MANY, the rate falls once in this time, so that what is refused at any rate cannot wear it down."""
HOLD_SECONDS, HOLD_SECONDS_MAX = 0.1, 5.0
"""The first silence; it doubles as long as the SMSC goes on refusing what leaves after it."""
HOLDS_MAX = 2
"""An SMSC that goes on refusing after so many silences is sent less after each further one."""
GROWTH_SECONDS = 10.0
"""The rate grows to e times what it was in this time, to e⁴ times in twice this time, to e⁹ times in three times."""
SEARCH_SECONDS = 3.0
"""The same where the rate is a guess, since no whole second has shown what the SMSC bears."""
GLIMPSE_SECONDS = 0.25
"""What a part of a second that is shorter shows is counted as if it had lasted so long."""
SLOWEST_PER_SECOND = 1.0
UNLIMITED_PER_SECOND = 100_000.0
"""Where no rate is agreed, the way up ends here."""
EASE = 0.8
"""What an SMSC that nears its limits is given of the rate."""
EASE_SECONDS = 1.0
"""The congestion that an SMSC reports is heeded once in this time."""

# congestion_state in percent, SMPP 5.0 §4.8.4.18: 80 to 89 is an optimum, from 90 on the SMSC nears congestion.
OPTIMUM, NEAR, CONGESTED = 80, 90, 100


class Pace:
    """A smooth token bucket: PDUs leave at equal distances."""

    def __init__(self, per_second: float) -> None:
        """`per_second` is the agreed rate; 0 is no limit."""
        self._agreed = per_second or inf
        self._distance = 1.0 / self._agreed
        self._next = 0.0
        self.slowed = False
        """Whether the SMSC made it slower than agreed."""
        self._base = self._agreed
        """Where the way up begins …"""
        self._since = 0.0
        """… and when."""
        self._growth_seconds = GROWTH_SECONDS
        self._heeded_at = -inf
        """What left before was at another rate; its fate says nothing about this one."""
        self._eased_at = -inf
        self._held_until = -inf
        self._holds = 0
        self._in_a_row = 0
        self._second_began = -inf
        self._accepted = [0] * SECONDS_KEPT
        """By second, the present one last."""
        self._refused = [0] * SECONDS_KEPT

    def rate(self, now: float) -> float:
        """PDUs a second at this moment; infinity is no limit."""
        if not self.slowed:
            return self._agreed
        goal = min(self._agreed, UNLIMITED_PER_SECOND)
        calm = min(max(now - self._since, 0.0) / self._growth_seconds, 6.0)
        rate = self._base * exp(calm * calm)
        if rate < goal:
            return rate
        self.slowed = False
        return self._agreed

    def change(self, per_second: float, now: float) -> None:
        """Agree on another rate, 0 for no limit; what the SMSC made slow stays so until it recovers."""
        self._agreed = per_second or inf
        self._distance = 1.0 / self._agreed
        self._next = min(self._next, max(now, self._held_until) + 1.0 / self.rate(now))

    def delay(self, now: float) -> float:
        """Seconds until the next PDU may leave; 0 or less is now."""
        return self._next - now

    def take(self, now: float) -> None:
        """Count a PDU that leaves now."""
        earliest = now - CATCH_UP_SECONDS
        begin = self._next if self._next > earliest else earliest
        self._next = begin + (1.0 / self.rate(now) if self.slowed else self._distance)

    def accepted(self, now: float) -> None:
        """The SMSC took a PDU, whatever it thought of it."""
        if now - self._second_began >= 1.0:
            self._turn_over(now)
        self._accepted[-1] += 1
        self._in_a_row = self._holds = 0

    def refused(self, left_at: float, now: float) -> None:
        """The SMSC says that a PDU, which left at `left_at`, came too fast."""
        if now - self._second_began >= 1.0:
            self._turn_over(now)
        if left_at < self._heeded_at:
            return
        self._refused[-1] += 1
        refused = sum(self._refused)
        answered = refused + sum(self._accepted)
        if left_at >= self._held_until:
            self._in_a_row += 1
            if refused >= MANY * answered or self._in_a_row >= IN_A_ROW:
                self._hold(now)
        sure = refused - 2 * sqrt(refused)  # what chance alone seldom exceeds
        many = sure >= MANY * answered or self._holds > HOLDS_MAX
        if many or (sure >= FEW * answered and now - self._heeded_at >= HEED_SECONDS):
            self._fall(max(self._borne(now), self._base / 2 if self.slowed else 0.0), now)

    def congestion(self, state: int, now: float) -> None:
        """Heed a congestion_state: at its optimum go no faster, near its limits a little slower, beyond them half."""
        if state >= NEAR:
            if now - self._eased_at >= EASE_SECONDS:
                self._eased_at = now
                borne = min(max(self._borne(now), SLOWEST_PER_SECOND), self.rate(now))
                self._fall(borne * (EASE if state < CONGESTED else 0.5), now)
        elif state >= OPTIMUM and self.slowed and now >= self._since:
            self._base, self._since = self.rate(now), now

    def _borne(self, now: float) -> float:
        """PDUs a second that the SMSC accepted, at its best of the last seconds."""
        best = max(self._accepted[:-1])
        self._growth_seconds = GROWTH_SECONDS if best else SEARCH_SECONDS
        if best:
            return float(max(best, self._accepted[-1]))
        return self._accepted[-1] / max(now - self._second_began, GLIMPSE_SECONDS)

    def _fall(self, rate: float, now: float) -> None:
        self._base = min(max(rate, SLOWEST_PER_SECOND), self.rate(now))
        self._since = max(now, self._held_until)
        self._next = max(self._next, min(now + 1.0 / self._base, now + HOLD_SECONDS))
        self._heeded_at = now
        self._refused = [0] * SECONDS_KEPT
        self.slowed = True

    def _hold(self, now: float) -> None:
        self._held_until = now + min(HOLD_SECONDS * 2**self._holds, HOLD_SECONDS_MAX)
        self._holds = min(self._holds + 1, 10)
        self._next = max(self._next, self._held_until)

    def _turn_over(self, now: float) -> None:
        """Begin another second; those without a PDU were seconds, too."""
        gone = int(min(now - self._second_began, SECONDS_KEPT))
        nothing = [0] * gone
        self._accepted = self._accepted[gone:] + nothing
        self._refused = self._refused[gone:] + nothing
        self._second_began = now if gone == SECONDS_KEPT else self._second_began + gone
