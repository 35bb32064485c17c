"""query_sm, cancel_sm and replace_sm, and what SMSCs say to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.accounts.account import Account
from gateway.accounts.ancillary import QueryResult, RequestResult, absolute_time
from gateway.pdus import pdu as smpp
from tests.gateway.conftest import Network
from tests.gateway.peer import Core, Peer, until
from vas.messages import ReceiptState


@pytest.fixture
async def account(peer: Peer, core: Core, start: Network) -> Account:
    gateway, _ = await start(source_ton=3, source_npi=9, dest_ton=1, dest_npi=1, service_type="VAS")
    await until(lambda: core.sessions)
    return gateway.account("main")


async def test_a_message_is_asked_about_by_its_id_and_its_source(peer: Peer, account: Account) -> None:
    peer.answers[smpp.QuerySm] = lambda pdu: [
        smpp.QuerySmResp(pdu.sequence, message_id=b"7F", final_date=b"260321143000000+", message_state=5, error_code=27)
    ]
    assert await account.query("7F", "9105") == QueryResult(
        state=ReceiptState.UNDELIVERABLE, final_date=datetime(2026, 3, 21, 14, 30, tzinfo=UTC), error=27
    )
    assert peer.of(smpp.QuerySm) == [
        smpp.QuerySm(2, message_id=b"7F", source_addr_ton=3, source_addr_npi=9, source_addr=b"9105")
    ]


async def test_a_message_that_is_under_way_has_no_final_date(peer: Peer, account: Account) -> None:
    peer.answers[smpp.QuerySm] = lambda pdu: [smpp.QuerySmResp(pdu.sequence, message_id=b"1", message_state=1)]
    assert await account.query("1", "9105") == QueryResult(state=ReceiptState.ENROUTE)


async def test_one_message_is_taken_back(peer: Peer, account: Account) -> None:
    assert await account.cancel("7F", "9105", "84912345678") == RequestResult()
    assert peer.of(smpp.CancelSm) == [
        smpp.CancelSm(
            2, message_id=b"7F", source_addr_ton=3, source_addr_npi=9, source_addr=b"9105",
            dest_addr_ton=1, dest_addr_npi=1, destination_addr=b"84912345678",
        )
    ]  # fmt: skip


async def test_all_messages_to_a_number_are_taken_back(peer: Peer, account: Account) -> None:
    assert await account.cancel("", "9105", "84912345678") == RequestResult()
    cancel = peer.of(smpp.CancelSm)[0]
    assert (cancel.service_type, cancel.message_id, cancel.destination_addr) == (b"VAS", b"", b"84912345678")


async def test_a_text_is_replaced(peer: Peer, account: Account) -> None:
    assert await account.replace("7F", "9105", b"new words", receipt=True) == RequestResult()
    assert peer.of(smpp.ReplaceSm) == [
        smpp.ReplaceSm(
            2, message_id=b"7F", source_addr_ton=3, source_addr_npi=9, source_addr=b"9105",
            registered_delivery=1, short_message=b"new words",
        )
    ]  # fmt: skip


async def test_a_replaced_text_asks_for_the_receipt_that_every_message_asks_for(
    peer: Peer, core: Core, start: Network
) -> None:
    gateway, _ = await start(registered_delivery="all")
    await until(lambda: core.sessions)
    await gateway.account("main").replace("7F", "9105", b"new words")
    assert peer.of(smpp.ReplaceSm)[0].registered_delivery == 1


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (0, ReceiptState.ENROUTE),
        (8, ReceiptState.REJECTED),
        (9, ReceiptState.UNDELIVERABLE),
        (10, ReceiptState.UNKNOWN),
    ],
)
async def test_a_state_is_what_it_is_in_a_receipt(
    peer: Peer, account: Account, number: int, state: ReceiptState
) -> None:
    peer.answers[smpp.QuerySm] = lambda pdu: [smpp.QuerySmResp(pdu.sequence, message_id=b"1", message_state=number)]
    assert (await account.query("1", "9105")).state is state


PROBLEMS = [
    pytest.param(lambda pdu: [smpp.GenericNack(pdu.sequence, 0x03)], "the SMSC has no query_sm", 0x03, id="nack"),
    pytest.param(lambda pdu: [smpp.GenericNack(pdu.sequence, 0xFF)], "the SMSC has no query_sm", 0xFF, id="other nack"),
    pytest.param(lambda pdu: [smpp.QuerySmResp(pdu.sequence, 0x03)], "the SMSC has no query_sm", 0x03, id="RINVCMDID"),
    pytest.param(lambda pdu: [smpp.QuerySmResp(pdu.sequence, 0x0C)], "Invalid Message ID (RINVMSGID)", 0x0C, id="id"),
    pytest.param(lambda pdu: [smpp.QuerySmResp(pdu.sequence, 0x67)], "query_sm request failed", 0x67, id="failed"),
    pytest.param(lambda pdu: [smpp.QuerySmResp(pdu.sequence, 0x04)], "(RINVBNDSTS)", 0x04, id="state"),
]


@pytest.mark.parametrize("answer, problem, status", PROBLEMS)
async def test_what_the_smsc_will_not_do_is_said_and_costs_no_bind(
    peer: Peer, core: Core, account: Account, answer: object, problem: str, status: int
) -> None:
    peer.answers[smpp.QuerySm] = answer  # type: ignore[assignment]
    result = await account.query("7F", "9105")
    assert problem in result.problem
    assert result.status == status
    assert core.ended == []
    assert peer.of(smpp.Unbind) == []


async def test_a_throttled_question_is_asked_again(peer: Peer, account: Account) -> None:
    statuses = iter((0x58, 0))
    peer.answers[smpp.CancelSm] = lambda pdu: [smpp.CancelSmResp(pdu.sequence, next(statuses))]
    assert await account.cancel("7F", "9105") == RequestResult()
    assert account.status.counters.throttled == 1


async def test_no_response_is_said(peer: Peer, core: Core, start: Network) -> None:
    peer.answers[smpp.ReplaceSm] = lambda pdu: []
    gateway, _ = await start(response_timer=timedelta(milliseconds=100))
    await until(lambda: core.sessions)
    assert await gateway.account("main").replace("7F", "9105", b"new") == RequestResult("no response")


async def test_without_a_connection_nothing_is_asked(account: Account) -> None:
    await account.stop()
    assert (await account.query("7F", "9105")).problem == "not asked: the account has no connection that submits"


async def test_a_receiver_asks_nothing(peer: Peer, core: Core, start: Network) -> None:
    gateway, _ = await start(bind="transmitter+receiver")
    await until(lambda: len(core.sessions) == 2)
    for _ in range(4):
        assert (await gateway.account("main").query("7F", "9105")).problem == ""
    asking = {type(connection.received[0]): connection.received for connection in peer.connections}
    assert [type(pdu) for pdu in asking[smpp.BindTransmitter][1:]] == [smpp.QuerySm] * 4
    assert len(asking[smpp.BindReceiver]) == 1


TIMES = [
    (b"260321143000000+", datetime(2026, 3, 21, 14, 30, tzinfo=UTC)),
    (b"260321143000528+", datetime(2026, 3, 21, 7, 30, 0, 500_000, tzinfo=UTC)),
    (b"260101003000004-", datetime(2026, 1, 1, 1, 30, tzinfo=UTC)),
    (b"260321143012", datetime(2026, 3, 21, 14, 30, 12, tzinfo=UTC)),
    (b"2603211430", datetime(2026, 3, 21, 14, 30, tzinfo=UTC)),
    (b"", None),
    (b"000000000500000R", None),
    (b"261321143000000+", None),
    (b"260321143000099+", None),
    (b"tomorrow", None),
]


@pytest.mark.parametrize("octets, moment", TIMES)
def test_an_absolute_time_is_read_with_its_zone(octets: bytes, moment: datetime | None) -> None:
    assert absolute_time(octets) == moment
