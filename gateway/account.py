"""One SMSC account: the pace and the lanes that all its connections share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Protocol

import msgspec
import structlog

from gateway.bind import Bind, BindStatus
from gateway.link import Link, LinkState
from gateway.pace import Pace
from gateway.pdu import DataSm, DeliverSm, Pdu, SubmitSm, SubmitSmResp
from gateway.settings import AccountSettings as AccountSettings
from gateway.status import StatusClass, status_class
from vas.errors import SmppError
from vas.messages import ROK, Answer, Receiver, SendOutcome

SWEEP_SECONDS = 0.5

log = structlog.get_logger("gateway.account")

Submitted = Callable[[SendOutcome, int, bytes], None]
"""Called once: the outcome, the command_status that decided (0 if none came), the SMSC's message id."""

_OUTCOMES = {
    StatusClass.TRANSIENT: SendOutcome.TEMPORARY,
    StatusClass.VENDOR: SendOutcome.TEMPORARY,
    StatusClass.PERMANENT: SendOutcome.PERMANENT,
    StatusClass.OUR_BUG: SendOutcome.PERMANENT,
}


class Submission(msgspec.Struct):
    """A submit_sm on its way out."""

    pdu: SubmitSm
    done: Submitted
    reply: bool = True
    """Replies overtake the rest."""
    expires_at: float = float("inf")
    """In the event loop's time."""
    session: int = 0
    """Leaves by the connection of this session, or not at all; 0: by any."""


Lane = deque[Submission]


class Traffic(Protocol):
    """Where what comes in goes."""

    def delivered(self, link: Link, pdu: DeliverSm | DataSm, ordinal: int, answer: Answer) -> None: ...


class Account:
    """Takes submissions and sends them over all its connections at one pace."""

    def __init__(
        self, settings: AccountSettings, receiver: Receiver, traffic: Traffic, clock: Callable[[], datetime]
    ) -> None:
        self.settings = settings
        self.waiting = 0
        """Submissions that have not left."""
        self.delivered = traffic.delivered
        self._pace = Pace(settings.rate)
        self._replies: Lane = deque()
        self._rest: Lane = deque()
        self._returned: list[Submission] = []
        self._binds = [bind for _ in range(settings.binds) for bind in self._places(receiver, clock)]
        self._screens: dict[Bind, Lane] = {bind: deque() for bind in self._binds}
        self._sessions: dict[int, Bind] = {}
        self._turn = 0
        self._pump_timer: asyncio.TimerHandle | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._down_since: float | None = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    def _places(self, receiver: Receiver, clock: Callable[[], datetime]) -> Iterator[Bind]:
        if self.settings.bind == "transceiver":
            yield Bind(self.settings, "transceiver", self, receiver, clock)
            return
        receiving = Bind(self.settings, "receiver", self, receiver, clock)
        receiving.partner = Bind(self.settings, "transmitter", self, receiver, clock)
        yield receiving
        yield receiving.partner

    def start(self) -> None:
        """Begin to connect, and stay connected."""
        self._loop = asyncio.get_running_loop()
        self._down_since = self._loop.time()
        self._sweep_timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        self._tasks = [self._loop.create_task(bind.run(), name=f"bind {self.settings.name}") for bind in self._binds]

    async def stop(self) -> None:
        """Give back what waits, unbind everywhere, close; at most two response timers and a second."""
        self._stopping = True
        for timer in (self._sweep_timer, self._pump_timer):
            if timer:
                timer.cancel()
        self._fail_waiting(lambda submission: True)
        links = [bind.link for bind in self._binds if bind.link]
        for link in links:
            link.unbind()
        if links:
            limit = 2 * self.settings.response_timer.total_seconds() + 1
            await asyncio.wait([link.closed for link in links], timeout=limit)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def up(self) -> bool:
        """Whether a connection that may submit is bound."""
        return self._down_since is None

    @property
    def binds(self) -> list[BindStatus]:
        """Each connection as it is now."""
        return [bind.status() for bind in self._binds]

    def submit(self, submission: Submission) -> None:
        """Take a submission; `done` is called later, never from here."""
        lane = self._lane(submission)
        if lane is None or self.waiting >= self.settings.waiting_max or self._hopeless:
            self._loop.call_soon(submission.done, SendOutcome.NOT_SENT, 0, b"")
            return
        lane.append(submission)
        self.waiting += 1
        self._pump()

    def has(self, session: int) -> bool:
        """Whether a session is open here."""
        return session in self._sessions

    async def ask_alive(self, session: int) -> bool:
        """Whether the peer of a session answers an enquire_link that is sent now."""
        bind = self._sessions.get(session)
        if bind is None or bind.link is None or bind.link.state is not LinkState.BOUND:
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
        screens = self._screens[bind.partner]
        self.waiting -= len(screens)
        while screens:
            screens.popleft().done(SendOutcome.NOT_SENT, 0, b"")

    def link_has_room(self, link: Link) -> None:
        self._pump()

    def _look_up(self) -> None:
        if any(_submits(bind) for bind in self._binds):
            self._down_since = None
        elif self._down_since is None:
            self._down_since = self._loop.time()

    @property
    def _hopeless(self) -> bool:
        """Whether no connection has been up for longer than submissions are to wait."""
        down = self._down_since
        return down is not None and self._loop.time() - down > self.settings.patience.total_seconds()

    # What goes out.

    def _lane(self, submission: Submission) -> Lane | None:
        """Where a submission waits; None if it cannot leave any more."""
        if self._stopping:
            return None
        if not submission.session:
            return self._replies if submission.reply else self._rest
        bind = self._sessions.get(submission.session)
        return self._screens[bind.partner] if bind and _submits(bind.partner) else None

    def _pump(self) -> None:
        """Send what the windows and the pace allow."""
        if self._returned:
            self._take_back()
        while self.waiting:
            ready = self._ready()
            if ready is None:
                return
            now = self._loop.time()
            delay = self._pace.delay(now)
            if delay > 0:
                self._pump_later(delay)
                return
            lane, link = ready
            submission = lane.popleft()
            self.waiting -= 1
            if submission.expires_at <= now:
                self._loop.call_soon(submission.done, SendOutcome.NOT_SENT, 0, b"")
            else:
                self._pace.take(now)
                self._send(submission, link)

    def _ready(self) -> tuple[Lane, Link] | None:
        """The lane whose turn it is and a link with room for it; links take turns."""
        shared = self._replies or self._rest
        count = len(self._binds)
        self._turn += 1
        for place in range(count):
            bind = self._binds[(self._turn + place) % count]
            link = bind.link
            if link is not None and link.room and link.submits:
                lane = self._screens[bind] or shared
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
        try:
            link.submit(submission.pdu, lambda pdu: self._answered(submission, link, pdu))
        except SmppError as error:
            log.warning("smpp.cannot_be_written", account=self.settings.name, error=str(error))
            self._loop.call_soon(submission.done, SendOutcome.PERMANENT, error.status, b"")

    def _answered(self, submission: Submission, link: Link, pdu: Pdu | None) -> None:
        if pdu is None:
            submission.done(SendOutcome.UNANSWERED, 0, b"")
            return
        if pdu.status == ROK and isinstance(pdu, SubmitSmResp):
            submission.done(SendOutcome.SENT, ROK, pdu.message_id)
            return
        kind = status_class(pdu.status)
        if kind is StatusClass.THROTTLE:
            link.counters.throttled += 1
            self._pace.slow(self._loop.time())
            self._return(submission)
        elif kind is StatusClass.SESSION:
            link.unbind()
            self._return(submission)
        else:
            submission.done(_OUTCOMES.get(kind, SendOutcome.PERMANENT), pdu.status, b"")

    def _return(self, submission: Submission) -> None:
        """Keep a submission that was not accepted; it costs no attempt."""
        self._returned.append(submission)
        self.waiting += 1
        self._loop.call_soon(self._pump)

    def _take_back(self) -> None:
        """Put what was returned before all others, in its order."""
        returned, self._returned = self._returned, []
        for submission in reversed(returned):
            lane = self._lane(submission)
            if lane is None:
                self.waiting -= 1
                submission.done(SendOutcome.NOT_SENT, 0, b"")
            else:
                lane.appendleft(submission)

    def _sweep(self) -> None:
        self._sweep_timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        now = self._loop.time()
        if self.waiting:
            hopeless = self._hopeless
            self._fail_waiting(lambda submission: hopeless or submission.expires_at <= now)

    def _fail_waiting(self, fails: Callable[[Submission], bool]) -> None:
        self._take_back()
        for lane in (self._replies, self._rest, *self._screens.values()):
            failed = [submission for submission in lane if fails(submission)]
            if failed:
                kept = [submission for submission in lane if not fails(submission)]
                lane.clear()
                lane.extend(kept)
            self.waiting -= len(failed)
            for submission in failed:
                submission.done(SendOutcome.NOT_SENT, 0, b"")


def _submits(bind: Bind) -> bool:
    return bind.link is not None and bind.link.state is LinkState.BOUND and bind.link.submits
