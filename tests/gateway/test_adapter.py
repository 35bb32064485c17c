"""What comes over the wire becomes messages, and messages what goes over the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from gateway.adapter import SmppGateway
from gateway.links.link import Link
from gateway.outgoing import relative_time
from gateway.pdus import pdu as smpp
from gateway.settings import AccountSettings
from tests.gateway.conftest import Network
from tests.gateway.peer import Core, Peer, mo, until
from vas.messages import Receipt, ReceiptState, SendOutcome, UssdTurn

USSD_BEGIN = ((smpp.USSD_SERVICE_OP, b"\x01"), (smpp.ITS_SESSION_INFO, b"\x4d\x00"))


async def test_a_command_becomes_an_inbound(peer: Peer, core: Core, start: Network) -> None:
    before = datetime.now(UTC)
    await start(message_id_tlv=0x1500)
    (await peer.bound()).send(
        mo("CM 0912", 1, tlvs=((0x1500, b"id-7\0"),)),
        mo("\x1e\xbf", 2, data_coding=8),
    )
    await until(lambda: len(core.inbound) == 2)
    first, second = core.inbound
    assert (first.account, first.session, first.ordinal) == ("main", 1, 1)
    assert (first.sender, first.to, first.text) == ("84912345678", "9105", "CM 0912")
    assert (first.message_id, first.ussd) == ("id-7", None)
    assert before <= first.received_at <= datetime.now(UTC)
    assert (second.ordinal, second.text, second.message_id) == (2, "ế", "")


def test_a_command_that_may_have_come_before_a_standstill_is_as_old_as_it_may_be(core: Core) -> None:
    now = datetime(2026, 11, 22, 17, 0, tzinfo=UTC)
    settings = AccountSettings(name="main", host="127.0.0.1", port=2775, system_id="vas")
    link = SimpleNamespace(settings=settings, session=1, heard_at=105.0, arrived_at=100.0)
    SmppGateway([settings], core, lambda: now).delivered(cast(Link, link), mo("CM 0912"), 1, lambda status: None)
    assert [inbound.received_at for inbound in core.inbound] == [now - timedelta(seconds=5)]


async def test_a_data_sm_is_a_command_too(peer: Peer, core: Core, start: Network) -> None:
    await start()
    payload = ((smpp.MESSAGE_PAYLOAD, b"CM 0912"),)
    (await peer.bound()).send(
        smpp.DataSm(4, source_addr=b"84912345678", destination_addr=b"9105", tlvs=payload),
        smpp.DeliverSm(5, source_addr=b"84912345678", destination_addr=b"9105", tlvs=payload),
    )
    await until(lambda: peer.of(smpp.DeliverSmResp))
    assert [inbound.text for inbound in core.inbound] == ["CM 0912", "CM 0912"]
    assert peer.of(smpp.DataSmResp) == [smpp.DataSmResp(4)]


async def test_a_copy_has_the_same_identity_and_nothing_else_has(peer: Peer, core: Core, start: Network) -> None:
    await start()
    variants = [
        mo(sequence=1),
        mo(sequence=2, priority_flag=1),
        mo("CM 0912345679"),
        mo(source_addr=b"84912345679"),
        mo(destination_addr=b"9106"),
        mo(data_coding=8),
        mo(tlvs=USSD_BEGIN),
        mo(tlvs=((smpp.USSD_SERVICE_OP, b"\x12"), (smpp.ITS_SESSION_INFO, b"\x4d\x00"))),
        mo(source_addr=b"849123456789", destination_addr=b"105"),
    ]
    (await peer.bound()).send(*variants)
    await until(lambda: len(core.inbound) == len(variants))
    identities = [inbound.identity for inbound in core.inbound]
    assert identities[0] == identities[1]
    assert len(set(identities)) == len(variants) - 1


async def test_a_part_of_a_long_message_is_text_without_its_header(peer: Peer, core: Core, start: Network) -> None:
    await start()
    (await peer.bound()).send(
        mo("\x05\x00\x03\x07\x02\x01half", 1, esm_class=0x40), mo("\x05\x00\x03\x07\x02\x02half", 2, esm_class=0x40)
    )
    await until(lambda: len(core.inbound) == 2)
    assert [inbound.text for inbound in core.inbound] == ["half", "half"]
    assert core.inbound[0].identity != core.inbound[1].identity


async def test_a_receipt_is_told_from_a_command(peer: Peer, core: Core, start: Network) -> None:
    await start(receipt_id="hex_to_dec")
    text = "id:6699 sub:001 dlvrd:001 submit date:2611221430 done date:2611221431 stat:UNDELIV err:011 text:hello"
    (await peer.bound()).send(mo(text, 1, esm_class=4), mo(text, 2))
    await until(lambda: core.inbound and core.receipts)
    receipt = core.receipts[0]
    assert receipt == Receipt(
        account="main",
        session=1,
        ordinal=1,
        received_at=receipt.received_at,
        smsc_id="6699",
        msisdn="84912345678",
        state=ReceiptState.UNDELIVERABLE,
        error="011",
    )
    assert core.inbound[0].ordinal == 2


async def test_ids_of_submissions_have_the_receipts_form_and_their_own_beside_it(peer: Peer, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: [smpp.SubmitSmResp(pdu.sequence, message_id=b"1A2B")]
    _, send = await start(receipt_id="hex_to_dec")
    result = await send.result(send())
    assert (result.smsc_ids, result.spelled) == (("6699",), ("1A2B",))


async def test_a_message_becomes_a_submit_sm(peer: Peer, start: Network) -> None:
    _, send = await start(source_ton=6, source_npi=0, dest_ton=1, dest_npi=1, service_type="CMT")
    result = await send.result(send("hello", receipt=True))
    assert peer.of(smpp.SubmitSm)[0] == smpp.SubmitSm(
        sequence=2,
        service_type=b"CMT",
        source_addr_ton=6,
        source_addr=b"9105",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr=b"84912345678",
        registered_delivery=1,
        short_message=b"hello",
    )
    assert (result.outcome, result.account, result.segments, result.smsc_ids) == (SendOutcome.SENT, "main", 1, ("1",))


@pytest.mark.parametrize("agreed, asked, plain", [("asked", 1, 0), ("all", 1, 1), ("none", 0, 0)])
async def test_receipts_are_asked_for_as_agreed(
    peer: Peer, start: Network, agreed: str, asked: int, plain: int
) -> None:
    _, send = await start(registered_delivery=agreed)
    await send.result(send(receipt=True))
    await send.result(send(receipt=False))
    assert [pdu.registered_delivery for pdu in peer.of(smpp.SubmitSm)] == [asked, plain]


async def test_a_long_text_leaves_in_segments_and_every_id_is_kept(peer: Peer, start: Network) -> None:
    _, send = await start()
    result = await send.result(send("a" * 307))
    assert (result.segments, result.smsc_ids) == (3, ("1", "2", "3"))
    segments = peer.of(smpp.SubmitSm)
    assert [pdu.short_message[:6] for pdu in segments] == [bytes((5, 0, 3, 1, 3, part)) for part in (1, 2, 3)]
    assert {pdu.esm_class for pdu in segments} == {0x40}


async def test_one_refused_segment_decides_for_the_message(peer: Peer, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: [
        smpp.SubmitSmResp(pdu.sequence, 0x0B)
        if pdu.short_message[5] == 2
        else smpp.SubmitSmResp(pdu.sequence, message_id=b"%d" % pdu.short_message[5])
    ]
    _, send = await start()
    result = await send.result(send("a" * 307))
    assert (result.outcome, result.status, result.smsc_ids) == (SendOutcome.PERMANENT, 0x0B, ("1", "3"))


async def test_a_text_of_more_segments_than_can_be_numbered_is_refused(peer: Peer, start: Network) -> None:
    _, send = await start()
    result = await send.result(send("a" * (153 * 255 + 1)))
    assert (result.outcome, result.status) == (SendOutcome.PERMANENT, 0x01)
    assert peer.of(smpp.SubmitSm) == []


async def test_a_source_that_does_not_fit_the_wire_fails_for_good(peer: Peer, start: Network) -> None:
    _, send = await start()
    assert (await send.result(send(source="9" * 21))).outcome is SendOutcome.PERMANENT
    assert (await send.result(send())).outcome is SendOutcome.SENT


async def test_the_validity_is_the_sooner_of_the_accounts_and_the_messages(peer: Peer, start: Network) -> None:
    _, send = await start(validity=timedelta(hours=2))
    await send.result(send())
    await send.result(send(expires_at=datetime.now(UTC) + timedelta(days=3)))
    await send.result(send(expires_at=datetime.now(UTC) + timedelta(minutes=30, seconds=0.9)))
    assert [pdu.validity_period for pdu in peer.of(smpp.SubmitSm)] == [
        b"000000020000000R",
        b"000000020000000R",
        b"000000003000000R",
    ]


@pytest.mark.parametrize(
    "span, octets",
    [
        (timedelta(days=2, hours=3, minutes=4, seconds=5), b"000002030405000R"),
        (timedelta(days=400), b"000031000000000R"),
        (timedelta(0), b"000000000001000R"),
    ],
)
def test_a_relative_time_is_written_as_the_standard_says(span: timedelta, octets: bytes) -> None:
    assert relative_time(span) == octets


async def test_a_ussd_turn_is_answered_in_its_dialogue_and_on_its_session(
    peer: Peer, core: Core, start: Network
) -> None:
    _, send = await start(binds=2, service_type="CMT", registered_delivery="all", validity=timedelta(hours=1))
    await until(lambda: len(core.sessions) == 2)
    for connection in peer.connections:
        connection.send(mo("*105#", 1, tlvs=USSD_BEGIN))
    await until(lambda: len(core.inbound) == 2)
    turn = core.inbound[0].ussd
    assert turn == UssdTurn(dialogue="84912345678/4d", begin=True, token=turn.token if turn else b"")
    for inbound in core.inbound:
        assert inbound.ussd
        screen = send("1 Call\n2 Block", session=inbound.session, token=inbound.ussd.token, more=True)
        assert (await send.result(screen)).outcome is SendOutcome.SENT
    for connection in peer.connections:
        (screen_sent,) = [pdu for pdu in connection.received if isinstance(pdu, smpp.SubmitSm)]
        assert screen_sent.tlvs == ((0x0501, b"\x02"), (0x1383, b"\x4d\x00"))
        assert (screen_sent.service_type, screen_sent.registered_delivery) == (b"USSD", 0)
        assert screen_sent.validity_period == b""


async def test_a_screen_whose_session_is_gone_is_not_sent(peer: Peer, core: Core, start: Network) -> None:
    _, send = await start()
    (await peer.bound()).send(mo("*105#", 1, tlvs=USSD_BEGIN))
    await until(lambda: core.inbound)
    peer.connections[0].transport.abort()
    await until(lambda: len(core.sessions) == 2)
    screen = send(session=1, token=b"\x4d\x00")
    assert (await send.result(screen)).outcome is SendOutcome.NOT_SENT
    assert peer.of(smpp.SubmitSm) == []


async def test_a_screen_that_waits_is_given_back_when_its_session_ends(peer: Peer, core: Core, start: Network) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    _, send = await start(window=1)
    await until(lambda: core.sessions)
    blocking = send()
    await until(lambda: peer.of(smpp.SubmitSm))
    screen = send(session=1, token=b"\x4d\x00")
    peer.connections[0].transport.abort()
    assert (await send.result(screen)).outcome is SendOutcome.NOT_SENT
    assert (await send.result(blocking)).outcome is SendOutcome.UNANSWERED


async def test_the_gateway_chooses_an_account_that_is_up(peer: Peer, core: Core, start: Network) -> None:
    _, send = await start()
    await until(lambda: core.sessions)
    assert (await send.result(send(account=""))).account == "main"
    assert (await send.result(send(account="removed"))).account == "main"


async def test_operations_see_every_bind(peer: Peer, core: Core, start: Network) -> None:
    gateway, send = await start(window=7)
    await until(lambda: core.sessions)
    peer.connections[0].send(mo())
    await send.result(send())
    await until(lambda: peer.of(smpp.DeliverSmResp))
    (bind,) = gateway.binds()
    assert (bind.account, bind.system_id, bind.bind_type, bind.state) == ("main", "vas", "transceiver", "bound")
    assert (bind.window_used, bind.window_max, bind.session, bind.reconnects) == (0, 7, 1, 0)
    assert (bind.counters.pdus_in, bind.counters.pdus_out) == (3, 3)
    assert bind.last_in is not None
    assert bind.since <= bind.last_in <= datetime.now(UTC)
