"""Text to the octets of SMS and USSD and back: data_coding, segments, UDH. Pure.

Sources: SMPP 3.4 §5.2.19 for data_coding; 3GPP TS 23.038 §4 and §5 for the coding groups met on SMPP links;
3GPP TS 23.040 §9.2.3.24 for the user data header.
"""

from __future__ import annotations

import msgspec

from gateway.codec import RINVMSGLEN
from vas.alphabet import PARTS_MAX, SMS_SEPTETS, SMS_UNITS, gsm_decode, gsm_encode, sms_parts, ucs2_encode
from vas.errors import SmppError

GSM = 0x00
UCS2 = 0x08
UDHI = 0x40
"""The bit of esm_class that says a user data header stands before the text."""

_GSM_CODINGS = frozenset({0x00, 0x0F, 0x10, 0x11, 0x12, 0x13, *range(0xC0, 0xE0), *range(0xF0, 0xF4)})
_UCS2_CODINGS = frozenset({0x08, 0x18, 0x19, 0x1A, 0x1B, 0x48, *range(0xE0, 0xF0)})
_CODECS = {0x01: "ascii", 0x05: "shift_jis", 0x06: "iso8859_5", 0x07: "iso8859_8", 0x0A: "iso2022_jp", 0x0E: "euc_kr"}
_CONCATENATION_8 = bytes((5, 0, 3))
"""UDH length; information element 0, concatenated short messages with 8-bit reference; its length."""


class Encoded(msgspec.Struct, frozen=True):
    """Octets with the data_coding that reads them."""

    data_coding: int
    octets: bytes


class Segment(msgspec.Struct, frozen=True):
    """What one submit_sm carries of a text."""

    data_coding: int
    short_message: bytes
    esm_class: int = 0
    """UDHI where the short_message begins with a user data header."""


def encode(text: str) -> Encoded:
    """GSM 03.38 where it has every character, else UCS-2; the text is shown exactly as written."""
    septets = gsm_encode(text)
    return Encoded(UCS2, ucs2_encode(text)) if septets is None else Encoded(GSM, septets)


def split(text: str, reference: int) -> list[Segment]:
    """One segment, or up to 255 with an 8-bit concatenation reference: the low octet of `reference`.

    Raises SmppError(RINVMSGLEN) for a text that takes more.
    """
    whole = encode(text)
    if len(whole.octets) <= (2 * SMS_UNITS if whole.data_coding == UCS2 else SMS_SEPTETS):
        return [Segment(whole.data_coding, whole.octets)]
    parts = sms_parts(text)
    if len(parts) > PARTS_MAX:
        raise SmppError(RINVMSGLEN, f"{len(parts)} segments")
    write = ucs2_encode if whole.data_coding == UCS2 else _septets
    return [
        Segment(
            whole.data_coding,
            _CONCATENATION_8 + bytes((reference & 0xFF, len(parts), number)) + write(part),
            UDHI,
        )
        for number, part in enumerate(parts, 1)
    ]


def _septets(part: str) -> bytes:
    return gsm_encode(part) or b""


def decode(octets: bytes, data_coding: int) -> str:
    """The text; what cannot be read becomes U+FFFD. Binary and unknown codings are read as Latin-1."""
    if data_coding in _GSM_CODINGS:
        return gsm_decode(octets)
    if data_coding in _UCS2_CODINGS:
        return octets.decode("utf-16-be", "replace")
    return octets.decode(_CODECS.get(data_coding, "latin-1"), "replace")


def without_header(octets: bytes) -> tuple[bytes, bytes]:
    """The user data header with its length octet, and the text after it; for a message with UDHI set."""
    end = 1 + octets[0] if octets else 0
    return octets[:end], octets[end:]
