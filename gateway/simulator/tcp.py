"""TCP segments in Ethernet frames, written and read. Pure.

Sources: RFC 791, RFC 8200, RFC 9293; the link types of tcpdump.org for what captures on Linux come in.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, ip_address
from typing import NamedTuple

from gateway.simulator.decoded import End

FIN, SYN, PSH, ACK = 0x01, 0x02, 0x08, 0x10
ETHERNET = 1

_TCP = 6
_IPV4, _IPV6 = 0x0800, 0x86DD
_VLAN_TAGS = frozenset({0x8100, 0x88A8})
_EXTENSIONS = frozenset({0, 43, 60})
"""IPv6 headers that may stand before TCP's: hop-by-hop, routing, destination options."""
_LINK_HEADERS = {0: 4, 108: 4, ETHERNET: 14, 12: 0, 101: 0, 113: 16, 228: 0, 229: 0, 276: 20}
"""Octets before the IP header by link type: loopback, Ethernet, raw IP, and Linux's "any" device in both versions."""


class Segment(NamedTuple):
    """What of a packet matters to its connection."""

    source: End
    destination: End
    sequence: int
    flags: int
    data: bytes


def write(segment: Segment, acknowledged: int) -> bytes:
    """One Ethernet frame with one segment, its checksums right; at most 65,000 octets of data."""
    here, there = ip_address(segment.source[0]), ip_address(segment.destination[0])
    addresses = here.packed + there.packed
    ports = (segment.source[1], segment.destination[1])
    header = struct.pack(">HHIIBBHHH", *ports, segment.sequence, acknowledged, 5 << 4, segment.flags, 0xFFFF, 0, 0)
    octets = len(header) + len(segment.data)
    checksum = _checksum(addresses + struct.pack(">II", octets, _TCP) + header + segment.data)
    body = header[:16] + struct.pack(">H", checksum) + header[18:] + segment.data
    if isinstance(here, IPv4Address):
        kind = _IPV4
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + octets, 0, 0x4000, 64, _TCP, 0) + addresses
        ip = ip[:10] + struct.pack(">H", _checksum(ip)) + ip[12:]
    else:
        kind = _IPV6
        ip = struct.pack(">IHBB", 6 << 28, octets, _TCP, 64) + addresses
    return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01" + struct.pack(">H", kind) + ip + body


def _checksum(octets: bytes) -> int:
    """RFC 1071."""
    padded = octets + b"\0" * (len(octets) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def read(link_type: int, octets: bytes) -> Segment | None:
    """The segment in a packet; None for what is not TCP, a fragment, or cut short in a header."""
    start = _LINK_HEADERS.get(link_type)
    if start is None:
        return None
    if link_type == ETHERNET:
        while int.from_bytes(octets[start - 2 : start], "big") in _VLAN_TAGS:
            start += 4
    try:
        version = octets[start] >> 4
        if version == 4:
            return _ipv4(octets[start:])
        return _ipv6(octets[start:]) if version == 6 else None
    except (IndexError, struct.error):
        return None


def _ipv4(octets: bytes) -> Segment | None:
    length, _, fragment, _, protocol = struct.unpack_from(">HHHBB", octets, 2)
    if protocol != _TCP or fragment & 0x3FFF:  # more fragments, or not the first
        return None
    # A network card that segments for the kernel leaves 0 here.
    body = octets[(octets[0] & 0x0F) * 4 : length or len(octets)]
    return _segment(octets[12:16], octets[16:20], body)


def _ipv6(octets: bytes) -> Segment | None:
    length, following = struct.unpack_from(">HB", octets, 4)
    body = octets[40 : 40 + length if length else len(octets)]
    while following in _EXTENSIONS:
        following, body = body[0], body[8 + body[1] * 8 :]
    return _segment(octets[8:24], octets[24:40], body) if following == _TCP else None


def _segment(source: bytes, destination: bytes, body: bytes) -> Segment:
    here, there, sequence, _, offset, flags = struct.unpack_from(">HHIIBB", body)
    return Segment(
        (str(ip_address(source)), here), (str(ip_address(destination)), there), sequence, flags,
        body[(offset >> 4) * 4 :],
    )  # fmt: skip
