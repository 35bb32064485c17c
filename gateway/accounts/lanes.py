"""What waits to leave an account: replies, the rest, and what only one connection can carry."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from gateway.pdus.pdu import Pdu
from vas.messages import SendOutcome

Submitted = Callable[[SendOutcome, int, bytes], None]
"""Called once: the outcome, the command_status that decided (0 if none came), the SMSC's message id."""

REPLIES_IN_A_ROW = 9
"""After which one of the rest leaves, so that a broadcast goes on however many replies there are."""


class Submission(msgspec.Struct):
    """A submit_sm on its way out, or a question about one."""

    pdu: Pdu
    done: Submitted
    reply: bool = True
    """Replies overtake the rest."""
    expires_at: float = float("inf")
    """In the event loop's time."""
    session: int = 0
    """Leaves by the connection of this session, or not at all; 0: by any."""
    waits: bool = True
    """Whether it may wait while no connection is up, as long as the account's patience; else it comes back at once."""
    throttled: int = 0
    """How often the SMSC said that it came too fast."""
    refused: int = 0
    """How often the SMSC refused it in a way that asks for another try."""
    heard: Callable[[Pdu], None] | None = None
    """Told each response, where more than its status and message_id is of interest."""


Lane = deque[Submission]


class Lanes:
    """The two lanes that the connections of an account share, and what the SMSC handed back."""

    def __init__(self) -> None:
        self.waiting = 0
        """Submissions that have not left, also those that wait for one connection."""
        self.replies: Lane = deque()
        self.rest: Lane = deque()
        self._resting: list[tuple[float, Submission]] = []
        """With the times at which they come back."""
        self._returned: list[Submission] = []
        self._in_a_row = 0

    @property
    def shared(self) -> Lane:
        """The lane whose turn it is; it may be empty."""
        if self.replies and (self._in_a_row < REPLIES_IN_A_ROW or not self.rest):
            return self.replies
        return self.rest

    def take(self, lane: Lane) -> Submission:
        """The first of a lane that is not empty."""
        self.waiting -= 1
        if lane is self.replies:
            self._in_a_row += 1
        elif lane is self.rest:
            self._in_a_row = 0
        return lane.popleft()

    def give_back(self, submission: Submission) -> None:
        """Keep a submission that left and was not accepted."""
        self._returned.append(submission)
        self.waiting += 1

    def keep(self, submission: Submission, until: float) -> None:
        """Keep it until then, or until it expires, whatever is sooner."""
        self._resting.append((min(until, submission.expires_at), submission))
        self.waiting += 1

    def rested(self, now: float) -> None:
        """Give back what has kept for long enough."""
        resting, self._resting = self._resting, []
        for until, submission in resting:
            if until <= now:
                self._returned.append(submission)
            else:
                self._resting.append((until, submission))

    def take_returned(self) -> list[Submission]:
        """What was given back, the last one first, to be put before all others."""
        if not self._returned:
            return []
        returned, self._returned = self._returned, []
        returned.reverse()
        return returned

    def remove(self, fails: Callable[[Submission], bool], screens: Iterable[Lane]) -> list[Submission]:
        """Take out what `fails`, in order."""
        removed: list[Submission] = []
        for lane in (self.replies, self.rest, *screens):
            failed = [submission for submission in lane if fails(submission)]
            if failed:
                kept = [submission for submission in lane if not fails(submission)]
                lane.clear()
                lane.extend(kept)
                removed += failed
        removed += [submission for _, submission in self._resting if fails(submission)]
        self._resting = [resting for resting in self._resting if not fails(resting[1])]
        self.waiting -= len(removed)
        return removed
