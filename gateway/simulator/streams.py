"""The SMPP frames in a capture's packets: TCP put in order, connections told apart, both ends named. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from gateway.pdus.pdu import HEADER_OCTETS, PDU_OCTETS_MAX, PDUS, RESPONSE, decode, header
from gateway.simulator.decoded import BINDS, End, Taped
from gateway.simulator.pcap import Packet
from gateway.simulator.tcp import SYN, Segment, read
from vas.errors import SmppError

HELD_OCTETS_MAX = 4 << 20
"""Of one direction, behind a segment that is missing; past it the hole is passed over."""
CONNECTIONS_MAX = 10_000
SMPP_PORT = 2775
_COMMANDS = frozenset(pdu.command_id for pdu in PDUS)
_OF_ESME = BINDS | {0x03, 0x04, 0x07, 0x08, 0x21, 0x111, 0x112, 0x113}
"""Requests that only an ESME makes; their responses only an SMSC."""
_OF_SMSC = frozenset({0x05, 0x0B, 0x102})


def taped(packets: Iterable[Packet]) -> list[Taped]:
    """Every whole frame in the order of time; what cannot be one is passed over. Raises ValueError past the limits."""
    connections: dict[frozenset[End], _Connection] = {}
    found: list[_Connection] = []
    for packet in packets:
        segment = read(packet.link_type, packet.octets)
        if segment is None:
            continue
        ends = frozenset((segment.source, segment.destination))
        known = connections.get(ends)
        if known is None or (segment.flags & SYN and known.begun_anew_by(segment)):
            if len(found) >= CONNECTIONS_MAX:
                raise ValueError(f"more than {CONNECTIONS_MAX} connections")
            known = connections[ends] = _Connection(len(found) + 1)
            found.append(known)
        known.take(packet.at, segment)
    return sorted((frame for connection in found for frame in connection.taped()), key=lambda frame: frame.at)


class _Connection:
    """One TCP connection, its two directions by who sends."""

    def __init__(self, session: int) -> None:
        self._session = session
        self._flows: dict[End, _Flow] = {}
        self._frames: list[tuple[datetime, End, bytes]] = []
        self._data_seen = False

    def begun_anew_by(self, segment: Segment) -> bool:
        """A SYN after data is another connection between the same ports; before, it is this one's."""
        flow = self._flows.get(segment.source)
        return self._data_seen and (flow is None or not flow.began_at(segment.sequence))

    def take(self, at: datetime, segment: Segment) -> None:
        self._data_seen = self._data_seen or bool(segment.data)
        flow = self._flows.get(segment.source)
        if flow is None:
            flow = self._flows[segment.source] = _Flow()
            self._flows.setdefault(segment.destination, _Flow())
        for frame in flow.take(segment):
            self._frames.append((at, segment.source, frame))

    def taped(self) -> Iterator[Taped]:
        for source, flow in self._flows.items():
            last = max((at for at, sender, _ in self._frames if sender == source), default=None)
            if last is not None:
                self._frames += [(last, source, frame) for frame in flow.rest()]
        if not self._frames:
            return
        smsc = self._smsc()
        (esme,) = (end for end in self._flows if end != smsc)
        account = ""
        for at, source, frame in sorted(self._frames, key=lambda entry: entry[0]):
            account = _system_id(frame) or account
            yield Taped(at, "out" if source == smsc else "in", self._session, account, smsc, esme, frame)

    def _smsc(self) -> End:
        """Who sends what only an SMSC does; else who listens at SMPP's port; else at the lower one."""
        for _, source, frame in self._frames:
            command_id = header(frame)[1]
            request = command_id & ~RESPONSE
            if request in _OF_ESME or request in _OF_SMSC:
                is_smsc = (request in _OF_SMSC) is not bool(command_id & RESPONSE)
                return source if is_smsc else next(end for end in self._flows if end != source)
        return min(self._flows, key=lambda end: (end[1] != SMPP_PORT, end[1]))


class _Flow:
    """One direction of a connection: segments by sequence number to frames."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._next: int | None = None
        self._held: dict[int, bytes] = {}
        self._buffer = bytearray()
        self._lost = False

    def began_at(self, sequence: int) -> bool:
        return self._first == sequence

    def take(self, segment: Segment) -> Iterator[bytes]:
        sequence = segment.sequence
        if segment.flags & SYN:
            self._first = sequence
            self._next = sequence + 1 & 0xFFFF_FFFF
            return
        if self._next is None:
            self._next, self._lost = sequence, True
        if segment.data and _ahead(sequence + len(segment.data), self._next) > 0:
            known = self._held.get(sequence, b"")
            self._held[sequence] = max(known, segment.data, key=len)
        self._join()
        if sum(map(len, self._held.values())) > HELD_OCTETS_MAX:
            self._pass_over()
        yield from self._frames()

    def rest(self) -> Iterator[bytes]:
        """What is left at the end of the capture, behind its holes."""
        while self._held:
            self._pass_over()
            yield from self._frames()

    def _join(self) -> None:
        while self._held:
            assert self._next is not None
            sequence = min(self._held, key=lambda held: _ahead(held, self._next or 0))
            ahead = _ahead(sequence, self._next)
            if ahead > 0:
                return
            data = self._held.pop(sequence)[-ahead:]
            self._buffer += data
            self._next = self._next + len(data) & 0xFFFF_FFFF

    def _pass_over(self) -> None:
        """Go on behind a hole: what stood before it in the middle of a frame is given up."""
        self._next = min(self._held, key=lambda held: _ahead(held, self._next or 0))
        self._buffer.clear()
        self._lost = True
        self._join()

    def _frames(self) -> Iterator[bytes]:
        while len(self._buffer) >= HEADER_OCTETS:
            if self._lost and not self._find_header():
                return
            octets, *_ = header(bytes(self._buffer[:HEADER_OCTETS]))
            if not HEADER_OCTETS <= octets <= PDU_OCTETS_MAX:
                self._lost = True
                del self._buffer[:1]
                continue
            if len(self._buffer) < octets:
                return
            yield bytes(self._buffer[:octets])
            del self._buffer[:octets]

    def _find_header(self) -> bool:
        """Move to what looks like the beginning of a frame."""
        for start in range(len(self._buffer) - HEADER_OCTETS + 1):
            octets, command_id, status, _ = header(bytes(self._buffer[start : start + HEADER_OCTETS]))
            plain = command_id & RESPONSE or not status
            if HEADER_OCTETS <= octets <= PDU_OCTETS_MAX and command_id in _COMMANDS and plain:
                del self._buffer[:start]
                self._lost = False
                return True
        del self._buffer[: max(len(self._buffer) - HEADER_OCTETS + 1, 0)]
        return False


def _ahead(sequence: int, of: int) -> int:
    """How far one sequence number is ahead of another, which wrap at 2**32; negative if behind."""
    return (sequence - of + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000


def _system_id(frame: bytes) -> str:
    if header(frame)[1] not in BINDS:
        return ""
    try:
        pdu = decode(frame)
    except SmppError:
        return ""
    return getattr(pdu, "system_id", b"").decode("latin-1")
