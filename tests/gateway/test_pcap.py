"""Captures: what we write is read back, and what a real network does to TCP is put right."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from gateway.pdus.pdu import (
    BindTransceiver,
    BindTransceiverResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    Outbind,
    Pdu,
    SubmitSm,
    SubmitSmResp,
)
from gateway.simulator import pcap, streams, tcp
from gateway.simulator.decoded import Direction, End, Taped
from gateway.simulator.tcp import ACK, PSH, SYN, Segment

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SMSC, ESME = ("10.0.0.1", 2775), ("10.0.0.2", 40_001)
TEXTS = [DeliverSm(sequence=n, source_addr=b"84912345678", short_message=b"text %d" % n).encode() for n in range(1, 6)]


def conversation(smsc: End = SMSC, esme: End = ESME, session: int = 1) -> list[Taped]:
    said: list[tuple[Direction, Pdu]] = [
        ("in", BindTransceiver(sequence=1, system_id=b"vas", password=b"******")),
        ("out", BindTransceiverResp(sequence=1, system_id=b"SMSC")),
        ("out", DeliverSm(sequence=1, source_addr=b"84912345678", short_message=b"HD")),
        ("in", DeliverSmResp(sequence=1)),
        ("in", SubmitSm(sequence=2, destination_addr=b"84912345678", short_message=b"x" * 255)),
        ("out", SubmitSmResp(sequence=2, message_id=b"7")),
    ]
    return [
        Taped(NOON + timedelta(milliseconds=step), direction, session, "vas", smsc, esme, pdu.encode())
        for step, (direction, pdu) in enumerate(said)
    ]


def written(tapes: Iterable[Taped]) -> bytes:
    conversations = pcap.Conversations()
    return pcap.opening() + b"".join(map(conversations.packets, tapes))


def read(capture: bytes) -> list[Taped]:
    return streams.taped(pcap.packets(io.BytesIO(capture)))


def segments(datas: Sequence[bytes], first: int = 1_000, source: End = SMSC) -> list[bytes]:
    """One packet for each piece of a stream of the SMSC."""
    packets, sequence = [], first
    for data in datas:
        packets.append(tcp.write(Segment(source, ESME, sequence & 0xFFFF_FFFF, PSH | ACK, data), 1))
        sequence += len(data)
    return packets


def heard(packets: Iterable[bytes], link_type: int = tcp.ETHERNET, syn: bool = False) -> list[bytes]:
    if syn:
        packets = [tcp.write(Segment(SMSC, ESME, 999, SYN, b""), 0), *packets]
    times = (NOON + timedelta(milliseconds=step) for step in range(1_000_000))
    captured = (pcap.Packet(at, link_type, octets) for at, octets in zip(times, packets, strict=False))
    return [taped.frame for taped in streams.taped(captured)]


@pytest.mark.parametrize(
    ("smsc", "esme"),
    [
        pytest.param(SMSC, ESME, id="IPv4"),
        pytest.param(("2001:db8::1", 2775), ("2001:db8::2", 40_001), id="IPv6"),
        pytest.param(("10.0.0.1", 50_000), ("10.0.0.1", 2775), id="ports say nothing"),
    ],
)
def test_what_was_written_is_read_back(smsc: End, esme: End) -> None:
    assert read(written(conversation(smsc, esme))) == conversation(smsc, esme)


def ones_complement_sum(octets: bytes) -> int:
    """RFC 1071: 0xFFFF over octets that hold their own checksum."""
    octets += b"\0" * (len(octets) % 2)
    total = sum(int.from_bytes(octets[at : at + 2], "big") for at in range(0, len(octets), 2))
    return (total - 1) % 0xFFFF + 1


@pytest.mark.parametrize("data", [b"", b"odd", TEXTS[0]])
def test_checksums_are_right(data: bytes) -> None:
    four = tcp.write(Segment(SMSC, ESME, 1, ACK, data), 1)[14:]
    assert ones_complement_sum(four[:20]) == 0xFFFF
    assert ones_complement_sum(four[12:20] + struct.pack(">HH", 6, len(four) - 20) + four[20:]) == 0xFFFF
    six = tcp.write(Segment(("2001:db8::1", 1), ("2001:db8::2", 2), 1, ACK, data), 1)[14:]
    assert ones_complement_sum(six[8:40] + struct.pack(">II", len(six) - 40, 6) + six[40:]) == 0xFFFF


def test_connections_stay_apart_and_their_frames_in_the_order_of_time() -> None:
    first, second = conversation(), conversation(esme=("10.0.0.2", 40_002), session=2)
    mixed = sorted(first + second, key=lambda taped: taped.at)
    assert read(written(mixed)) == mixed


def test_a_frame_longer_than_a_segment_is_whole() -> None:
    long = SubmitSm(sequence=1, tlvs=((0x0424, b"x" * 5_000),)).encode()
    tape = [Taped(NOON, "in", 1, "", SMSC, ESME, long)]
    assert read(written(tape)) == tape


def test_a_password_never_reaches_a_capture() -> None:
    binds = [BindTransceiver(system_id=b"vas", password=b"secret"), Outbind(system_id=b"smsc", password=b"secret")]
    capture = written(Taped(NOON, "in", 1, "", SMSC, ESME, pdu.encode()) for pdu in binds)
    assert b"secret" not in capture and capture.count(b"\0******\0") == 2


@pytest.mark.parametrize("order", [pytest.param(order, id=str(order)) for order in permutations(range(3))])
def test_segments_out_of_order_are_put_in_order(order: tuple[int, ...]) -> None:
    packets = segments([b"".join(TEXTS[:2]), TEXTS[2][:20], TEXTS[2][20:]])
    assert heard([packets[place] for place in order], syn=True) == TEXTS[:3]


@pytest.mark.parametrize(
    "first", [pytest.param(1_000, id="plain"), pytest.param(0xFFFF_FFFF - 30, id="sequence numbers wrap")]
)
def test_what_was_sent_again_is_taken_once(first: int) -> None:
    stream = b"".join(TEXTS)
    once = segments([stream[:70], stream[70:100], stream[100:]], first)
    again = segments([stream[:100]], first)
    assert heard([once[0], once[0], once[1], *again, once[2], once[1]]) == TEXTS
    assert heard([once[0], *again, once[1], once[2]]) == TEXTS


def test_of_two_segments_that_begin_alike_the_longer_one_counts() -> None:
    stream = b"".join(TEXTS)
    first, long, rest = segments([stream[:70], stream[70:150], stream[150:]])
    short = segments([stream[:70], stream[70:100]])[1]
    for both in ((long, short), (short, long)):
        assert heard([*both, first, rest], syn=True) == TEXTS


def test_a_keep_alive_is_no_data() -> None:
    keep_alive = tcp.write(Segment(SMSC, ESME, 1_000 + len(TEXTS[0]) - 1, ACK, b"\0"), 1)
    packets = segments(TEXTS[:2])
    assert heard([packets[0], keep_alive, packets[1]]) == TEXTS[:2]


def test_behind_a_hole_it_goes_on_with_the_next_whole_frame() -> None:
    stream = b"".join(TEXTS)
    cut = len(TEXTS[0]) + 10
    packets = segments([stream[:cut], stream[cut : cut + 30], stream[cut + 30 :]])
    assert heard([packets[0], packets[2]]) == [TEXTS[0], *TEXTS[2:]]


def test_a_capture_that_begins_within_a_frame_goes_on_with_the_next() -> None:
    assert heard(segments([TEXTS[0][9:] + TEXTS[1], TEXTS[2]])) == TEXTS[1:3]


def test_ports_that_are_used_again_are_another_connection() -> None:
    packets = []
    for first in (5_000, 900):
        packets.append(tcp.write(Segment(SMSC, ESME, first - 1, SYN, b""), 0))
        packets += segments([TEXTS[0]], first)
    found = streams.taped(pcap.Packet(NOON, tcp.ETHERNET, packet) for packet in packets)
    assert [(taped.session, taped.frame) for taped in found] == [(1, TEXTS[0]), (2, TEXTS[0])]


def strip(packet: bytes) -> bytes:
    return packet[14:]


@pytest.mark.parametrize(
    ("link_type", "wrapped"),
    [
        pytest.param(1, lambda packet: packet[:12] + b"\x81\x00\x00\x07" + packet[12:], id="VLAN"),
        pytest.param(1, lambda packet: packet + b"\0" * 6, id="padding after the packet"),
        pytest.param(101, strip, id="raw IP"),
        pytest.param(113, lambda packet: b"\0" * 14 + b"\x08\0" + strip(packet), id="Linux cooked"),
        pytest.param(276, lambda packet: b"\x08\0" + b"\0" * 18 + strip(packet), id="Linux cooked 2"),
        pytest.param(0, lambda packet: b"\x02\0\0\0" + strip(packet), id="loopback"),
    ],
)
def test_each_link_type_is_read(link_type: int, wrapped: object) -> None:
    assert callable(wrapped)
    assert heard(map(wrapped, segments(TEXTS)), link_type) == TEXTS


def test_what_is_not_tcp_is_passed_over() -> None:
    (packet,) = segments(TEXTS[:1])
    udp = packet[:23] + b"\x11" + packet[24:]
    fragment = packet[:20] + b"\x20\x00" + packet[22:]
    arp = packet[:12] + b"\x08\x06" + packet[14:]
    cut = packet[:40]
    assert heard([udp, fragment, arp[:20], cut, b"", packet]) == TEXTS[:1]


def pcapng(packets: Sequence[bytes], order: str, resolution: int | None) -> bytes:
    def block(kind: int, body: bytes) -> bytes:
        octets = 12 + len(body)
        return struct.pack(f"{order}II", kind, octets) + body + struct.pack(f"{order}I", octets)

    tick = {None: 10**6, 9: 10**9, 0x80 | 10: 2**10}[resolution]
    option = b"" if resolution is None else struct.pack(f"{order}HHBxxxHH", 9, 1, resolution, 0, 0)
    out = block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))
    out += block(1, struct.pack(f"{order}HHI", 1, 0, 0) + option)
    out += block(5, b"\0" * 12)  # statistics, which nobody needs
    for packet in packets:
        ticks = int(NOON.timestamp()) * tick + tick // 2
        head = struct.pack(f"{order}IIIII", 0, ticks >> 32, ticks & 0xFFFF_FFFF, len(packet), len(packet))
        out += block(6, head + packet + b"\0" * (-len(packet) % 4))
    return out


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("resolution", [None, 9, 0x80 | 10])
def test_pcapng_is_read_in_each_byte_order_and_resolution(order: str, resolution: int | None) -> None:
    found = read(pcapng(segments(TEXTS), order, resolution))
    assert [taped.frame for taped in found] == TEXTS
    assert found[0].at == NOON + timedelta(milliseconds=500)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "tick"), [(0xA1B2C3D4, 10**6), (0xA1B23C4D, 10**9)])
def test_pcap_is_read_in_each_byte_order_and_resolution(order: str, magic: int, tick: int) -> None:
    capture = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65_535, 1)
    for packet in segments(TEXTS):
        capture += struct.pack(f"{order}IIII", int(NOON.timestamp()), tick // 2, len(packet), len(packet)) + packet
    found = read(capture)
    assert [taped.frame for taped in found] == TEXTS
    assert found[0].at == NOON + timedelta(milliseconds=500)


def test_a_last_packet_cut_short_is_left_out() -> None:
    assert read(written(conversation())[:-5]) == conversation()[:-1]


@pytest.mark.parametrize(
    "capture",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"GIF89a" * 10, id="something else"),
        pytest.param(pcap.opening()[:10], id="header cut short"),
        pytest.param(pcap.opening() + struct.pack("<IIII", 0, 0, 1 << 30, 1 << 30), id="packet too long"),
        pytest.param(b"\x0a\x0d\x0d\x0a" + b"\xff" * 30, id="block too long"),
        pytest.param(pcapng([], "<", None) + struct.pack("<II", 6, 12) + b"\0" * 4, id="packet block too short"),
    ],
)
def test_what_is_no_capture_is_refused(capture: bytes) -> None:
    with pytest.raises(ValueError):
        list(pcap.packets(io.BytesIO(capture)))


def test_a_stream_that_is_no_smpp_has_no_frames() -> None:
    web = [b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n" * 50] * 20
    assert heard(segments(web)) == []


def test_the_smsc_is_known_by_what_it_says() -> None:
    quiet = [Taped(NOON, "out", 1, "", SMSC, ESME, EnquireLink(sequence=1).encode())]
    assert read(written(quiet)) == quiet
