"""A phone's text as deliver_sm, cut and marked as its SMSC does it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.pdus.pdu import (
    MESSAGE_PAYLOAD,
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
    DeliverSm,
    Tlvs,
)
from gateway.simulator.letters import Alphabet, Written, pack, write
from gateway.simulator.settings import LongMessages
from gateway.simulator.wire import INTERNATIONAL, ISDN, UDHI

PARTS_MAX = 255
_WHOLE = {"gsm": 160, "gsm_packed": 160, "latin1": 140, "ascii": 140}
_WHOLE_UNITS = 70


def sms(
    sender: str, to: str, text: str, reference: int, marks: LongMessages = "udh", alphabet: Alphabet = "gsm"
) -> list[tuple[str, DeliverSm]]:
    """One deliver_sm for each segment, beside the segment's own text; ValueError for none or more than 255."""
    texts = _cut(text, marks, alphabet)
    if not text or len(texts) > PARTS_MAX:
        raise ValueError(f"an SMS has 1 to {PARTS_MAX} segments")
    wide = write(text, alphabet).data_coding != 0
    if marks == "payload" and len(texts) > 1:
        return [(text, _payload(_segment(sender, to, write(text, alphabet), (reference, 1, 1), marks, alphabet)))]
    return [
        (part, _segment(sender, to, _written(part, wide, alphabet), (reference, len(texts), number), marks, alphabet))
        for number, part in enumerate(texts, 1)
    ]


def _payload(pdu: DeliverSm) -> DeliverSm:
    """Its text in message_payload."""
    pdu.short_message, pdu.tlvs = b"", ((MESSAGE_PAYLOAD, pdu.short_message),)
    return pdu


def _written(part: str, wide: bool, alphabet: Alphabet) -> Written:
    """All parts of a text are in the alphabet that the whole of it needs."""
    if not wide:
        return write(part, alphabet)
    octets = part.encode("utf-16-be", "replace")
    return Written(0x08, octets, len(octets) // 2)


def _cut(text: str, marks: LongMessages, alphabet: Alphabet) -> list[str]:
    """Parts as long as their marks let them be; never cut inside an escape or a surrogate pair."""
    whole = write(text, alphabet)
    wide = whole.data_coding != 0
    if whole.cost <= (_WHOLE_UNITS if wide else _WHOLE[alphabet]):
        return [text]
    header_octets = {"udh": 6, "udh16": 7}.get(marks, 0)
    octets = 140 - header_octets
    room = octets // 2 if wide else octets * 8 // 7 if alphabet in ("gsm", "gsm_packed") else octets
    return list(_pieces(text, room, wide, alphabet))


def _pieces(text: str, room: int, wide: bool, alphabet: Alphabet) -> Iterator[str]:
    start, used = 0, 0
    for at, character in enumerate(text):
        cost = 1 + (character > "\uffff") if wide else write(character, alphabet).cost
        if used + cost > room:
            yield text[start:at]
            start, used = at, 0
        used += cost
    yield text[start:]


def _segment(
    sender: str, to: str, written: Written, place: tuple[int, int, int], marks: LongMessages, alphabet: Alphabet
) -> DeliverSm:
    udh, tlvs = _marks(place, marks)
    octets = written.octets
    if alphabet == "gsm_packed" and written.data_coding == 0:
        octets = pack(octets, len(udh))
    return DeliverSm(
        source_addr_ton=INTERNATIONAL,
        source_addr_npi=ISDN,
        source_addr=sender.encode(),
        destination_addr=to.encode(),
        esm_class=UDHI if udh else 0,
        data_coding=written.data_coding,
        short_message=udh + octets,
        tlvs=tlvs,
    )


def _marks(place: tuple[int, int, int], marks: LongMessages) -> tuple[bytes, Tlvs]:
    """The user data header, or the optional parameters, that say which part of what this is."""
    reference, total, number = place
    if total == 1:
        return b"", ()
    if marks == "sar":
        return b"", (
            (SAR_MSG_REF_NUM, (reference & 0xFFFF).to_bytes(2, "big")),
            (SAR_TOTAL_SEGMENTS, bytes([total])),
            (SAR_SEGMENT_SEQNUM, bytes([number])),
        )
    if marks == "udh16":
        return bytes((6, 0x08, 4)) + (reference & 0xFFFF).to_bytes(2, "big") + bytes((total, number)), ()
    return bytes((5, 0x00, 3, reference & 0xFF, total, number)), ()
