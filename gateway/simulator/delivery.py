"""What the SMSC owes to its ESMEs: each message is delivered until it is acknowledged or refused for good."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, Protocol

import msgspec

# RSYSERR, RMSGQFUL, RTHROTTLED, RX_T_APPN: SMPP 3.4 §5.1.3; any other error ends the message's way.
TEMPORARY_STATUSES = frozenset({0x08, 0x14, 0x58, 0x64})


class Outcome(StrEnum):
    """How one attempt to deliver ended."""

    ACKNOWLEDGED = "acknowledged"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    SILENCE = "silence"
    LINK_LOST = "link_lost"


class Attempt(msgspec.Struct):
    """One deliver_sm as it was written; `outcome` is None while the answer is awaited."""

    session: int
    at: datetime
    outcome: Outcome | None = None
    status: int = 0
    ended_at: datetime | None = None


class Mo(msgspec.Struct, eq=False):
    """One deliver_sm that the SMSC owes, with all that happened to it."""

    id: int
    """The simulator's own: unique, also over restarts."""
    kind: Literal["sms", "ussd", "receipt"]
    sender: str
    to: str
    text: str
    octets: bytes
    """The PDU with sequence number 0; every attempt sends these, and only the sequence number differs."""
    account: str = ""
    """Who it is owed to; empty: whoever has a receiver."""
    attempts: list[Attempt] = []

    @property
    def outcome(self) -> Outcome | None:
        """Of the latest attempt."""
        return self.attempts[-1].outcome if self.attempts else None

    @property
    def acknowledged(self) -> bool:
        """The ESME took it with status 0: from now on the ESME answers for it."""
        return self.outcome is Outcome.ACKNOWLEDGED

    @property
    def dropped(self) -> bool:
        """The ESME refused it for good."""
        return self.outcome is Outcome.PERMANENT


class QueueFull(Exception):
    """The SMSC owes as many messages as it may."""


class Bind(Protocol):
    """What delivery needs of a session that may receive."""

    id: int
    account: str

    @property
    def room(self) -> int:
        """How many more deliver_sm its window takes now."""

    def deliver(self, mo: Mo) -> None:
        """Write it; its answer, its silence or the link's end comes back to Delivery.ended."""


class Delivery:
    """The queues, one for each account and one for all, and the binds that empty them."""

    def __init__(
        self,
        retry_delays: tuple[timedelta, ...],
        limit: int,
        clock: Callable[[], datetime],
        settled: Callable[[Mo], None] | None = None,
    ) -> None:
        self._retry_seconds = tuple(delay.total_seconds() for delay in retry_delays)
        self._limit = limit
        self._clock = clock
        self._settled = settled
        self._binds: deque[Bind] = deque()
        self._queues: dict[str, deque[Mo]] = {"": deque()}
        self._pumping = False
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._opened = asyncio.Event()
        self.owed = 0
        """Messages neither acknowledged nor dropped."""
        self.outcomes = dict.fromkeys(Outcome, 0)
        """Attempts that ended, by how."""

    def open(self, bind: Bind) -> None:
        self._binds.append(bind)
        self._queues.setdefault(bind.account, deque())
        self._opened.set()
        self.pump_soon()

    def close(self, bind: Bind) -> None:
        """Deliver nothing more there; what it has in its window ends by itself."""
        if bind in self._binds:
            self._binds.remove(bind)

    def owe(self, mo: Mo, bind: Bind | None = None) -> None:
        """Deliver it as soon as a bind has room, or on this one now if it has; QueueFull past the limit."""
        if self.owed >= self._limit:
            raise QueueFull
        self.owed += 1
        self._quiet.clear()
        if bind is not None and bind.room > 0:
            bind.deliver(mo)
            return
        self._queue(mo).append(mo)
        self.pump_soon()

    def ended(self, mo: Mo, attempt: Attempt, outcome: Outcome, status: int = 0) -> None:
        """An attempt came to its end; decides what becomes of the message."""
        attempt.outcome = outcome
        attempt.status = status
        attempt.ended_at = self._clock()
        self.outcomes[outcome] += 1
        if outcome is Outcome.ACKNOWLEDGED or outcome is Outcome.PERMANENT:
            self._settle(mo)
        elif outcome is Outcome.LINK_LOST:
            self._queue(mo).appendleft(mo)
            self.pump_soon()
        else:
            delay = self._retry_seconds[min(len(mo.attempts), len(self._retry_seconds)) - 1]
            asyncio.get_running_loop().call_later(delay, self._again, mo)

    def other_than(self, session: int, account: str) -> Bind | None:
        """A receiver that is not this session: one of the account if it has another, else anybody's."""
        others = [bind for bind in self._binds if bind.id != session]
        return next((bind for bind in others if bind.account == account), others[0] if others else None)

    @property
    def receiving(self) -> set[str]:
        """The accounts that have a receiver."""
        return {bind.account for bind in self._binds}

    async def receivers(self, binds: int) -> None:
        """Return once so many may be delivered to."""
        while len(self._binds) < binds:
            self._opened.clear()
            await self._opened.wait()

    async def quiet(self) -> None:
        """Return once nothing is owed."""
        await self._quiet.wait()

    def pump(self) -> None:
        """Fill the windows, turn and turn about."""
        binds = [bind for bind in self._binds if bind.room > 0]
        common = self._queues[""]
        while binds:
            for bind in tuple(binds):
                queue = self._queues[bind.account] or common
                if not queue:
                    binds.remove(bind)
                    continue
                bind.deliver(queue.popleft())
                if bind.room <= 0:
                    binds.remove(bind)
        self._binds.rotate()

    def pump_soon(self) -> None:
        """Once in this turn of the event loop, however often it is called."""
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump_now)

    def _pump_now(self) -> None:
        self._pumping = False
        self.pump()

    def _queue(self, mo: Mo) -> deque[Mo]:
        return self._queues.setdefault(mo.account, deque())

    def _again(self, mo: Mo) -> None:
        self._queue(mo).append(mo)
        self.pump_soon()

    def _settle(self, mo: Mo) -> None:
        self.owed -= 1
        if not self.owed:
            self._quiet.set()
        if self._settled is not None:
            self._settled(mo)


def outcome_of(status: int) -> Outcome:
    """What a command_status in a deliver_sm_resp means for the message."""
    if status == 0:
        return Outcome.ACKNOWLEDGED
    return Outcome.TEMPORARY if status in TEMPORARY_STATUSES else Outcome.PERMANENT
