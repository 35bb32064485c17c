"""One SMSC account: the pace and the lanes that all its connections share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from functools import partial
from math import isinf
from typing import Protocol

import msgspec
import structlog

from gateway import ancillary
from gateway.ancillary import QueryResult, RequestResult
from gateway.bind import Bind, BindStatus
from gateway.lanes import Lane, Lanes
from gateway.lanes import Submission as Submission
from gateway.link import Counters, Link, sum_up
from gateway.pace import Pace
from gateway.pdu import CancelSm, DataSm, DeliverSm, Pdu, ReplaceSm, SubmitSmResp
from gateway.places import Places
from gateway.settings import AccountSettings as AccountSettings
from gateway.status import StatusClass, status_class
from gateway.tags import USER_MESSAGE_REFERENCE
from vas.errors import SmppError
from vas.messages import ROK, Answer, Receiver, SendOutcome

SWEEP_SECONDS = 0.5
DRAIN_LOOK_SECONDS = 0.05
REFUSED_SESSIONS_MAX = 3
"""A submission that so many sessions were refused for is no longer held to be innocent."""
ROPTPARNOTALLWD = 0xC1

log = structlog.get_logger("gateway.account")

_OUTCOMES = {
    StatusClass.TRANSIENT: SendOutcome.TEMPORARY,
    StatusClass.SESSION: SendOutcome.TEMPORARY,
}
"""All else that ends a submission is permanent."""


class AccountState(StrEnum):
    """What operations have an account do."""

    RUNNING = "running"
    DRAINING = "draining"
    """Nothing new leaves by it, except screens of dialogues that came by it; what comes in is taken."""
    STOPPED = "stopped"


class AccountStatus(msgspec.Struct, frozen=True):
    """What operations see of an account. Counts are those of its binds together."""

    name: str
    state: AccountState
    up: bool
    """Whether it takes submissions and a bind that may submit is up."""
    binds_up: int
    binds: int
    window_used: int
    """Requests that wait for their response."""
    window_max: int
    waiting_replies: int
    """Submissions that have not left, in the lane of the replies or bound to one connection …"""
    waiting_rest: int
    """… and in that of the rest."""
    rate: float
    """PDUs a second, as agreed; 0 is no limit."""
    rate_now: float
    """PDUs a second that may leave now; 0 is no limit."""
    slowed: bool
    """Whether the SMSC made it slower than agreed."""
    reconnects: int
    last_error: str
    outbind_port: int
    """The port at which the SMSC's outbind is waited for; 0 while it is not."""
    outbinds_refused: int
    """Connections from outside that were not the SMSC's."""
    counters: Counters


class Traffic(Protocol):
    """Where what comes in goes."""

    def delivered(self, link: Link, pdu: DeliverSm | DataSm, ordinal: int, answer: Answer) -> None: ...


class Account:
    """Takes submissions and sends them over all its connections at one pace."""

    def __init__(
        self, settings: AccountSettings, receiver: Receiver, traffic: Traffic, clock: Callable[[], datetime]
    ) -> None:
        self.settings = settings
        self.state = AccountState.STOPPED
        self.delivered = traffic.delivered
        self._pace = Pace(settings.rate)
        self._lanes = Lanes()
        self._places = Places(settings, self, receiver, clock)
        self._sessions: dict[int, Bind] = {}
        self._turn = 0
        self._pump_timer: asyncio.TimerHandle | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._down_since: float | None = 0.0

    def start(self) -> None:
        """Begin to connect, and stay connected; a draining account takes submissions again."""
        if self.state is AccountState.STOPPED:
            self._loop = asyncio.get_running_loop()
            self._down_since = self._loop.time()
            self._sweep_timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)
            self._places.start()
        self.state = AccountState.RUNNING

    async def drain(self) -> None:
        """Give back what waits and take nothing more, until all that has left has its outcome.

        Ends within a response timer. What comes in is taken and answered, and its dialogues go on.
        """
        if self.state is AccountState.RUNNING:
            self.state = AccountState.DRAINING
            self._fail_waiting(lambda submission: not submission.session)
        while self.state is AccountState.DRAINING and self._in_flight:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_LOOK_SECONDS)

    async def stop(self) -> None:
        """Give back what waits, unbind everywhere, close; at most two response timers and a second."""
        self.state = AccountState.STOPPED
        for timer in (self._sweep_timer, self._pump_timer):
            if timer:
                timer.cancel()
        self._pump_timer = None
        self._fail_waiting(lambda submission: True)
        await self._places.stop()

    async def change(self, settings: AccountSettings) -> str:
        """Take other settings of the same name, at once or with new binds; nothing in flight is lost.

        Else why the SMSC does not have them, such as a wrong password: then the old ones stay.
        """
        problem = await self._places.change(settings)
        if not problem:
            self.settings = settings
            self.change_rate(settings.rate)
        return problem

    def change_rate(self, per_second: float) -> None:
        """Agree on another pace until the settings change; 0 is no limit."""
        if self.state is not AccountState.STOPPED:
            self._pace.change(per_second, self._loop.time())
            self._pump()
        else:
            self._pace = Pace(per_second)

    @property
    def up(self) -> bool:
        """Whether submissions are taken and a connection that may submit is bound."""
        return self._down_since is None and self.state is AccountState.RUNNING

    @property
    def waiting(self) -> int:
        """Submissions that have not left."""
        return self._lanes.waiting

    @property
    def binds(self) -> list[BindStatus]:
        """Each connection as it is now."""
        return [bind.status() for bind in self._places.binds]

    @property
    def status(self) -> AccountStatus:
        """The account as it is now."""
        binds, listener = self.binds, self._places.listener
        rest = len(self._lanes.rest)
        rate = self._pace.rate(asyncio.get_running_loop().time())
        return AccountStatus(
            name=self.settings.name,
            state=self.state,
            up=self.up,
            binds_up=sum(bind.up for bind in self._places.binds),
            binds=len(binds),
            window_used=self._in_flight,
            window_max=sum(bind.window_max for bind in binds if bind.bind_type != "receiver"),
            waiting_replies=self._lanes.waiting - rest,
            waiting_rest=rest,
            rate=self.settings.rate,
            rate_now=0 if isinf(rate) else rate,
            slowed=self._pace.slowed,
            reconnects=sum(bind.reconnects for bind in binds),
            last_error=next((bind.last_error for bind in binds if bind.last_error), ""),
            outbind_port=listener.port if listener else 0,
            outbinds_refused=listener.refused if listener else 0,
            counters=sum_up(bind.counters for bind in binds),
        )

    @property
    def _in_flight(self) -> int:
        return sum(bind.link.window_used for bind in self._places.binds if bind.link)

    def submit(self, submission: Submission) -> None:
        """Take a submission; `done` is called later, never from here."""
        lane = self._lane(submission)
        full = self._lanes.waiting >= self.settings.waiting_max
        if lane is None or full or self._hopeless or (self._down_since is not None and not submission.waits):
            self._loop.call_soon(submission.done, SendOutcome.NOT_SENT, 0, b"")
            return
        self._lanes.waiting += 1
        lane.append(submission)
        if len(lane) == 1:  # else what is before it waits for a window or the pace, and they pump
            self._pump()

    async def query(self, smsc_id: str, source: str) -> QueryResult:
        """Ask the SMSC about a message; the id is as in its submit_sm_resp, the source as submitted."""
        outcome, response = await self._ask(ancillary.query_sm(self.settings, smsc_id, source))
        return ancillary.query_result(outcome, response)

    async def cancel(self, smsc_id: str, source: str, to: str = "") -> RequestResult:
        """Take a message back; without an id all that go from `source` to `to`."""
        outcome, response = await self._ask(ancillary.cancel_sm(self.settings, smsc_id, source, to))
        return ancillary.request_result(outcome, response, CancelSm.command_id)

    async def replace(self, smsc_id: str, source: str, octets: bytes, receipt: bool = False) -> RequestResult:
        """Put other octets, at most 254 in the message's own data_coding, in the place of its text."""
        outcome, response = await self._ask(ancillary.replace_sm(self.settings, smsc_id, source, octets, receipt))
        return ancillary.request_result(outcome, response, ReplaceSm.command_id)

    async def _ask(self, pdu: Pdu) -> tuple[SendOutcome, Pdu | None]:
        """How asking ended, and the last response."""
        ended: asyncio.Future[SendOutcome] = self._loop.create_future()
        heard: list[Pdu] = []

        def done(outcome: SendOutcome, status: int, message_id: bytes) -> None:
            if not ended.done():
                ended.set_result(outcome)

        self.submit(Submission(pdu, done, heard=heard.append))
        outcome = await ended
        return outcome, heard[-1] if heard else None

    def has(self, session: int) -> bool:
        """Whether a session is open here."""
        return session in self._sessions

    async def ask_alive(self, session: int) -> bool:
        """Whether the peer of a session answers an enquire_link that is sent now."""
        bind = self._sessions.get(session)
        if bind is None or bind.link is None or not bind.up:
            return False
        answered: asyncio.Future[bool] = self._loop.create_future()

        def done(pdu: Pdu | None) -> None:
            if not answered.done():
                answered.set_result(pdu is not None)

        bind.link.enquire(done)
        return await answered

    # What the binds tell.

    def bind_up(self, bind: Bind, link: Link) -> None:
        self._sessions[link.session] = bind
        self._look_up()
        self._pump()

    def bind_down(self, bind: Bind, link: Link) -> None:
        del self._sessions[link.session]
        self._look_up()
        screens = bind.partner.screens
        self._lanes.waiting -= len(screens)
        while screens:
            screens.popleft().done(SendOutcome.NOT_SENT, 0, b"")

    def link_has_room(self, link: Link) -> None:
        self._pump()

    def congestion(self, state: int) -> None:
        """The SMSC says how busy it is: 0 idle to 100 congested."""
        self._pace.congestion(state, self._loop.time())

    def _look_up(self) -> None:
        if any(bind.submits for bind in self._places.binds):
            self._down_since = None
        elif self._down_since is None:
            self._down_since = self._loop.time()
            self._fail_waiting(lambda submission: not submission.waits)

    @property
    def _hopeless(self) -> bool:
        """Whether no connection has been up for longer than submissions are to wait."""
        down = self._down_since
        return down is not None and self._loop.time() - down > self.settings.patience.total_seconds()

    # What goes out.

    def _lane(self, submission: Submission) -> Lane | None:
        """Where a submission waits; None if it cannot leave any more."""
        if submission.session:
            bind = self._sessions.get(submission.session)
            return bind.partner.screens if bind is not None and bind.partner.submits else None
        if self.state is not AccountState.RUNNING:
            return None
        return self._lanes.replies if submission.reply else self._lanes.rest

    def _pump(self) -> None:
        """Send what the windows and the pace allow."""
        lanes, pace = self._lanes, self._pace
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
            lane, link = ready
            submission = lanes.take(lane)
            if submission.expires_at <= now:
                self._loop.call_soon(submission.done, SendOutcome.NOT_SENT, 0, b"")
            else:
                pace.take(now)
                self._send(submission, link)

    def _ready(self) -> tuple[Lane, Link] | None:
        """The lane whose turn it is and a link with room for it; links take turns."""
        shared, binds = self._lanes.shared, self._places.binds
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

    def _send(self, submission: Submission, link: Link) -> None:
        pdu = submission.pdu
        if pdu.tlvs and not link.takes_tlvs:
            if any(tag != USER_MESSAGE_REFERENCE for tag, _ in pdu.tlvs):
                self._loop.call_soon(submission.done, SendOutcome.PERMANENT, ROPTPARNOTALLWD, b"")
                return
            pdu.tlvs = ()
        try:
            link.submit(pdu, partial(self._answered, submission, link))
        except SmppError as error:
            log.warning("smpp.cannot_be_written", account=self.settings.name, error=str(error))
            self._loop.call_soon(submission.done, SendOutcome.PERMANENT, error.status, b"")

    def _answered(self, submission: Submission, link: Link, pdu: Pdu | None) -> None:
        if pdu is None:
            submission.done(SendOutcome.UNANSWERED, 0, b"")
        elif pdu.status == ROK and isinstance(pdu, SubmitSmResp):
            submission.done(SendOutcome.SENT, ROK, pdu.message_id)
        else:
            if submission.heard is not None:
                submission.heard(pdu)
            self._refused(submission, link, pdu.status)

    def _refused(self, submission: Submission, link: Link, status: int) -> None:
        kind = status_class(status, self.settings.statuses)
        if kind is StatusClass.THROTTLE:
            link.counters.throttled += 1
            self._pace.slow(self._loop.time())
            self._return(submission)
        elif kind is StatusClass.SESSION and submission.heard is None:
            link.unbind()
            submission.refused += 1
            if submission.refused < REFUSED_SESSIONS_MAX:
                self._return(submission)
            else:
                submission.done(SendOutcome.TEMPORARY, status, b"")
        elif kind is StatusClass.VENDOR and not submission.refused:
            submission.refused += 1
            self._lanes.rest_a_while(submission)
        else:
            submission.done(_OUTCOMES.get(kind, SendOutcome.PERMANENT), status, b"")

    def _return(self, submission: Submission) -> None:
        """Keep a submission that was not accepted; it costs no attempt."""
        self._lanes.give_back(submission)
        self._loop.call_soon(self._pump)

    def _take_back(self) -> None:
        """Put what was returned before all others, in its order."""
        for submission in self._lanes.take_returned():
            lane = self._lane(submission)
            if lane is None:
                self._lanes.waiting -= 1
                submission.done(SendOutcome.NOT_SENT, 0, b"")
            else:
                lane.appendleft(submission)

    def _sweep(self) -> None:
        self._sweep_timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        if self._lanes.waiting:
            self._lanes.rested()
            now, hopeless = self._loop.time(), self._hopeless
            self._fail_waiting(lambda submission: hopeless or submission.expires_at <= now)
            self._pump()

    def _fail_waiting(self, fails: Callable[[Submission], bool]) -> None:
        self._lanes.rested()
        self._take_back()
        screens = [bind.screens for bind in self._places.binds]
        for submission in self._lanes.remove(fails, screens):
            submission.done(SendOutcome.NOT_SENT, 0, b"")
