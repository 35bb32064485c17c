"""The SMSC itself: listens, admits, delivers, accepts; what becomes of an accepted message is its caller's."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Literal

from gateway.pdus.pdu import CancelSm, Outbind, Pdu, QuerySm, ReplaceSm, SubmitMulti
from gateway.simulator.delivery import Delivery, Mo
from gateway.simulator.faults import Faults
from gateway.simulator.session import Session
from gateway.simulator.settings import Settings
from gateway.simulator.wire import Submission
from vas.errors import ConfigError

RALYBND = 0x05
RINVPASWD = 0x0E
RINVSYSID = 0x0F
GOODBYE = timedelta(seconds=1)

Accept = Callable[[Session, Submission], tuple[int, bytes]]
"""Takes a message from an ESME: the command_status and the message id to answer with."""
Mail = Callable[[Session, SubmitMulti | QuerySm | CancelSm | ReplaceSm], Pdu]
"""Answers what an ESME asks about messages that were accepted, or for several subscribers at once."""
Tape = Callable[[Session, Literal["in", "out"], bytes], None]
"""Hears each frame as it is read or handed to the socket, before anything is done with it."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class Smsc:
    """A listener with its sessions and what it owes to them."""

    def __init__(
        self,
        settings: Settings,
        accept: Accept,
        clock: Callable[[], datetime] = utc_now,
        settled: Callable[[Mo], None] | None = None,
    ) -> None:
        self.settings = settings
        self.accept = accept
        self.clock = clock
        self.delivery = Delivery(settings.retry_delays, settings.owed, clock, settled)
        self.tape: Tape | None = None
        self.faults: Faults | None = None
        """None: nothing goes wrong, and nothing is spent on asking."""
        self.mail: Mail | None = None
        """None: such requests are unknown commands."""
        self.sessions: dict[int, Session] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self.submitted = 0
        """Submissions that came on binds which may submit, refused ones too."""
        self.late_answers = 0
        """deliver_sm_resp that came when the SMSC had given up on them."""
        self._session_ids = count(1)
        # Microseconds since 1970, so that ids do not recur after a restart, as they do not at an operator's SMSC.
        self._ids = count(int(clock().timestamp() * 1_000_000))
        self._server: asyncio.Server | None = None
        self._passwords = {name.encode(): settings.account(name).password.encode() for name in settings.accounts}

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Session(self, next(self._session_ids)),
            self.settings.host,
            self.settings.port,
            ssl=_server_context(self.settings),
        )

    async def outbind(self, host: str, port: int) -> Session:
        """Call an ESME and say who we are; it binds on that connection, or is hung up on after settings.bind_within.

        Raises OSError where nobody listens.
        """
        settings = self.settings
        calls = Outbind(1, system_id=settings.system_id.encode(), password=settings.outbind_password.encode())
        async with asyncio.timeout(settings.bind_within.total_seconds()):
            _, session = await asyncio.get_running_loop().create_connection(
                lambda: Session(self, next(self._session_ids), calls), host, port
            )
        return session

    async def stop(self) -> None:
        """Unbind all, wait GOODBYE at most for their answers, then break what is left."""
        if self._server is None:
            return
        self._server.close()
        for session in tuple(self.sessions.values()):
            session.unbind()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE.total_seconds()):
                await self._empty.wait()
        self.drop_links()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        """The SMPP port that is listened on."""
        assert self._server is not None, "the port is known once it is listened on"
        return int(self._server.sockets[0].getsockname()[1])

    def drop_links(self) -> None:
        """Break every connection at once, as a fallen line does."""
        for session in tuple(self.sessions.values()):
            session.abort()

    def new_id(self) -> int:
        return next(self._ids)

    # --- for its sessions

    def connected(self, session: Session) -> None:
        if len(self.sessions) >= self.settings.connections:
            session.abort()
            return
        self.sessions[session.id] = session
        self._empty.clear()

    def disconnected(self, session: Session) -> None:
        self.delivery.close(session)
        self.sessions.pop(session.id, None)
        if not self.sessions:
            self._empty.set()

    def admit(self, system_id: bytes, password: bytes) -> int:
        """The command_status that answers a bind; takes as long for a stranger as for a wrong password."""
        name = system_id.decode("latin-1")
        right = hmac.compare_digest(self._passwords.get(system_id, b""), password)
        if system_id not in self._passwords:
            return RINVSYSID
        if not right:
            return RINVPASWD
        most = self.settings.account(name).binds
        there = sum(session.account == name for session in self.sessions.values() if session.mode)
        return RALYBND if most is not None and there >= most else 0


def _server_context(settings: Settings) -> ssl.SSLContext | None:
    """Raises ConfigError for files that are not there or do not fit together."""
    if settings.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except OSError as error:
        raise ConfigError(
            f"tls_certificate {settings.tls_certificate} with its key: {error.strerror or error}"
        ) from None
    if settings.tls_client_ca is not None:
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except OSError as error:
            raise ConfigError(f"tls_client_ca {settings.tls_client_ca}: {error.strerror or error}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context
