"""Captures that Wireshark opens: what is written here, and the packets of those that are read.

Sources: the file formats pcap and pcapng, draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import BinaryIO, NamedTuple

from gateway.simulator import tcp
from gateway.simulator.decoded import Direction, Taped, without_password
from gateway.simulator.tcp import ACK, PSH, SYN, Segment

PACKET_OCTETS_MAX = 1 << 18
"""The most that a capture may give for one packet, as libpcap has it."""
SEGMENT_OCTETS = 1_460

_MICROSECONDS, _NANOSECONDS = 0xA1B2C3D4, 0xA1B23C4D
_SECTION, _INTERFACE, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 3, 6
_BYTE_ORDER = 0x1A2B3C4D
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Packet(NamedTuple):
    """What a capture holds for one packet, from its link-layer header on."""

    at: datetime
    link_type: int
    octets: bytes


# --- written


def opening() -> bytes:
    """What stands before the first packet of a pcap file."""
    return struct.pack("<IHHiIII", _MICROSECONDS, 2, 4, 0, 0, PACKET_OCTETS_MAX, tcp.ETHERNET)


class Conversations:
    """Packets around frames: every session becomes one TCP connection, begun by the ESME."""

    def __init__(self) -> None:
        self._sent: dict[int, list[int]] = {}
        """By session, the next sequence number of the ESME and of the SMSC."""

    def packets(self, taped: Taped) -> bytes:
        """The records of one frame; of a session's first frame, with a handshake before it."""
        out = []
        if taped.session not in self._sent:
            self._sent[taped.session] = [0, 0]
            out += [
                self._record(taped, "in", SYN, b""),
                self._record(taped, "out", SYN | ACK, b""),
                self._record(taped, "in", ACK, b""),
            ]
        frame = without_password(taped.frame)
        for start in range(0, len(frame), SEGMENT_OCTETS):
            out.append(self._record(taped, taped.direction, PSH | ACK, frame[start : start + SEGMENT_OCTETS]))
        return b"".join(out)

    def _record(self, taped: Taped, direction: Direction, flags: int, data: bytes) -> bytes:
        sent = self._sent[taped.session]
        own = 0 if direction == "in" else 1
        source, destination = (taped.esme, taped.smsc) if direction == "in" else (taped.smsc, taped.esme)
        acknowledged = sent[1 - own] if flags & ACK else 0
        octets = tcp.write(Segment(source, destination, sent[own], flags, data), acknowledged)
        sent[own] = (sent[own] + len(data) + (1 if flags & SYN else 0)) & 0xFFFF_FFFF
        microseconds = (taped.at - _EPOCH) // _MICROSECOND
        seconds, rest = divmod(microseconds, 1_000_000)
        return struct.pack("<IIII", seconds, rest, len(octets), len(octets)) + octets


# --- read


def packets(file: BinaryIO) -> Iterator[Packet]:
    """Of a pcap or pcapng file in either byte order; a last packet cut short is left out. Raises ValueError."""
    magic = file.read(4)
    for order in ("<", ">"):
        if len(magic) == 4:
            (number,) = struct.unpack(f"{order}I", magic)
            if number in (_MICROSECONDS, _NANOSECONDS):
                return _pcap(file, order, 1_000 if number == _NANOSECONDS else 1)
            if number == _SECTION:
                return _pcapng(file)
    raise ValueError("neither pcap nor pcapng")


def _pcap(file: BinaryIO, order: str, divisor: int) -> Iterator[Packet]:
    rest = file.read(20)
    if len(rest) < 20:
        raise ValueError("the capture ends within its header")
    link_type = struct.unpack(f"{order}I", rest[16:])[0] & 0xFFFF
    unpack = struct.Struct(f"{order}IIII").unpack
    while len(head := file.read(16)) == 16:
        seconds, fraction, captured, _ = unpack(head)
        if captured > PACKET_OCTETS_MAX:
            raise ValueError(f"a packet of {captured} octets")
        octets = file.read(captured)
        if len(octets) == captured:
            yield Packet(_EPOCH + timedelta(seconds=seconds, microseconds=fraction // divisor), link_type, octets)


def _pcapng(file: BinaryIO) -> Iterator[Packet]:
    interfaces: list[tuple[int, Callable[[int], datetime]]] = []
    kind, order = _SECTION, "<"
    while True:
        if kind == _SECTION:
            length, magic = file.read(4), file.read(4)
            order = "<" if magic == struct.pack("<I", _BYTE_ORDER) else ">"
            interfaces = []
            body = magic + _block(file, order, length, already=12)
        else:
            body = _block(file, order, file.read(4), already=8)
        if kind == _INTERFACE:
            (link_type,) = struct.unpack_from(f"{order}H", body)
            interfaces.append((link_type, _clock(_resolution(body[8:], order))))
        elif kind == _ENHANCED:
            yield _enhanced(body, order, interfaces)
        elif kind == _SIMPLE:
            raise ValueError("packets without a time cannot be replayed")
        head = file.read(4)
        if len(head) < 4:
            return
        kind = _SECTION if head == struct.pack(">I", _SECTION) else struct.unpack(f"{order}I", head)[0]


def _block(file: BinaryIO, order: str, length: bytes, already: int) -> bytes:
    """The body of a block, of which `already` octets are read; without the length at its end."""
    (octets,) = struct.unpack(f"{order}I", length) if len(length) == 4 else (0,)
    if not already + 4 <= octets <= PACKET_OCTETS_MAX + 1_024 or octets % 4:
        raise ValueError(f"a block of {octets} octets")
    return file.read(octets - already)[:-4]


def _enhanced(body: bytes, order: str, interfaces: list[tuple[int, Callable[[int], datetime]]]) -> Packet:
    if len(body) < 20:
        raise ValueError("a packet's block is too short")
    interface, high, low, captured, _ = struct.unpack_from(f"{order}IIIII", body)
    if interface >= len(interfaces):
        raise ValueError(f"no interface {interface}")
    link_type, clock = interfaces[interface]
    return Packet(clock(high << 32 | low), link_type, body[20 : 20 + captured])


def _resolution(options: bytes, order: str) -> int:
    """Ticks a second: option if_tsresol, a power of 10, or of 2 where its top bit is set."""
    while len(options) >= 4:
        code, octets = struct.unpack_from(f"{order}HH", options)
        if code == 9 and octets == 1:
            exponent = options[4]
            return int(2 ** (exponent & 0x7F)) if exponent & 0x80 else int(10**exponent)
        options = options[4 + (octets + 3) // 4 * 4 :]
    return 1_000_000


def _clock(ticks_a_second: int) -> Callable[[int], datetime]:
    return lambda ticks: _EPOCH + timedelta(microseconds=ticks * 1_000_000 // ticks_a_second)
