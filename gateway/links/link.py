"""One bind: a TCP connection to an SMSC, from bind to unbind.

Everything happens in the event loop, and nothing waits: requests of ours are kept in a plain dict until their
response comes, and what is written in one turn of the loop leaves in one piece.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol, cast

import structlog

from gateway.dialects.status import RINVBNDSTS, status_name
from gateway.links import session_rules, tls
from gateway.links.confirmation import Answers
from gateway.links.counters import Counters
from gateway.links.leaving import Leaving
from gateway.links.requests import Done, Requests
from gateway.links.session_rules import BindType, LinkState
from gateway.links.watch import Watch
from gateway.pdus import pdu as smpp
from gateway.pdus.pdu import DataSm, DeliverSm, Pdu
from gateway.pdus.tags import CONGESTION_STATE
from gateway.settings import AccountSettings
from vas.errors import SmppError
from vas.messages import ROK, RTHROTTLED, RX_T_APPN, Answer, Receiver

UNREAD_OCTETS_MAX = 4 * 1024 * 1024
"""What may wait for a peer that does not read."""
CLOSE_SECONDS = 1.0
HELD_SECONDS = 0.1
"""After so long it is asked again whether anything may be sent."""
NO_RESPONSE = -2
"""In the place of the status of a bind that the peer did not answer."""
# Looked up for every PDU, and an Enum's members are found slowly.
_BOUND, _UNBINDING, _CLOSED = LinkState.BOUND, LinkState.UNBINDING, LinkState.CLOSED
_MESSAGES = (DeliverSm, DataSm)

log = structlog.get_logger("gateway.links.link")


class LinkOwner(Protocol):
    """What a link tells its account."""

    def link_bound(self, link: Link) -> None: ...

    def link_closed(self, link: Link) -> None: ...

    def link_has_room(self, link: Link) -> None: ...

    def congestion(self, state: int) -> None: ...

    def may_send(self) -> bool: ...

    def delivered(self, link: Link, pdu: DeliverSm | DataSm, ordinal: int, answer: Answer) -> None: ...


class Link(asyncio.Protocol):
    """One connection. `bound` gives the status of the bind, or NO_RESPONSE; `closed` ends with the link."""

    def __init__(
        self,
        settings: AccountSettings,
        bind_type: BindType,
        owner: LinkOwner,
        receiver: Receiver,
        counters: Counters,
    ) -> None:
        self.bind_type: BindType = bind_type
        self.counters = counters
        self.session = 0
        self.state = LinkState.OPEN
        self.takes_tlvs = False
        """Whether the peer understands optional parameters."""
        self.heard_at = self.wrote_at = 0.0
        self.missed_at = 0.0
        """When it was last found that a request has no response in time."""
        self.arrived_at = 0.0
        """The earliest time at which what was read last can have come."""
        self.error = ""
        self.requests = Requests(0)
        self.answers = Answers()
        self._owner = owner
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self.bound: asyncio.Future[int] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport
        self._may_request = session_rules.MAY_REQUEST[bind_type]
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._submissions: list[bytes] = []
        """What leaves only while anything may be sent."""
        self._flushing = False
        self._writable = True
        self._leaving = Leaving(self)
        self._watch = Watch(self, self._leaving, receiver)
        self.change(settings)

    def change(self, settings: AccountSettings) -> None:
        """Take settings that differ in what a bind does not say: timers, window, statuses, dialects."""
        self.settings = settings
        self.requests.response_seconds = settings.response_timer.total_seconds()
        self._watch.change(settings)
        self._statuses = {RX_T_APPN: settings.later_status, RTHROTTLED: settings.full_status}
        self._window = settings.window

    @property
    def window_used(self) -> int:
        """Requests that take a place in the window."""
        return self.requests.in_window

    @property
    def room(self) -> bool:
        """Whether a request that takes a place in the window may be sent now."""
        return (
            self.requests.in_window < self._window
            and self.state is _BOUND
            and self._writable
            and not self.doubted
            and self.bind_type != "receiver"
        )

    @property
    def doubted(self) -> bool:
        """Whether the peer has been silent since a request was found without response: no more is risked on it then."""
        return self.heard_at <= self.missed_at

    def submit(self, pdu: Pdu, done: Done) -> None:
        """Send a request that takes a place in the window; only where there is `room`.

        Raises SmppError, and does not call `done`, if it cannot be written or this bind may not send it.
        """
        if pdu.command_id not in self._may_request:
            raise SmppError(RINVBNDSTS, f"not for a {self.bind_type}")
        self.request(pdu, done, in_window=True)

    def enquire(self, done: Done) -> None:
        """Ask at once whether the peer is there."""
        self.request(smpp.EnquireLink(), done)

    def unbind(self) -> None:
        """Send nothing more, wait for both sides' responses up to the response timer, unbind, close."""
        self._leaving.begin()

    def close(self, error: str) -> None:
        """Write what is due and close; `error` says why."""
        if self.state is LinkState.CLOSED:
            return
        self.state = LinkState.CLOSED
        self.error = self.error or error
        self._flush()
        self._transport.close()
        self._loop.call_later(CLOSE_SECONDS, self._transport.abort)

    def abort(self, error: str) -> None:
        """Close without a word."""
        self.error = self.error or error
        self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.heard_at = self.wrote_at = self._loop.time()
        self._watch.begin()
        self.request(session_rules.bind_request(self.settings, self.bind_type), self._bind_answered)

    def data_received(self, data: bytes) -> None:
        now = self._loop.time()
        self.arrived_at = self._watch.heard(now)
        self._buffer += data
        used = self._window + 1 if self.doubted else self.requests.in_window
        confirmed = self.answers.confirmed
        try:
            for frame in smpp.frames(self._buffer):
                self.heard_at = now  # a PDU is life, octets that never become one are not
                self._take(frame)
                if self.state is _CLOSED:
                    break
        except SmppError as error:
            log.warning("smpp.stream_lost", account=self.settings.name, status=status_name(error.status))
            self.write(smpp.GenericNack(0, error.status))
            self.close("stream lost")
        if self.answers.confirmed > confirmed:
            self._receiver.session_confirmed(self.session, self.answers.confirmed)
        self.tell_room(used)

    def tell_room(self, used: int) -> None:
        """Tell the account if fewer than `used` places of the window are taken now."""
        if self.requests.in_window < used and self.room:
            self._owner.link_has_room(self)

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self.room:
            self._owner.link_has_room(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.state = LinkState.CLOSED
        early = "" if self.bound.done() else " before the response to the bind"
        self.error = self.error or (tls.explain(exc) if exc else f"closed by the peer{early}")
        self._watch.end()
        try:
            for request in self.requests.abandon():
                request.done(None)
            if self.session:
                self._receiver.session_closed(self.session)
        finally:  # whatever the core does, the bind comes back
            if not self.bound.done():
                self.bound.set_result(NO_RESPONSE)
            self._owner.link_closed(self)
            if not self.closed.done():
                self.closed.set_result(None)

    # What comes in.

    def _take(self, frame: bytes) -> None:
        self.counters.pdus_in += 1
        try:
            pdu = smpp.decode(frame)
        except SmppError as error:
            self._unreadable(frame, error)
            return
        if pdu.command_id & smpp.RESPONSE:
            self._response(pdu)
            return
        status = session_rules.refusal(pdu.command_id, self.state, self.bind_type)
        if status:
            self._refuse(pdu.command_id, pdu.sequence, status)
        elif isinstance(pdu, _MESSAGES):
            self._arrived(pdu)
        elif isinstance(pdu, smpp.EnquireLink):
            self.write(smpp.EnquireLinkResp(pdu.sequence))
        elif isinstance(pdu, smpp.Unbind):
            self._leaving.asked(pdu)
        else:
            self.counters.alerts_in += 1

    def _unreadable(self, frame: bytes, error: SmppError) -> None:
        """Answer a PDU that cannot be read; what else is on the link goes on."""
        _, command_id, _, sequence = smpp.header(frame)
        log.warning("smpp.pdu_refused", account=self.settings.name, command_id=command_id, error=str(error))
        self._refuse(command_id, sequence, error.status)

    def _refuse(self, command_id: int, sequence: int, status: int) -> None:
        self.counters.refused_in += 1
        if not command_id & smpp.RESPONSE and session_rules.has_response(command_id):
            self.write(smpp.response_to(command_id, sequence, status))

    def _arrived(self, pdu: DeliverSm | DataSm) -> None:
        if self.state is _UNBINDING:
            self.write(smpp.response_to(pdu.command_id, pdu.sequence, self.settings.later_status))
            return
        ordinal = self.answers.arrive()
        answer = partial(self._answer, pdu.command_id, pdu.sequence, ordinal, self.arrived_at)
        try:
            self._owner.delivered(self, pdu, ordinal, answer)
        except Exception:
            log.exception("smpp.delivery_failed", account=self.settings.name)
            answer(RX_T_APPN)

    def _answer(self, command_id: int, sequence: int, ordinal: int, arrived_at: float, status: int) -> None:
        if self.state is _CLOSED or not self.answers.answer(ordinal):
            return
        self._watch.answered(ordinal, arrived_at)
        status = self._statuses.get(status, status)
        self._write(smpp.response_to(command_id, sequence, status).encode(), self._out)

    def _response(self, pdu: Pdu) -> None:
        request = self.requests.answered(pdu)
        if request is None:
            self.counters.unexpected_in += 1
            log.warning("smpp.response_unexpected", account=self.settings.name, command_id=pdu.command_id)
            return
        if pdu.tlvs and (congestion := pdu.tlv(CONGESTION_STATE)):
            self._owner.congestion(congestion[0])
        self.answers.confirm(request.confirms)
        request.done(pdu)

    def _bind_answered(self, pdu: Pdu | None) -> None:
        if pdu is None or pdu.status != ROK or isinstance(pdu, smpp.GenericNack):
            status = NO_RESPONSE if pdu is None else pdu.status
            self.bound.set_result(status)
            self.close("no response to the bind" if pdu is None else status_name(status))
            return
        self.state = LinkState.BOUND
        self.takes_tlvs = session_rules.takes_tlvs(self.settings, pdu)
        self.session = self._receiver.session_opened(self.settings.name)
        self.bound.set_result(ROK)
        self._owner.link_bound(self)

    # What goes out.

    def request(self, pdu: Pdu, done: Done, *, in_window: bool = False) -> None:
        """Send a request, whatever the state; raises SmppError if it cannot be written."""
        frame = self.requests.write(pdu, self.answers.answered, self._loop.time(), done, in_window)
        self.answers.ask()
        self._watch.asked()
        self._write(frame, self._submissions if in_window else self._out)

    def write(self, pdu: Pdu) -> None:
        """Send a PDU that has its sequence_number, with all else that is written in this turn of the loop."""
        self._write(pdu.encode(), self._out)

    def _write(self, frame: bytes, where: list[bytes]) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)
        where.append(frame)

    def _flush(self) -> None:
        self._flushing = False
        if self._transport.is_closing():
            return
        if self._submissions:
            self._let_submissions_out()
        if not self._out:
            return
        self.wrote_at = self._loop.time()
        self.counters.pdus_out += len(self._out)
        self._transport.write(b"".join(self._out))
        self._out.clear()
        if self._transport.get_write_buffer_size() > UNREAD_OCTETS_MAX:
            self.abort("the SMSC does not read")

    def _let_submissions_out(self) -> None:
        # A process that was stopped may wake up here, when what it was about to send is another's to send.
        if self._owner.may_send():
            self._out += self._submissions
            self._submissions.clear()
        else:
            self._flushing = True
            self._loop.call_later(HELD_SECONDS, self._flush)
