"""What phones say and hear, as deliver_sm and submit_sm. Pure.

Written from the standard and apart from the gateway's own reading, so that each can find the other's mistakes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import IntEnum

import msgspec

from gateway.pdu import (
    ITS_SESSION_INFO,
    MESSAGE_PAYLOAD,
    MESSAGE_STATE,
    NETWORK_ERROR_CODE,
    RECEIPTED_MESSAGE_ID,
    RINVMSGLEN,
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
    USSD_SERVICE_OP,
    DataSm,
    DeliverSm,
    SubmitSm,
)
from gateway.text import UCS2, UDHI, decode, encode, split
from vas.errors import SmppError

RINVEXPIRY = 0x62
RINVOPTPARAMVAL = 0xC4

# ussd_service_op, SMPP 3.4 §5.3.2.44
PSSR_INDICATION = 1
USSR_REQUEST = 2
PSSR_RESPONSE = 17
USSR_CONFIRM = 18

INTERNATIONAL, ISDN = 1, 1
RECEIPT = 0x04
CBS_CODINGS = {0x0F: 0x00, 0x48: UCS2}
"""data_coding octets that with USSD are a cell broadcast scheme (3GPP 23.038 §5), as the SMS ones."""

Submission = SubmitSm | DataSm


class State(IntEnum):
    """message_state, SMPP 3.4 §5.2.28."""

    ENROUTE = 1
    DELIVERED = 2
    EXPIRED = 3
    UNDELIVERABLE = 5


_STAT = {State.DELIVERED: "DELIVRD", State.EXPIRED: "EXPIRED", State.UNDELIVERABLE: "UNDELIV"}
_ERRORS = {State.EXPIRED: 27, State.UNDELIVERABLE: 1}  # 3GPP 29.002: absent subscriber, unknown subscriber


class Segment(msgspec.Struct, frozen=True):
    """One part of a long message: parts with equal reference belong together."""

    reference: tuple[bytes, int, int]
    """Source, reference number, number of parts."""
    number: int
    octets: bytes
    data_coding: int


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


# --- from a phone


def sms(sender: str, to: str, text: str, reference: int) -> list[tuple[str, DeliverSm]]:
    """One deliver_sm for each segment, beside the segment's own text; `reference` is 0–255."""
    return [
        (
            decode(_cut_header(segment.esm_class, segment.short_message)[1], segment.data_coding),
            DeliverSm(
                source_addr_ton=INTERNATIONAL,
                source_addr_npi=ISDN,
                source_addr=sender.encode(),
                destination_addr=to.encode(),
                esm_class=segment.esm_class,
                data_coding=segment.data_coding,
                short_message=segment.short_message,
            ),
        )
        for segment in split(text, reference)
    ]


def ussd(sender: str, to: str, text: str, op: int, number: int, sequence: int, end: bool = False) -> DeliverSm:
    """One turn of a dialogue. its_session_info: session number, then sequence in bits 7-1 and the end in bit 0."""
    encoded = encode(text)
    return DeliverSm(
        service_type=b"USSD",
        source_addr_ton=INTERNATIONAL,
        source_addr_npi=ISDN,
        source_addr=sender.encode(),
        destination_addr=to.encode(),
        data_coding=encoded.data_coding,
        short_message=encoded.octets,
        tlvs=(
            (USSD_SERVICE_OP, bytes([op])),
            (ITS_SESSION_INFO, bytes([number, (sequence & 0x7F) << 1 | end])),
        ),
    )


def wants_receipt(mt: Mt) -> bool:
    """By registered_delivery, SMPP 3.4 §5.2.17: 1 always, 2 on failure; 3, of SMPP 5.0, on success."""
    asked = mt.registered_delivery & 0x03
    return asked == 1 or asked == (3 if mt.state is State.DELIVERED else 2)


def receipt(mt: Mt, submitted_id: str, text_id: str) -> DeliverSm:
    """For a message whose way has ended; SMPP 3.4 Appendix B, and the TLVs of §5.3.2.

    The TLV spells the id as submit_sm_resp did; the text may spell it in another way, as many SMSCs do.
    """
    assert mt.done_at is not None
    error = _ERRORS.get(mt.state, 0)
    shown = mt.text[:20] if mt.text.isascii() else ""
    body = (
        f"id:{text_id} sub:001 dlvrd:{int(mt.state is State.DELIVERED):03} "
        f"submit date:{mt.at:%y%m%d%H%M} done date:{mt.done_at:%y%m%d%H%M} "
        f"stat:{_STAT[mt.state]} err:{error:03} text:{shown}"
    )
    tlvs = [(RECEIPTED_MESSAGE_ID, submitted_id.encode() + b"\0"), (MESSAGE_STATE, bytes([mt.state]))]
    if error:
        tlvs.append((NETWORK_ERROR_CODE, b"\x03" + error.to_bytes(2, "big")))
    return DeliverSm(
        source_addr_ton=INTERNATIONAL,
        source_addr_npi=ISDN,
        source_addr=mt.to.encode(),
        destination_addr=mt.source.encode(),
        esm_class=RECEIPT,
        short_message=encode(body).octets,
        tlvs=tuple(tlvs),
    )


# --- to a phone


def body(pdu: Submission) -> tuple[bytes, bytes]:
    """UDH, with its length octet, and text; raises SmppError(RINVMSGLEN) for what no phone can show."""
    octets = getattr(pdu, "short_message", b"") or pdu.tlv(MESSAGE_PAYLOAD) or b""
    udh, said = _cut_header(pdu.esm_class, octets)
    if (udh and len(udh) <= udh[0]) or (isinstance(pdu, SubmitSm) and pdu.short_message and _too_long(pdu, udh, said)):
        raise SmppError(RINVMSGLEN)
    return udh, said


def _cut_header(esm_class: int, octets: bytes) -> tuple[bytes, bytes]:
    header_octets = octets[0] + 1 if esm_class & UDHI and octets else 0
    return octets[:header_octets], octets[header_octets:]


def _too_long(pdu: SubmitSm, udh: bytes, said: bytes) -> bool:
    """140 octets of an SMS, 160 of a USSD screen; seven-bit text travels unpacked, an octet for a septet."""
    limit = 160 if pdu.tlv(USSD_SERVICE_OP) else 140
    seven_bit = coding(pdu) == 0
    return len(said) > ((limit - len(udh)) * 8 // 7 if seven_bit else limit - len(udh))


def coding(pdu: Submission) -> int:
    """data_coding as for an SMS."""
    if pdu.tlv(USSD_SERVICE_OP):
        return CBS_CODINGS.get(pdu.data_coding, pdu.data_coding)
    return pdu.data_coding


def segment_of(pdu: Submission, udh: bytes, said: bytes) -> Segment:
    """Its place in a long message by UDH (3GPP 23.040 §9.2.3.24.1, .8) or sar_*; a whole one is part 1 of 1."""
    reference, total, number = _concatenation(udh) or _sar(pdu) or (0, 1, 1)
    if not 0 < number <= total:
        reference, total, number = 0, 1, 1
    return Segment((pdu.source_addr, reference, total), number, said, coding(pdu))


def _concatenation(udh: bytes) -> tuple[int, int, int] | None:
    at = 1
    while at + 2 <= len(udh):
        element, octets = udh[at], udh[at + 1]
        value = udh[at + 2 : at + 2 + octets]
        if element == 0x00 and len(value) == 3:
            return value[0], value[1], value[2]
        if element == 0x08 and len(value) == 4:
            return int.from_bytes(value[:2], "big"), value[2], value[3]
        at += 2 + octets
    return None


def _sar(pdu: Submission) -> tuple[int, int, int] | None:
    reference, total, number = (pdu.tlv(tag) for tag in (SAR_MSG_REF_NUM, SAR_TOTAL_SEGMENTS, SAR_SEGMENT_SEQNUM))
    if reference is None or not total or not number:
        return None
    return int.from_bytes(reference, "big"), total[0], number[0]


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
