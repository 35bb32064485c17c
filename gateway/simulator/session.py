"""The SMSC's side of one connection: bind, window, enquire_link, unbind."""

from __future__ import annotations

import asyncio
from datetime import datetime
from struct import Struct
from typing import TYPE_CHECKING, cast

from gateway.pdus.pdu import (
    RESPONSE,
    RINVCMDID,
    SEQUENCE_MAX,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    CancelSm,
    DataSm,
    DataSmResp,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    Pdu,
    QuerySm,
    ReplaceSm,
    SubmitMulti,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    decode,
    frames,
    header,
    response_to,
)
from gateway.simulator import binding, mishaps
from gateway.simulator.binding import BindRequest, BindResponse, Mode
from gateway.simulator.delivery import Attempt, Mo, Outcome, outcome_of
from vas.errors import SmppError

if TYPE_CHECKING:
    from gateway.simulator.smsc import Smsc

RINVBNDSTS = 0x04
RALYBND = 0x05

_HEADER = Struct(">IIII")
_SEQUENCE = Struct(">I")


class Session(asyncio.Protocol):
    """One connection, from accept, or from the call to the ESME, to its end."""

    def __init__(self, smsc: Smsc, id: int, calls: Outbind | None = None) -> None:
        self._smsc = smsc
        self._calls = calls
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._next_sequence = 0
        self._pending: dict[int, tuple[Mo, Attempt, float]] = {}
        self._unheard: set[int] = set()
        self._watching = False
        self._heard = False
        self._asked = False
        self._window = smsc.settings.window
        self._response_seconds = smsc.settings.response_timer.total_seconds()
        self.id = id
        self.local: tuple[str, int] = ("", 0)
        """Address and port of this end."""
        self.peer: tuple[str, int] = ("", 0)
        self.account = ""
        self.version = binding.WITH_TLVS
        """What both sides speak."""
        self.mode = Mode.OPEN
        self.since: datetime | None = None
        """When it was bound."""
        self.delivered = 0
        self.submitted = 0

    # --- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.local = self._transport.get_extra_info("sockname")[:2]
        self.peer = self._transport.get_extra_info("peername")[:2]
        settings = self._smsc.settings
        self._clock = self._loop.call_later(settings.bind_within.total_seconds(), self._not_bound)
        self._smsc.connected(self)
        if self._calls is not None:
            self.send(self._calls.encode())

    def connection_lost(self, error: Exception | None) -> None:
        self._clock.cancel()
        self.mode = Mode.OPEN
        self._smsc.disconnected(self)
        pending, self._pending = self._pending, {}
        for mo, attempt, _ in reversed(pending.values()):
            self._smsc.delivery.ended(mo, attempt, Outcome.LINK_LOST)

    def pause_writing(self) -> None:
        # A peer that does not read its answers is not asked for more.
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def read_nothing_for(self, seconds: float) -> None:
        """Leave what comes in the socket."""
        self._transport.pause_reading()
        self._loop.call_later(seconds, self._transport.resume_reading)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self._asked = False
        self._buffer += data
        try:
            for frame in frames(self._buffer):
                self._take(frame)
        except SmppError as error:
            self.send(GenericNack(status=error.status).encode())
            self.close()
            return
        self._smsc.delivery.pump()

    def abort(self) -> None:
        """Break the connection, as a fallen line does."""
        self._transport.abort()

    def close(self) -> None:
        """Write what is waiting, then close."""
        self._smsc.delivery.close(self)
        self._flush()
        self._transport.close()

    def unbind(self) -> None:
        """Ask the ESME to leave; the connection closes with its answer."""
        if not self.mode:
            self._transport.close()
            return
        self._smsc.delivery.close(self)
        self.send(Unbind(sequence=self.next_sequence()).encode())

    # --- what the SMSC sends

    @property
    def room(self) -> int:
        return self._window - len(self._pending)

    def deliver(self, mo: Mo) -> None:
        attempt = Attempt(self.id, self._smsc.clock())
        mo.attempts.append(attempt)
        sequence = self.next_sequence()
        self._pending[sequence] = (mo, attempt, self._loop.time() + self._response_seconds)
        self.delivered += 1
        frame = mo.octets[:12] + _SEQUENCE.pack(sequence) + mo.octets[16:]
        if self.version < binding.WITH_TLVS:
            frame = binding.without_tlvs(frame)
        if self._smsc.faults is None:
            self.send(frame)
        else:
            mishaps.deliver(self, self._smsc.faults, mo, frame)
        if not self._watching:
            self._watching = True
            self._loop.call_later(self._response_seconds, self._watch)

    def expect_nothing_of(self, sequence: int) -> None:
        """Hear no answer to this one of our requests."""
        self._unheard.add(sequence)

    def _watch(self) -> None:
        """Give up on answers whose time is over; the pending ones stand in the order of their deadlines."""
        now = self._loop.time()
        for sequence, (mo, attempt, deadline) in tuple(self._pending.items()):
            if deadline > now:
                self._loop.call_at(deadline, self._watch)
                return
            del self._pending[sequence]
            self._smsc.delivery.ended(mo, attempt, Outcome.SILENCE)
        self._watching = False
        self._smsc.delivery.pump_soon()

    def _enquire(self) -> None:
        if self._asked:
            self.abort()
            return
        if not self._heard:
            self._asked = True
            self.send(EnquireLink(sequence=self.next_sequence()).encode())
        self._heard = False
        self._clock = self._loop.call_later(self._smsc.settings.enquire_every.total_seconds(), self._enquire)

    def _not_bound(self) -> None:
        self._transport.close()

    def next_sequence(self) -> int:
        self._next_sequence = self._next_sequence % SEQUENCE_MAX + 1
        return self._next_sequence

    def send(self, octets: bytes) -> None:
        """Write it with whatever else this turn of the event loop brings."""
        if self._smsc.tape is not None:
            self._smsc.tape(self, "out", octets)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(octets)

    def _flush(self) -> None:
        if self._out and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()

    # --- what the ESME sends

    def _take(self, frame: bytes) -> None:
        if self._smsc.tape is not None:
            self._smsc.tape(self, "in", frame)
        try:
            pdu = decode(frame)
        except SmppError as error:
            self._refuse(frame, error.status)
            return
        if isinstance(pdu, DeliverSmResp):
            self._answered(pdu)
        elif pdu.command_id & RESPONSE:
            self._take_rare_response(pdu)
        elif self._smsc.faults is not None:
            mishaps.take(self, self._smsc.faults, pdu)
        elif isinstance(pdu, SubmitSm):
            self.send(self._submitted(pdu, SubmitSmResp).encode())
        else:
            self.respond(self.handle(pdu))

    def _take_rare_response(self, pdu: Pdu) -> None:
        match pdu:
            case DataSmResp() | GenericNack():
                self._answered(pdu)
            case UnbindResp():
                self.close()

    def handle(self, pdu: Pdu) -> Pdu:
        """Do what a request asks; its response."""
        match pdu:
            case SubmitSm():
                return self._submitted(pdu, SubmitSmResp)
            case DataSm():
                return self._submitted(pdu, DataSmResp)
            case EnquireLink():
                return EnquireLinkResp(sequence=pdu.sequence)
            case BindTransceiver() | BindReceiver() | BindTransmitter():
                return self._bind(pdu)
            case Unbind():
                return UnbindResp(sequence=pdu.sequence)
            case SubmitMulti() | QuerySm() | CancelSm() | ReplaceSm() if self._smsc.mail is not None:
                if not self.mode & Mode.TRANSMITTER:
                    return response_to(pdu.command_id, pdu.sequence, RINVBNDSTS)
                return self._smsc.mail(self, pdu)
            case _:
                return GenericNack(sequence=pdu.sequence, status=RINVCMDID)

    def respond(self, response: Pdu) -> None:
        """Send a response of `handle`, and do what only its sending brings about."""
        self.send(response.encode())
        if isinstance(response, UnbindResp):
            self.close()
        elif isinstance(response, BindResponse) and not response.status and self.mode & Mode.RECEIVER:
            self._smsc.delivery.open(self)

    def _refuse(self, frame: bytes, status: int) -> None:
        """Answer a request that cannot be taken; a response that cannot be read is left to its timer."""
        _, command_id, _, sequence = header(frame)
        if command_id & RESPONSE:
            return
        response = RESPONSE if status == RINVCMDID else command_id | RESPONSE
        self.send(_HEADER.pack(_HEADER.size, response, status, sequence))

    def _bind(self, pdu: BindRequest) -> Pdu:
        status = RALYBND if self.mode else self._smsc.admit(pdu.system_id, pdu.password)
        if status:
            return response_to(pdu.command_id, pdu.sequence, status)
        settings = self._smsc.settings
        self.version = binding.agreed(pdu.interface_version, settings.interface_version)
        self.account = pdu.system_id.decode()
        self.mode = binding.MODES[type(pdu)]
        self.since = self._smsc.clock()
        self._window = settings.account(self.account).window or settings.window
        self._clock.cancel()
        self._enquire()
        return binding.accepted(pdu, settings.system_id, self.version)

    def _submitted(self, pdu: SubmitSm | DataSm, answer: type[SubmitSmResp] | type[DataSmResp]) -> Pdu:
        if not self.mode & Mode.TRANSMITTER:
            return answer(sequence=pdu.sequence, status=RINVBNDSTS)
        self.submitted += 1
        self._smsc.submitted += 1
        status, message_id = self._smsc.accept(self, pdu)
        return answer(sequence=pdu.sequence, status=status, message_id=message_id)

    def _answered(self, pdu: DeliverSmResp | DataSmResp | GenericNack) -> None:
        if self._unheard and pdu.sequence in self._unheard:
            self._unheard.discard(pdu.sequence)
            return
        waiting = self._pending.pop(pdu.sequence, None)
        if waiting is None:
            self._smsc.late_answers += 1
            return
        mo, attempt, _ = waiting
        self._smsc.delivery.ended(mo, attempt, outcome_of(pdu.status), pdu.status)
