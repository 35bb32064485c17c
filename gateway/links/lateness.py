"""Which of our answers may have left after the SMSC's patience. Pure: every time is monotonic seconds.

An event loop that stood still reads what came long ago as if it came now, and writes what it believed written. So a
link ticks, and tells the time of its ticks.
"""

from __future__ import annotations

HELD_UP_SECONDS = 0.4
"""A tick that is older says that the event loop stood still, and what it reads now may have come any time since."""


class Lateness:
    """The ticks of one session, and what was answered between them."""

    def __init__(self, now: float, patience_seconds: float = 0.0) -> None:
        self.patience_seconds = patience_seconds
        """How long the SMSC surely waits for an answer."""
        self._ticks = (now, now)
        self._lately: tuple[list[int], list[int]] = ([], [])
        """What was answered before the last tick, and since."""

    def tick(self, now: float) -> None:
        self._ticks = (self._ticks[1], now)
        self._lately = (self._lately[1], [])

    def arrived_at(self, now: float) -> float:
        """The earliest time at which what is read now can have come."""
        # The tick before the last one: after a standstill the loop may tick before it reads.
        return self._ticks[0] if now - self._ticks[0] > HELD_UP_SECONDS else now

    def answered(self, ordinal: int, arrived_at: float, now: float) -> bool:
        """Note an answer that is written now; whether it is late."""
        self._lately[1].append(ordinal)
        return now - arrived_at > self.patience_seconds

    def held_back(self, now: float) -> tuple[int, ...]:
        """After a standstill past the SMSC's patience: answers from before it that may have left only now."""
        if now - self._ticks[1] <= self.patience_seconds:
            return ()
        held = (*self._lately[0], *self._lately[1])
        self._lately = ([], [])
        return held
