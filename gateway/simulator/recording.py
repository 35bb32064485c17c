"""What a recording of a link says happened: who sent what when, and how it was answered. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime

import msgspec

from gateway.pdus.pdu import (
    RECEIPTED_MESSAGE_ID,
    RESPONSE,
    USSD_SERVICE_OP,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    GenericNack,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    decode,
)
from gateway.simulator.decoded import Taped, is_receipt, said, text_in
from vas.errors import SmppError

USSD_BEGINS = frozenset({0, 1})
"""ussd_service_op of a turn that opens a dialogue: PSSD and PSSR indication."""

_receipt_id = re.compile(rb"\bid:\s*([^\s:]+)", re.IGNORECASE)

Waited = tuple[str, bytes, int, int]
"""What has to have come before: a message id handed out, or the n-th screen of a number's m-th dialogue."""


class Delivered(msgspec.Struct):
    """One deliver_sm or data_sm of the SMSC."""

    at: datetime
    pdu: DeliverSm | DataSm
    text: str
    status: int | None = None
    """How the ESME answered; None: not at all."""
    after: Waited | None = None

    @property
    def begins(self) -> bool:
        """Whether it opens a USSD dialogue."""
        operation = self.pdu.tlv(USSD_SERVICE_OP) or b"\xff"
        return operation[0] in USSD_BEGINS


class Submitted(msgspec.Struct):
    """One submit_sm or data_sm of the ESME."""

    at: datetime
    source: bytes
    destination: bytes
    text: str
    ussd: bool
    status: int = 0
    message_id: bytes = b""
    """As the SMSC gave it; empty: it was refused, or never answered."""


class Recording(msgspec.Struct):
    """Both in the order of time."""

    delivered: list[Delivered]
    submitted: list[Submitted]
    unreadable: int
    """Frames that are no PDUs."""

    @classmethod
    def of(cls, tapes: Iterable[Taped], account: str = "") -> Recording:
        """`account`: only what was said by, or to, the ESME that bound as this system_id; empty: all."""
        recording = cls([], [], 0)
        asked: dict[tuple[int, str, int], Delivered | Submitted] = {}
        for taped in tapes:
            if account and taped.account != account:
                continue
            try:
                pdu = decode(taped.frame)
            except SmppError:
                recording.unreadable += 1
                continue
            if pdu.command_id & RESPONSE:
                asker = "in" if taped.direction == "out" else "out"
                _answer(asked.pop((taped.session, asker, pdu.sequence), None), pdu)
            elif (request := _request(taped, pdu)) is not None:
                asked[taped.session, taped.direction, pdu.sequence] = request
                recording._keep(request)
        recording._put_in_order()
        return recording

    def _keep(self, request: Delivered | Submitted) -> None:
        if isinstance(request, Delivered):
            self.delivered.append(request)
        else:
            self.submitted.append(request)

    def _put_in_order(self) -> None:
        """Say of each receipt, and each key press, what it comes after."""
        ids = {form: sent.message_id for sent in self.submitted for form in _forms(sent.message_id)}
        ids |= {sent.message_id: sent.message_id for sent in self.submitted}
        dialogues: defaultdict[bytes, int] = defaultdict(int)
        screens: defaultdict[bytes, int] = defaultdict(int)
        events: list[Submitted | Delivered] = [*self.submitted, *self.delivered]
        for event in sorted(events, key=lambda event: event.at):
            if isinstance(event, Submitted):
                screens[event.destination] += event.ussd
                continue
            number = event.pdu.source_addr
            if event.begins:
                dialogues[number] += 1
                screens[number] = 0
            elif is_ussd(event.pdu) and screens[number]:
                event.after = screen(number, dialogues[number], screens[number])
            elif is_receipt(event.pdu):
                event.after = next((given(ids[form]) for form in _receipted(event.pdu) if form in ids), None)


def given(message_id: bytes) -> Waited:
    """That this id was handed out."""
    return "id", message_id, 0, 0


def screen(number: bytes, dialogue: int, count: int) -> Waited:
    """That a dialogue has seen so many screens; the first one is 1."""
    return "screen", number, dialogue, count


def is_ussd(pdu: Pdu) -> bool:
    return pdu.tlv(USSD_SERVICE_OP) is not None or getattr(pdu, "service_type", b"") == b"USSD"


def _request(taped: Taped, pdu: Pdu) -> Delivered | Submitted | None:
    if taped.direction == "out":
        return Delivered(taped.at, pdu, text_in(pdu)) if isinstance(pdu, DeliverSm | DataSm) else None
    if isinstance(pdu, SubmitSm | DataSm):
        return Submitted(taped.at, pdu.source_addr, pdu.destination_addr, text_in(pdu), is_ussd(pdu))
    return None


def _answer(request: Delivered | Submitted | None, pdu: Pdu) -> None:
    if isinstance(request, Delivered) and isinstance(pdu, DeliverSmResp | DataSmResp | GenericNack):
        request.status = pdu.status
    elif isinstance(request, Submitted):
        request.status = pdu.status
        request.message_id = pdu.message_id if isinstance(pdu, SubmitSmResp | DataSmResp) else b""


def _receipted(pdu: DeliverSm | DataSm) -> Iterator[bytes]:
    """The spellings of the id that a receipt is about, the likeliest first."""
    named = (pdu.tlv(RECEIPTED_MESSAGE_ID) or b"").rstrip(b"\0")
    found = _receipt_id.search((said(pdu) or (b"", b""))[1])
    for spelt in (named, found[1] if found else b""):
        if spelt:
            yield spelt
            yield from _forms(spelt)


def _forms(message_id: bytes) -> set[bytes]:
    """Other spellings that SMSCs give one id: decimal for hexadecimal, without leading zeros. Two ids are one where a
    spelling of each is the same, so the way back is covered."""
    spelt = message_id.lower()
    forms = {spelt, spelt.lstrip(b"0") or spelt}
    with suppress(ValueError):
        forms.add(b"%d" % int(spelt, 16))
    return forms if message_id else set()
