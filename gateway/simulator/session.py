"""The SMSC's side of one connection: bind, window, enquire_link, unbind."""

from __future__ import annotations

import asyncio
from datetime import datetime
from enum import IntFlag
from struct import Struct
from typing import TYPE_CHECKING, cast

from gateway.pdu import (
    RESPONSE,
    RINVCMDID,
    SC_INTERFACE_VERSION,
    SEQUENCE_MAX,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    DataSm,
    DataSmResp,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    decode,
    frames,
    header,
)
from gateway.simulator.delivery import Attempt, Mo, Outcome, outcome_of
from vas.errors import SmppError

if TYPE_CHECKING:
    from gateway.simulator.smsc import Smsc

RINVBNDSTS = 0x04
RALYBND = 0x05

_HEADER = Struct(">IIII")
_SEQUENCE = Struct(">I")

BindRequest = BindReceiver | BindTransmitter | BindTransceiver


class Mode(IntFlag):
    """What a bound ESME may do; 0 while it is not bound."""

    OPEN = 0
    TRANSMITTER = 1
    RECEIVER = 2
    TRANSCEIVER = 3


class Session(asyncio.Protocol):
    """One connection, from accept to its end."""

    def __init__(self, smsc: Smsc, id: int) -> None:
        self._smsc = smsc
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._next_sequence = 0
        self._pending: dict[int, tuple[Mo, Attempt, float]] = {}
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

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self._asked = False
        self._buffer += data
        try:
            for frame in frames(self._buffer):
                self._take(frame)
        except SmppError as error:
            self._send(GenericNack(status=error.status).encode())
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
        self._send(Unbind(sequence=self._sequence()).encode())

    # --- what the SMSC sends

    @property
    def room(self) -> int:
        return self._window - len(self._pending)

    def deliver(self, mo: Mo) -> None:
        attempt = Attempt(self.id, self._smsc.clock())
        mo.attempts.append(attempt)
        sequence = self._sequence()
        self._pending[sequence] = (mo, attempt, self._loop.time() + self._response_seconds)
        self.delivered += 1
        self._send(mo.octets[:12] + _SEQUENCE.pack(sequence) + mo.octets[16:])
        if not self._watching:
            self._watching = True
            self._loop.call_later(self._response_seconds, self._watch)

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
            self._send(EnquireLink(sequence=self._sequence()).encode())
        self._heard = False
        self._clock = self._loop.call_later(self._smsc.settings.enquire_every.total_seconds(), self._enquire)

    def _not_bound(self) -> None:
        self._transport.close()

    def _sequence(self) -> int:
        self._next_sequence = self._next_sequence % SEQUENCE_MAX + 1
        return self._next_sequence

    def _send(self, octets: bytes) -> None:
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
        elif isinstance(pdu, SubmitSm):
            self._submitted(pdu, SubmitSmResp)
        else:
            self._take_rare(pdu, frame)

    def _take_rare(self, pdu: Pdu, frame: bytes) -> None:
        match pdu:
            case DataSm():
                self._submitted(pdu, DataSmResp)
            case EnquireLink():
                self._send(EnquireLinkResp(sequence=pdu.sequence).encode())
            case BindTransceiver():
                self._bind(pdu, Mode.TRANSCEIVER, BindTransceiverResp)
            case BindReceiver():
                self._bind(pdu, Mode.RECEIVER, BindReceiverResp)
            case BindTransmitter():
                self._bind(pdu, Mode.TRANSMITTER, BindTransmitterResp)
            case Unbind():
                self._send(UnbindResp(sequence=pdu.sequence).encode())
                self.close()
            case UnbindResp():
                self.close()
            case GenericNack():
                self._answered(pdu)
            case _:
                self._refuse(frame, RINVCMDID)

    def _refuse(self, frame: bytes, status: int) -> None:
        """Answer a request that cannot be taken; a response that cannot be read is left to its timer."""
        _, command_id, _, sequence = header(frame)
        if command_id & RESPONSE:
            return
        response = RESPONSE if status == RINVCMDID else command_id | RESPONSE
        self._send(_HEADER.pack(_HEADER.size, response, status, sequence))

    def _bind(
        self,
        pdu: BindRequest,
        mode: Mode,
        answer: type[BindTransceiverResp] | type[BindReceiverResp] | type[BindTransmitterResp],
    ) -> None:
        status = RALYBND if self.mode else self._smsc.admit(pdu.system_id, pdu.password)
        if status:
            self._send(answer(sequence=pdu.sequence, status=status).encode())
            return
        tlvs = ((SC_INTERFACE_VERSION, b"\x34"),) if pdu.interface_version >= 0x34 else ()
        system_id = self._smsc.settings.system_id.encode()
        self._send(answer(sequence=pdu.sequence, system_id=system_id, tlvs=tlvs).encode())
        self.account = pdu.system_id.decode()
        self.mode = mode
        self.since = self._smsc.clock()
        self._clock.cancel()
        self._enquire()
        if mode & Mode.RECEIVER:
            self._smsc.delivery.open(self)

    def _submitted(self, pdu: SubmitSm | DataSm, answer: type[SubmitSmResp] | type[DataSmResp]) -> None:
        if not self.mode & Mode.TRANSMITTER:
            self._send(answer(sequence=pdu.sequence, status=RINVBNDSTS).encode())
            return
        self.submitted += 1
        self._smsc.submitted += 1
        status, message_id = self._smsc.accept(self, pdu)
        self._send(answer(sequence=pdu.sequence, status=status, message_id=message_id).encode())

    def _answered(self, pdu: DeliverSmResp | GenericNack) -> None:
        waiting = self._pending.pop(pdu.sequence, None)
        if waiting is None:
            self._smsc.late_answers += 1
            return
        mo, attempt, _ = waiting
        self._smsc.delivery.ended(mo, attempt, outcome_of(pdu.status), pdu.status)
