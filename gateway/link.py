"""One bind: a TCP connection to an SMSC, from bind to unbind.

Everything happens in the event loop, and nothing waits: requests of ours are kept in a plain dict until their
response comes, and what is written in one turn of the loop leaves in one piece.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from functools import partial
from typing import Literal, Protocol, cast

import msgspec
import structlog

from gateway import pdu as smpp
from gateway.confirmation import Answers
from gateway.pdu import DataSm, DeliverSm, Pdu
from gateway.requests import Done, Requests
from gateway.settings import AccountSettings
from gateway.status import RINVBNDSTS, status_name
from vas.errors import SmppError
from vas.messages import ROK, RTHROTTLED, RX_T_APPN, Answer, Receiver

TICK_SECONDS = 0.1
HELD_UP_SECONDS = 0.4
"""A tick that is older says that the event loop stood still, and what it reads now may have come any time since."""
TIMER_MARGIN_SECONDS = 0.5
"""By which the SMSC's response timer may be over sooner than we think."""
ASK_AFTER_SECONDS = 0.5
"""An answer that no request of ours has followed for so long is followed by an enquire_link."""
UNREAD_OCTETS_MAX = 4 * 1024 * 1024
"""What may wait for a peer that does not read."""
CLOSE_SECONDS = 1.0

BindType = Literal["transceiver", "transmitter", "receiver"]
_BINDS = {
    "transceiver": smpp.BindTransceiver,
    "transmitter": smpp.BindTransmitter,
    "receiver": smpp.BindReceiver,
}
_SILENT = (smpp.Outbind.command_id, smpp.AlertNotification.command_id)
"""Requests that have no response."""

log = structlog.get_logger("gateway.link")


class LinkState(StrEnum):
    """Where a link stands; the states of SMPP 3.4 §2.2, and the way out."""

    OPEN = "open"
    BOUND = "bound"
    UNBINDING = "unbinding"
    CLOSED = "closed"


class Counters(msgspec.Struct):
    """What went over a connection, and over those before it in the same place."""

    pdus_in: int = 0
    pdus_out: int = 0
    refused_in: int = 0
    """PDUs that could not be read."""
    throttled: int = 0
    timeouts: int = 0
    late_answers: int = 0


class LinkOwner(Protocol):
    """What a link tells its account."""

    def link_bound(self, link: Link) -> None: ...

    def link_closed(self, link: Link) -> None: ...

    def link_has_room(self, link: Link) -> None: ...

    def delivered(self, link: Link, pdu: DeliverSm | DataSm, ordinal: int, answer: Answer) -> None: ...


class Link(asyncio.Protocol):
    """One connection. `bound` gives the status of the bind, `closed` ends with the link."""

    def __init__(
        self,
        settings: AccountSettings,
        bind_type: BindType,
        owner: LinkOwner,
        receiver: Receiver,
        counters: Counters,
    ) -> None:
        self.settings = settings
        self.bind_type: BindType = bind_type
        self.counters = counters
        self.session = 0
        self.state = LinkState.OPEN
        self.window_used = 0
        self.heard_at = self.wrote_at = 0.0
        self.arrived_at = 0.0
        """The earliest time at which what was read last can have come."""
        self.error = ""
        self._owner = owner
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self.bound: asyncio.Future[int] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport
        self._tick: asyncio.TimerHandle | None = None
        self._ticks = (0.0, 0.0)
        self._lately: tuple[list[int], list[int]] = ([], [])
        """What was answered before the last tick, and since."""
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._response_seconds = settings.response_timer.total_seconds()
        self._requests = Requests(self._response_seconds)
        self._answers = Answers()
        self._unasked_since: float | None = None
        self._enquiring = False
        self._writable = True
        self._ending_at = 0.0
        self._peer_unbind: Pdu | None = None
        self._enquire_seconds = settings.enquire_every.total_seconds()
        self._late_seconds = settings.smsc_response_timer.total_seconds() - TIMER_MARGIN_SECONDS
        self._statuses = {RX_T_APPN: settings.later_status, RTHROTTLED: settings.full_status}

    @property
    def room(self) -> bool:
        """Whether a submission may be sent now."""
        return self.state is LinkState.BOUND and self._writable and self.window_used < self.settings.window

    @property
    def submits(self) -> bool:
        """Whether the bind allows submit_sm."""
        return self.bind_type != "receiver"

    def submit(self, pdu: Pdu, done: Done) -> None:
        """Send a request that takes a place in the window; only where there is `room`.

        Raises SmppError if it cannot be written; `done` is not called then.
        """
        self._request(pdu, partial(self._submitted, done))
        self.window_used += 1

    def enquire(self, done: Done) -> None:
        """Ask at once whether the peer is there."""
        self._request(smpp.EnquireLink(), done)

    def unbind(self) -> None:
        """Send nothing more, wait for both sides' responses up to the response timer, unbind, close."""
        if self.state is LinkState.BOUND:
            self._end("unbind")

    def close(self, error: str) -> None:
        """Write what is due and close; `error` says why."""
        if self.state is LinkState.CLOSED:
            return
        self.state = LinkState.CLOSED
        self.error = self.error or error
        self._flush()
        self._transport.close()
        self._loop.call_later(CLOSE_SECONDS, self._transport.abort)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.heard_at = self.wrote_at = self._loop.time()
        settings = self.settings
        bind = _BINDS[self.bind_type](
            system_id=settings.system_id.encode("latin-1", "replace"),
            password=settings.password.encode("latin-1", "replace"),
            system_type=settings.system_type.encode("latin-1", "replace"),
            address_range=settings.address_range.encode("latin-1", "replace"),
        )
        self._request(bind, self._bind_answered)
        self._ticks = (self.heard_at, self.heard_at)
        self._tick = self._loop.call_later(TICK_SECONDS, self._ticked)

    def data_received(self, data: bytes) -> None:
        self.heard_at = now = self._loop.time()
        self._look_back(now)
        # The tick before the last one: after a standstill the loop may tick before it reads.
        self.arrived_at = self._ticks[0] if now - self._ticks[0] > HELD_UP_SECONDS else now
        self._buffer += data
        used, confirmed = self.window_used, self._answers.confirmed
        try:
            for frame in smpp.frames(self._buffer):
                self._take(frame)
                if self.state is LinkState.CLOSED:
                    return
        except SmppError as error:
            log.warning("smpp.stream_lost", account=self.settings.name, status=status_name(error.status))
            self._write(smpp.GenericNack(0, error.status).encode())
            self.close("stream lost")
            return
        if self._answers.confirmed > confirmed:
            self._receiver.session_confirmed(self.session, self._answers.confirmed)
        if self.window_used < used and self.room:
            self._owner.link_has_room(self)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self.room:
            self._owner.link_has_room(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.state = LinkState.CLOSED
        self.error = self.error or (str(exc) if exc else "closed by the peer")
        if self._tick:
            self._tick.cancel()
        try:
            for request in self._requests.abandon():
                request.done(None)
            if self.session:
                self._receiver.session_closed(self.session)
        finally:  # whatever the core does, the bind comes back
            if not self.bound.done():
                self.bound.set_result(RINVBNDSTS)
            self._owner.link_closed(self)
            if not self.closed.done():
                self.closed.set_result(None)

    # What comes in.

    def _take(self, frame: bytes) -> None:
        self.counters.pdus_in += 1
        try:
            pdu = smpp.decode(frame)
        except SmppError as error:
            self._refuse(frame, error)
            return
        if pdu.command_id & smpp.RESPONSE:
            self._response(pdu)
        elif isinstance(pdu, (DeliverSm, DataSm)):
            self._arrived(pdu)
        elif isinstance(pdu, smpp.EnquireLink):
            self._write(smpp.EnquireLinkResp(pdu.sequence).encode())
        elif isinstance(pdu, smpp.Unbind):
            self._peer_unbind = pdu
            self._end("unbind by the SMSC")
        elif pdu.command_id not in _SILENT:
            self._write(smpp.response_to(pdu.command_id, pdu.sequence, smpp.RINVCMDID).encode())

    def _refuse(self, frame: bytes, error: SmppError) -> None:
        """Answer a PDU that cannot be read; what else is on the link goes on."""
        self.counters.refused_in += 1
        _, command_id, _, sequence = smpp.header(frame)
        log.warning("smpp.pdu_refused", account=self.settings.name, command_id=command_id, error=str(error))
        if not command_id & smpp.RESPONSE:
            self._write(smpp.response_to(command_id, sequence, error.status).encode())

    def _arrived(self, pdu: DeliverSm | DataSm) -> None:
        if self.state is LinkState.BOUND and self.bind_type != "transmitter":
            ordinal = self._answers.arrive()
            answer = partial(self._answer, pdu.command_id, pdu.sequence, ordinal, self.arrived_at)
            try:
                self._owner.delivered(self, pdu, ordinal, answer)
            except Exception:
                log.exception("smpp.delivery_failed", account=self.settings.name)
                answer(RX_T_APPN)
            return
        status = self.settings.later_status if self.state is LinkState.UNBINDING else RINVBNDSTS
        self._write(smpp.response_to(pdu.command_id, pdu.sequence, status).encode())

    def _answer(self, command_id: int, sequence: int, ordinal: int, arrived_at: float, status: int) -> None:
        if self.state is LinkState.CLOSED or not self._answers.answer(ordinal):
            return
        self._lately[1].append(ordinal)
        now = self._loop.time()
        if now - arrived_at > self._late_seconds:
            self.counters.late_answers += 1
            self._receiver.answered_late(self.session, ordinal)
        if self._unasked_since is None and self._answers.unasked:
            self._unasked_since = now
        status = self._statuses.get(status, status)
        self._write(smpp.response_to(command_id, sequence, status).encode())

    def _response(self, pdu: Pdu) -> None:
        request = self._requests.answered(pdu)
        if request is None:
            log.warning("smpp.response_unexpected", account=self.settings.name, command_id=pdu.command_id)
            return
        self._answers.confirm(request.confirms)
        request.done(pdu)

    def _bind_answered(self, pdu: Pdu | None) -> None:
        if pdu is None or pdu.status != ROK or isinstance(pdu, smpp.GenericNack):
            status = RINVBNDSTS if pdu is None else pdu.status
            self.bound.set_result(status)
            self.close("no response to the bind" if pdu is None else status_name(status))
            return
        self.state = LinkState.BOUND
        self.session = self._receiver.session_opened(self.settings.name)
        self.bound.set_result(ROK)
        self._owner.link_bound(self)

    # What goes out.

    def _request(self, pdu: Pdu, done: Done) -> None:
        frame = self._requests.write(pdu, self._answers.answered, self._loop.time(), done)
        self._answers.ask()
        self._unasked_since = None
        self._write(frame)

    def _submitted(self, done: Done, pdu: Pdu | None) -> None:
        self.window_used -= 1
        done(pdu)

    def _write(self, frame: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frame)

    def _flush(self) -> None:
        if not self._out or self._transport.is_closing():
            return
        self.wrote_at = self._loop.time()
        self.counters.pdus_out += len(self._out)
        self._transport.write(b"".join(self._out))
        self._out.clear()
        if self._transport.get_write_buffer_size() > UNREAD_OCTETS_MAX:
            self.error = "the SMSC does not read"
            self._transport.abort()

    # What time brings.

    def _ticked(self) -> None:
        now = self._loop.time()
        self._look_back(now)
        self._ticks = (self._ticks[1], now)
        self._lately = (self._lately[1], [])
        self._tick = self._loop.call_later(TICK_SECONDS, self._ticked)
        self._expire(now)
        if self.state is LinkState.BOUND:
            quiet = now - min(self.heard_at, self.wrote_at) >= self._enquire_seconds
            unasked = self._unasked_since is not None and now - self._unasked_since >= ASK_AFTER_SECONDS
            if (quiet and not self._enquiring) or unasked:
                self._enquiring = True
                self.enquire(partial(self._enquired, now))
        elif self.state is LinkState.UNBINDING and (self._settled or now >= self._ending_at):
            self._part()

    def _look_back(self, now: float) -> None:
        """After a standstill past the SMSC's patience: answers from before it may have left only now."""
        if now - self._ticks[1] > self._late_seconds:
            for ordinal in (*self._lately[0], *self._lately[1]):
                self.counters.late_answers += 1
                self._receiver.answered_late(self.session, ordinal)
            self._lately = ([], [])

    def _expire(self, now: float) -> None:
        used = self.window_used
        for request in self._requests.overdue(now):
            self.counters.timeouts += 1
            log.warning("smpp.response_missing", account=self.settings.name, command_id=request.command_id)
            request.done(None)
        if self.window_used < used and self.room:
            self._owner.link_has_room(self)

    def _enquired(self, asked_at: float, pdu: Pdu | None) -> None:
        self._enquiring = False
        if pdu is None and self.heard_at <= asked_at and self.state is LinkState.BOUND:  # any traffic is life
            self.error = "no response to enquire_link"
            self._transport.abort()

    # The way out.

    @property
    def _settled(self) -> bool:
        return not self._requests and self._answers.settled

    def _end(self, error: str) -> None:
        self.state = LinkState.UNBINDING
        self.error = self.error or error
        self._ending_at = self._loop.time() + self._response_seconds

    def _part(self) -> None:
        if self._peer_unbind is not None:
            self._write(smpp.UnbindResp(self._peer_unbind.sequence).encode())
            self.close("unbind by the SMSC")
        elif self._ending_at != float("inf"):
            self._ending_at = float("inf")
            self._request(smpp.Unbind(), lambda _: self.close("unbind"))
