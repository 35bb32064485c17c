"""Text to octets and back, as a handset and its SMSC read them: alphabets, packing, national tables. Pure.

Written from 3GPP TS 23.038 (§4 data coding, §6 alphabets, Annex A national tables) apart from the gateway's own
reading, so that each can find the other's mistakes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from vas.alphabet import BASIC, ESCAPE, EXTENSION, gsm_encode, ucs2_encode

Alphabet = Literal["gsm", "gsm_packed", "latin1", "ascii"]
"""What data_coding 0 means to an SMSC."""
Coding = Literal["default", "ucs2", "binary", "latin1"]

UCS2 = 0x08
_SINGLE_SHIFT, _LOCKING_SHIFT = 0x24, 0x25
"""Information elements of 3GPP TS 23.040 §9.2.3.24.15 and .16; their one octet names a language."""

_ACUTE = {0x49: "Í", 0x4F: "Ó", 0x55: "Ú", 0x69: "í", 0x6F: "ó", 0x75: "ú"}
SINGLE_SHIFTS: Mapping[int, Mapping[int, str]] = {
    1: EXTENSION | {0x47: "Ğ", 0x49: "İ", 0x53: "Ş", 0x63: "ç", 0x67: "ğ", 0x69: "ı", 0x73: "ş"},
    2: EXTENSION | _ACUTE | {0x09: "ç", 0x41: "Á", 0x61: "á"},
    3: EXTENSION
    | _ACUTE
    | {
        0x05: "ê", 0x09: "ç", 0x0B: "Ô", 0x0C: "ô", 0x0E: "Á", 0x0F: "á", 0x12: "Φ", 0x13: "Γ", 0x15: "Ω", 0x16: "Π",
        0x17: "Ψ", 0x18: "Σ", 0x19: "Θ", 0x1F: "Ê", 0x41: "À", 0x5B: "Ã", 0x5C: "Õ", 0x61: "Â", 0x7B: "ã", 0x7C: "õ",
        0x7F: "â",
    },
}  # fmt: skip
"""Turkish, Spanish and Portuguese, TS 23.038 §A.2.1 to A.2.3."""
LOCKING_SHIFTS: Mapping[int, str] = {
    1: "@£$¥€éùıòÇ\nĞğ\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bŞşßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "İABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§çabcdefghijklmnopqrstuvwxyzäöñüà",
    3: "@£$¥êéúíóç\nÔô\rÁáΔ_ªÇÀ∞^\\€Ó|\x1bÂâÊÉ !\"#º%&'()*+,-./0123456789:;<=>?"
    "ÍABCDEFGHIJKLMNOPQRSTUVWXYZÃÕÚÜ§~abcdefghijklmnopqrstuvwxyzãõ`üà",
}
"""Turkish and Portuguese, §A.3.1 and §A.3.3; Spanish has none."""


class Written(msgspec.Struct, frozen=True):
    """A text in the alphabet of an SMSC: `cost` is in septets, octets or UTF-16 units, by the alphabet."""

    data_coding: int
    octets: bytes
    cost: int


def coding(data_coding: int) -> Coding:
    """What an octet of data_coding means, SMPP 3.4 §5.2.19 and the groups of TS 23.038 §4."""
    if data_coding in (0x08, 0x48) or 0xE0 <= data_coding <= 0xEF or data_coding & 0xFC == 0x18:
        return "ucs2"
    if data_coding in (0x02, 0x04, 0x44) or data_coding & 0xF4 == 0xF4 or data_coding & 0xFC == 0x14:
        return "binary"
    return "latin1" if data_coding == 0x03 else "default"


def is_flash(data_coding: int) -> bool:
    """Message class 0: shown at once and not stored, TS 23.038 §4."""
    return data_coding & 0xF3 == 0x10 or data_coding & 0xF3 == 0xF0


def write(text: str, alphabet: Alphabet) -> Written:
    """In the SMSC's default alphabet where it has every character, else in UCS-2."""
    octets = _write_default(text, alphabet)
    if octets is not None:
        return Written(0, octets, len(octets))
    wide = ucs2_encode(text)
    return Written(UCS2, wide, len(wide) // 2)


def _write_default(text: str, alphabet: Alphabet) -> bytes | None:
    if alphabet in ("gsm", "gsm_packed"):
        return gsm_encode(text)
    try:
        return text.encode("latin-1" if alphabet == "latin1" else "ascii")
    except UnicodeEncodeError:
        return None


def read(octets: bytes, data_coding: int, alphabet: Alphabet = "gsm", udh: bytes = b"") -> str:
    """The text after a user data header; what cannot be read becomes U+FFFD. Binary is read as Latin-1."""
    match coding(data_coding):
        case "ucs2":
            return octets.decode("utf-16-be", "replace")
        case "binary" | "latin1":
            return octets.decode("latin-1")
        case _ if alphabet in ("latin1", "ascii") and data_coding == 0:
            return octets.decode("latin-1" if alphabet == "latin1" else "ascii", "replace")
    if alphabet == "gsm_packed":
        octets = unpack(octets, len(udh))
    return _septets(octets, elements(udh))


def _septets(octets: bytes, udh: Mapping[int, bytes]) -> str:
    locking = LOCKING_SHIFTS.get(int.from_bytes(udh.get(_LOCKING_SHIFT, b"")), BASIC)
    single = SINGLE_SHIFTS.get(int.from_bytes(udh.get(_SINGLE_SHIFT, b"")), EXTENSION)
    text, escaped = [], False
    for octet in octets:
        if octet > 0x7F:
            text.append("\ufffd")
        elif escaped:
            text.append(single.get(octet, locking[octet] if octet != ESCAPE else " "))
        elif octet != ESCAPE:
            text.append(locking[octet])
        escaped = octet == ESCAPE and not escaped
    return "".join(text) + " " * escaped


def elements(udh: bytes) -> dict[int, bytes]:
    """The information elements of a user data header, its length octet first; the first of each kind."""
    found: dict[int, bytes] = {}
    at = 1
    while at + 2 <= len(udh):
        end = at + 2 + udh[at + 1]
        found.setdefault(udh[at], udh[at + 2 : end])
        at = end
    return found


def pack(septets: bytes, header_octets: int = 0) -> bytes:
    """Eight septets in seven octets, TS 23.038 §6.1.2.1; the text begins at a septet boundary after the header."""
    fill = -header_octets * 8 % 7
    bits = sum(septet << (7 * place) for place, septet in enumerate(septets)) << fill
    octets = (len(septets) * 7 + fill + 7) // 8
    spare = octets * 8 - fill - len(septets) * 7
    if spare == 7:  # else the spare bits would read as @
        bits |= 0x0D << (len(septets) * 7 + fill)
    return bits.to_bytes(octets, "little")


def unpack(octets: bytes, header_octets: int = 0) -> bytes:
    """The septets; a last one made of seven spare bits, zeros or the carriage return of §6.1.2.3.1, is left out."""
    fill = -header_octets * 8 % 7
    bits = int.from_bytes(octets, "little") >> fill
    count = max(len(octets) * 8 - fill, 0) // 7
    septets = bytes(bits >> (7 * place) & 0x7F for place in range(count))
    ends_full = (len(octets) * 8 - fill) % 7 == 0
    return septets[:-1] if ends_full and septets[-1:] in (b"\0", b"\r") else septets
