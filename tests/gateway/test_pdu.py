"""Octets are transcribed from SMPP 3.4 and from dumps in public bug reports, not made by this codec."""

from __future__ import annotations

import random
from typing import get_type_hints

import pytest
from smpplib import command, command_codes, consts

from gateway.pdus import pdu as smpp
from gateway.pdus.pdu import PDUS, Pdu, decode, frames
from vas.errors import SmppError


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


BIND_OF_THE_STANDARD = octets(  # SMPP 3.4 §7.1, the example of a bind_transmitter
    "0000002F 00000002 00000000 00000001 534D5050335445535400 7365637265743038 00 5355424D495431 00 00 01 01 00"
)

WIRE = [
    pytest.param(
        BIND_OF_THE_STANDARD,
        smpp.BindTransmitter(
            sequence=1,
            system_id=b"SMPP3TEST",
            password=b"secret08",
            system_type=b"SUBMIT1",
            interface_version=0,
            addr_ton=1,
            addr_npi=1,
        ),
        id="bind_transmitter of the standard",
    ),
    pytest.param(octets("00000010 00000015 00000000 00000007"), smpp.EnquireLink(sequence=7), id="enquire_link"),
    pytest.param(
        octets("00000010 80000015 00000000 806A179B"),
        smpp.EnquireLinkResp(sequence=0x806A179B),
        id="a sequence above 0x7FFFFFFF",
    ),
    pytest.param(
        octets("00000010 80000000 00000003 00000000"), smpp.GenericNack(status=3), id="generic_nack with sequence 0"
    ),
    pytest.param(
        octets(
            "00000046 00000005 00000000 00000002"
            "00 01 01 383439313233343536373800 00 00 3931303500 00 00 00 00 00 00 00 00 00 05 2A31303523"
            "0501 0001 01 1383 0002 4D00 0204 0002 0007"
        ),
        smpp.DeliverSm(
            sequence=2,
            source_addr_ton=1,
            source_addr_npi=1,
            source_addr=b"84912345678",
            destination_addr=b"9105",
            short_message=b"*105#",
            tlvs=((0x0501, b"\x01"), (0x1383, b"\x4d\x00"), (0x0204, b"\x00\x07")),
        ),
        id="deliver_sm that opens a USSD dialogue",
    ),
    pytest.param(
        octets("0000001B 80000004 00000000 00000009 30313233343536373839 00"),
        smpp.SubmitSmResp(sequence=9, message_id=b"0123456789"),
        id="submit_sm_resp",
    ),
    pytest.param(
        octets("00000010 80000004 00000058 00000009"),
        smpp.SubmitSmResp(sequence=9, status=0x58),
        id="error response without a body",
    ),
    pytest.param(
        octets("00000011 80000005 00000000 00000009 00"), smpp.DeliverSmResp(sequence=9), id="deliver_sm_resp"
    ),
    pytest.param(
        octets("00000018 80000003 00000000 00000005 3132333400 00 02 00"),
        smpp.QuerySmResp(sequence=5, message_id=b"1234", message_state=2),
        id="query_sm_resp",
    ),
    pytest.param(
        octets("0000002A 00000102 00000000 00000006 01 01 383439313233343536373800 00 00 3931303500 0422 0001 00"),
        smpp.AlertNotification(
            sequence=6,
            source_addr_ton=1,
            source_addr_npi=1,
            source_addr=b"84912345678",
            esme_addr=b"9105",
            tlvs=((0x0422, b"\x00"),),
        ),
        id="alert_notification",
    ),
]


@pytest.mark.parametrize("wire, pdu", WIRE)
def test_octets_are_read_as_the_standard_says(wire: bytes, pdu: Pdu) -> None:
    assert decode(wire) == pdu


@pytest.mark.parametrize("wire, pdu", WIRE)
def test_pdus_are_written_as_the_standard_says(wire: bytes, pdu: Pdu) -> None:
    assert pdu.encode() == wire


def frame(command_id: int, body: bytes, status: int = 0) -> bytes:
    return b"".join(number.to_bytes(4, "big") for number in (16 + len(body), command_id, status, 1)) + body


MO = octets("00 01 01 383439313233343536373800 00 00 3931303500 00 00 00 00 00 00 00 00 00 02 4F4B")


@pytest.mark.parametrize(
    "wire, pdu",
    [
        pytest.param(
            frame(5, MO + octets("001E 0041 3031323334")),
            smpp.DeliverSm(tlvs=((0x1E, b"01234"),)),
            id="receipted_message_id cut short",
        ),
        pytest.param(frame(5, MO + b"\0"), smpp.DeliverSm(), id="one NUL after the text"),
        pytest.param(frame(5, MO + b"\0\0\0"), smpp.DeliverSm(), id="three NULs after the text"),
        pytest.param(
            frame(5, MO + octets("00 0427 0001 02")),
            smpp.DeliverSm(tlvs=((0x427, b"\x02"),)),
            id="a NUL before the parameters",
        ),
        pytest.param(
            frame(5, MO + octets("00 001E 0002 3132 0427 0001 02")),
            smpp.DeliverSm(tlvs=((0x1E, b"12"), (0x427, b"\x02"))),
            id="a NUL before a low tag",
        ),
        pytest.param(
            frame(5, MO + octets("1501 0001 41 1501 0001 42")),
            smpp.DeliverSm(tlvs=((0x1501, b"A"), (0x1501, b"B"))),
            id="a vendor's parameter twice",
        ),
    ],
)
def test_a_damaged_optional_part_does_not_lose_the_message(wire: bytes, pdu: smpp.DeliverSm) -> None:
    read = decode(wire)
    assert isinstance(read, smpp.DeliverSm)
    assert (read.source_addr, read.short_message, read.tlvs) == (b"84912345678", b"OK", pdu.tlvs)


@pytest.mark.parametrize(
    "wire, pdu",
    [
        pytest.param(frame(0x80000004, b"", 8), smpp.SubmitSmResp(1, 8), id="error without body"),
        pytest.param(frame(0x80000004, b"\0", 8), smpp.SubmitSmResp(1, 8), id="error with an empty message_id"),
        pytest.param(frame(0x80000004, b"abc\0", 8), smpp.SubmitSmResp(1, 8, message_id=b"abc"), id="error with an id"),
        pytest.param(frame(0x80000004, b"abc"), smpp.SubmitSmResp(1, message_id=b"abc"), id="message_id without NUL"),
        pytest.param(frame(0x80000005, b"77\0"), smpp.DeliverSmResp(1, message_id=b"77"), id="filled message_id"),
        pytest.param(frame(0x80000009, b"SMSC"), smpp.BindTransceiverResp(1, system_id=b"SMSC"), id="system_id bare"),
        pytest.param(frame(0x80000021, b"\0", 8), smpp.SubmitMultiResp(1, 8), id="error without a list"),
        pytest.param(frame(0x80000003, b"xy", 0x67), smpp.QuerySmResp(1, 0x67), id="error with half a body"),
    ],
)
def test_responses_are_taken_as_peers_send_them(wire: bytes, pdu: Pdu) -> None:
    assert decode(wire) == pdu


@pytest.mark.parametrize(
    "wire, status",
    [
        pytest.param(b"", 0x02, id="nothing"),
        pytest.param(b"\0\0\0\x10\0\0\0", 0x02, id="half a header"),
        pytest.param(octets("00000011 00000015 00000000 00000001"), 0x02, id="length above the frame"),
        pytest.param(octets("00000010 00000015 00000000 00000001 00"), 0x02, id="length below the frame"),
        pytest.param(frame(0x44, b""), 0x03, id="unknown request"),
        pytest.param(frame(0x80000044, b""), 0x03, id="unknown response"),
        pytest.param(frame(5, b""), 0xC2, id="deliver_sm without a body"),
        pytest.param(frame(5, MO[:20]), 0xC2, id="deliver_sm cut in an address"),
        pytest.param(frame(5, MO[:-4]), 0xC2, id="deliver_sm cut before sm_length"),
        pytest.param(frame(5, MO[:-1]), 0x01, id="sm_length past the end"),
        pytest.param(frame(5, b"1234567" + MO), 0xC2, id="service_type too long"),
        pytest.param(frame(5, MO.replace(b"84912345678", b"8" * 21)), 0xC2, id="source_addr too long"),
        pytest.param(frame(9, b"u\0p\0t\0\x34"), 0xC2, id="bind cut short"),
        pytest.param(frame(9, b"u" * 16 + b"\0p\0\0\x34\0\0\0"), 0xC2, id="system_id too long"),
        pytest.param(frame(0x80000004, b"9" * 65), 0xC2, id="message_id too long"),
        pytest.param(frame(3, b"id"), 0xC2, id="query_sm without a NUL"),
        pytest.param(frame(0x21, b"\0\0\0\0\xff" + b"\2l\0" * 255), 0x33, id="submit_multi to 255"),
        pytest.param(frame(0x21, b"\0\0\0\0\2\2l\0\3l\0"), 0x40, id="a destination that is neither number nor list"),
        pytest.param(frame(0x21, b"\0\0\0\0\2\2l\0"), 0xC2, id="submit_multi with too few destinations"),
        pytest.param(frame(0x21, b"\0\0\0\0"), 0xC2, id="submit_multi without their number"),
        pytest.param(frame(0x21, b"\0\0\0\0\1\1\1\1" + b"8" * 21 + b"\0"), 0xC2, id="a destination too long"),
        pytest.param(frame(0x80000021, b"id\0\1\1\1849\0\0\0\0"), 0xC2, id="submit_multi_resp cut short"),
    ],
)
def test_malformed_pdus_are_refused_with_the_status_to_answer(wire: bytes, status: int) -> None:
    with pytest.raises(SmppError) as refused:
        decode(wire)
    assert refused.value.status == status


LISTS = {
    "dest_addresses": (smpp.SmeAddress(1, 1, b"84912345678"), smpp.DistributionList(b"friends"), smpp.SmeAddress()),
    "unsuccess_smes": (smpp.UnsuccessSme(1, 1, b"84912345678", 0x0B), smpp.UnsuccessSme(0, 0, b"", 0xFFFFFFFF)),
}


def filled(pdu: type[Pdu], rng: random.Random) -> Pdu:
    """A PDU with something in every field."""
    values: dict[str, object] = {"sequence": rng.randrange(2**32), "status": rng.randrange(2**32)}
    for name in pdu.__struct_fields__[3:]:
        if name in LISTS:
            values[name] = LISTS[name]
            continue
        is_number = isinstance(getattr(pdu(), name), int)
        values[name] = rng.randrange(256) if is_number else bytes(rng.choices(range(1, 256), k=rng.randrange(1, 6)))
    return pdu(tlvs=((0x0501, b"\x01"), (0x0501, b"\x02"), (0x1400, b"")), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("pdu", PDUS)
def test_every_pdu_survives_the_way_there_and_back(pdu: type[Pdu]) -> None:
    rng = random.Random(pdu.command_id)
    for _ in range(20):
        sent = filled(pdu, rng)
        assert decode(sent.encode()) == sent


@pytest.mark.parametrize(
    "pdu",
    [
        pytest.param(smpp.SubmitSm(source_addr=b"9" * 21), id="too long"),
        pytest.param(smpp.SubmitSm(destination_addr=b"849\x0012"), id="NUL inside"),
        pytest.param(smpp.SubmitSm(short_message=b"x" * 256), id="more than sm_length can say"),
        pytest.param(smpp.SubmitMulti(dest_addresses=(smpp.SmeAddress(),) * 255), id="more than 254 destinations"),
        pytest.param(smpp.SubmitMulti(dest_addresses=(smpp.SmeAddress(0, 0, b"9" * 21),)), id="destination too long"),
        pytest.param(smpp.SubmitMulti(dest_addresses=(smpp.DistributionList(b"a\0b"),)), id="NUL in a list's name"),
        pytest.param(smpp.SubmitMulti(dest_addresses=(smpp.SmeAddress(256),)), id="a ton above an octet"),
        pytest.param(smpp.SubmitMultiResp(unsuccess_smes=(smpp.UnsuccessSme(),) * 256), id="more than 255 failures"),
        pytest.param(smpp.SubmitSm(data_coding=256), id="more than an octet"),
        pytest.param(smpp.SubmitSm(tlvs=((0x424, b"x" * 65_536),)), id="more than a TLV can say"),
    ],
)
def test_what_does_not_fit_the_wire_is_not_written(pdu: Pdu) -> None:
    with pytest.raises(SmppError):
        pdu.encode()


def test_a_stream_is_cut_into_frames_wherever_it_is_torn() -> None:
    whole = [frame(0x15, b""), frame(5, MO), frame(0x80000004, b"1\0")]
    stream = b"".join(whole)
    for cut in range(len(stream) + 1):
        buffer = bytearray()
        taken = []
        for piece in (stream[:cut], stream[cut:]):
            buffer += piece
            taken += list(frames(buffer))
        assert taken == whole
        assert not buffer


@pytest.mark.parametrize("length", [0, 15, 65_537, 0xFFFFFFFF])
def test_a_stream_is_lost_at_an_impossible_length_and_not_before(length: int) -> None:
    buffer = bytearray(frame(0x15, b"") + length.to_bytes(4, "big") + bytes(12))
    stream = frames(buffer)
    assert next(stream) == frame(0x15, b"")
    with pytest.raises(SmppError) as lost:
        next(stream)
    assert lost.value.status == 0x02


IN_SMPPLIB = {
    "bind_receiver": smpp.BindReceiver, "bind_transmitter": smpp.BindTransmitter,
    "bind_transceiver": smpp.BindTransceiver, "bind_transceiver_resp": smpp.BindTransceiverResp,
    "submit_sm": smpp.SubmitSm, "submit_sm_resp": smpp.SubmitSmResp, "deliver_sm": smpp.DeliverSm,
    "deliver_sm_resp": smpp.DeliverSmResp, "data_sm": smpp.DataSm, "data_sm_resp": smpp.DataSmResp,
    "query_sm": smpp.QuerySm, "query_sm_resp": smpp.QuerySmResp, "alert_notification": smpp.AlertNotification,
    "enquire_link": smpp.EnquireLink, "unbind": smpp.Unbind, "generic_nack": smpp.GenericNack,
}  # fmt: skip


@pytest.mark.parametrize("name", IN_SMPPLIB)
def test_layouts_agree_with_smpplib(name: str) -> None:
    pdu = IN_SMPPLIB[name]
    theirs = command.factory(name, sequence=1)
    fields = [
        (field, theirs.params[field])
        for field in getattr(theirs, "params_order", ())
        if field not in consts.OPTIONAL_PARAMS or field in getattr(theirs, "mandatory_fields", ())
    ]
    assert pdu.command_id == command_codes.get_command_code(name)
    assert [field for field, _ in fields if field != "sm_length"] == list(pdu.__struct_fields__[3:])
    hints = get_type_hints(pdu, include_extras=True)
    widths = {field: hints[field].__metadata__[0] for field, param in fields if param.type is str}
    stated = {field: param.max for field, param in fields if param.type is str}
    if name in ("data_sm", "alert_notification"):  # SMPP 3.4 §4.7.1 and §4.12.1: 65, where smpplib has 21
        stated = {field: 65 if field.endswith("_addr") else width for field, width in stated.items()}
    assert widths == stated


def test_tags_agree_with_smpplib() -> None:
    ours = {name.lower(): tag for name, tag in vars(smpp).items() if name.lower() in consts.OPTIONAL_PARAMS}
    assert len(ours) > 20
    assert ours == {name: tag for name, tag in consts.OPTIONAL_PARAMS.items() if name in ours}
