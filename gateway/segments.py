"""A text, or octets for a handset's application, cut into what submit_sm carries. Pure.

Sources: 3GPP TS 23.040 §9.2.3.24 for the 140 octets that header and text share; 3GPP TS 23.038 §4 for message classes;
SMPP 3.4 §5.3.2.21 to .24 and .32 for what parameters say in the place of a header.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.codec import RINVMSGLEN
from gateway.national import IDENTIFIERS, Shifts, combinations, table
from gateway.packing import fill_bits, pack
from gateway.style import LongMessages, Style
from gateway.tags import (
    DESTINATION_PORT,
    MESSAGE_PAYLOAD,
    SAR_MSG_REF_NUM,
    SAR_SEGMENT_SEQNUM,
    SAR_TOTAL_SEGMENTS,
)
from gateway.text import DEFAULT, UCS2, Segment, encode_plain
from gateway.udh import UDHI, Element, element, header
from vas.alphabet import ESCAPE, PARTS_MAX, SMS_SEPTETS, gsm_encode, ucs2_encode
from vas.errors import SmppError

USER_DATA_OCTETS = 140
"""What one SMS carries, header and text together."""
LATIN1 = 0x03
BINARY = 0x04

_CLASS = 0x10
"""General data coding with a message class in bits 1 and 0; GSM 03.38 unless bits 3 and 2 say otherwise."""
_BINARY_CLASS = 0xF4
_RETURN = 0x0D
_CONCATENATION_OCTETS: dict[LongMessages, int] = {"udh": 5, "udh16": 6, "sar": 6, "payload": 5}
"""Length of the element that marks a segment. For sar and payload it is the SMSC that writes one, and it may choose
the longer one where it was given 16 bits."""

MessageClass = Literal[0, 1, 2, 3]
"""0 shown at once and not kept (flash), 1 kept by the phone, 2 by the SIM, 3 by what is connected to the phone."""


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


class _Written(msgspec.Struct, frozen=True):
    """A message in one encoding, not yet cut."""

    encoding: str
    data_coding: int
    octets: bytes
    """An octet a septet."""
    bits: Literal[7, 8, 16]
    """Of the smallest unit on the air."""
    elements: bytes = b""
    """What its header must say in every segment."""
    packed: bool = False

    def room(self, header_octets: int) -> int:
        """How many of `octets` one SMS takes beside a header."""
        left = USER_DATA_OCTETS - header_octets
        return left * 8 // 7 if self.bits == 7 else left * 8 // self.bits * self.bits // 8

    def parts(self, fixed: bytes, long_messages: LongMessages) -> list[bytes]:
        """The octets of each SMS, which also holds the elements `fixed`; one part of an empty message."""
        whole = self.room(len(header(fixed)))
        if self._end(0, whole) == len(self.octets):
            return [self.octets]
        room = self.room(1 + len(fixed) + _CONCATENATION_OCTETS[long_messages])
        parts, start = [], 0
        while start < len(self.octets):
            end = self._end(start, room)
            parts.append(self.octets[start:end])
            start = end
        return parts

    def _end(self, start: int, room: int) -> int:
        """Where the part that begins at `start` ends: never inside an escape or a surrogate pair.

        A packed part that is full does not end with a carriage return, which would be read as filling.
        """
        octets, end = self.octets, start + room
        if end > len(octets) or (end == len(octets) and not self.packed):
            return len(octets)
        if self.bits == 16:
            return end - 2 if 0xD8 <= octets[end - 2] <= 0xDB else end
        if self.bits == 7 and (octets[end - 1] == ESCAPE or (self.packed and octets[end - 1] == _RETURN)):
            return end - 1
        return end

    def on_wire(self, part: bytes, udh: bytes = b"") -> bytes:
        return udh + (pack(part, fill_bits(len(udh))) if self.packed else part)


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
    return _segments(_write(text, style, message_class, _port_element(port)), style, reference, port)


def plan_binary(
    data: bytes, style: Style, reference: int, port: int = 0, message_class: MessageClass | None = None
) -> list[Segment]:
    """The segments of octets that an application of the handset takes, by its port (1 to 65,535) if not 0.

    Raises SmppError(RINVMSGLEN) for more than 255 segments.
    """
    data_coding = BINARY if message_class is None else _BINARY_CLASS | message_class
    return _segments(_Written("binary", data_coding, data, 8), style, reference, port)


def cost(text: str, style: Style) -> Cost:
    """What `plan` would make of a text without class and port; also of one that is too long to send."""
    written = _write(text, style, None, b"")
    parts = written.parts(written.elements, style.long_messages)
    alone = len(parts) == 1
    marks = written.elements + bytes(0 if alone else _CONCATENATION_OCTETS[style.long_messages])
    octets_each = 2 if written.bits == 16 else 1
    return Cost(
        encoding=written.encoding,
        data_coding=written.data_coding,
        segments=len(parts),
        unit=_UNITS[written.bits],
        units=len(written.octets) // octets_each,
        left=(written.room(len(header(marks))) - len(parts[-1])) // octets_each,
        foreign=_foreign(text, style),
    )


_UNITS: dict[int, Literal["septets", "octets", "UCS-2 units"]] = {7: "septets", 8: "octets", 16: "UCS-2 units"}


def _foreign(text: str, style: Style) -> tuple[str, ...]:
    if encode_plain(text, style.alphabet) is not None:
        return ()
    return tuple(character for character in dict.fromkeys(text) if encode_plain(character, style.alphabet) is None)


def _write(text: str, style: Style, message_class: MessageClass | None, port: bytes) -> _Written:
    return _plain(text, style, message_class) or min(
        (_ucs2(text, message_class), *_national(text, style, message_class)),
        key=lambda written: (
            len(written.parts(written.elements + port, style.long_messages)),
            _octets_on_air(written),
        ),
    )


def _octets_on_air(written: _Written) -> int:
    return len(written.elements) + -(-len(written.octets) * written.bits // 8)


def _plain(text: str, style: Style, message_class: MessageClass | None) -> _Written | None:
    """By the alphabet of data_coding 0. A class is said by a data_coding that means GSM 03.38 to every SMSC."""
    packed = style.alphabet == "gsm_packed"
    if message_class is not None or style.alphabet == "gsm" or packed:
        septets = gsm_encode(text)
        return None if septets is None else _Written("GSM 7-bit", _gsm(message_class), septets, 7, packed=packed)
    octets = encode_plain(text, style.alphabet)
    if octets is None:
        return None
    if style.alphabet == "ascii":
        return _Written("ASCII", DEFAULT, octets, 8)
    # An SMSC turns data_coding 0 into GSM 03.38 for the air; what is not there has to be called Latin-1.
    return _Written("Latin-1", LATIN1 if gsm_encode(text) is None else DEFAULT, octets, 8)


def _national(text: str, style: Style, message_class: MessageClass | None) -> list[_Written]:
    """With every pair of national tables that the account allows and that has all characters."""
    if style.alphabet not in ("gsm", "gsm_packed"):
        return []
    written = []
    for shifts in combinations(style.national):
        septets = table(shifts).encode(text)
        if septets is not None:
            packed = style.alphabet == "gsm_packed"
            elements = _shift_elements(shifts)
            written.append(_Written(_spelled(shifts), _gsm(message_class), septets, 7, elements, packed))
    return written


def _ucs2(text: str, message_class: MessageClass | None) -> _Written:
    data_coding = UCS2 if message_class is None else _CLASS | UCS2 | message_class
    return _Written("UCS-2", data_coding, ucs2_encode(text), 16)


def _gsm(message_class: MessageClass | None) -> int:
    return DEFAULT if message_class is None else _CLASS | message_class


def _shift_elements(shifts: Shifts) -> bytes:
    return (element(Element.SINGLE_SHIFT, bytes((shifts.single,))) if shifts.single else b"") + (
        element(Element.LOCKING_SHIFT, bytes((shifts.locking,))) if shifts.locking else b""
    )


def _spelled(shifts: Shifts) -> str:
    names = {identifier: nation.capitalize() for nation, identifier in IDENTIFIERS.items()}
    single = f", {names[shifts.single]} single shift" if shifts.single else ""
    locking = f", {names[shifts.locking]} locking shift" if shifts.locking else ""
    return "GSM 7-bit" + locking + single


def _port_element(port: int) -> bytes:
    return element(Element.PORTS_16, port.to_bytes(2) + bytes(2)) if port else b""


def _segments(written: _Written, style: Style, reference: int, port: int) -> list[Segment]:
    fixed = _port_element(port) + written.elements
    parts = written.parts(fixed, style.long_messages)
    if len(parts) > PARTS_MAX:
        raise SmppError(RINVMSGLEN, f"{len(parts)} segments")
    if style.long_messages == "sar" and not written.elements:
        return _by_parameters(written, parts, reference, port)
    if len(parts) == 1:
        return [_segment(written, written.on_wire(parts[0], header(fixed)), fixed)]
    if style.long_messages == "payload":
        whole = written.on_wire(written.octets, header(fixed))
        return [Segment(written.data_coding, b"", UDHI if fixed else 0, ((MESSAGE_PAYLOAD, whole),))]
    segments = []
    for number, part in enumerate(parts, 1):
        place = bytes((len(parts), number))
        concatenation = (
            element(Element.CONCATENATION_8, bytes((reference & 0xFF,)) + place)
            if style.long_messages == "udh"
            else element(Element.CONCATENATION_16, (reference & 0xFFFF).to_bytes(2) + place)
        )
        marks = concatenation + fixed
        segments.append(_segment(written, written.on_wire(part, header(marks)), marks))
    return segments


def _segment(written: _Written, short_message: bytes, elements: bytes) -> Segment:
    return Segment(written.data_coding, short_message, UDHI if elements else 0)


def _by_parameters(written: _Written, parts: list[bytes], reference: int, port: int) -> list[Segment]:
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
