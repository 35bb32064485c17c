"""The record of what passes a simulator: nothing missing, names instead of numbers, no password."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.pdus.pdu import (
    PDUS,
    BindTransceiver,
    DeliverSm,
    EnquireLink,
    Outbind,
    Pdu,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    decode,
    frames,
)
from gateway.simulator import Settings, Simulator
from gateway.simulator.decoded import Direction, Taped, description, from_line, to_line, without_password
from gateway.simulator.tape import Tape, read

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Line:
    """What a tape asks of a session."""

    id = 1
    account = "vas"
    local = ("127.0.0.1", 2775)
    peer = ("127.0.0.1", 40_000)


def taped(frame: bytes, direction: Direction = "in") -> Taped:
    return Taped(NOON, direction, 1, "vas", ("127.0.0.1", 2775), ("::1", 40_000), frame)


async def talk(port: int, *requests: Pdu) -> list[Pdu]:
    """Send each request and wait for its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers, buffer = [], bytearray()
    for request in requests:
        writer.write(request.encode())
        answer: list[bytes] = []
        while not answer:
            buffer += await reader.read(65_536)
            answer = list(frames(buffer))
        answers += [decode(frame) for frame in answer]
    writer.close()
    await writer.wait_closed()
    return answers


@pytest.mark.parametrize("name", ["run.jsonl", "run.pcap"])
async def test_every_frame_of_a_run_is_read_back_from_its_tape(tmp_path: Path, name: str) -> None:
    simulator = Simulator(Settings(port=0, accounts={"vas": "secret"}, receipts=False))
    tape = simulator.smsc.tape = Tape(tmp_path / name, simulator.smsc.clock)
    await simulator.start()
    requests = [
        BindTransceiver(sequence=1, system_id=b"vas", password=b"secret"),
        SubmitSm(sequence=2, source_addr=b"9105", destination_addr=b"84912345678", short_message=b"Hello"),
        EnquireLink(sequence=3),
    ]
    port = simulator.port
    answers = await talk(port, *requests)
    await simulator.stop()
    tape.close()
    found = read(tmp_path / name)
    assert [decode(frame.frame) for frame in found if frame.direction == "out"] == [*answers, Unbind(sequence=1)]
    assert [frame.frame for frame in found if frame.direction == "in"] == [
        without_password(request.encode()) for request in requests
    ]
    assert {frame.smsc for frame in found} == {("127.0.0.1", port)}
    assert b"secret" not in (tmp_path / name).read_bytes()


def test_a_line_says_all_by_name() -> None:
    pdu = SubmitSm(
        sequence=7, source_addr=b"9105", destination_addr=b"84912345678", data_coding=8,
        short_message="Chào".encode("utf-16-be"), tlvs=((0x0501, b"\x02"), (0x1403, b"abc\0")),
    )  # fmt: skip
    line: dict[str, Any] = orjson.loads(to_line(taped(pdu.encode())))
    fields = line.pop("fields")
    assert (fields["source_addr"], fields["destination_addr"], fields["data_coding"]) == ("9105", "84912345678", 8)
    assert fields["short_message"] == "Chào".encode("utf-16-be").hex()
    assert line == {
        "time": "2026-11-22T12:00:00.000000Z",
        "direction": "in",
        "session": 1,
        "account": "vas",
        "smsc": "127.0.0.1:2775",
        "esme": "[::1]:40000",
        "command": "submit_sm",
        "status": "ROK",
        "sequence": 7,
        "tlvs": [{"tag": "ussd_service_op", "octets": "02"}, {"tag": "0x1403", "octets": "61626300", "text": "abc"}],
        "text": "Chào",
        "octets": pdu.encode().hex(),
    }


def test_the_text_of_a_segment_stands_without_its_header() -> None:
    segment = DeliverSm(esm_class=0x40, short_message=b"\x05\0\x03\x07\x02\x01" + b"first part")
    assert description(segment.encode())["text"] == "first part"


def test_lists_and_octets_that_are_no_text_are_shown() -> None:
    pdu = SubmitMulti(service_type=b"\x02P", dest_addresses=(SmeAddress(1, 1, b"84912345678"),))
    fields = description(pdu.encode())["fields"]
    assert fields["service_type"] == {"hex": "0250"}
    assert fields["dest_addresses"] == [{"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": "84912345678"}]


def test_a_refusal_is_shown_by_its_name() -> None:
    assert description(SubmitSmResp(sequence=1, status=0x58).encode())["status"] == "RTHROTTLED"


@pytest.mark.parametrize("pdu", PDUS, ids=lambda pdu: pdu.__name__)
def test_every_pdu_comes_back_from_its_line(pdu: type[Pdu]) -> None:
    frame = taped(pdu(sequence=5).encode())
    assert from_line(to_line(frame)) == frame
    assert not description(frame.frame)["command"].startswith("0x")


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"\0\0\0\x04", id="shorter than a header"),
        pytest.param(bytes.fromhex("00000010 00000099 00000000 00000001"), id="unknown command"),
        pytest.param(SubmitSm(sequence=1).encode()[:-3], id="cut short"),
    ],
)
def test_what_cannot_be_read_is_recorded_with_its_error(frame: bytes) -> None:
    line = to_line(taped(frame))
    assert orjson.loads(line)["error"]
    assert from_line(line).frame == frame


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(BindTransceiver(system_id=b"vas", password=b"secret").encode(), id="bind"),
        pytest.param(Outbind(system_id=b"vas", password=b"secret").encode(), id="outbind"),
        pytest.param(
            BindTransceiver(system_id=b"vas", password=b"secret").encode()[:26], id="bind cut in its password"
        ),
        pytest.param(Outbind(system_id=b"vas", password=b"secret").encode()[:-1], id="unterminated"),
    ],
)
def test_a_password_is_masked_at_its_length(frame: bytes) -> None:
    masked = without_password(frame)
    assert len(masked) == len(frame)
    assert b"secret"[:3] in frame and b"sec" not in masked and b"vas\0***" in masked


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"[]", id="no object"),
        pytest.param(b"{}", id="nothing in it"),
        pytest.param(b"{", id="no JSON"),
        pytest.param(to_line(taped(b"\0" * 16)).replace(b'"in"', b'"up"'), id="no direction"),
        pytest.param(to_line(taped(b"\0" * 16)).replace(b"00Z", b"00"), id="no time zone"),
        pytest.param(to_line(taped(b"\0" * 16)).replace(b'"0000', b'"xx'), id="no octets"),
    ],
)
def test_what_is_no_line_of_a_tape_is_refused(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_bytes(b"{" + line[1:])
    with pytest.raises(ValueError):
        from_line(line)
    with pytest.raises(ValueError, match="line 1"):
        read(tmp_path / "bad.jsonl")


@pytest.mark.parametrize("name", ["run.jsonl", "run.pcap"])
def test_a_tape_keeps_to_its_size_and_the_latest_frames(tmp_path: Path, name: str) -> None:
    tape = Tape(tmp_path / name, lambda: NOON, octets_max=20_000)
    frames = [EnquireLink(sequence=n).encode() for n in range(1, 1_001)]
    for frame in frames:
        tape(Line(), "in", frame)  # type: ignore[arg-type]
    tape.close()
    older, newer = tmp_path / f"run.1{Path(name).suffix}", tmp_path / name
    kept = [frame.frame for frame in read(older) + read(newer)]
    assert 50 < len(kept) < 1_000 and kept == frames[-len(kept) :]
    assert older.stat().st_size + newer.stat().st_size < 22_000


def test_a_disk_that_takes_no_more_is_told_in_the_end_and_disturbs_nothing(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "run.jsonl").symlink_to(full)
    tape = Tape(tmp_path / "run.jsonl", lambda: NOON)
    for number in range(500):
        tape(Line(), "in", EnquireLink(sequence=number).encode())  # type: ignore[arg-type]
    with pytest.raises(OSError, match="space"):
        tape.close()


def test_a_record_is_named_by_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.jsonl or \.pcap"):
        Tape(tmp_path / "run.txt", lambda: NOON)
