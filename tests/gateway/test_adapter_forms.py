"""Long, binary, flash and USSD messages between the wire and the core, as each account has agreed on them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gateway.dialects.ussd_dialects import DIALECTS, Dialect
from gateway.pdus import pdu as smpp
from gateway.pdus import tags
from tests.gateway.conftest import Network
from tests.gateway.peer import Core, Peer, mo, until
from vas.messages import Part, SendOutcome

SAR = [((0x020C, b"\x00\x4d"), (0x020E, b"\x02"), (0x020F, number)) for number in (b"\x01", b"\x02")]


async def sent(peer: Peer, start: Network, message: dict[str, Any], **agreed: Any) -> list[smpp.SubmitSm]:
    """What leaves of a message by an account."""
    _, send = await start(**agreed)
    result = await send.result(send(**message))
    assert result.outcome is SendOutcome.SENT
    return list(peer.of(smpp.SubmitSm))


@pytest.mark.parametrize(
    ("pdus", "references"),
    [
        pytest.param(
            [
                mo("\x05\x00\x03\x4d\x02\x02rld", 1, esm_class=0x40),
                mo("\x05\x00\x03\x4d\x02\x01Hello wo", 2, esm_class=0x40),
            ],
            {"8:77"},
            id="UDH",
        ),
        pytest.param(
            [
                mo("\x0b\x05\x04\x0b\x84\x23\xf0\x00\x03\x4d\x02\x02rld", 1, esm_class=0x40),
                mo("\x0b\x05\x04\x0b\x84\x23\xf0\x00\x03\x4d\x02\x01Hello wo", 2, esm_class=0x40),
            ],
            {"8:77"},
            id="UDH with another element before",
        ),
        pytest.param([mo("rld", 1, tlvs=SAR[1]), mo("Hello wo", 2, tlvs=SAR[0])], {"sar:77"}, id="sar"),
        pytest.param(
            [
                mo("", 1, esm_class=0x40, tlvs=((smpp.MESSAGE_PAYLOAD, b"\x06\x08\x04\x01\x05\x02\x02rld"),)),
                mo("", 2, esm_class=0x40, tlvs=((smpp.MESSAGE_PAYLOAD, b"\x06\x08\x04\x01\x05\x02\x01Hello wo"),)),
            ],
            {"16:261"},
            id="UDH in message_payload",
        ),
    ],
)
async def test_the_parts_of_a_long_message_are_told_and_read_together(
    peer: Peer, core: Core, start: Network, pdus: list[smpp.Pdu], references: set[str]
) -> None:
    gateway, _ = await start()
    (await peer.bound()).send(*pdus)
    await until(lambda: len(core.inbound) == 2)
    parts = [inbound.part for inbound in core.inbound if inbound.part]
    assert [(part.number, part.total, part.octets) for part in parts] == [(2, 2, b"rld"), (1, 2, b"Hello wo")]
    assert {part.reference for part in parts} == references
    assert gateway.text_of("main", parts[::-1]) == "Hello world"
    assert len({inbound.identity for inbound in core.inbound}) == 2


async def test_parts_of_two_long_messages_with_the_same_octets_are_no_copies(
    peer: Peer, core: Core, start: Network
) -> None:
    await start()
    other = ((0x020C, b"\x00\x4e"), *SAR[0][1:])
    (await peer.bound()).send(mo("same", 1, tlvs=SAR[0]), mo("same", 2, tlvs=other), mo("same", 3, tlvs=SAR[0]))
    await until(lambda: len(core.inbound) == 3)
    first, second, copy = (inbound.identity for inbound in core.inbound)
    assert (first == copy, first == second) == (True, False)


async def test_a_text_cut_inside_a_character_is_whole_again(peer: Peer, core: Core, start: Network) -> None:
    gateway, _ = await start()
    euro = (b"\x05\x00\x03\x07\x02\x01a\x1b", b"\x05\x00\x03\x07\x02\x02\x65b")
    (await peer.bound()).send(*(mo(each.decode("latin-1"), 1, esm_class=0x40) for each in euro))
    await until(lambda: len(core.inbound) == 2)
    parts: list[Part] = [inbound.part for inbound in core.inbound if inbound.part]
    assert gateway.text_of("main", parts) == "a€b"


async def test_data_coding_0_is_read_and_written_in_the_accounts_alphabet(
    peer: Peer, core: Core, start: Network
) -> None:
    _, send = await start(alphabet="latin1")
    (await peer.bound()).send(mo("ä@", 1))
    await until(lambda: core.inbound)
    assert core.inbound[0].text == "ä@"
    await send.result(send("ä@"))
    assert peer.of(smpp.SubmitSm)[0].short_message == b"\xe4@"


async def test_segments_are_marked_as_agreed(peer: Peer, start: Network) -> None:
    first, second = await sent(peer, start, {"text": "a" * 200}, long_messages="sar")
    assert first.tlvs == ((0x020C, b"\x00\x01"), (0x020E, b"\x02"), (0x020F, b"\x01"))
    assert second.tlvs == ((0x020C, b"\x00\x01"), (0x020E, b"\x02"), (0x020F, b"\x02"))
    assert (first.esm_class, first.short_message[:1]) == (0, b"a")


async def test_a_long_message_may_leave_whole(peer: Peer, start: Network) -> None:
    [whole] = await sent(peer, start, {"text": "a" * 2000}, long_messages="payload")
    assert (whole.short_message, whole.tlvs) == (b"", ((0x0424, b"a" * 2000),))


async def test_an_account_of_version_3_3_gets_no_optional_parameter(peer: Peer, start: Network) -> None:
    agreed: dict[str, Any] = {"long_messages": "sar", "receipt_reference": True, "interface_version": "3.3"}
    first, second = await sent(peer, start, {"text": "a" * 200}, **agreed)
    assert (first.tlvs, second.tlvs) == ((), ())
    assert first.short_message[:6] == b"\x05\x00\x03\x01\x02\x01"


@pytest.mark.parametrize("agreed", ["sar", "payload"])
async def test_an_smsc_that_turns_out_to_be_of_3_3_gets_its_segments_marked_in_the_user_data(
    peer: Peer, core: Core, start: Network, agreed: str
) -> None:
    peer.answers[smpp.BindTransceiver] = lambda pdu: [
        smpp.BindTransceiverResp(pdu.sequence, 0, tlvs=((tags.SC_INTERFACE_VERSION, b"\x33"),))
    ]
    _, send = await start(long_messages=agreed)
    await until(lambda: core.sessions)
    assert (await send.result(send("a" * 200))).outcome is SendOutcome.SENT
    assert [(pdu.esm_class, pdu.tlvs) for pdu in peer.of(smpp.SubmitSm)] == [(0x40, ()), (0x40, ())]


async def test_flash_is_message_class_0(peer: Peer, start: Network) -> None:
    [flash] = await sent(peer, start, {"text": "now", "flash": True})
    assert (flash.data_coding, flash.short_message) == (0x10, b"now")


async def test_octets_for_an_application_carry_its_port(peer: Peer, start: Network) -> None:
    [binary] = await sent(peer, start, {"text": "", "data": b"\x00\x01\xff", "port": 9200})
    assert (binary.data_coding, binary.esm_class) == (0x04, 0x40)
    assert binary.short_message == b"\x06\x05\x04\x23\xf0\x00\x00\x00\x01\xff"


async def test_a_submission_carries_a_reference_where_its_receipt_has_no_id(
    peer: Peer, core: Core, start: Network
) -> None:
    _, send = await start(receipt_reference=True)
    await send.result(send("hello"))
    assert peer.of(smpp.SubmitSm)[0].tlvs == ((tags.USER_MESSAGE_REFERENCE, b"\x00\x01"),)
    peer.connections[0].send(
        mo("", 9, esm_class=4, tlvs=((tags.USER_MESSAGE_REFERENCE, b"\x00\x01"), (tags.MESSAGE_STATE, b"\x02")))
    )
    await until(lambda: core.receipts)
    assert (core.receipts[0].smsc_id, core.receipts[0].reference) == ("", 1)


@pytest.mark.parametrize("esm_class", [0x08, 0x10, 0x18], ids=["of a handset", "of a person", "of a conversation"])
async def test_an_acknowledgement_is_answered_and_is_no_command(
    peer: Peer, core: Core, start: Network, esm_class: int
) -> None:
    await start()
    (await peer.bound()).send(mo("CM 0912345678", 1, esm_class=esm_class), mo("real", 2))
    await until(lambda: len(peer.of(smpp.DeliverSmResp)) == 2)
    assert [inbound.text for inbound in core.inbound] == ["real"]
    assert [pdu.status for pdu in peer.of(smpp.DeliverSmResp)] == [0, 0]


async def test_a_session_in_an_address_is_answered_there_and_is_no_part_of_a_number(
    peer: Peer, core: Core, start: Network
) -> None:
    _, send = await start(ussd_dialect="bercut")
    (await peer.bound()).send(
        mo("", 1, destination_addr=b"*105#7654321", service_type=b"USSD", tlvs=((0x0501, b"\x01"),))
    )
    await until(lambda: core.inbound)
    [inbound] = core.inbound
    assert (inbound.sender, inbound.text) == ("84912345678", "*105#")
    assert inbound.ussd is not None
    await send.result(send("1 Call", session=inbound.session, token=inbound.ussd.token, more=True, source=inbound.to))
    [screen] = peer.of(smpp.SubmitSm)
    assert (screen.source_addr, screen.destination_addr) == (b"*105#7654321", b"84912345678")


async def test_a_dialogue_that_we_begin_leaves_by_any_session(peer: Peer, start: Network) -> None:
    [question] = await sent(peer, start, {"text": "1 Yes", "push": True, "more": True, "source": "*105#"})
    assert question.tlvs[0] == (0x0501, b"\x02")
    assert (question.service_type, question.validity_period, question.registered_delivery) == (b"USSD", b"", 0)


async def test_a_dialect_of_ones_own_is_spoken_once_it_is_there(peer: Peer, core: Core, start: Network) -> None:
    gateway, send = await start()
    own: dict[str, Dialect] = {"ours": Dialect(ask=35)}
    [account] = gateway.accounts
    await gateway.apply([replace(account.settings, ussd_dialect="ours")], own, ())
    (await peer.bound()).send(mo("*105#", 1, tlvs=((0x0501, b"\x01"), (0x1383, b"\x4d\x00"))))
    await until(lambda: core.inbound)
    turn = core.inbound[0].ussd
    assert turn is not None
    await send.result(send("?", session=core.inbound[0].session, token=turn.token, more=True))
    assert peer.of(smpp.SubmitSm)[0].tlvs[0] == (0x0501, b"\x23")
    assert "ours" not in DIALECTS
