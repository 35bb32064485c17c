"""What leaves an account: two lanes, one pace, and the windows of all its connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial
from math import isinf
from typing import Protocol

import structlog

from gateway.accounts.lanes import Lane, Lanes, Submission
from gateway.accounts.pace import Pace
from gateway.dialects.status import StatusClass, status_class, status_name
from gateway.links.bind import Bind
from gateway.links.link import Link
from gateway.pdus.pdu import DataSm, DeliverSm, Pdu, SubmitSmResp
from gateway.pdus.tags import USER_MESSAGE_REFERENCE
from gateway.settings import AccountSettings
from vas.errors import SmppError
from vas.messages import ROK, Answer, SendOutcome

SWEEP_SECONDS = 0.5
THROTTLED_PAUSE_SECONDS, THROTTLED_PAUSE_SECONDS_MAX = 0.5, 32.0
"""Before a message that was throttled is sent again; the pause doubles each time."""
TOLD_EVERY_SECONDS = 10.0
"""An account that is throttled says so in the log once in this time."""
REFUSED_SESSIONS_MAX = 3
"""A submission that so many sessions were refused for is no longer held to be innocent."""
ROPTPARNOTALLWD = 0xC1

log = structlog.get_logger("gateway.accounts.account")

_OUTCOMES = {
    StatusClass.TRANSIENT: SendOutcome.TEMPORARY,
    StatusClass.SESSION: SendOutcome.TEMPORARY,
}
"""All else that ends a submission is permanent."""
_SENT = SendOutcome.SENT  # looked up once: an Enum's members are found slowly


class Traffic(Protocol):
    """Where what comes in goes, and who says whether anything may go out."""

    def may_send(self) -> bool:
        """Asked before each submission leaves; where not, it waits."""

    def delivered(self, link: Link, pdu: DeliverSm | DataSm, ordinal: int, answer: Answer) -> None: ...


class Departures:
    """Takes submissions and sends them over all connections of an account (gateway.links.bind.BindOwner)."""

    def __init__(self, settings: AccountSettings, traffic: Traffic) -> None:
        self.binds: list[Bind] = []
        """The connections; filled by gateway.accounts.places."""
        self.sessions: dict[int, Bind] = {}
        """The bound ones by session."""
        self.lanes = Lanes()
        self.pace = Pace(settings.rate)
        self.taking = False
        """Whether anything is taken but what one session alone can carry."""
        self.down_since: float | None = 0.0
        """Since when no connection may submit; None while one may."""
        self.delivered = traffic.delivered
        self.may_send = traffic.may_send
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop
        self._turn = 0
        self._told_at, self._throttled_untold = float("-inf"), 0
        self._pump_timer: asyncio.TimerHandle | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Connections are about to be made."""
        self._loop = asyncio.get_running_loop()
        self.down_since = self._loop.time()
        self._sweep_timer = self._loop.call_later(SWEEP_SECONDS, self._sweep, context=Context())

    def end(self) -> None:
        """Give everything back."""
        for timer in (self._sweep_timer, self._pump_timer):
            if timer:
                timer.cancel()
        self._pump_timer = None
        self.fail(lambda submission: True)

    def change(self, settings: AccountSettings) -> None:
        """Take other settings, and their rate."""
        self._settings = settings
        self.change_rate(settings.rate)
        if not settings.binds:
            self.fail(lambda submission: not submission.session)

    def change_rate(self, per_second: float) -> None:
        """Agree on another pace; 0 is no limit."""
        self.pace.change(per_second, asyncio.get_running_loop().time())
        if self._pump_timer is not None:
            self._pump_timer.cancel()
            self._pump_timer = None
        if self.lanes.waiting:
            self._pump()

    def submit(self, submission: Submission) -> None:
        """Take a submission; `done` is called later, never from here."""
        lane = self._lane(submission)
        full = self.lanes.waiting >= self._settings.waiting_max
        down = self.down_since is not None
        if lane is None or full or (down and (self._hopeless or not submission.waits)):
            asyncio.get_running_loop().call_soon(submission.done, SendOutcome.NOT_SENT, 0, b"")
            return
        self.lanes.waiting += 1
        lane.append(submission)
        if len(lane) == 1:  # else what is before it waits for a window or the pace, and they pump
            self._pump()

    def fail(self, fails: Callable[[Submission], bool]) -> None:
        """Give back what waits and has not left."""
        if not self.takes:
            self.lanes.rested(float("inf"))
        self._take_back()
        for submission in self.lanes.remove(fails, [bind.screens for bind in self.binds]):
            submission.done(SendOutcome.NOT_SENT, 0, b"")

    # What the binds tell.

    def bind_up(self, bind: Bind, link: Link) -> None:
        self.sessions[link.session] = bind
        self._look_up()
        self._pump()

    def bind_down(self, bind: Bind, link: Link) -> None:
        del self.sessions[link.session]
        self._look_up()
        screens = bind.partner.screens
        self.lanes.waiting -= len(screens)
        while screens:
            screens.popleft().done(SendOutcome.NOT_SENT, 0, b"")

    def link_has_room(self, link: Link) -> None:
        self._pump()

    def congestion(self, state: int) -> None:
        """The SMSC says how busy it is: 0 idle to 100 congested."""
        self.pace.congestion(state, self._loop.time())

    @property
    def takes(self) -> bool:
        """Whether submissions are taken, if only to wait: there are, or will be, connections."""
        return self.taking and self._settings.binds > 0

    def _look_up(self) -> None:
        if any(bind.submits for bind in self.binds):
            self.down_since = None
        elif self.down_since is None:
            self.down_since = self._loop.time()
            self.fail(lambda submission: not submission.waits)

    @property
    def _hopeless(self) -> bool:
        """Whether no connection has been up for longer than submissions are to wait."""
        down = self.down_since
        return down is not None and self._loop.time() - down > self._settings.patience.total_seconds()

    # What goes out.

    def _lane(self, submission: Submission) -> Lane | None:
        """Where a submission waits; None if it cannot leave any more."""
        if submission.session:
            bind = self.sessions.get(submission.session)
            return bind.partner.screens if bind is not None and bind.partner.submits else None
        if not self.takes:
            return None
        return self.lanes.replies if submission.reply else self.lanes.rest

    def _pump(self) -> None:
        """Send what the windows and the pace allow."""
        lanes, pace = self.lanes, self.pace
        self._take_back()
        now = self._loop.time()
        while lanes.waiting:
            ready = self._ready()
            if ready is None:
                return
            delay = pace.delay(now)
            if delay > 0:
                self._pump_later(delay)
                return
            if not self.may_send():
                return  # the next sweep asks again
            lane, link = ready
            submission = lanes.take(lane)
            if submission.expires_at <= now:
                self._loop.call_soon(submission.done, SendOutcome.NOT_SENT, 0, b"")
            else:
                pace.take(now)
                self._send(submission, link, now)

    def _ready(self) -> tuple[Lane, Link] | None:
        """The lane whose turn it is and a link with room for it; links take turns."""
        shared, binds = self.lanes.shared, self.binds
        self._turn = turn = self._turn + 1 if self._turn + 1 < len(binds) else 0
        for bind in binds[turn:] + binds[:turn] if turn else binds:
            link = bind.link
            if link is not None and link.room:
                lane = bind.screens or shared
                if lane:
                    return lane, link
        return None

    def _pump_later(self, delay: float) -> None:
        if self._pump_timer is None:
            self._pump_timer = self._loop.call_later(delay, self._pump_timed)

    def _pump_timed(self) -> None:
        self._pump_timer = None
        self._pump()

    def _send(self, submission: Submission, link: Link, now: float) -> None:
        pdu = submission.pdu
        if pdu.tlvs and not link.takes_tlvs:
            if any(tag != USER_MESSAGE_REFERENCE for tag, _ in pdu.tlvs):
                self._loop.call_soon(submission.done, SendOutcome.PERMANENT, ROPTPARNOTALLWD, b"")
                return
            pdu.tlvs = ()
        try:
            link.submit(pdu, partial(self._answered, submission, link, now))
        except SmppError as error:
            log.warning("smpp.cannot_be_written", account=self._settings.name, error=str(error))
            self._loop.call_soon(submission.done, SendOutcome.PERMANENT, error.status, b"")

    def _answered(self, submission: Submission, link: Link, left_at: float, pdu: Pdu | None) -> None:
        if pdu is None:
            submission.done(SendOutcome.UNANSWERED, 0, b"")
        elif pdu.status == ROK and isinstance(pdu, SubmitSmResp):
            self.pace.accepted(self._loop.time())
            submission.done(_SENT, ROK, pdu.message_id)
        else:
            if submission.heard is not None:
                submission.heard(pdu)
            self._refused(submission, link, left_at, pdu.status)

    def _refused(self, submission: Submission, link: Link, left_at: float, status: int) -> None:
        now, kind = self._loop.time(), status_class(status, self._settings.statuses)
        if kind is StatusClass.THROTTLE:
            link.counters.throttled += 1
            self.pace.refused(left_at, now)
            self._tell_throttled(now, status)
            pause = THROTTLED_PAUSE_SECONDS * 2 ** min(submission.throttled, 10)
            submission.throttled += 1
            self.lanes.keep(submission, now + min(pause, THROTTLED_PAUSE_SECONDS_MAX))
            return
        self.pace.accepted(now)
        if kind is StatusClass.SESSION and submission.heard is None:
            link.unbind()
            submission.refused += 1
            if submission.refused < REFUSED_SESSIONS_MAX:
                self._return(submission)
            else:
                submission.done(SendOutcome.TEMPORARY, status, b"")
        elif kind is StatusClass.VENDOR and not submission.refused:
            submission.refused += 1
            self.lanes.keep(submission, now)  # the next sweep
        else:
            submission.done(_OUTCOMES.get(kind, SendOutcome.PERMANENT), status, b"")

    def _tell_throttled(self, now: float, status: int) -> None:
        self._throttled_untold += 1
        if now - self._told_at >= TOLD_EVERY_SECONDS:
            rate = self.pace.rate(now)
            log.warning(
                "account.throttled", account=self._settings.name, status=status_name(status),
                count=self._throttled_untold, per_second=0 if isinf(rate) else round(rate, 1),
            )  # fmt: skip
            self._told_at, self._throttled_untold = now, 0

    def _return(self, submission: Submission) -> None:
        """Keep a submission that was not accepted; it costs no attempt."""
        self.lanes.give_back(submission)
        self._loop.call_soon(self._pump)

    def _take_back(self) -> None:
        """Put what was returned before all others, in its order."""
        for submission in self.lanes.take_returned():
            lane = self._lane(submission)
            if lane is None:
                self.lanes.waiting -= 1
                submission.done(SendOutcome.NOT_SENT, 0, b"")
            else:
                lane.appendleft(submission)

    def _sweep(self) -> None:
        self._sweep_timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        if self.lanes.waiting:
            now, hopeless = self._loop.time(), self._hopeless
            self.lanes.rested(now)
            self.fail(lambda submission: hopeless or submission.expires_at <= now)
            self._pump()
