"""A mobile network in a box: an SMSC, its phones, and a record of all that happened."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from itertools import count
from typing import Literal

from gateway.pdu import ITS_SESSION_INFO, USSD_SERVICE_OP, DeliverSm, SubmitSm
from gateway.simulator import wire
from gateway.simulator.delivery import Mo, QueueFull
from gateway.simulator.http import Http
from gateway.simulator.phone import NO_ANSWER, Dialogue, Phone, PhoneState, Received, Screen
from gateway.simulator.session import Session
from gateway.simulator.settings import IdForm, Settings
from gateway.simulator.smsc import Smsc, utc_now
from gateway.simulator.wire import Mt, Segment, State, Submission
from gateway.text import decode
from vas.alphabet import PARTS_MAX, fits_ussd, sms_segments
from vas.errors import SmppError

RSYSERR = 0x08
RINVDSTADR = 0x0B
RMSGQFUL = 0x14
WAITING = 1_000
"""Messages that wait for one phone; past them a submit_sm is answered RMSGQFUL."""

_number = re.compile(r"[0-9]{3,15}").fullmatch
_ussd_code = re.compile(r"[*#]+([0-9]+)[0-9*#]*#").fullmatch
_spellings: dict[IdForm, Callable[[int], str]] = {
    "decimal": str,
    "hex": lambda number: f"{number:x}",
    "padded": lambda number: f"{number:020}",
}


class Record:
    """What a checker may read afterwards: the latest messages of each direction, oldest first."""

    def __init__(self, limit: int) -> None:
        self.mo: deque[Mo] = deque(maxlen=limit)
        """Everything the SMSC owed: messages, USSD turns, receipts."""
        self.mt: deque[Mt] = deque(maxlen=limit)
        """Everything it accepted."""


class Simulator:
    """`await start()`, let an ESME bind to `port`, use `phone(number)`, `await stop()`."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._phones: dict[str, Phone] = {}
        self._waiting: dict[Phone, list[tuple[Mt, Segment]]] = {}
        self._dialogues = count()
        self._references = count()
        self._http = Http(self)
        self.settings = settings
        self.smsc = Smsc(settings, self._accept, clock, self._settled)
        self.record = Record(settings.records)
        self.verdict: Callable[[Submission], int] = lambda pdu: 0
        """The command_status for each submission; anything but 0 refuses it."""

    async def start(self) -> None:
        await self.smsc.start()
        await self._http.start()

    async def stop(self) -> None:
        """Unbind the ESMEs, then close everything."""
        await self._http.stop()
        await self.smsc.stop()

    @property
    def port(self) -> int:
        """The SMPP port that is listened on."""
        return self.smsc.port

    @property
    def http_port(self) -> int:
        """The HTTP port that is listened on; only with settings.http_port."""
        return self._http.port

    @property
    def phones(self) -> dict[str, Phone]:
        return self._phones

    def phone(self, number: str) -> Phone:
        """The phone with this number, 3 to 15 digits; made when first asked for, QueueFull past settings.phones."""
        phone = self._phones.get(number)
        if phone is None:
            if not _number(number):
                raise ValueError(f"{number!r} is no number of 3 to 15 digits")
            if len(self._phones) >= self.settings.phones:
                raise QueueFull
            phone = self._phones[number] = Phone(number, self, self.settings.records)
        return phone

    # --- what its phones do

    def text(self, phone: Phone, text: str, to: str) -> tuple[Mo, ...]:
        if not text or sms_segments(text) > PARTS_MAX:
            raise ValueError(f"an SMS has 1 to {PARTS_MAX} segments")
        if not _number(to):
            raise ValueError(f"{to!r} is no number of 3 to 15 digits")
        segments = wire.sms(phone.number, to, text, next(self._references))
        return tuple(self._owe("sms", part, pdu) for part, pdu in segments)

    def dial(self, phone: Phone, code: str) -> Mo:
        match = _ussd_code(code)
        if match is None or not fits_ussd(code):
            raise ValueError(f"{code!r} is no USSD code, as *105# is")
        phone.dialogue = Dialogue(next(self._dialogues) % 256, match[1])
        return self._turn(phone, phone.dialogue, code, wire.PSSR_INDICATION)

    def answer(self, phone: Phone, text: str) -> Mo:
        if phone.dialogue is None or not fits_ussd(text):
            raise ValueError("an answer has at most 182 septets, or 80 UCS-2 units")
        phone.dialogue.sequence += 1
        return self._turn(phone, phone.dialogue, text, wire.USSR_CONFIRM)

    def hang_up(self, phone: Phone) -> Mo:
        if phone.dialogue is None:
            raise ValueError("no dialogue is open")
        return self._end(phone, phone.dialogue)

    def switched(self, phone: Phone) -> None:
        if phone.state is PhoneState.SWITCHED_OFF:
            return
        for mt, segment in self._waiting.pop(phone, []):
            self._bring(phone, mt, segment)

    def _turn(self, phone: Phone, dialogue: Dialogue, text: str, op: int) -> Mo:
        pdu = wire.ussd(phone.number, dialogue.code, text, op, dialogue.number, dialogue.sequence)
        mo = self._owe("ussd", text, pdu)
        dialogue.turn = mo.id
        asyncio.get_running_loop().call_later(self.settings.ussd_timer.total_seconds(), self._unanswered, phone, mo)
        return mo

    def _end(self, phone: Phone, dialogue: Dialogue) -> Mo:
        phone.dialogue = None
        sequence = dialogue.sequence + 1
        pdu = wire.ussd(phone.number, dialogue.code, "", wire.USSR_CONFIRM, dialogue.number, sequence, end=True)
        return self._owe("ussd", "", pdu)

    def _unanswered(self, phone: Phone, mo: Mo) -> None:
        if phone.awaits(mo) and phone.dialogue is not None:
            self._end(phone, phone.dialogue)
            phone.show(Screen(NO_ANSWER, more=False, at=self._clock(), turn=mo.id))

    def _settled(self, mo: Mo) -> None:
        if mo.dropped and mo.kind == "ussd":
            phone = self.phone(mo.sender)
            if phone.awaits(mo):
                phone.show(Screen(NO_ANSWER, more=False, at=self._clock(), turn=mo.id))

    def _owe(self, kind: Literal["sms", "ussd", "receipt"], text: str, pdu: DeliverSm, account: str = "") -> Mo:
        id = self.smsc.new_id()
        if self.settings.message_id_tlv is not None and kind != "receipt":
            pdu.tlvs += ((self.settings.message_id_tlv, b"%d\0" % id),)
        mo = Mo(id, kind, pdu.source_addr.decode(), pdu.destination_addr.decode(), text, pdu.encode(), account)
        self.smsc.delivery.owe(mo)
        self.record.mo.append(mo)
        return mo

    # --- what its ESMEs submit

    def _accept(self, session: Session, pdu: Submission) -> tuple[int, bytes]:
        try:
            return 0, self._take(session, pdu)
        except SmppError as error:
            return error.status, b""

    def _take(self, session: Session, pdu: Submission) -> bytes:
        if status := self.verdict(pdu):
            raise SmppError(status)
        phone = self._addressed(pdu.destination_addr)
        udh, said = wire.body(pdu)
        op = pdu.tlv(USSD_SERVICE_OP)
        mt = Mt(
            self.smsc.new_id(),
            session.account,
            session.id,
            self._clock(),
            source=pdu.source_addr.decode("latin-1"),
            to=phone.number,
            text=decode(said, wire.coding(pdu)),
            ussd_op=op[0] if op else None,
            registered_delivery=pdu.registered_delivery,
        )
        if mt.ussd_op is None:
            self._sms(phone, mt, pdu, wire.segment_of(pdu, udh, said))
        else:
            self._ussd(phone, mt, pdu.tlv(ITS_SESSION_INFO) or b"")
        self.record.mt.append(mt)
        return _spellings[self.settings.message_ids](mt.id).encode()

    def _addressed(self, destination: bytes) -> Phone:
        try:
            return self.phone(destination.decode("latin-1").removeprefix("+"))
        except ValueError:
            raise SmppError(RINVDSTADR) from None
        except QueueFull:
            raise SmppError(RSYSERR) from None

    def _sms(self, phone: Phone, mt: Mt, pdu: Submission, segment: Segment) -> None:
        period = wire.validity(pdu.validity_period, mt.at) if isinstance(pdu, SubmitSm) else None
        if phone.state is not PhoneState.SWITCHED_OFF:
            self._bring(phone, mt, segment)
            return
        waiting = self._waiting.setdefault(phone, [])
        if len(waiting) >= WAITING:
            raise SmppError(RMSGQFUL)
        waiting.append((mt, segment))
        wait = self.settings.validity if period is None else period
        asyncio.get_running_loop().call_later(wait.total_seconds(), self._expire, phone, mt, segment)

    def _bring(self, phone: Phone, mt: Mt, segment: Segment) -> None:
        if phone.state is PhoneState.OUT_OF_SERVICE:
            self._finish(mt, State.UNDELIVERABLE)
            return
        parts = phone.put_together(segment)
        if parts is not None:
            text = decode(b"".join(part.octets for part in parts), parts[0].data_coding)
            phone.receive(Received(mt.source, text, self._clock()))
        self._finish(mt, State.DELIVERED)

    def _expire(self, phone: Phone, mt: Mt, segment: Segment) -> None:
        if mt.state is State.ENROUTE:
            self._waiting[phone].remove((mt, segment))
            self._finish(mt, State.EXPIRED)

    def _ussd(self, phone: Phone, mt: Mt, session_info: bytes) -> None:
        dialogue = phone.dialogue
        named = len(session_info) == 2 and dialogue is not None and session_info[0] == dialogue.number
        if dialogue is None or not named or mt.ussd_op not in (wire.USSR_REQUEST, wire.PSSR_RESPONSE):
            raise SmppError(wire.RINVOPTPARAMVAL)
        more = mt.ussd_op == wire.USSR_REQUEST and not session_info[1] & 1
        phone.show(Screen(mt.text, more, mt.at, dialogue.turn))
        self._finish(mt, State.DELIVERED)

    def _finish(self, mt: Mt, state: State) -> None:
        mt.state = state
        mt.done_at = self._clock()
        if self.settings.receipts and wire.wants_receipt(mt):
            asyncio.get_running_loop().call_later(self.settings.receipt_delay.total_seconds(), self._report, mt)

    def _report(self, mt: Mt) -> None:
        pdu = wire.receipt(
            mt, _spellings[self.settings.message_ids](mt.id), _spellings[self.settings.receipt_ids](mt.id)
        )
        with suppress(QueueFull):  # an SMSC that is full loses receipts first
            self._owe("receipt", pdu.short_message.decode("ascii"), pdu, mt.account)
