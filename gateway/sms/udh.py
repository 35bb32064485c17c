"""User data headers, 3GPP TS 23.040 §9.2.3.24, and what SMPP parameters say in their place. Pure.

Reading never raises: an element whose length reaches beyond the header is left out with what follows it, an element
with values that make no sense is ignored, and of two that say the same the last one counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import msgspec

from gateway.pdus.pdu import DataSm, DeliverSm
from gateway.pdus.tags import DESTINATION_PORT, SAR_MSG_REF_NUM, SAR_SEGMENT_SEQNUM, SAR_TOTAL_SEGMENTS
from gateway.sms.national import Shifts

UDHI = 0x40
"""The bit of esm_class that says a user data header stands before the text."""


class Element(IntEnum):
    """Information element identifiers, 3GPP TS 23.040 §9.2.3.24."""

    CONCATENATION_8 = 0x00
    PORTS_8 = 0x04
    PORTS_16 = 0x05
    CONCATENATION_16 = 0x08
    SINGLE_SHIFT = 0x24
    LOCKING_SHIFT = 0x25


NO_SHIFTS = Shifts()


class Header(msgspec.Struct, frozen=True):
    """What stands around the text of one PDU."""

    octets: int = 0
    """Length of the user data header with its length octet; 0: there is none."""
    reference: str = ""
    """The concatenation reference with its kind, `8:5`, `16:261` or `sar:77`; empty: the message stands alone."""
    total: int = 1
    number: int = 1
    port: int = 0
    """The application port that it is addressed to; 0: none."""
    shifts: Shifts = NO_SHIFTS


NO_HEADER = Header()


def element(identifier: Element, value: bytes) -> bytes:
    """One information element of a header that is written."""
    return bytes((identifier, len(value))) + value


def header(elements: bytes) -> bytes:
    """The elements behind their length octet; nothing where there are none."""
    return bytes((len(elements),)) + elements if elements else b""


def elements(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Identifier and value of each element of a header, which begins with its length octet."""
    end = _octets(raw)
    start = 1
    while start + 2 <= end:
        value = start + 2
        start = value + raw[start + 1]
        if start <= end:
            yield raw[value - 2], raw[value:start]


def part_of(pdu: DeliverSm | DataSm, raw: bytes) -> tuple[Header, bytes]:
    """What the PDU says about its user data `raw`, and the octets of the text alone, as they came."""
    found = _read(raw) if pdu.esm_class & UDHI else NO_HEADER
    body = raw[found.octets :]
    if pdu.tlvs:
        found = _with_parameters(found, pdu)
    return found, body


def _read(raw: bytes) -> Header:
    reference, total, number, port = "", 1, 1, 0
    locking = single = 0
    for identifier, value in elements(raw):
        match identifier, len(value):
            case (Element.CONCATENATION_8, 3) | (Element.CONCATENATION_16, 4) if _makes_sense(value[-2], value[-1]):
                kind = "8" if identifier == Element.CONCATENATION_8 else "16"
                reference, total, number = f"{kind}:{int.from_bytes(value[:-2])}", value[-2], value[-1]
            case Element.PORTS_8, 2:
                port = value[0]
            case Element.PORTS_16, 4:
                port = int.from_bytes(value[:2])
            case Element.SINGLE_SHIFT, 1:
                single = value[0]
            case Element.LOCKING_SHIFT, 1:
                locking = value[0]
    return Header(_octets(raw), reference, total, number, port, Shifts(locking, single))


def _with_parameters(found: Header, pdu: DeliverSm | DataSm) -> Header:
    """SMPP 3.4 §5.3.2.22 to .24 and §5.3.2.21; a user data header that says the same comes first."""
    reference, total, number, port = (
        pdu.tlv(tag) for tag in (SAR_MSG_REF_NUM, SAR_TOTAL_SEGMENTS, SAR_SEGMENT_SEQNUM, DESTINATION_PORT)
    )
    if port and not found.port:
        found = msgspec.structs.replace(found, port=int.from_bytes(port[:2]))
    if not (reference and total and number) or found.reference or not _makes_sense(total[0], number[0]):
        return found
    return msgspec.structs.replace(
        found, reference=f"sar:{int.from_bytes(reference[:2])}", total=total[0], number=number[0]
    )


def _octets(raw: bytes) -> int:
    return min(1 + raw[0], len(raw)) if raw else 0


def _makes_sense(total: int, number: int) -> bool:
    return total > 1 and 1 <= number <= total
