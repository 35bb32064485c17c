"""A place for a connection to an SMSC, which is made again and again."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import deque
from collections.abc import Callable
from contextvars import Context
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
import structlog

from gateway.accounts.lanes import Lane
from gateway.dialects.status import RINVPASWD, RINVSYSID, status_name
from gateway.links import tls
from gateway.links.counters import Counters
from gateway.links.link import HELD_SECONDS, NO_RESPONSE, Link
from gateway.links.outbind import OutbindListener
from gateway.links.session_rules import BindType, LinkState
from gateway.pdus.pdu import DataSm, DeliverSm
from gateway.settings import AccountSettings
from vas.errors import ConfigError
from vas.messages import ROK, Answer, Receiver

STEADY_SECONDS = 10.0
"""A connection that lasted so long is followed by a short pause again."""
NO_CONNECTION = -1

log = structlog.get_logger("gateway.links.bind")


class BindStatus(msgspec.Struct, frozen=True):
    """What operations see of one connection. The counters go on over reconnects."""

    account: str
    bind_type: BindType
    state: str
    """`connecting`, `listening` for an outbind, or a LinkState."""
    since: datetime
    system_id: str
    session: int
    window_used: int
    window_max: int
    last_error: str
    """Why it is not bound; empty while it is …"""
    last_error_at: datetime | None
    """… and when that was found."""
    last_closed: str
    """Why it was not bound the last time that it was not, or was told to leave; empty if that never happened."""
    reconnects: int
    last_in: datetime | None
    last_out: datetime | None
    counters: Counters


class BindOwner(Protocol):
    """What a bind tells its account."""

    def bind_up(self, bind: Bind, link: Link) -> None: ...

    def bind_down(self, bind: Bind, link: Link) -> None: ...

    def link_has_room(self, link: Link) -> None: ...

    def congestion(self, state: int) -> None: ...

    def may_send(self) -> bool: ...

    def delivered(self, link: Link, pdu: DeliverSm | DataSm, ordinal: int, answer: Answer) -> None: ...


class Bind:
    """Connects, or is called by the SMSC; binds, and comes back after a loss, with growing pauses of random length."""

    def __init__(
        self,
        settings: AccountSettings,
        bind_type: BindType,
        owner: BindOwner,
        receiver: Receiver,
        clock: Callable[[], datetime],
        listener: OutbindListener | None = None,
    ) -> None:
        self.bind_type: BindType = bind_type
        self.partner = self
        """The bind that submits for this one."""
        self.link: Link | None = None
        """Only while it is bound, or on its way out from there."""
        self.screens: Lane = deque()
        """What can leave by this connection alone."""
        self.last_error = ""
        """Why it is not bound; empty while it is."""
        self._last_error_at: datetime | None = None
        self._last_closed = ""
        self._leaves = False
        """Whether it was told to stop."""
        self.tried: asyncio.Future[int]
        """Once it is started: the command_status of the first bind, NO_RESPONSE or NO_CONNECTION."""
        self._settings = settings
        self._owner = owner
        self._receiver = receiver
        self._clock = clock
        self._listener = listener
        self._since = clock()
        self._counters = Counters()
        self._reconnects = 0
        self._task: asyncio.Task[None] | None = None
        self.delivered = owner.delivered
        self.link_has_room = owner.link_has_room
        self.congestion = owner.congestion
        self.may_send = owner.may_send

    @property
    def up(self) -> bool:
        """Whether it is bound."""
        return self.link is not None and self.link.state is LinkState.BOUND

    @property
    def submits(self) -> bool:
        """Whether it is bound and may submit."""
        return self.up and self.bind_type != "receiver"

    def start(self) -> None:
        """Begin to connect, and stay connected."""
        loop = asyncio.get_running_loop()
        self._leaves = False
        self.tried = loop.create_future()
        # Not in the context of who starts it: an HTTP request's id would stand in its log lines for ever.
        self._task = loop.create_task(self._run(), name=f"bind {self._settings.name}", context=Context())

    async def stop(self) -> None:
        """Unbind when both sides have their responses, and close; at most two response timers and a second."""
        self._leaves = True
        if self.link is not None:
            self.link.unbind()
            limit = 2 * self._settings.response_timer.total_seconds() + 1
            await asyncio.wait([self.link.closed], timeout=limit)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            if not self.tried.done():
                self.tried.set_result(NO_CONNECTION)
        self._settle()

    def cut(self) -> None:
        """Close without a word, and do not come back until it is started."""
        self._leaves = True
        if self.link is not None:
            self.link.abort("cut off")
        if self._task is not None:
            self._task.cancel()

    def change(self, settings: AccountSettings) -> None:
        """Take settings that need no new bind."""
        self._settings = settings
        if self.link is not None:
            self.link.change(settings)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        pause = self._settings.reconnect_first
        while True:
            await self._may_bind()
            began = loop.time()
            status = await self._connect()
            if not self.tried.done():
                self.tried.set_result(status)
            if status == ROK and loop.time() - began >= STEADY_SECONDS:
                pause = self._settings.reconnect_first
            if status in (RINVPASWD, RINVSYSID):
                log.error("smpp.bind_refused", account=self._settings.name, status=status_name(status))
                wait = self._settings.refused_every
            else:
                told = log.info if self._leaves else log.warning
                told("smpp.link_closed", account=self._settings.name, error=self.last_error)
                wait, pause = pause, min(pause * 2, self._settings.reconnect_max)
            if self._listener is None or status == NO_CONNECTION:  # an SMSC that calls us comes when it wants
                await asyncio.sleep(wait.total_seconds() * random.uniform(0.5, 1.0))
            self._reconnects += 1

    async def _may_bind(self) -> None:
        """While nothing may be sent another node may have this connection: ours would be one too many."""
        while not self.may_send():
            self._failed("not bound while nothing may be sent")
            await asyncio.sleep(HELD_SECONDS)

    async def _connect(self) -> int:
        """One connection from beginning to end; the status of its bind."""
        try:
            link = await self._called() if self._listener else await self._dialled()
        except (OSError, ConfigError, ValueError) as error:  # TimeoutError is an OSError; ValueError: no name of a host
            self._failed(self._explain(error))
            return NO_CONNECTION
        try:
            await link.closed
        finally:
            link.close("stopped")
            early = link.bound.done() and link.bound.result() == NO_RESPONSE
            self._failed(f"connection to {self._address}: {link.error}" if early else link.error)
        return link.bound.result()

    def _failed(self, error: str) -> None:
        self.last_error, self._last_error_at = error, self._clock()

    def _settle(self) -> None:
        """What went wrong is past."""
        self._last_closed = self.last_error or self._last_closed
        self.last_error, self._last_error_at = "", None

    @property
    def _address(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    def _explain(self, error: OSError | ConfigError | ValueError) -> str:
        """Why there is no connection."""
        if self._listener or isinstance(error, ConfigError | ssl.SSLError):
            return tls.explain(error)
        if isinstance(error, ConnectionRefusedError):
            return f"connection to {self._address} refused"
        return f"connection to {self._address}: {tls.explain(error) or 'none in time'}"

    async def _dialled(self) -> Link:
        settings = self._settings
        link = self._link()
        context = tls.client_context(settings) if settings.tls else None
        name = (settings.tls_server_name or settings.host) if settings.tls else None
        async with asyncio.timeout(settings.response_timer.total_seconds()):
            await asyncio.get_running_loop().create_connection(
                lambda: link, settings.host, settings.port, ssl=context, server_hostname=name
            )
        return link

    async def _called(self) -> Link:
        assert self._listener is not None
        caller = await self._listener.caller()
        link = self._link()
        caller.hand_to(link)
        return link

    def _link(self) -> Link:
        return Link(self._settings, self.bind_type, self, self._receiver, self._counters)

    def link_bound(self, link: Link) -> None:
        self.link, self._since = link, self._clock()
        self._settle()
        link.change(self._settings)
        log.info("smpp.bound", account=self._settings.name, bind_type=self.bind_type, session_id=link.session)
        if not self.tried.done():
            self.tried.set_result(ROK)
        self._owner.bind_up(self, link)

    def link_closed(self, link: Link) -> None:
        if self.link is link:
            self.link, self._since = None, self._clock()
            self._owner.bind_down(self, link)

    def status(self) -> BindStatus:
        """The connection as it is now."""
        link = self.link
        idle = "listening" if self._listener else "connecting"
        return BindStatus(
            account=self._settings.name,
            bind_type=self.bind_type,
            state=link.state.value if link else idle,
            since=self._since,
            system_id=self._settings.system_id,
            session=link.session if link else 0,
            window_used=link.window_used if link else 0,
            window_max=self._settings.window,
            last_error=self.last_error,
            last_error_at=self._last_error_at,
            last_closed=self._last_closed,
            reconnects=self._reconnects,
            last_in=self._at(link.heard_at) if link else None,
            last_out=self._at(link.wrote_at) if link else None,
            counters=msgspec.structs.replace(self._counters),
        )

    def _at(self, monotonic: float) -> datetime:
        return self._clock() - timedelta(seconds=asyncio.get_running_loop().time() - monotonic)
