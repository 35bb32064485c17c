"""Which encoding a text goes out in, and where it may be cut. Pure.

Sources: 3GPP TS 23.040 §9.2.3.24 for the 140 octets that header and text share; 3GPP TS 23.038 §4 for message classes.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.sms.national import IDENTIFIERS, Shifts, combinations, table
from gateway.sms.packing import fill_bits, pack
from gateway.sms.style import LongMessages, Style
from gateway.sms.text import DEFAULT, UCS2, encode_plain
from gateway.sms.udh import Element, element, header
from vas.alphabet import ESCAPE, gsm_encode, ucs2_encode

USER_DATA_OCTETS = 140
"""What one SMS carries, header and text together."""
LATIN1 = 0x03

_CLASS = 0x10
"""General data coding with a message class in bits 1 and 0; GSM 03.38 unless bits 3 and 2 say otherwise."""
_RETURN = 0x0D
CONCATENATION_OCTETS: dict[LongMessages, int] = {"udh": 5, "udh16": 6, "sar": 6, "payload": 5}
"""Length of the element that marks a segment. For sar and payload it is the SMSC that writes one, and it may choose
the longer one where it was given 16 bits."""

MessageClass = Literal[0, 1, 2, 3]
"""0 shown at once and not kept (flash), 1 kept by the phone, 2 by the SIM, 3 by what is connected to the phone."""


class Written(msgspec.Struct, frozen=True):
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

    @property
    def width(self) -> int:
        """How many of `octets` make a unit."""
        return 2 if self.bits == 16 else 1

    def room(self, header_octets: int) -> int:
        """How many of `octets` one SMS takes beside a header."""
        return (USER_DATA_OCTETS - header_octets) * 8 // self.bits * self.width

    def parts(self, fixed: bytes, long_messages: LongMessages) -> list[bytes]:
        """The octets of each SMS, which also holds the elements `fixed`; one part of an empty message."""
        whole = self.room(len(header(fixed)))
        if self._end(0, whole) == len(self.octets):
            return [self.octets]
        room = self.room(1 + len(fixed) + CONCATENATION_OCTETS[long_messages])
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
        """What stands in short_message or message_payload: a header, and a part packed as the account has it."""
        return udh + (pack(part, fill_bits(len(udh))) if self.packed else part)


def write(text: str, style: Style, message_class: MessageClass | None = None) -> Written:
    """A text in the cheapest encoding that shows it exactly as written.

    Plain where the account's alphabet has every character; else, by segments and then octets, UCS-2 or with national
    tables.
    """
    return _plain(text, style, message_class) or min(
        (_ucs2(text, message_class), *_national(text, style, message_class)),
        key=lambda written: (
            len(written.parts(written.elements, style.long_messages)),
            _octets_on_air(written),
        ),
    )


def _octets_on_air(written: Written) -> int:
    return len(written.elements) + -(-len(written.octets) * written.bits // 8)


def _plain(text: str, style: Style, message_class: MessageClass | None) -> Written | None:
    """By the alphabet of data_coding 0. A class is said by a data_coding that means GSM 03.38 to every SMSC."""
    packed = style.alphabet == "gsm_packed"
    if message_class is not None or style.alphabet == "gsm" or packed:
        septets = gsm_encode(text)
        return None if septets is None else Written("GSM 7-bit", _gsm(message_class), septets, 7, packed=packed)
    octets = encode_plain(text, style.alphabet)
    if octets is None:
        return None
    if style.alphabet == "ascii":
        return Written("ASCII", DEFAULT, octets, 8)
    # An SMSC turns data_coding 0 into GSM 03.38 for the air; what is not there has to be called Latin-1.
    return Written("Latin-1", LATIN1 if gsm_encode(text) is None else DEFAULT, octets, 8)


def _national(text: str, style: Style, message_class: MessageClass | None) -> list[Written]:
    """With every pair of national tables that the account allows and that has all characters."""
    if style.alphabet not in ("gsm", "gsm_packed"):
        return []
    written = []
    for shifts in combinations(style.national):
        septets = table(shifts).encode(text)
        if septets is not None:
            packed = style.alphabet == "gsm_packed"
            elements = _shift_elements(shifts)
            written.append(Written(_spelled(shifts), _gsm(message_class), septets, 7, elements, packed))
    return written


def _ucs2(text: str, message_class: MessageClass | None) -> Written:
    data_coding = UCS2 if message_class is None else _CLASS | UCS2 | message_class
    return Written("UCS-2", data_coding, ucs2_encode(text), 16)


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
