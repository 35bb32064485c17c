"""A place for a connection to an SMSC, which is made again and again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
import structlog

from gateway.link import BindType, Counters, Link
from gateway.pdu import DataSm, DeliverSm
from gateway.settings import AccountSettings
from gateway.status import RINVPASWD, RINVSYSID, status_name
from vas.messages import ROK, Answer, Receiver

STEADY_SECONDS = 10.0
"""A connection that lasted so long is followed by a short pause again."""
NO_CONNECTION = -1

log = structlog.get_logger("gateway.bind")


class BindStatus(msgspec.Struct, frozen=True):
    """What operations see of one connection. The counters go on over reconnects."""

    account: str
    bind_type: BindType
    state: str
    """`connecting`, or a LinkState."""
    since: datetime
    system_id: str
    session: int
    window_used: int
    window_max: int
    last_error: str
    reconnects: int
    last_in: datetime | None
    last_out: datetime | None
    counters: Counters


class BindOwner(Protocol):
    """What a bind tells its account."""

    def bind_up(self, bind: Bind, link: Link) -> None: ...

    def bind_down(self, bind: Bind, link: Link) -> None: ...

    def link_has_room(self, link: Link) -> None: ...

    def delivered(self, link: Link, pdu: DeliverSm | DataSm, ordinal: int, answer: Answer) -> None: ...


class Bind:
    """Connects, binds, and comes back after a loss, with growing pauses of random length."""

    def __init__(
        self,
        settings: AccountSettings,
        bind_type: BindType,
        owner: BindOwner,
        receiver: Receiver,
        clock: Callable[[], datetime],
    ) -> None:
        self.bind_type: BindType = bind_type
        self.partner = self
        """The bind that submits for this one."""
        self.link: Link | None = None
        """Only while it is bound, or on its way out from there."""
        self._settings = settings
        self._owner = owner
        self._receiver = receiver
        self._clock = clock
        self._since = clock()
        self._counters = Counters()
        self._reconnects = 0
        self._last_error = ""
        self.delivered = owner.delivered
        self.link_has_room = owner.link_has_room

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        pause = self._settings.reconnect_first
        while True:
            began = loop.time()
            status = await self._connect()
            if status == ROK and loop.time() - began >= STEADY_SECONDS:
                pause = self._settings.reconnect_first
            if status in (RINVPASWD, RINVSYSID):
                log.error("smpp.bind_refused", account=self._settings.name, status=status_name(status))
                wait = self._settings.refused_every
            else:
                log.warning("smpp.link_closed", account=self._settings.name, error=self._last_error)
                wait, pause = pause, min(pause * 2, self._settings.reconnect_max)
            await asyncio.sleep(wait.total_seconds() * random.uniform(0.5, 1.0))
            self._reconnects += 1

    async def _connect(self) -> int:
        """One connection from beginning to end; the status of its bind."""
        settings = self._settings
        try:
            async with asyncio.timeout(settings.response_timer.total_seconds()):
                _, link = await asyncio.get_running_loop().create_connection(
                    lambda: Link(settings, self.bind_type, self, self._receiver, self._counters),
                    settings.host,
                    settings.port,
                )
        except OSError as error:  # TimeoutError is one
            self._last_error = str(error) or "no connection in time"
            return NO_CONNECTION
        try:
            await link.closed
        finally:
            link.close("stopped")
            self._last_error = link.error
        return link.bound.result()

    def link_bound(self, link: Link) -> None:
        self.link, self._since = link, self._clock()
        log.info("smpp.bound", account=self._settings.name, bind_type=self.bind_type, session_id=link.session)
        self._owner.bind_up(self, link)

    def link_closed(self, link: Link) -> None:
        if self.link is link:
            self.link, self._since = None, self._clock()
            self._owner.bind_down(self, link)

    def status(self) -> BindStatus:
        """The connection as it is now."""
        link = self.link
        return BindStatus(
            account=self._settings.name,
            bind_type=self.bind_type,
            state=link.state.value if link else "connecting",
            since=self._since,
            system_id=self._settings.system_id,
            session=link.session if link else 0,
            window_used=link.window_used if link else 0,
            window_max=self._settings.window,
            last_error=self._last_error,
            reconnects=self._reconnects,
            last_in=self._at(link.heard_at) if link else None,
            last_out=self._at(link.wrote_at) if link else None,
            counters=msgspec.structs.replace(self._counters),
        )

    def _at(self, monotonic: float) -> datetime:
        return self._clock() - timedelta(seconds=asyncio.get_running_loop().time() - monotonic)
