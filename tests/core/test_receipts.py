"""Receipts that name no message by its id, and those that come on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.core.test_outcomes import asking
from tests.core.toys import CODE, HOA, LAN, MAI, MAI_NUMBER, Toy, purse, rows
from vas import Context, Service
from vas.messages import ROK, RX_T_APPN, Outbound, Receipt, ReceiptState, SendOutcome
from vas.store.ids import Ids, id_ms, moment
from vas.testing import ACCOUNT, Network

DELIVERED, ENROUTE = ReceiptState.DELIVERED, ReceiptState.ENROUTE


@pytest.fixture
async def network(toy: Toy) -> AsyncIterator[Network]:
    service = toy.service()
    asking(service)
    long_to_mai(service)
    async with toy.network(service, receipts=False) as network:
        yield network


def long_to_mai(service: Service) -> None:
    @service.sms("LONG {x}")
    async def long(ctx: Context, x: str) -> None:
        await ctx.send(MAI_NUMBER, "note", then=service.outcomes["settle"].run, x=x)


async def asked(network: Network, text: str = "ASK hello") -> Outbound:
    before = len(network.sent)
    await network.phone(LAN).text(text, CODE)
    return next(message for message in network.sent[before:] if message.to == MAI_NUMBER)


async def told(network: Network) -> list[str]:
    return [note.split()[0] for note in (await purse(network)).notes]


async def come(
    network: Network, reference: int | None, *, to: str = MAI, state: ReceiptState = DELIVERED, account: str = ACCOUNT
) -> int:  # fmt: skip
    """A receipt without an id; what it was answered with."""
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    receipt = Receipt(account, 0, 0, moment(network.now_ms), "", to, state, reference=reference)
    network.node.dispatch.receive_receipt(receipt, answered.set_result)
    await network.settled()
    return await answered


async def test_a_receipt_without_an_id_is_matched_by_the_reference(network: Network) -> None:
    message = await asked(network)
    assert await come(network, message.id & 0xFFFF) == ROK
    assert await told(network) == ["delivered"]
    assert await rows(network, "SELECT smsc_id, state FROM receipt") == [(str(message.id), "delivered")]


async def test_a_receipt_without_an_id_that_comes_twice_is_told_once(network: Network) -> None:
    message = await asked(network)
    for _ in range(2):
        assert await come(network, message.id & 0xFFFF) == ROK
    assert await told(network) == ["delivered"]


async def test_a_final_receipt_without_an_id_follows_one_that_came_on_the_way(network: Network) -> None:
    message = await asked(network)
    for state, expected in ((ENROUTE, []), (DELIVERED, ["delivered"])):
        assert await come(network, message.id & 0xFFFF, state=state) == ROK
        assert await told(network) == expected
        assert await rows(network, "SELECT state FROM receipt") == [(state.value,)]


@pytest.mark.parametrize("wrong", ["reference", "number", "account", "no reference"])
async def test_a_receipt_without_an_id_of_another_message_is_not_ours(network: Network, wrong: str) -> None:
    message = await asked(network)
    reference = None if wrong == "no reference" else (message.id + (wrong == "reference")) & 0xFFFF
    to, account = HOA if wrong == "number" else MAI, "other" if wrong == "account" else ACCOUNT
    assert await come(network, reference, to=to, account=account) == ROK
    assert await told(network) == []
    assert await rows(network, "SELECT state FROM receipt") == [(None,)]


async def test_of_two_messages_with_one_reference_the_newest_that_is_not_settled_is_meant(network: Network) -> None:
    first = await asked(network, "ASK first")
    # The next id is the command's, the one after it the message's.
    store = network.node.store
    ids = store._tokens.ids if store.shared else store._ids
    ids._counter = (first.id & 0x3FFF) - 2
    await network.pass_time(timedelta(milliseconds=1))
    ids._last_ms = network.now_ms
    second = await asked(network, "ASK second")
    assert (second.id & 0xFFFF, second.id > first.id) == (first.id & 0xFFFF, True)
    await come(network, first.id & 0xFFFF)
    await come(network, first.id & 0xFFFF)
    notes = [note for note in (await purse(network)).notes if "first" in note or "second" in note]
    assert notes == ["delivered note second", "delivered note first"]


def test_ids_made_one_after_the_other_differ_in_their_low_16_bits() -> None:
    ids = Ids()
    made = [ids.next(now_ms) for now_ms in range(1_600_000_000_000, 1_600_000_016_000)]
    assert len({id_ & 0xFFFF for id_ in made}) == len(made)
    assert [id_ms(id_) for id_ in made] == list(range(1_600_000_000_000, 1_600_000_016_000))


def test_ids_rise_also_when_more_are_made_than_a_millisecond_holds() -> None:
    ids = Ids()
    made = [ids.next(1_600_000_000_000 + tenth // 20_000) for tenth in range(60_000)]
    assert made == sorted(set(made))


async def test_a_message_that_nobody_may_wait_for_any_more_is_not_matched(network: Network) -> None:
    message = await asked(network)
    await network.pass_time(timedelta(hours=36))
    assert await told(network) == ["unknown"]
    await come(network, message.id & 0xFFFF)
    assert await told(network) == ["unknown"]


async def test_a_long_message_is_delivered_with_as_many_receipts_as_it_has_segments(network: Network) -> None:
    network.segments = lambda message: 3 if message.to == MAI_NUMBER else 1
    message = await asked(network)
    for expected in ([], [], ["delivered"]):
        await come(network, message.id & 0xFFFF)
        assert await told(network) == expected
    assert await rows(network, "SELECT DISTINCT state FROM receipt") == [("delivered",)]


async def test_a_receipt_without_an_id_that_overtakes_the_submit_sm_resp_is_taken_when_it_comes_again(
    network: Network,
) -> None:
    early: list[asyncio.Future[int]] = []

    def at_once(message: Outbound) -> SendOutcome:
        if message.to == MAI_NUMBER:
            early.append(asyncio.get_running_loop().create_future())
            receipt = Receipt(
                ACCOUNT, 0, 0, moment(network.now_ms), "", MAI, DELIVERED, reference=message.id & 0xFFFF
            )  # fmt: skip
            network.node.dispatch.receive_receipt(receipt, early[0].set_result)
        return SendOutcome.SENT

    network.outcome = at_once
    message = await asked(network)
    assert await early[0] == RX_T_APPN
    assert await told(network) == []
    assert await come(network, message.id & 0xFFFF) == ROK
    assert await told(network) == ["delivered"]


@pytest.mark.parametrize("state", [ReceiptState.ENROUTE, ReceiptState.ACCEPTED])
async def test_a_receipt_on_the_way_is_kept_until_the_final_one(network: Network, state: ReceiptState) -> None:
    message = await asked(network)
    await network.receipt(message, state)
    assert await rows(network, "SELECT state FROM receipt") == [(state.value,)]
    assert await told(network) == []
    await network.receipt(message, DELIVERED)
    assert await rows(network, "SELECT state FROM receipt") == [("delivered",)]
    assert await told(network) == ["delivered"]


async def test_a_receipt_on_the_way_that_comes_late_does_not_hide_the_final_one(network: Network) -> None:
    message = await asked(network)
    await network.receipt(message, DELIVERED)
    await network.receipt(message, ENROUTE)
    assert await rows(network, "SELECT state FROM receipt") == [("delivered",)]


async def test_a_final_receipt_is_not_overwritten_by_another_one(network: Network) -> None:
    message = await asked(network)
    await network.receipt(message, DELIVERED)
    await network.receipt(message, ReceiptState.EXPIRED)
    assert await rows(network, "SELECT state FROM receipt") == [("delivered",)]


async def test_a_receipt_on_the_way_that_overtakes_the_submit_sm_resp_settles_nothing(network: Network) -> None:
    def at_once(message: Outbound) -> SendOutcome:
        if message.to == MAI_NUMBER:
            receipt = Receipt(ACCOUNT, 0, 0, moment(network.now_ms), str(message.id), MAI, ENROUTE)
            network.node.dispatch.receive_receipt(receipt, lambda status: None)
        return SendOutcome.SENT

    network.outcome = at_once
    message = await asked(network)
    assert await told(network) == []
    assert await rows(network, "SELECT state FROM outbox WHERE settle != ''") == [("sent",)]
    await network.receipt(message, DELIVERED)
    assert await told(network) == ["delivered"]


async def test_a_receipt_on_another_bind_and_session_is_matched(network: Network) -> None:
    message = await asked(network)
    session = network.node.dispatch.session_opened(ACCOUNT)
    receipt = Receipt(ACCOUNT, session, 9, moment(network.now_ms), str(message.id), MAI, DELIVERED)
    network.node.dispatch.receive_receipt(receipt, lambda status: None)
    await network.settled()
    assert await told(network) == ["delivered"]
