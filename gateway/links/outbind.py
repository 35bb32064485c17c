"""outbind: the SMSC connects to us and says who it is; we bind on that connection (SMPP 3.4 §4.1.7)."""

from __future__ import annotations

import asyncio
import hmac
from collections import deque
from typing import cast

import structlog

from gateway.dialects.status import RINVBNDSTS
from gateway.links import session_rules, tls
from gateway.links.session_rules import LinkState
from gateway.pdus import pdu as smpp
from gateway.settings import AccountSettings
from vas.errors import SmppError

STRANGERS_MAX = 16
"""Connections that have not said who they are, at a time."""
UNREAD_OCTETS_MAX = 1024
"""An outbind is 41 octets at most."""

log = structlog.get_logger("gateway.links.outbind")


class Caller(asyncio.Protocol):
    """A connection from outside, until it has proved to be the SMSC's and a bind takes it over."""

    def __init__(self, listener: OutbindListener) -> None:
        self.state = LinkState.OPEN
        self._listener = listener
        self._buffer = bytearray()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        seconds = self._listener.settings.response_timer.total_seconds()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.refuse, "said nothing in time")
        self._listener.came(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            for frame in smpp.frames(self._buffer):
                self._take(smpp.decode(frame))
                if self.state is not LinkState.OPEN:
                    return
        except SmppError as error:
            self._transport.write(smpp.GenericNack(0, error.status).encode())
            self.refuse("cannot be read")
            return
        if len(self._buffer) > UNREAD_OCTETS_MAX:
            self.refuse("too long")

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self.state = LinkState.CLOSED
        self._listener.went(self)

    def _take(self, pdu: smpp.Pdu) -> None:
        if isinstance(pdu, smpp.EnquireLink):
            self._transport.write(smpp.EnquireLinkResp(pdu.sequence).encode())
        elif isinstance(pdu, smpp.Unbind):
            self._transport.write(smpp.UnbindResp(pdu.sequence).encode())
            self.refuse("unbind")
        elif not isinstance(pdu, smpp.Outbind):
            if not pdu.command_id & smpp.RESPONSE and session_rules.has_response(pdu.command_id):
                self._transport.write(smpp.response_to(pdu.command_id, pdu.sequence, RINVBNDSTS).encode())
            self.refuse("no outbind")
        elif not self._listener.knows(pdu):
            self.refuse("wrong system_id or password")
        else:
            self.state = LinkState.OUTBOUND
            self._transport.pause_reading()
            self._listener.proved(self)

    def refuse(self, why: str) -> None:
        """Close, and count it."""
        if self.state is not LinkState.CLOSED:
            self.state = LinkState.CLOSED
            address = self._transport.get_extra_info("peername")
            log.warning("smpp.outbind_refused", account=self._listener.settings.name, peer=address, why=why)
            self._listener.refused += 1
            self._transport.close()

    def hand_to(self, protocol: asyncio.Protocol) -> None:
        """From here on the connection is the protocol's."""
        self._timer.cancel()
        self._listener.went(self)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if self._buffer:
            protocol.data_received(bytes(self._buffer))
        self._transport.resume_reading()


class OutbindListener:
    """Waits for one account's SMSC."""

    def __init__(self, settings: AccountSettings) -> None:
        self.settings = settings
        self.refused = 0
        """Connections that were not the SMSC's, or that no bind waited for."""
        self._callers: set[Caller] = set()
        self._ready: deque[Caller] = deque()
        self._waiting: deque[asyncio.Future[Caller]] = deque()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens; 0 until then."""
        return self._server.sockets[0].getsockname()[1] if self._server and self._server.sockets else 0

    async def caller(self) -> Caller:
        """The next connection that has proved to be the SMSC's. Raises OSError or ConfigError if we cannot listen."""
        await self._listen()
        if self._ready:
            return self._ready.popleft()
        waiting: asyncio.Future[Caller] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    async def _listen(self) -> None:
        if self._server is None and self.settings.outbind is not None:
            host, port = self.settings.outbind
            seconds = self.settings.response_timer.total_seconds()
            context = tls.server_context(self.settings) if self.settings.tls else None
            server = await asyncio.get_running_loop().create_server(
                lambda: Caller(self), host, port, ssl=context, ssl_handshake_timeout=seconds if context else None
            )
            if self._server is not None:  # another bind of the account was faster
                server.close()
                return
            self._server = server

    async def close(self) -> None:
        """Listen no more; connections that no bind has taken are closed."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for caller in [*self._callers]:
            caller.refuse("stopped")

    # What its connections tell.

    def came(self, caller: Caller) -> None:
        self._callers.add(caller)
        if len(self._callers) > STRANGERS_MAX:
            caller.refuse("too many at a time")

    def went(self, caller: Caller) -> None:
        self._callers.discard(caller)
        if caller in self._ready:
            self._ready.remove(caller)

    def knows(self, outbind: smpp.Outbind) -> bool:
        """Whether these are the SMSC's system_id and password; takes the same time whatever differs."""
        settings = self.settings
        right_name = hmac.compare_digest(outbind.system_id, settings.outbind_system_id.encode())
        return hmac.compare_digest(outbind.password, settings.outbind_password.encode()) and right_name

    def proved(self, caller: Caller) -> None:
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(caller)
                return
        self._ready.append(caller)
