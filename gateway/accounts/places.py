"""The connections of one account: as many as agreed, changed without losing what is in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime

import structlog

from gateway.dialects.status import RALYBND, RBINDFAIL, RINVBNDSTS
from gateway.links.bind import Bind, BindOwner
from gateway.links.outbind import OutbindListener
from gateway.settings import AccountSettings
from vas.messages import ROK, Receiver

_SAID_AT_THE_BIND = (
    *("host", "port", "system_id", "password", "system_type", "bind", "address_range", "interface_version"),
    *("tls", "tls_ca", "tls_certificate", "tls_key", "tls_server_name", "outbind"),
)
"""Settings that an open connection cannot take."""
_ONE_TOO_MANY = frozenset({RALYBND, RBINDFAIL, RINVBNDSTS})
"""A first bind that is refused so may be refused because of the older ones; any other failure is the settings'."""

log = structlog.get_logger("gateway.accounts.account")

Place = tuple[Bind, ...]
"""A transceiver, or a receiver with its transmitter."""


class Places:
    """Where an account's connections are made."""

    def __init__(
        self,
        settings: AccountSettings,
        owner: BindOwner,
        binds: list[Bind],
        receiver: Receiver,
        clock: Callable[[], datetime],
    ) -> None:
        """`binds` is kept up to date with what there is."""
        self.binds = binds
        self._settings = settings
        self._owner = owner
        self._receiver = receiver
        self._clock = clock
        self._started = False
        self._changing = asyncio.Lock()
        self.listener = OutbindListener(settings) if settings.outbind else None
        self._take(self._new(settings, settings.binds, self.listener))

    def start(self) -> None:
        """Begin to connect everywhere."""
        self._started = True
        self._start(self._places)

    async def stop(self) -> None:
        """Unbind everywhere; at most two response timers and a second."""
        self._started = False
        await self._leave(self._places)
        if self.listener is not None:
            await self.listener.close()

    def cut(self) -> None:
        """Close every connection."""
        self._started = False
        for bind in self.binds:
            bind.cut()

    async def change(self, settings: AccountSettings) -> str:
        """Take other settings; else why they cannot be right, and then everything stays as it is.

        What a bind says needs new ones: they come up before the old ones leave. Where the SMSC refuses that, it is
        the other way round.
        """
        async with self._changing:
            if any(getattr(settings, name) != getattr(self._settings, name) for name in _SAID_AT_THE_BIND):
                problem = await self._replace(settings)
                if problem:
                    return problem
            self._settings = settings
            if self.listener is not None:
                self.listener.settings = settings
            for bind in self.binds:
                bind.change(settings)
            await self._resize(settings.binds)
        return ""

    async def _replace(self, settings: AccountSettings) -> str:
        before, listener = self.listener, OutbindListener(settings) if settings.outbind else None
        old, new = self._places, self._new(settings, settings.binds, listener)
        overlap = self._started and listener is None and any(bind.up for bind in self.binds)
        if overlap:
            self._take([*old, *new])
            self._start(new)
            problem = await _mistake(new)
            if problem:
                self._take(old)
                await self._leave(new)
                return problem
        await self._leave(old)
        if before is not None:
            await before.close()
        self.listener = listener
        self._take(new)
        if self._started and not overlap:
            self._start(new)
        return ""

    async def _resize(self, count: int) -> None:
        kept, surplus = self._places[:count], self._places[count:]
        more = self._new(self._settings, count - len(kept), self.listener)
        if self._started:
            self._start(more)
        self._take([*kept, *more, *surplus])
        await self._leave(surplus)
        self._take([*kept, *more])
        if self.listener is not None and not count:
            await self.listener.close()

    def _take(self, places: list[Place]) -> None:
        self._places = places
        self.binds[:] = (bind for place in places for bind in place)

    def _new(self, settings: AccountSettings, count: int, listener: OutbindListener | None) -> list[Place]:
        return [self._place(settings, listener) for _ in range(count)]

    def _place(self, settings: AccountSettings, listener: OutbindListener | None) -> Place:
        common = (self._owner, self._receiver, self._clock)
        # Only SMPP 5.0 lets an ESME answer an outbind with bind_transceiver.
        if settings.bind == "transceiver" and (listener is None or settings.interface_version == "5.0"):
            return (Bind(settings, "transceiver", *common, listener),)
        receiving = Bind(settings, "receiver", *common, listener)
        if listener is not None and not settings.host:
            return (receiving,)
        receiving.partner = Bind(settings, "transmitter", *common)
        return receiving, receiving.partner

    def _start(self, places: Iterable[Place]) -> None:
        for place in places:
            for bind in place:
                bind.start()

    async def _leave(self, places: Iterable[Place]) -> None:
        await asyncio.gather(*(bind.stop() for place in places for bind in place))


async def _mistake(places: Iterable[Place]) -> str:
    """Why the first binds do not bind, unless older ones may be in their way; empty if they do."""
    binds = [bind for place in places for bind in place]
    for bind in binds:
        if await bind.tried not in (ROK, *_ONE_TOO_MANY):
            return bind.last_error or "stopped"
    return ""
