"""Text to the octets of SMS and USSD and back: what data_coding says about them. Pure.

Sources: SMPP 3.4 §5.2.19 for data_coding; 3GPP TS 23.038 §4 and §5 for the coding groups met on SMPP links.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec

from gateway.pdus.codec import Tlvs
from gateway.pdus.pdu import DataSm, DeliverSm
from gateway.sms.national import Shifts, table
from gateway.sms.packing import fill_bits, unpack
from gateway.sms.style import Alphabet, Style
from gateway.sms.udh import NO_HEADER, NO_SHIFTS, Header, part_of
from gateway.sms.udh import UDHI as UDHI
from vas.alphabet import gsm_decode, gsm_encode
from vas.messages import Part

DEFAULT = 0x00
"""The data_coding that means what the account's alphabet says."""
UCS2 = 0x08
CBS_GSM = 0x0F
"""GSM 03.38 of no particular language to a USSD gateway that reads the octet as 3GPP TS 23.038 §5."""

_GSM_AFTER_LANGUAGE = 0x10
_UCS2_AFTER_LANGUAGE = 0x11
_CBS_LANGUAGES = range(0x20, 0x40)
_GENERAL = (*range(0x10, 0x20), *range(0x40, 0x60))
"""General data coding: bits 3 and 2 name the alphabet, 0 GSM 03.38, 1 octets, 2 UCS-2. Bit 5 is compression."""
_GSM_CODINGS = frozenset(
    {0x00, 0x0F, *(coding for coding in _GENERAL if coding & 0x0C == 0), *range(0xC0, 0xE0)}
    | {coding for coding in range(0xF0, 0x100) if not coding & 0x04}
)
_UCS2_CODINGS = frozenset({0x08, *(coding for coding in _GENERAL if coding & 0x0C == 0x08), *range(0xE0, 0xF0)})
_CODECS = {0x01: "ascii", 0x05: "shift_jis", 0x06: "iso8859_5", 0x07: "iso8859_8", 0x0A: "iso2022_jp", 0x0E: "euc_kr"}


class Encoded(msgspec.Struct, frozen=True):
    """Octets with the data_coding that reads them."""

    data_coding: int
    octets: bytes


class Segment(msgspec.Struct, frozen=True):
    """What one submit_sm carries of a text."""

    data_coding: int
    short_message: bytes
    esm_class: int = 0
    """UDHI where the user data begins with a header."""
    tlvs: Tlvs = ()


class Received(msgspec.Struct, frozen=True):
    """What a deliver_sm or data_sm says."""

    text: str
    """That of this PDU alone."""
    part: Part | None = None
    """Its place in a long message."""
    port: int = 0
    """The application port that it is addressed to; 0: none."""


def encode_plain(text: str, alphabet: Alphabet) -> bytes | None:
    """In the alphabet of data_coding 0, an octet a septet; None if a character has no place there."""
    if alphabet == "gsm" or alphabet == "gsm_packed":
        return gsm_encode(text)
    try:
        return text.encode(alphabet)
    except UnicodeEncodeError:
        return None


def decode(octets: bytes, data_coding: int, alphabet: Alphabet = "gsm", shifts: Shifts = NO_SHIFTS) -> str:
    """The text of unpacked octets; what cannot be read becomes U+FFFD. Octets of no known text are read as Latin-1.

    National shifts are understood whatever the account's alphabet: only GSM 03.38 has any.
    """
    if data_coding in _GSM_CODINGS:
        if shifts != NO_SHIFTS:
            return table(shifts).decode(octets)
        if data_coding == DEFAULT and alphabet in ("latin1", "ascii"):
            return octets.decode(alphabet, "replace")
        return gsm_decode(octets)
    if data_coding in _UCS2_CODINGS:
        return octets.decode("utf-16-be", "replace")
    return octets.decode(_CODECS.get(data_coding, "latin-1"), "replace")


def decode_ussd(octets: bytes, data_coding: int, alphabet: Alphabet = "gsm") -> str:
    """The text of a USSD string as it came; never raises.

    Where SMPP leaves the octet open it is read as 3GPP TS 23.038 §5 has it: 0x20 to 0x3F are languages in GSM 03.38;
    with 0x10 and 0x11 a language of two letters stands before the text, which is left out if it is there.
    """
    if data_coding == _UCS2_AFTER_LANGUAGE and _is_language(unpack(octets[:2])):
        return decode(octets[2:], UCS2)
    if data_coding in _CBS_LANGUAGES:
        data_coding = CBS_GSM
    text = decode(unpacked(octets, data_coding, alphabet, NO_HEADER), data_coding, alphabet)
    if data_coding == _GSM_AFTER_LANGUAGE and text[2:3] == "\r" and _is_language(text[:2].encode("ascii", "replace")):
        return text[3:]
    return text


def _is_language(letters: bytes) -> bool:
    """By ISO 639: two small letters."""
    return len(letters) == 2 and letters.isalpha() and letters.islower()


def unpacked(body: bytes, data_coding: int, alphabet: Alphabet, header: Header) -> bytes:
    """The octets as `decode` reads them: GSM 03.38 an octet a septet, all else as it came."""
    if alphabet == "gsm_packed" and data_coding in _GSM_CODINGS:
        return unpack(body, fill_bits(header.octets))
    return body


def read(pdu: DeliverSm | DataSm, raw: bytes, style: Style) -> Received:
    """The user data `raw`, from short_message or message_payload; never raises."""
    if not pdu.esm_class & UDHI and not pdu.tlvs and style.alphabet != "gsm_packed":
        return Received(decode(raw, pdu.data_coding, style.alphabet))
    header, body = part_of(pdu, raw)
    octets = unpacked(body, pdu.data_coding, style.alphabet, header)
    text = decode(octets, pdu.data_coding, style.alphabet, header.shifts)
    if not header.reference:
        return Received(text, port=header.port)
    coding = coding_of(pdu.data_coding, style.alphabet, header.shifts)
    return Received(text, Part(header.reference, header.total, header.number, octets, coding), header.port)


def joined(parts: Sequence[Part]) -> str:
    """What the parts of a long message, all of them and in order, say together, wherever the text was cut."""
    return "".join(
        decode(b"".join(part.octets for part in alike), *read_coding(coding))
        for coding, alike in groupby(parts, key=lambda part: part.coding)
    )


def coding_of(data_coding: int, alphabet: Alphabet, shifts: Shifts) -> str:
    """All that `decode` needs besides the octets, for Part.coding."""
    return f"{data_coding}:{alphabet}:{shifts.locking}:{shifts.single}"


def read_coding(coding: str) -> tuple[int, Alphabet, Shifts]:
    """data_coding, alphabet and shifts as `coding_of` wrote them."""
    data_coding, alphabet, locking, single = coding.split(":")
    return int(data_coding), msgspec.convert(alphabet, Alphabet), Shifts(int(locking), int(single))
