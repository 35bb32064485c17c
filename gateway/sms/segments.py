"""A text, or octets for a handset's application, cut into what submit_sm carries. Pure.

Sources: 3GPP TS 23.040 §9.2.3.24 for what a header says; SMPP 3.4 §5.3.2.21 to .24 and .32 for what parameters say in
its place.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.pdus.codec import RINVMSGLEN
from gateway.pdus.tags import (
    DESTINATION_PORT,
    MESSAGE_PAYLOAD,
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
)
from gateway.sms.style import LongMessages, Style
from gateway.sms.text import DEFAULT, Segment, encode_plain
from gateway.sms.udh import UDHI, Element, element, header
from gateway.sms.writing import CONCATENATION_OCTETS, MessageClass, Written, write
from vas.alphabet import PARTS_MAX, SMS_SEPTETS, gsm_encode
from vas.errors import SmppError

BINARY = 0x04
_BINARY_CLASS = 0xF4
_UNITS: dict[int, Literal["septets", "octets", "UCS-2 units"]] = {7: "septets", 8: "octets", 16: "UCS-2 units"}


class Cost(msgspec.Struct, frozen=True):
    """What a text costs before it is sent."""

    encoding: str
    """In words: `GSM 7-bit`, `GSM 7-bit, Turkish single shift`, `Latin-1`, `ASCII`, `UCS-2`."""
    data_coding: int
    segments: int
    """SMS on the air, each of which is charged; more than 255 cannot be sent."""
    unit: Literal["septets", "octets", "UCS-2 units"]
    units: int
    """What the text takes, without headers."""
    left: int
    """Units that the last segment still has room for."""
    foreign: tuple[str, ...]
    """The characters, each once, that are not in the account's plain alphabet: what made the text dearer."""


def plan(
    text: str, style: Style, reference: int, message_class: MessageClass | None = None, port: int = 0
) -> list[Segment]:
    """The segments of a text in the cheapest encoding that shows it exactly as written.

    `reference` marks long messages by its low 8 or 16 bits. Raises SmppError(RINVMSGLEN) for more than 255 segments.
    """
    if style.alphabet == "gsm" and message_class is None and not port:
        septets = gsm_encode(text)
        if septets is not None and len(septets) <= SMS_SEPTETS:
            return [Segment(DEFAULT, septets)]
    return _segments(write(text, style, message_class), style, reference, port)


def plan_binary(
    data: bytes, style: Style, reference: int, port: int = 0, message_class: MessageClass | None = None
) -> list[Segment]:
    """The segments of octets that an application of the handset takes, by its port (1 to 65,535) if not 0.

    Raises SmppError(RINVMSGLEN) for more than 255 segments.
    """
    data_coding = BINARY if message_class is None else _BINARY_CLASS | message_class
    return _segments(Written("binary", data_coding, data, 8), style, reference, port)


def cost(text: str, style: Style) -> Cost:
    """What `plan` would make of a text without class and port; also of one that is too long to send."""
    written = write(text, style)
    parts = written.parts(written.elements, style.long_messages)
    alone = len(parts) == 1
    marks = written.elements + bytes(0 if alone else CONCATENATION_OCTETS[style.long_messages])
    return Cost(
        encoding=written.encoding,
        data_coding=written.data_coding,
        segments=len(parts),
        unit=_UNITS[written.bits],
        units=len(written.octets) // written.width,
        left=(written.room(len(header(marks))) - len(parts[-1])) // written.width,
        foreign=_foreign(text, style),
    )


def _foreign(text: str, style: Style) -> tuple[str, ...]:
    if encode_plain(text, style.alphabet) is not None:
        return ()
    return tuple(character for character in dict.fromkeys(text) if encode_plain(character, style.alphabet) is None)


def _port_element(port: int) -> bytes:
    return element(Element.PORTS_16, port.to_bytes(2) + bytes(2)) if port else b""


def _segments(written: Written, style: Style, reference: int, port: int) -> list[Segment]:
    fixed = _port_element(port) + written.elements
    parts = written.parts(fixed, style.long_messages)
    if len(parts) > PARTS_MAX:
        raise SmppError(RINVMSGLEN, f"{len(parts)} segments")
    if style.long_messages == "sar" and not written.elements:
        return _by_parameters(written, parts, reference, port)
    if len(parts) == 1:
        return [_with_header(written, parts[0], fixed)]
    if style.long_messages == "payload":
        whole = written.on_wire(written.octets, header(fixed))
        return [Segment(written.data_coding, b"", UDHI if fixed else 0, ((MESSAGE_PAYLOAD, whole),))]
    marks = [_concatenation(style.long_messages, reference, len(parts), number) for number in range(1, len(parts) + 1)]
    return [_with_header(written, part, mark + fixed) for part, mark in zip(parts, marks, strict=True)]


def _concatenation(long_messages: LongMessages, reference: int, total: int, number: int) -> bytes:
    if long_messages == "udh":
        return element(Element.CONCATENATION_8, bytes((reference & 0xFF, total, number)))
    return element(Element.CONCATENATION_16, (reference & 0xFFFF).to_bytes(2) + bytes((total, number)))


def _with_header(written: Written, part: bytes, elements: bytes) -> Segment:
    return Segment(written.data_coding, written.on_wire(part, header(elements)), UDHI if elements else 0)


def _by_parameters(written: Written, parts: list[bytes], reference: int, port: int) -> list[Segment]:
    """Without a header: the SMSC makes one of the parameters."""
    addressed = ((DESTINATION_PORT, port.to_bytes(2)),) if port else ()
    if len(parts) == 1:
        return [Segment(written.data_coding, written.on_wire(parts[0]), tlvs=addressed)]
    return [
        Segment(
            written.data_coding,
            written.on_wire(part),
            tlvs=(
                (SAR_MSG_REF_NUM, (reference & 0xFFFF).to_bytes(2)),
                (SAR_TOTAL_SEGMENTS, bytes((len(parts),))),
                (SAR_SEGMENT_SEQNUM, bytes((number,))),
                *addressed,
            ),
        )
        for number, part in enumerate(parts, 1)
    ]
