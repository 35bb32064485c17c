"""What time asks of a link: silence, missing responses, answers that nobody confirmed, standstills."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import structlog

from gateway.links.lateness import Lateness
from gateway.links.leaving import Leaving
from gateway.links.session_rules import LinkState
from gateway.pdus.pdu import Pdu
from gateway.settings import AccountSettings
from vas.messages import Receiver

if TYPE_CHECKING:
    from gateway.links.link import Link

TICK_SECONDS = 0.1
TIMER_MARGIN_SECONDS = 0.5
"""By which the SMSC's response timer may be over sooner than we think."""
ASK_AFTER_SECONDS = 0.5
"""An answer that no request of ours has followed for so long is followed by an enquire_link."""

log = structlog.get_logger("gateway.links.link")


class Watch:
    """Ticks as long as its link stands."""

    def __init__(self, link: Link, leaving: Leaving, receiver: Receiver) -> None:
        self._link = link
        self._leaving = leaving
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._tick: asyncio.TimerHandle | None = None
        self._lateness = Lateness(self._loop.time())
        self._unasked_since: float | None = None
        """Since when there are answers that no request of ours has followed."""
        self._enquiring = False

    def change(self, settings: AccountSettings) -> None:
        """Take other timers."""
        self._enquire_seconds = settings.enquire_every.total_seconds()
        self._lateness.patience_seconds = settings.smsc_response_timer.total_seconds() - TIMER_MARGIN_SECONDS

    def begin(self) -> None:
        """The connection stands."""
        self._lateness = Lateness(self._loop.time(), self._lateness.patience_seconds)
        self._tick = self._loop.call_later(TICK_SECONDS, self._ticked)

    def end(self) -> None:
        """The connection is gone."""
        if self._tick:
            self._tick.cancel()

    def heard(self, now: float) -> float:
        """Something is read; the earliest time at which it can have come."""
        self._look_back(now)
        return self._lateness.arrived_at(now)

    def asked(self) -> None:
        """A request of ours is written."""
        self._unasked_since = None

    def answered(self, ordinal: int, arrived_at: float) -> None:
        """An answer of ours is written, to what came at `arrived_at`."""
        now = self._loop.time()
        if self._lateness.answered(ordinal, arrived_at, now):
            self._report_late(ordinal)
        if self._unasked_since is None and self._link.answers.unasked:
            self._unasked_since = now

    def _ticked(self) -> None:
        link, now = self._link, self._loop.time()
        self._look_back(now)
        self._lateness.tick(now)
        self._tick = self._loop.call_later(TICK_SECONDS, self._ticked)
        self._expire(now)
        if link.state is LinkState.BOUND:
            self._enquire(now)
        elif link.state is LinkState.UNBINDING:
            self._leaving.go_on(now)

    def _look_back(self, now: float) -> None:
        for ordinal in self._lateness.held_back(now):
            self._report_late(ordinal)

    def _report_late(self, ordinal: int) -> None:
        self._link.counters.late_answers += 1
        self._receiver.answered_late(self._link.session, ordinal)

    def _expire(self, now: float) -> None:
        link = self._link
        used = link.window_used
        for request in link.requests.overdue(now):
            link.counters.timeouts += 1
            link.missed_at = now
            log.warning("smpp.response_missing", account=link.settings.name, command_id=request.command_id)
            request.done(None)
        link.tell_room(used)

    def _enquire(self, now: float) -> None:
        quiet = now - min(self._link.heard_at, self._link.wrote_at) >= self._enquire_seconds
        unasked = self._unasked_since is not None and now - self._unasked_since >= ASK_AFTER_SECONDS
        if ((quiet or self._link.doubted) and not self._enquiring) or unasked:
            self._enquiring = True
            self._link.enquire(partial(self._enquired, now))

    def _enquired(self, asked_at: float, pdu: Pdu | None) -> None:
        self._enquiring = False
        link = self._link
        if pdu is None and link.heard_at <= asked_at and link.state is LinkState.BOUND:  # any traffic is life
            link.abort("no response to enquire_link")
