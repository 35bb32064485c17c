"""Which requests of a session we have answered, and of which answers the peer has shown that it has them. Pure.

TCP keeps the order, so a peer that answers something we sent after an answer has that answer too.
"""

from __future__ import annotations


class Answers:
    """The requests that came in one session, numbered from 1."""

    def __init__(self) -> None:
        self.arrived = 0
        """The number of the last request that came."""
        self.answered = 0
        """All requests up to this number are answered."""
        self.confirmed = 0
        """The peer has all answers up to this number."""
        self._asked = 0
        self._ahead: set[int] = set()

    def arrive(self) -> int:
        """The number of a new request."""
        self.arrived += 1
        return self.arrived

    def answer(self, ordinal: int) -> bool:
        """Count an answer as written; False if that request was answered before."""
        if ordinal <= self.answered or ordinal in self._ahead:
            return False
        if ordinal > self.answered + 1:
            self._ahead.add(ordinal)
            return True
        self.answered = ordinal
        while self.answered + 1 in self._ahead:
            self.answered += 1
            self._ahead.remove(self.answered)
        return True

    def ask(self) -> None:
        """Note that a request of ours is written: its response will confirm all that is answered now."""
        self._asked = self.answered

    def confirm(self, ordinal: int) -> bool:
        """Note the response to a request of ours; whether it confirms more than was known."""
        if ordinal <= self.confirmed:
            return False
        self.confirmed = ordinal
        return True

    @property
    def unasked(self) -> bool:
        """Whether there are answers that no request of ours has followed yet."""
        return self.answered > self._asked

    @property
    def unconfirmed(self) -> bool:
        """Whether the peer may still lack an answer that we gave."""
        return self.answered > self.confirmed

    @property
    def settled(self) -> bool:
        """Whether every request is answered."""
        return self.answered == self.arrived
