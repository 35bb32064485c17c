"""What we write, as Wireshark's dissector reads it: no frame malformed, and every field as we read it ourselves."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from gateway.pdus import pdu as smpp
from gateway.pdus import tags
from gateway.pdus.pdu import PDUS, RESPONSE, DeliverSm, Pdu, SubmitSm, SubmitSmResp, decode
from gateway.simulator import Settings, Simulator, dialects, pcap, texting
from gateway.simulator.decoded import Taped, tag_name
from gateway.simulator.dialects import Turn
from gateway.simulator.settings import LongMessages
from gateway.simulator.tape import Tape, read
from tests.gateway.test_tape import talk

tshark = shutil.which("tshark")
pytestmark = pytest.mark.skipif(tshark is None, reason="tshark is not installed")

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PORT = 2775
PARTS_OF = {
    "esm_class": (("esm.submit.msg_mode", 0, 0x03), ("esm.submit.msg_type", 2, 0x0F), ("esm.submit.features", 6, 0x03)),
    "registered_delivery": (("regdel.receipt", 0, 0x03), ("regdel.acks", 2, 0x03), ("regdel.notif", 4, 0x01)),
}
"""Wireshark's names for the bits of one octet: shift and mask."""
TIMES = {"schedule_delivery_time", "validity_period", "final_date"}
TWO_DAYS = b"000002000000000R"
WITHOUT_TLVS = {
    smpp.QuerySmResp, smpp.CancelSmResp, smpp.ReplaceSmResp, smpp.CancelBroadcastSmResp, smpp.QuerySm, smpp.CancelSm,
    smpp.EnquireLink, smpp.EnquireLinkResp, smpp.Unbind, smpp.UnbindResp, smpp.GenericNack, smpp.Outbind,
    smpp.BindReceiver, smpp.BindTransmitter, smpp.BindTransceiver,
}  # fmt: skip
"""SMPP 3.4 gives these no optional parameters, and Wireshark looks for none."""

Pairs = list[tuple[str, str]]


def dissected(capture: Path) -> list[Pairs]:
    """By frame, the names and values of tshark's SMPP layer; fails on a frame that it calls malformed."""
    assert tshark is not None
    command = [tshark, "-r", str(capture), "-d", f"tcp.port=={PORT},smpp", "-Y", "smpp", "-T", "json"]
    done = subprocess.run(command, capture_output=True, timeout=50, check=True)
    packets = json.loads(done.stdout, object_pairs_hook=lambda pairs: pairs)
    found = []
    for packet in packets:
        layers = dict(dict(packet)["_source"])["layers"]
        assert not [name for name, _ in layers if "malformed" in name], dict(layers)["smpp"]
        found += [list(flat(value)) for name, value in layers if name == "smpp"]
    return found


def complaints(capture: Path) -> bytes:
    """The frames that are malformed, or whose TCP is not as it should be."""
    assert tshark is not None
    wrong = "_ws.malformed || tcp.analysis.flags || tcp.checksum.status == Bad || ip.checksum.status == Bad"
    checks = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    command = [tshark, "-r", str(capture), *checks, "-Y", wrong]
    return subprocess.run(command, capture_output=True, timeout=50, check=True).stdout


def flat(pairs: Any) -> Iterator[tuple[str, str]]:
    for name, value in pairs:
        assert "malformed" not in name and not name.startswith("_ws.expert"), (name, value)
        if isinstance(value, str):
            yield name.removeprefix("smpp."), value
        else:
            yield from flat(value)


def number(shown: str) -> int:
    return int(shown, 16) if shown.startswith("0x") else int(shown)


def agree(pdu: Pdu, pairs: Pairs) -> None:
    """Every field and optional parameter of ours stands in tshark's reading."""
    shown: dict[str, list[str]] = {}
    for name, value in pairs:
        shown.setdefault(name, []).append(value)
    assert number(shown["command_id"][0]) == pdu.command_id
    assert number(shown["sequence_number"][0]) == pdu.sequence
    assert number(shown.get("command_status", ["0"])[0]) == pdu.status
    for name in pdu.__struct_fields__[3:]:
        field_agrees(name, getattr(pdu, name), shown)
    if type(pdu) not in WITHOUT_TLVS:
        lengths = list(zip(shown.get("opt_param_tag", []), shown.get("opt_param_len", []), strict=True))
        assert [(number(tag), int(octets)) for tag, octets in lengths] == [(t, len(v)) for t, v in pdu.tlvs]
        for tag, value in pdu.tlvs:
            tlv_agrees(tag, value, shown)


def field_agrees(name: str, value: Any, shown: dict[str, list[str]]) -> None:
    if name in TIMES:
        assert value in (b"", TWO_DAYS)
        assert float(shown.get(f"{name}_r", ["0"])[0]) == (172_800 if value else 0)
    elif name == "short_message":
        assert int(shown["sm_length"][0]) == len(value)
        assert shown.get("message", [""])[0].replace(":", "") == value.hex() or not value
    elif name in PARTS_OF:
        for part, shift, mask in PARTS_OF[name]:
            assert number(shown[part][0]) == value >> shift & mask, part
    elif isinstance(value, tuple):
        for field in {field for entry in value for field in entry.__struct_fields__}:
            ours = [getattr(entry, field) for entry in value if hasattr(entry, field)]
            assert [as_shown(mine) for mine in ours] == [normal(text) for text in shown[field]], field
    else:
        assert normal(shown.get(name, [""])[0]).removeprefix("(Default)") == as_shown(value), name


def as_shown(value: int | bytes) -> str:
    return str(value) if isinstance(value, int) else value.decode("latin-1")


def normal(text: str) -> str:
    return str(number(text)) if text.startswith("0x") else text


def tlv_agrees(tag: int, value: bytes, shown: dict[str, list[str]]) -> None:
    name = tag_name(tag)
    if tag == tags.ITS_SESSION_INFO:
        assert [number(shown[f"its_session.{part}"][0]) for part in ("number", "sequence", "ind")] == [
            value[0], value[1] >> 1, value[1] & 1,
        ]  # fmt: skip
    elif tag == tags.NETWORK_ERROR_CODE:
        assert number(shown["network_error.type"][0]) == value[0]
        assert number(shown["network_error.code"][0]) == int.from_bytes(value[1:], "big")
    elif tag in (tags.MESSAGE_PAYLOAD, 0x1403):
        assert shown["vendor_op" if tag == 0x1403 else name][0].replace(":", "") == value.hex()
    elif tag in (tags.RECEIPTED_MESSAGE_ID, tags.ADDITIONAL_STATUS_INFO_TEXT):
        assert shown[name][0] == value.rstrip(b"\0").decode()
    elif name in shown:
        assert number(shown[name][0]) == int.from_bytes(value, "big"), name


def filled(kind: type[Pdu], sequence: int) -> Pdu:
    """A PDU with something else in each field."""
    pdu = kind(sequence=sequence)
    for place, name in enumerate(kind.__struct_fields__[3:], 1):
        match getattr(pdu, name):
            case int():
                setattr(pdu, name, place % (2 if name == "replace_if_present_flag" else 4))
            case bytes():
                setattr(pdu, name, TWO_DAYS if name in TIMES else b"%d" % (10_000 + place))
    if isinstance(pdu, smpp.SubmitMulti):
        pdu.dest_addresses = (
            smpp.SmeAddress(1, 1, b"84912345678"), smpp.DistributionList(b"friends"), smpp.SmeAddress(2, 8, b"9105"),
        )  # fmt: skip
    if isinstance(pdu, smpp.SubmitMultiResp):
        pdu.unsuccess_smes = (smpp.UnsuccessSme(1, 1, b"84912345678", 0x0B), smpp.UnsuccessSme(2, 8, b"9105", 0x58))
    if kind not in WITHOUT_TLVS:
        pdu.tlvs = ((0x0204, b"\x00\x05"), (0x0428, b"\x55"), (0x1403, b"vendor"))
    return pdu


SMS: dict[str, Any] = {"source_addr": b"84912345678", "destination_addr": b"9105"}
SPECIAL: dict[str, Pdu] = {
    "dialled": DeliverSm(service_type=b"USSD", tlvs=((0x0501, b"\x01"), (0x1383, b"\x07\x00")), **SMS),
    "last screen": SubmitSm(tlvs=((0x0501, b"\x11"), (0x1383, b"\x07\x03")), **SMS),
    "screen by reference": SubmitSm(tlvs=((0x0501, b"\x02"), (0x0204, b"\x12\x34")), **SMS),
    "a vendor's operation": DeliverSm(tlvs=((0x0501, b"\x81"),), **SMS),
    "UCS-2": SubmitSm(data_coding=8, short_message="Chào bạn".encode("utf-16-be"), **SMS),
    "flash": SubmitSm(data_coding=0xF0, short_message=b"flash", **SMS),
    "8-bit reference": SubmitSm(esm_class=0x40, short_message=b"\x05\x00\x03\x07\x02\x01" + b"x" * 134, **SMS),
    "16-bit reference": SubmitSm(esm_class=0x40, short_message=b"\x06\x08\x04\x12\x34\x02\x02" + b"end", **SMS),
    "port": SubmitSm(esm_class=0x40, data_coding=4, short_message=b"\x06\x05\x04\x23\xf4\x00\x00\x01\x02", **SMS),
    "sar": SubmitSm(tlvs=((0x020C, b"\x00\x07"), (0x020E, b"\x02"), (0x020F, b"\x01")), short_message=b"part", **SMS),
    "message_payload": SubmitSm(tlvs=((0x0424, b"long " * 200),), **SMS),
    "receipt": DeliverSm(
        esm_class=4,
        short_message=b"id:12 sub:001 dlvrd:000 stat:UNDELIV err:027 text:",
        tlvs=((0x001E, b"12\0"), (0x0427, b"\x05"), (0x0423, b"\x03\x00\x1b")),
        **SMS,
    ),
    "congested": SubmitSmResp(message_id=b"1", tlvs=((0x0428, b"\x63"),)),
    "refused without a body": SubmitSmResp(status=0x0B),
}


def simulated() -> Iterator[Pdu]:
    """What the simulator sends: each dialect of USSD, each way of a long text."""
    for dialect in get_args(dialects.Dialect):
        for what in ("dial", "answer", "abort"):
            yield dialects.deliver(Turn(what, "84912345678", "105", "*105#", session=77, sequence=1), dialect)
    for marks in get_args(LongMessages):
        for text in ("long " * 60, "Chào " * 60):
            yield from (pdu for _, pdu in texting.sms("84912345678", "9105", text, 7, marks))


def test_every_pdu_is_read_alike(tmp_path: Path) -> None:
    pdus = [filled(kind, sequence) for sequence, kind in enumerate(PDUS, 1)]
    pdus += simulated()
    pdus += SPECIAL.values()
    conversations, capture = pcap.Conversations(), pcap.opening()
    for step, pdu in enumerate(pdus):
        direction = "out" if pdu.command_id & RESPONSE else "in"
        at = NOON + timedelta(milliseconds=step)
        frame = pdu.encode()
        capture += conversations.packets(
            Taped(at, direction, 1, "vas", ("127.0.0.1", PORT), ("127.0.0.1", 40_000), frame)  # type: ignore[arg-type]
        )
    file = tmp_path / "all.pcap"
    file.write_bytes(capture)
    read_by_tshark = dissected(file)
    assert len(read_by_tshark) == len(pdus)
    for ours, theirs in zip(read(file), read_by_tshark, strict=True):
        agree(decode(ours.frame), theirs)


async def test_a_recorded_run_is_read_alike(tmp_path: Path) -> None:
    file = tmp_path / "run.pcap"
    simulator = Simulator(Settings(port=0, accounts={"vas": "secret"}))
    tape = simulator.smsc.tape = Tape(file, simulator.smsc.clock)
    await simulator.start()
    simulator.phone("84912345678").text("Chào " * 40, to="9105")
    simulator.phone("84987654321").dial("*105#")
    answers = await talk(
        simulator.port,
        smpp.BindTransceiver(sequence=1, system_id=b"vas", password=b"secret"),
        SubmitSm(sequence=2, destination_addr=b"84911111111", registered_delivery=1, short_message=b"Hello"),
    )
    assert len(answers) >= 3
    await simulator.stop()
    tape.close()
    assert await asyncio.to_thread(complaints, file) == b""
    assert all(taped.frame for taped in read(file))
