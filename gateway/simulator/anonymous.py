"""A recording of a real link without its people: the same numbers become the same other numbers, everywhere. Pure.

Keyed: who has no key cannot go back, and recordings made with one key fit together. A number keeps its length, its
country and its operator: only its last seven digits change, by a permutation, so that two subscribers never become
one. Short codes, message ids, the words of texts and the names of senders stay.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

import msgspec

from gateway.pdus import tags
from gateway.pdus.pdu import Pdu, decode
from gateway.simulator.decoded import Taped, is_receipt, said, tag_name, without_password
from vas.errors import SmppError

NUMBER_DIGITS_MIN = 8
"""Fewer are a short code, an amount, or a one-time code."""
NUMBER_OCTETS_MIN = 5
"""Of one in two digits an octet."""
CHANGED_DIGITS = 7
ROUNDS = 10
SMSC_HOST, ESME_HOST = "192.0.2.1", "192.0.2.2"
"""Of RFC 5737: addresses for documentation."""

_UCS2_CODINGS = frozenset({0x08, 0x18, 0x19, 0x1A, 0x1B, 0x48, *range(0xE0, 0xF0)})
_NUMBER = rf"\d(?:[ .-]?\d){{{NUMBER_DIGITS_MIN - 1},}}"
_number = re.compile(_NUMBER.encode())
_number_in_text = re.compile(_NUMBER, re.ASCII)
_at_an_edge = re.compile(rb"\A\d{2,}|\d{2,}\Z")
_receipt_body = re.compile(rb"\btext:", re.IGNORECASE)
_KEPT_TLVS = frozenset({tags.RECEIPTED_MESSAGE_ID, tags.ITS_SESSION_INFO})
_SUBADDRESSES = frozenset({tags.SOURCE_SUBADDRESS, tags.DEST_SUBADDRESS, tags.CALLBACK_NUM_ATAG})
_TEXT_TLVS = frozenset({tags.CALLBACK_NUM, tags.ADDITIONAL_STATUS_INFO_TEXT, tags.BILLING_IDENTIFICATION})


def numbers_in(text: str) -> tuple[str, list[str]]:
    """A text with `#` for each number that an anonymised recording changes, and the digits of these numbers."""
    return _number_in_text.sub("#", text), [re.sub(r"\D", "", found) for found in _number_in_text.findall(text)]


class Anonymiser:
    """What one key makes of frames."""

    def __init__(self, key: bytes) -> None:
        """`key` has at least 16 octets; raises ValueError."""
        if len(key) < 16:
            raise ValueError("a key has at least 16 octets, or all numbers could be tried")
        self._key = key
        self._tail = lru_cache(1 << 20)(self._permuted)

    def tapes(self, tapes: Iterable[Taped]) -> Iterator[Taped]:
        """Each frame that can be read; one that cannot might hold anything, and is left out."""
        for taped in tapes:
            frame = self.frame(taped.frame)
            if frame is not None:
                yield msgspec.structs.replace(
                    taped, frame=frame, smsc=(SMSC_HOST, taped.smsc[1]), esme=(ESME_HOST, taped.esme[1])
                )

    def frame(self, frame: bytes) -> bytes | None:
        try:
            pdu = decode(without_password(frame))
            self._change(pdu)
            return pdu.encode()
        except SmppError:
            return None

    def number(self, digits: bytes) -> bytes:
        """Another number for a number in any spelling: `0912…`, `84912…` and `+84912…` stay one subscriber."""
        if len(digits) < NUMBER_DIGITS_MIN:
            return digits
        return digits[:-CHANGED_DIGITS] + self._tail(digits[-9:-CHANGED_DIGITS], digits[-CHANGED_DIGITS:])

    def octets(self, octets: bytes) -> bytes:
        """ASCII, or what looks like it, with every number changed, also one written with spaces, dots or dashes."""
        return _number.sub(self._respelt, octets)

    def _respelt(self, match: re.Match[bytes]) -> bytes:
        spelt = match[0]
        digits = iter(self.number(re.sub(rb"\D", b"", spelt)))
        return bytes(next(digits) if 0x30 <= octet <= 0x39 else octet for octet in spelt)

    def _permuted(self, before: bytes, tail: bytes) -> bytes:
        """A Feistel network over three and four digits, as NIST SP 800-38G builds permutations of digits."""
        left, right = int(tail[:3]), int(tail[3:])
        for turn in range(ROUNDS):
            if turn % 2:
                right = (right + self._hash(before, turn, left)) % 10_000
            else:
                left = (left + self._hash(before, turn, right)) % 1_000
        return b"%03d%04d" % (left, right)

    def _hash(self, *of: object) -> int:
        return int.from_bytes(hmac.digest(self._key, repr(of).encode(), "sha256")[:8], "big")

    # --- where numbers stand

    def _change(self, pdu: Pdu) -> None:
        for name in pdu.__struct_fields__:
            if name.endswith(("_addr", "address_range")):
                setattr(pdu, name, self.octets(getattr(pdu, name)))
        for name in ("dest_addresses", "unsuccess_smes"):
            if hasattr(pdu, name):
                setattr(pdu, name, tuple(self._destination(entry) for entry in getattr(pdu, name)))
        if getattr(pdu, "short_message", b""):
            pdu.short_message = self._body(pdu)  # type: ignore[attr-defined]
        pdu.tlvs = tuple((tag, self._tlv(pdu, tag, value)) for tag, value in pdu.tlvs)

    def _destination(self, entry: msgspec.Struct) -> msgspec.Struct:
        address: bytes = getattr(entry, "destination_addr", b"")
        return msgspec.structs.replace(entry, destination_addr=self.octets(address)) if address else entry

    def _tlv(self, pdu: Pdu, tag: int, value: bytes) -> bytes:
        if tag == tags.MESSAGE_PAYLOAD:
            return value if getattr(pdu, "short_message", b"") else self._body(pdu)
        if tag in _KEPT_TLVS:
            return value
        if tag in _TEXT_TLVS or value.rstrip(b"\0").decode("latin-1").isprintable():
            return self.octets(value)
        # A vendor's own octets, or a subaddress, may be a number in any spelling.
        hides = tag in _SUBADDRESSES or tag_name(tag).startswith("0x")
        return b"\0" * len(value) if hides and len(value) >= NUMBER_OCTETS_MIN else value

    def _body(self, pdu: Pdu) -> bytes:
        udh, text = said(pdu) or (b"", b"")
        if is_receipt(pdu):
            head = _receipt_body.search(text)
            start = head.end() if head else len(text)
            return udh + text[:start] + self.octets(text[start:])
        part = bool(udh) or pdu.tlv(tags.SAR_TOTAL_SEGMENTS) is not None
        if getattr(pdu, "data_coding", 0) in _UCS2_CODINGS:
            return udh + self._ucs2(text, part)
        return udh + self._text(text, part)

    def _ucs2(self, octets: bytes, part: bool) -> bytes:
        """Digits of UCS-2 are those of ASCII behind a zero octet; all else stays, whatever it is."""
        plain = bytes(
            low if not high and low < 0x80 else 0xFF for high, low in zip(octets[::2], octets[1::2], strict=False)
        )
        changed = bytearray(octets)
        for place, octet in enumerate(self._text(plain, part)):
            if octet != 0xFF:
                changed[2 * place + 1] = octet
        return bytes(changed)

    def _text(self, octets: bytes, part: bool) -> bytes:
        changed = self.octets(octets)
        # A number that two parts share is too short in each to be known as one.
        return _at_an_edge.sub(self._scrambled, changed) if part else changed

    def _scrambled(self, match: re.Match[bytes]) -> bytes:
        digits = match[0]
        if len(digits) >= NUMBER_DIGITS_MIN:
            return digits
        return b"%0*d" % (len(digits), self._hash(digits) % 10 ** len(digits))
