"""PDUs as only a broken SMSC writes them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.pdus.pdu import HEADER_OCTETS, DeliverSm, decode
from gateway.simulator.faults import Malformed

_CUT_TLV = bytes.fromhex("001e0041") + b"12345"
"""receipted_message_id that says 65 octets and has five, as met in the field."""


def spoil(frame: bytes, shape: Malformed) -> bytes:
    """A deliver_sm or data_sm spoilt in one way; the stream stays whole except after the `length_` shapes."""
    return _SHAPES[shape](frame)


def _length(frame: bytes, octets: int) -> bytes:
    return octets.to_bytes(4, "big") + frame[4:]


def _body(frame: bytes, body: bytes) -> bytes:
    return _length(frame[:HEADER_OCTETS] + body, HEADER_OCTETS + len(body))


def _sm_length(frame: bytes) -> bytes:
    """255 octets are promised, and fewer are there."""
    pdu = decode(frame)
    if not isinstance(pdu, DeliverSm):
        return _body(frame, frame[HEADER_OCTETS:-1])
    pdu.tlvs = ()
    whole = pdu.encode()
    at = len(whole) - len(pdu.short_message) - 1
    return whole[:at] + b"\xff" + whole[at + 1 :]


_SHAPES: Mapping[Malformed, Callable[[bytes], bytes]] = {
    "length_short": lambda frame: _length(frame, 4),
    "length_huge": lambda frame: _length(frame, 0x7FFF_FFFF),
    "length_long": lambda frame: _length(frame, len(frame) + 8),
    "unknown_command": lambda frame: frame[:4] + b"\0\0\xab\xcd" + frame[8:],
    "truncated_tlv": lambda frame: _body(frame, frame[HEADER_OCTETS:] + _CUT_TLV),
    "unterminated": lambda frame: _body(frame, b"\0\1\1" + b"8" * 40),
    "sm_length": _sm_length,
}
