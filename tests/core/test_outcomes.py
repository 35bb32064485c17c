"""What becomes of a message is told once to the handler that wanted to know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.core.toys import CODE, HOA, LAN, LAN_NUMBER, MAI, MAI_NUMBER, Toy, noted, purse, rows
from vas import Context, Msisdn, Outcome, Service
from vas.messages import ROK, Outbound, Receipt, ReceiptState, SendOutcome
from vas.node import Statement
from vas.operations import NodeOperations
from vas.store.ids import moment, shard_of
from vas.subscribers import DOCUMENT
from vas.testing import ACCOUNT, Network


def asking(service: Service) -> None:
    """ASK sends Mai a note; what became of it is noted in Lan's purse."""

    @service.outcome
    async def settle(ctx: Context, outcome: Outcome) -> None:
        await ctx.change(ctx.sender, noted, f"{outcome.result} {outcome.key} {outcome.params['x']}")
        if outcome.params["x"] == "fail":
            raise ValueError("a bug")
        await ctx.send(ctx.sender, "note", x=outcome.result)

    @service.sms("ASK {x}")
    async def ask(ctx: Context, x: str) -> None:
        await ctx.send(MAI_NUMBER, "note", then=settle, valid=timedelta(hours=12), x=x)

    @service.sms("ONCE {x}")
    async def once(ctx: Context, x: str) -> None:
        await ctx.send(MAI_NUMBER, "note", then=settle, once=True, valid=timedelta(hours=12), x=x)


@pytest.fixture
def service(toy: Toy) -> Service:
    made = toy.service()
    asking(made)
    return made


@pytest.fixture
async def network(toy: Toy, service: Service) -> AsyncIterator[Network]:
    async with toy.network(service, receipts=False) as network:
        yield network


async def told(network: Network) -> list[str]:
    """What `settle` was told, each time that it ran."""
    assert [text.removeprefix("note ") for text in network.phone(LAN).texts] == [
        note.split()[0] for note in (await purse(network)).notes
    ]
    return [note.split()[0] for note in (await purse(network)).notes]


async def asked(network: Network, text: str = "ASK hello") -> Outbound:
    """The message that went to Mai on account of this text."""
    await network.phone(LAN).text(text, CODE)
    return next(message for message in network.sent if message.to == MAI_NUMBER)


@pytest.mark.parametrize(
    ("state", "result"),
    [
        (ReceiptState.DELIVERED, "delivered"),
        (ReceiptState.EXPIRED, "expired"),
        (ReceiptState.UNDELIVERABLE, "failed"),
        (ReceiptState.REJECTED, "failed"),
        (ReceiptState.DELETED, "failed"),
        (ReceiptState.UNKNOWN, "unknown"),
    ],
)
async def test_each_final_receipt_ends_the_message(network: Network, state: ReceiptState, result: str) -> None:
    message = await asked(network)
    assert message.receipt
    assert await told(network) == []
    await network.receipt(message, state, "005")
    assert await told(network) == [result]
    [(stored, error)] = await rows(network, "SELECT state, error FROM outbox WHERE settle != ''")
    assert stored == result
    assert ("005" in error) is (result != "delivered")


@pytest.mark.parametrize("state", [ReceiptState.ENROUTE, ReceiptState.ACCEPTED])
async def test_a_receipt_on_the_way_ends_nothing(network: Network, state: ReceiptState) -> None:
    message = await asked(network)
    await network.receipt(message, state)
    assert await told(network) == []
    await network.receipt(message, ReceiptState.DELIVERED)
    assert await told(network) == ["delivered"]


@pytest.mark.parametrize("second", [ReceiptState.DELIVERED, ReceiptState.EXPIRED])
async def test_a_receipt_that_comes_twice_is_told_once(network: Network, second: ReceiptState) -> None:
    message = await asked(network)
    await network.receipt(message, ReceiptState.DELIVERED)
    await network.receipt(message, second)
    assert await told(network) == ["delivered"]


async def test_a_receipt_that_names_no_message_is_acknowledged_and_waits_for_none(network: Network) -> None:
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    receipt = Receipt(ACCOUNT, 0, 0, moment(network.now_ms), "", MAI_NUMBER.digits, ReceiptState.UNKNOWN)
    network.node.dispatch.receive_receipt(receipt, answered.set_result)
    assert await answered == ROK
    assert await rows(network, "SELECT * FROM receipt") == []


async def test_two_receipts_in_one_batch_are_told_once(network: Network) -> None:
    message = await asked(network)
    answers = []
    for _ in range(2):
        receipt = Receipt(
            ACCOUNT, 0, 0, moment(network.now_ms), str(message.id), message.to.digits, ReceiptState.DELIVERED
        )
        answers.append(asyncio.get_running_loop().create_future())
        network.node.dispatch.receive_receipt(receipt, answers[-1].set_result)
    assert await asyncio.gather(*answers) == [ROK, ROK]
    await network.settled()
    assert await told(network) == ["delivered"]


@pytest.mark.parametrize("spelled", ["0987654321", "+84987654321", "84987654321"])
async def test_a_receipt_is_matched_however_the_smsc_spells_the_number(network: Network, spelled: str) -> None:
    message = await asked(network)
    await _receive(network, message, spelled)
    assert await told(network) == ["delivered"]


async def _receive(network: Network, message: Outbound, msisdn: str, account: str = ACCOUNT) -> None:
    receipt = Receipt(account, 0, 0, moment(network.now_ms), str(message.id), msisdn, ReceiptState.DELIVERED)
    network.node.dispatch.receive_receipt(receipt, lambda status: None)
    await network.settled()


@pytest.mark.parametrize(("msisdn", "account"), [("84905000001", ACCOUNT), ("84987654321", "other")])
async def test_a_receipt_of_another_message_with_the_same_id_is_not_ours(
    network: Network, msisdn: str, account: str
) -> None:
    message = await asked(network)
    await _receive(network, message, msisdn, account)
    assert await told(network) == []


async def test_a_receipt_that_overtakes_the_submit_sm_resp_is_not_lost(network: Network) -> None:
    def deliver_at_once(message: Outbound) -> SendOutcome:
        if message.to == MAI_NUMBER:
            receipt = Receipt(
                ACCOUNT, 0, 0, moment(network.now_ms), str(message.id), message.to.digits, ReceiptState.DELIVERED
            )
            network.node.dispatch.receive_receipt(receipt, lambda status: None)
        return SendOutcome.SENT

    network.outcome = deliver_at_once
    await asked(network)
    assert await told(network) == ["delivered"]


async def test_a_receipt_that_overtakes_by_far_is_not_lost(toy: Toy, service: Service, network: Network) -> None:
    """The receipt is stored, the platform stops and starts, and only then is the message sent with that id."""
    network.outcome = lambda message: SendOutcome.NOT_SENT
    message = await asked(network)
    await _receive(network, message, "84987654321")
    network.outcome = lambda message: SendOutcome.SENT
    await network.restart()
    await network.pass_time(timedelta(seconds=3))
    assert await told(network) == ["delivered"]


async def test_a_message_that_the_smsc_refuses_for_good_has_failed(network: Network) -> None:
    network.outcome = lambda message: SendOutcome.PERMANENT if message.to == MAI_NUMBER else SendOutcome.SENT
    await asked(network)
    assert await told(network) == ["failed"]


async def test_without_a_receipt_the_outcome_is_unknown_after_the_validity_and_a_day(network: Network) -> None:
    await asked(network)
    await network.pass_time(timedelta(hours=35, minutes=59))
    assert await told(network) == []
    await network.pass_time(timedelta(minutes=1))
    assert await told(network) == ["unknown"]


async def test_without_a_receipt_the_outcome_is_unknown_also_after_a_restart(network: Network) -> None:
    message = await asked(network)
    await network.pass_time(timedelta(hours=10))
    await network.restart()
    await network.pass_time(timedelta(hours=30))
    assert await told(network) == ["unknown"]
    await network.receipt(message, ReceiptState.DELIVERED)
    assert await told(network) == ["unknown"]


async def test_a_message_that_never_left_has_expired_after_its_validity(network: Network) -> None:
    network.outcome = lambda message: SendOutcome.NOT_SENT if message.to == MAI_NUMBER else SendOutcome.SENT
    await asked(network)
    await network.pass_time(timedelta(hours=11))
    assert await told(network) == []
    await network.pass_time(timedelta(hours=1))
    assert await told(network) == ["expired"]


async def test_a_submission_without_an_answer_is_repeated(network: Network) -> None:
    fates = [SendOutcome.UNANSWERED, SendOutcome.SENT]
    network.outcome = lambda message: fates.pop(0) if message.to == MAI_NUMBER else SendOutcome.SENT
    message = await asked(network)
    assert fates == []
    assert len({each.id for each in network.sent if each.to == MAI_NUMBER}) == 1
    await network.receipt(message, ReceiptState.DELIVERED)
    assert await told(network) == ["delivered"]


async def test_a_submission_that_must_not_be_doubled_is_unknown_without_an_answer(network: Network) -> None:
    network.outcome = lambda message: SendOutcome.UNANSWERED if message.to == MAI_NUMBER else SendOutcome.SENT
    await asked(network, "ONCE hello")
    assert await told(network) == ["unknown"]
    assert len([each for each in network.sent if each.to == MAI_NUMBER]) == 1


async def test_a_submission_that_must_not_be_doubled_is_repeated_when_it_surely_did_not_arrive(
    network: Network,
) -> None:
    fates = [SendOutcome.NOT_SENT, SendOutcome.TEMPORARY, SendOutcome.SENT]
    network.outcome = lambda message: fates.pop(0) if message.to == MAI_NUMBER else SendOutcome.SENT
    await asked(network, "ONCE hello")
    await network.pass_time(timedelta(seconds=3))
    await network.pass_time(timedelta(seconds=30))
    assert fates == []
    assert network.phone(MAI).texts == ["note hello"]


async def test_a_submission_that_must_not_be_doubled_is_not_repeated_after_a_power_cut(
    toy: Toy, service: Service, network: Network
) -> None:
    images: list[Network] = []

    def cut(message: Outbound) -> SendOutcome:
        if message.to == MAI_NUMBER and not images:
            images.append(toy.crashed(network, service))
        return SendOutcome.SENT

    network.outcome = cut
    await asked(network, "ONCE hello")
    assert network.phone(MAI).texts == ["note hello"]
    async with images[0] as after:
        await after.settled()
        assert after.phone(MAI).texts == []
        assert await told(after) == ["unknown"]


async def test_a_submission_that_may_be_doubled_is_repeated_after_a_power_cut(
    toy: Toy, service: Service, network: Network
) -> None:
    images: list[Network] = []

    def cut(message: Outbound) -> SendOutcome:
        if message.to == MAI_NUMBER and not images:
            images.append(toy.crashed(network, service))
        return SendOutcome.SENT

    network.outcome = cut
    await asked(network)
    async with images[0] as after:
        await after.settled()
        assert after.phone(MAI).texts == ["note hello"]


async def test_an_outcome_whose_handler_fails_is_a_dead_letter_and_the_message_ends_all_the_same(
    network: Network,
) -> None:
    message = await asked(network, "ASK fail")
    await network.receipt(message, ReceiptState.DELIVERED)
    assert await told(network) == []
    assert await rows(network, "SELECT kind, handler, error FROM dead_letter") == [
        ("outcome", "settle", "ValueError: a bug")
    ]
    assert await rows(network, "SELECT state FROM outbox") == [("delivered",)]
    assert network.phone(LAN).texts == []


async def make_unreadable(network: Network, asker: Msisdn) -> None:
    """What the platform knows of a subscriber, so that nobody can be run on their behalf."""
    text = "INSERT INTO state (shard, msisdn, service, version, value) VALUES (?, ?, ?, 1, ?)"
    await network.node.run(Statement(text, (shard_of(asker.digits), asker.digits, DOCUMENT, b"torn")))
    await network.restart()  # what was read before may be kept in memory


async def test_a_result_that_cannot_be_told_is_a_dead_letter_and_those_of_all_others_are_told(network: Network) -> None:
    network.outcome = lambda message: SendOutcome.NOT_SENT
    for number in (LAN, HOA):
        await network.phone(number).text("ASK hello", CODE)
    await make_unreadable(network, LAN_NUMBER)
    network.outcome = lambda message: SendOutcome.PERMANENT if message.to == MAI_NUMBER else SendOutcome.SENT
    await network.pass_time(timedelta(seconds=3))
    assert await rows(network, "SELECT state, origin FROM outbox WHERE settle != '' ORDER BY origin") == [
        ("failed", "84905000001"), ("failed", LAN_NUMBER.digits),
    ]  # fmt: skip
    assert await rows(network, "SELECT msisdn, handler FROM dead_letter WHERE kind = 'outcome'") == [
        (LAN_NUMBER.digits, "settle")
    ]
    assert network.phone(HOA).texts == ["note failed"]


async def test_a_receipt_whose_message_cannot_be_told_of_is_acknowledged_all_the_same(network: Network) -> None:
    message = await asked(network)
    await make_unreadable(network, LAN_NUMBER)
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    receipt = Receipt(ACCOUNT, 0, 0, moment(network.now_ms), str(message.id), message.to.digits, ReceiptState.DELIVERED)
    network.node.dispatch.receive_receipt(receipt, answered.set_result)
    assert await answered == ROK
    assert await rows(network, "SELECT state FROM outbox") == [("delivered",)]


async def test_what_could_not_be_told_is_told_when_it_can_be_and_is_replayed(network: Network) -> None:
    message = await asked(network)
    await make_unreadable(network, LAN_NUMBER)
    await network.receipt(message, ReceiptState.DELIVERED)
    [(letter,)] = await rows(network, "SELECT id FROM dead_letter")
    operations = NodeOperations(network.node, list, list)
    assert (await operations.replay(letter, dry_run=True, who="linh")).result == "failed"
    await network.node.run(Statement("DELETE FROM state WHERE service = ?", (DOCUMENT,)))
    assert (await operations.replay(letter, dry_run=False, who="linh")).result == "answered"
    await network.settled()
    assert await told(network) == ["delivered"]


async def test_nobody_is_told_when_the_service_is_switched_off(toy: Toy, network: Network) -> None:
    message = await asked(network)
    await network.restart(*toy.mounted(toy.service("other")))
    await network.receipt(message, ReceiptState.DELIVERED)
    assert await rows(network, "SELECT state FROM outbox") == [("delivered",)]


async def test_a_message_without_then_asks_for_no_receipt(toy: Toy) -> None:
    service = toy.service("plain")

    @service.sms("ASK")
    async def ask(ctx: Context) -> None:
        await ctx.send(MAI_NUMBER, "note", x="")

    async with toy.network(service) as network:
        assert not (await asked(network, "ASK")).receipt


async def test_then_must_be_an_outcome_of_the_service(toy: Toy) -> None:
    service = toy.service("wrong")

    async def settle(ctx: Context, outcome: Outcome) -> None: ...

    @service.sms("ASK")
    async def ask(ctx: Context) -> None:
        await ctx.send(MAI_NUMBER, "note", then=settle, x="")

    async with toy.network(service) as network:
        await network.phone(LAN).text("ASK", CODE)
        [(error,)] = await rows(network, "SELECT error FROM dead_letter")
        assert "@wrong.outcome" in error
