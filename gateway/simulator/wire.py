"""Texts and receipts as deliver_sm, and what a submit_sm brings to a phone. Pure.

Written from the standard and apart from the gateway's own reading, so that each can find the other's mistakes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import IntEnum

import msgspec

from gateway.pdus.pdu import (
    DESTINATION_PORT,
    MESSAGE_PAYLOAD,
    MESSAGE_STATE,
    NETWORK_ERROR_CODE,
    RECEIPTED_MESSAGE_ID,
    RINVMSGLEN,
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
    USER_MESSAGE_REFERENCE,
    USSD_SERVICE_OP,
    DataSm,
    DeliverSm,
    SubmitSm,
    Tlvs,
)
from gateway.simulator.faults import Strike
from gateway.simulator.letters import Alphabet, coding, elements, is_flash, read
from gateway.simulator.settings import ReceiptForm
from vas.alphabet import gsm_encode
from vas.errors import SmppError

RINVEXPIRY = 0x62
RINVOPTPARAMVAL = 0xC4

UDHI = 0x40
INTERNATIONAL, ISDN = 1, 1
_CONCATENATED_8, _PORT_8, _PORT_16, _CONCATENATED_16 = 0x00, 0x04, 0x05, 0x08
"""Information elements of 3GPP TS 23.040 §9.2.3.24."""

Submission = SubmitSm | DataSm


class State(IntEnum):
    """message_state, SMPP 3.4 §5.2.28."""

    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    DELETED = 4
    UNDELIVERABLE = 5


_STAT = {
    State.DELIVERED: "DELIVRD",
    State.EXPIRED: "EXPIRED",
    State.DELETED: "DELETED",
    State.UNDELIVERABLE: "UNDELIV",
}
_ERRORS = {State.EXPIRED: 27, State.UNDELIVERABLE: 1}  # 3GPP 29.002: absent subscriber, unknown subscriber


class Segment(msgspec.Struct, frozen=True):
    """One part of a long message: parts with equal reference belong together."""

    reference: tuple[bytes, int, int]
    """Source, reference number, number of parts."""
    number: int
    octets: bytes
    data_coding: int
    udh: bytes = b""
    port: int | None = None
    """The application on the phone that it is for, if it is for one."""


class Mt(msgspec.Struct, eq=False):
    """One submit_sm or data_sm that the SMSC accepted, as the checkers' record keeps it."""

    id: int
    account: str
    session: int
    at: datetime
    source: str
    to: str
    text: str
    """Of this segment alone."""
    ussd_op: int | None
    registered_delivery: int
    state: State = State.ENROUTE
    done_at: datetime | None = None
    data_coding: int = 0
    reference: bytes | None = None
    """Its user_message_reference, which its receipt carries too."""
    error: int | None = None
    """Why it was not brought, where a fault says so."""
    strikes: tuple[Strike, ...] = ()
    """What befalls its receipt."""

    @property
    def network_error(self) -> int:
        """By 3GPP TS 29.002; 0 for a message that arrived."""
        return _ERRORS.get(self.state, 0) if self.error is None else self.error


APPENDIX_B = ReceiptForm()


def wants_receipt(mt: Mt) -> bool:
    """By registered_delivery, SMPP 3.4 §5.2.17: 1 always, 2 on failure; 3, of SMPP 5.0, on success."""
    asked = mt.registered_delivery & 0x03
    return asked == 1 or asked == (3 if mt.state is State.DELIVERED else 2)


def receipt(mt: Mt, submitted_id: str, text_id: str, form: ReceiptForm = APPENDIX_B) -> DeliverSm | DataSm:
    """For a message whose way has ended; SMPP 3.4 Appendix B, and the TLVs of §5.3.2.

    The TLV spells the id as submit_sm_resp did; the text may spell it in another way, as many SMSCs do.
    """
    text = gsm_encode(_receipt_text(mt, text_id, form)) or b""
    tlvs = _receipt_tlvs(mt, submitted_id, form)
    source, destination = mt.to.encode(), mt.source.encode("latin-1")
    if form.data_sm:
        return DataSm(
            source_addr_ton=INTERNATIONAL,
            source_addr_npi=ISDN,
            source_addr=source,
            destination_addr=destination,
            esm_class=form.esm_class,
            tlvs=(*tlvs, (MESSAGE_PAYLOAD, text)),
        )
    return DeliverSm(
        source_addr_ton=INTERNATIONAL,
        source_addr_npi=ISDN,
        source_addr=source,
        destination_addr=destination,
        esm_class=form.esm_class,
        short_message=text,
        tlvs=tlvs,
    )


def _receipt_text(mt: Mt, text_id: str, form: ReceiptForm) -> str:
    assert mt.done_at is not None
    clock = "%y%m%d%H%M" if form.date_digits == 10 else "%y%m%d%H%M%S"
    words = [
        f"id:{text_id}" if form.id_in in ("both", "text") else "",
        f"sub:001 dlvrd:{int(mt.state is State.DELIVERED):03}" if form.counts else "",
        f"submit date:{mt.at.strftime(clock)} done date:{mt.done_at.strftime(clock)}",
        f"stat:{_STAT[mt.state]} err:{mt.network_error:03} text:{mt.text[:20] if mt.text.isascii() else ''}",
    ]
    return " ".join(filter(None, words))


def _receipt_tlvs(mt: Mt, submitted_id: str, form: ReceiptForm) -> Tlvs:
    tlvs = []
    if form.id_in in ("both", "tlv"):
        tlvs.append((RECEIPTED_MESSAGE_ID, submitted_id.encode() + b"\0"))
    if form.tlvs:
        tlvs.append((MESSAGE_STATE, bytes([mt.state])))
        if mt.network_error:
            tlvs.append((NETWORK_ERROR_CODE, b"\x03" + mt.network_error.to_bytes(2, "big")))
    if mt.reference is not None:
        tlvs.append((USER_MESSAGE_REFERENCE, mt.reference))
    return tuple(tlvs)


# --- to a phone


def body(pdu: Submission, alphabet: Alphabet = "gsm") -> tuple[bytes, bytes]:
    """UDH, with its length octet, and text; raises SmppError(RINVMSGLEN) for what no phone can show."""
    octets = getattr(pdu, "short_message", b"") or pdu.tlv(MESSAGE_PAYLOAD) or b""
    header_octets = octets[0] + 1 if pdu.esm_class & UDHI and octets else 0
    udh, said = octets[:header_octets], octets[header_octets:]
    if udh and len(udh) <= udh[0]:
        raise SmppError(RINVMSGLEN)
    if is_ussd(pdu):
        too_long = _too_long_screen(pdu, said, alphabet)
    else:  # what comes in message_payload is cut by the SMSC
        too_long = isinstance(pdu, SubmitSm) and bool(pdu.short_message) and _too_long(pdu, udh, said, alphabet)
    if too_long:
        raise SmppError(RINVMSGLEN)
    return udh, said


def is_ussd(pdu: Submission) -> bool:
    return bool(pdu.tlvs) and pdu.tlv(USSD_SERVICE_OP) is not None


def _unpacked(pdu: Submission, alphabet: Alphabet) -> bool:
    """Whether an octet is a septet on its way through the SMSC."""
    return coding(pdu.data_coding) == "default" and alphabet == "gsm"


def _too_long(pdu: Submission, udh: bytes, said: bytes, alphabet: Alphabet) -> bool:
    """140 octets of an SMS, or as many septets as go into what its header leaves of them."""
    room = 140 - len(udh)
    return len(said) > (room * 8 // 7 if _unpacked(pdu, alphabet) else room)


def _too_long_screen(pdu: Submission, said: bytes, alphabet: Alphabet) -> bool:
    """160 octets of a USSD string: 182 septets, or 80 UCS-2 characters; GSM 04.80 Annex A."""
    return len(said) > (160 * 8 // 7 if _unpacked(pdu, alphabet) else 160)


def shown(parts: list[Segment], alphabet: Alphabet = "gsm") -> str:
    """The text of a message's parts, in order; a surrogate pair may stand across two of them."""
    first = parts[0]
    if coding(first.data_coding) == "default":
        return "".join(read(part.octets, part.data_coding, alphabet, part.udh) for part in parts)
    return read(b"".join(part.octets for part in parts), first.data_coding, alphabet)


def flashes(segment: Segment) -> bool:
    return is_flash(segment.data_coding)


def is_binary(segment: Segment) -> bool:
    return coding(segment.data_coding) == "binary" or segment.port is not None


def segment_of(pdu: Submission, udh: bytes, said: bytes) -> Segment:
    """Its place in a long message by UDH (3GPP 23.040 §9.2.3.24.1, .8) or sar_*; a whole one is part 1 of 1."""
    found = elements(udh) if udh else {}
    reference, total, number = _concatenation(found) or _sar(pdu) or (0, 1, 1)
    if not 0 < number <= total:
        reference, total, number = 0, 1, 1
    return Segment((pdu.source_addr, reference, total), number, said, pdu.data_coding, udh, _port(found, pdu))


def _concatenation(found: dict[int, bytes]) -> tuple[int, int, int] | None:
    short, long = found.get(_CONCATENATED_8, b""), found.get(_CONCATENATED_16, b"")
    if len(short) == 3:
        return short[0], short[1], short[2]
    if len(long) == 4:
        return int.from_bytes(long[:2], "big"), long[2], long[3]
    return None


def _sar(pdu: Submission) -> tuple[int, int, int] | None:
    reference, total, number = (pdu.tlv(tag) for tag in (SAR_MSG_REF_NUM, SAR_TOTAL_SEGMENTS, SAR_SEGMENT_SEQNUM))
    if reference is None or not total or not number:
        return None
    return int.from_bytes(reference, "big"), total[0], number[0]


def _port(found: dict[int, bytes], pdu: Submission) -> int | None:
    """By UDH, the destination first; or by the TLV destination_port."""
    for element, octets in ((_PORT_16, 2), (_PORT_8, 1)):
        if len(found.get(element, b"")) == 2 * octets:
            return int.from_bytes(found[element][:octets], "big")
    port = pdu.tlv(DESTINATION_PORT)
    return int.from_bytes(port, "big") if port else None


def validity(period: bytes, now: datetime) -> timedelta | None:
    """How long a validity_period lasts from now, SMPP 3.4 §7.1.1; None if empty; raises SmppError(RINVEXPIRY)."""
    if not period:
        return None
    try:
        spelled = period.decode("ascii")
        year, month, day, hour, minute, second = (int(spelled[at : at + 2]) for at in range(0, 12, 2))
        tenths, quarters, direction = int(spelled[12]), int(spelled[13:15]), spelled[15:]
        if direction == "R":
            return timedelta(days=365 * year + 30 * month + day, hours=hour, minutes=minute, seconds=second)
        local = datetime(2000 + year, month, day, hour, minute, second, tenths * 100_000, tzinfo=UTC)
        return local - timedelta(minutes=15 * quarters) * {"+": 1, "-": -1}[direction] - now
    except (ValueError, IndexError, KeyError):
        raise SmppError(RINVEXPIRY) from None


def absolute(moment: datetime) -> bytes:
    """An absolute time in UTC, SMPP 3.4 §7.1.1."""
    return f"{moment:%y%m%d%H%M%S}{moment.microsecond // 100_000}00+".encode()
