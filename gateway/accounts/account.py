"""One SMSC account: its connections, what leaves by them, and what may be asked of the SMSC."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from math import isinf
from typing import NamedTuple

import structlog

from gateway.accounts import ancillary
from gateway.accounts.account_status import AccountState as AccountState
from gateway.accounts.account_status import AccountStatus as AccountStatus
from gateway.accounts.ancillary import QueryResult, RequestResult
from gateway.accounts.departures import Departures, Traffic
from gateway.accounts.lanes import Submission as Submission
from gateway.accounts.places import Places
from gateway.links.bind import BindStatus
from gateway.links.counters import sum_up
from gateway.pdus.pdu import CancelSm, Pdu, ReplaceSm
from gateway.settings import AccountSettings as AccountSettings
from vas.messages import Receiver, SendOutcome

DRAIN_LOOK_SECONDS = 0.05

log = structlog.get_logger("gateway.accounts.account")


class Away(NamedTuple):
    """Why an account was let go, and when."""

    last_error: str
    last_error_at: datetime


class Account:
    """Takes submissions and sends them over all its connections at one pace."""

    def __init__(
        self, settings: AccountSettings, receiver: Receiver, traffic: Traffic, clock: Callable[[], datetime]
    ) -> None:
        self.settings = settings
        self.state = AccountState.STOPPED
        self._away: Away | None = None
        self._clock = clock
        self._starting_or_stopping = asyncio.Lock()
        self._departures = Departures(settings, traffic)
        self._places = Places(settings, self._departures, self._departures.binds, receiver, clock)
        self.submit = self._departures.submit
        """Take a submission; its `done` is called later, never from here."""
        self.change_rate = self._departures.change_rate
        """Agree on another pace, in PDUs a second, until the settings change; 0 is no limit."""

    async def start(self) -> None:
        """Begin to connect, and stay connected; a draining account takes submissions again.

        Waits only for a stop that is under way.
        """
        async with self._starting_or_stopping:
            if self.state is AccountState.STOPPED and self._away is None:
                self._connect()
            self._turn_to(AccountState.RUNNING)
        log.info("account.started", account=self.settings.name)

    async def drain(self) -> None:
        """Give back what waits and take nothing more, until all that has left has its outcome.

        Ends within a response timer. What comes in is taken and answered, and its dialogues go on.
        """
        if self.state is AccountState.RUNNING:
            self._turn_to(AccountState.DRAINING)
            self._departures.fail(lambda submission: not submission.session)
        loop = asyncio.get_running_loop()
        over_at = loop.time() + self.settings.response_timer.total_seconds()
        while self.state is AccountState.DRAINING and self._in_flight and loop.time() < over_at:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_LOOK_SECONDS)
        if self.state is AccountState.DRAINING:
            log.info("account.drained", account=self.settings.name, unanswered=self._in_flight)

    async def stop(self) -> None:
        """Give back what waits, unbind everywhere, close; at most two response timers and a second."""
        async with self._starting_or_stopping:
            self._turn_to(AccountState.STOPPED)
            await self._leave()
        log.info("account.stopped", account=self.settings.name)

    def cut(self) -> None:
        """As `stop`, but at once and without a word to the SMSC."""
        self._turn_to(AccountState.STOPPED)
        self._departures.end()
        self._places.cut()

    async def let_go(self, why: str) -> None:
        """As `stop`, until `take_up`: whatever is ordered meanwhile, nothing connects. `why` is its last error."""
        async with self._starting_or_stopping:
            self._away = Away(why, self._clock())
            self._turn_to(self.state)
            await self._leave()

    async def take_up(self) -> None:
        """Connect again, unless it was told to stop."""
        async with self._starting_or_stopping:
            if self._away is not None and self.state is not AccountState.STOPPED:
                self._connect()
            self._away = None
            self._turn_to(self.state)

    def _connect(self) -> None:
        self._departures.begin()
        self._places.start()

    async def _leave(self) -> None:
        self._departures.end()
        await self._places.stop()

    def _turn_to(self, state: AccountState) -> None:
        self.state = state
        self._departures.taking = state is AccountState.RUNNING and self._away is None

    async def change(self, settings: AccountSettings) -> str:
        """Take other settings of the same name, at once or with new binds; nothing in flight is lost.

        Else why the SMSC does not have them, such as a wrong password: then the old ones stay.
        """
        if not settings.binds:
            self._departures.change(settings)  # nothing is to wait for connections that are about to leave
        problem = await self._places.change(settings)
        if not problem:
            self.settings = settings
            self._departures.change(settings)
        return problem

    @property
    def up(self) -> bool:
        """Whether submissions are taken and a connection that may submit is bound."""
        return self._departures.down_since is None and self.takes

    @property
    def takes(self) -> bool:
        """Whether submissions are taken, if only to wait for a connection."""
        return self._departures.takes

    @property
    def takes_tlvs(self) -> bool:
        """Whether the SMSC takes optional parameters on every connection that may submit."""
        return all(bind.link.takes_tlvs for bind in self._places.binds if bind.submits and bind.link)

    @property
    def waiting(self) -> int:
        """Submissions that have not left."""
        return self._departures.lanes.waiting

    @property
    def binds(self) -> list[BindStatus]:
        """Each connection as it is now."""
        return [bind.status() for bind in self._departures.binds]

    @property
    def status(self) -> AccountStatus:
        """The account as it is now."""
        binds, listener = self.binds, self._places.listener
        rest = len(self._departures.lanes.rest)
        failed = self._away or next((bind for bind in binds if bind.last_error), None)
        rate = self._departures.pace.rate(asyncio.get_running_loop().time())
        return AccountStatus(
            name=self.settings.name,
            state=self.state,
            up=self.up,
            binds_up=sum(bind.up for bind in self._departures.binds),
            binds=len(binds),
            window_used=self._in_flight,
            window_max=sum(bind.window_max for bind in binds if bind.bind_type != "receiver"),
            waiting_replies=self._departures.lanes.waiting - rest,
            waiting_rest=rest,
            rate=self.settings.rate,
            rate_now=0 if isinf(rate) else rate,
            slowed=self._departures.pace.slowed,
            reconnects=sum(bind.reconnects for bind in binds),
            last_error=failed.last_error if failed else "",
            last_error_at=failed.last_error_at if failed else None,
            outbind_port=listener.port if listener else 0,
            outbinds_refused=listener.refused if listener else 0,
            counters=sum_up(bind.counters for bind in binds),
        )

    @property
    def _in_flight(self) -> int:
        return sum(bind.link.window_used for bind in self._departures.binds if bind.link)

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
        ended: asyncio.Future[SendOutcome] = asyncio.get_running_loop().create_future()
        heard: list[Pdu] = []

        def done(outcome: SendOutcome, status: int, message_id: bytes) -> None:
            if not ended.done():
                ended.set_result(outcome)

        self.submit(Submission(pdu, done, heard=heard.append))
        outcome = await ended
        return outcome, heard[-1] if heard else None

    def has(self, session: int) -> bool:
        """Whether a session is open here."""
        return session in self._departures.sessions

    async def ask_alive(self, session: int) -> bool:
        """Whether the peer of a session answers an enquire_link that is sent now."""
        bind = self._departures.sessions.get(session)
        if bind is None or bind.link is None or not bind.up:
            return False
        answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def done(pdu: Pdu | None) -> None:
            if not answered.done():
                answered.set_result(pdu is not None)

        bind.link.enquire(done)
        return await answered
