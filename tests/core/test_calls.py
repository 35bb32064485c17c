"""The outside world: asked outside any transaction, with a key, until it gives a value or says no."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from tests.core.toys import CODE, LAN, LAN_NUMBER, MAI, MAI_NUMBER, Purse, Toy, inbound, offer, purse, rows, spend
from vas import Context, Msisdn, Outcome, Refused, Reply, Secret, Service, Talk, fold
from vas.calls import Answer, GoOn
from vas.messages import Inbound, UssdTurn
from vas.store.ids import moment
from vas.store.rows import JobRow
from vas.testing import ACCOUNT, MORNING, Network


class Receipt(msgspec.Struct, frozen=True):
    number: str
    amount: Decimal
    at: datetime
    payer: Msisdn


class Bank:
    """Moves money once for each key. `faults`: what the next requests come to instead of an answer."""

    def __init__(self) -> None:
        self.moved: dict[str, int] = {}
        self.asked: list[tuple[str, int]] = []
        self.faults: list[BaseException] = []
        self.was_asked = asyncio.Event()
        self.closed = asyncio.Event()
        self.closed.set()

    async def debit(self, payer: Msisdn, amount: int, *, key: str) -> Receipt:
        self.asked.append((key, amount))
        self.was_asked.set()
        await self.closed.wait()
        if self.faults:
            raise self.faults.pop(0)
        self.moved.setdefault(key, amount)
        return Receipt("r1", Decimal(amount) / 10, datetime(2026, 3, 2, tzinfo=UTC), payer)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that failed is tried again without a pause."""
    monkeypatch.setattr("vas.calls.AGAIN_AFTER_S", (0,))


@pytest.fixture
def bank() -> Iterator[Bank]:
    yield Bank()


def paying(service: Service, bank: Bank) -> None:
    @service.sms("PAY {amount}")
    async def pay(ctx: Context, amount: int) -> Reply:
        await ctx.change(ctx.sender, spend, amount)
        await ctx.send(MAI_NUMBER, "note", x="begun")
        receipt = await ctx.call("debit", bank.debit, ctx.sender, amount)
        await ctx.change(MAI_NUMBER, spend, amount)
        await ctx.send(MAI_NUMBER, "note", x="paid")
        return ctx.reply("done", x=f"{receipt.number} {receipt.amount} {receipt.at:%d/%m} {receipt.payer}")


async def test_a_handler_goes_on_with_what_the_outside_world_gave(toy: Toy, bank: Bank) -> None:
    service = toy.service()
    paying(service, bank)
    async with toy.network(service) as network:
        assert await network.phone(LAN).text("PAY 5", CODE) == f"done r1 0.5 02/03 {LAN}"
        assert all(message.reply for message in network.sent)
        assert network.phone(MAI).texts == ["note begun", "note paid"]
        assert (await purse(network), await purse(network, MAI)) == (Purse(5), Purse(5))
        assert list(bank.moved.values()) == [5]
        assert await rows(network, "SELECT * FROM job") == []


async def test_the_command_is_acknowledged_and_what_came_before_is_done_while_the_call_is_made(
    toy: Toy, bank: Bank
) -> None:
    service = toy.service()
    paying(service, bank)
    bank.closed.clear()
    async with toy.network(service) as network:
        assert await asking(network, bank, "PAY 5") == 0
        assert network.phone(MAI).texts == ["note begun"]
        assert network.phone(LAN).texts == []
        assert (await purse(network), await purse(network, MAI)) == (Purse(5), Purse())
        bank.closed.set()
        await network.settled()
        assert network.phone(LAN).texts == [f"done r1 0.5 02/03 {LAN}"]


async def asking(network: Network, bank: Bank, text: str) -> int:
    """Send a text whose handler then waits for the bank; the answer to the SMSC."""
    session = network.node.dispatch.session_opened(ACCOUNT)
    status = await offer(network, inbound(network, text, session=session, ordinal=1))
    async with asyncio.timeout(5):
        await bank.was_asked.wait()
    while network.node.outbox.busy:
        await network.node.dispatch.drained()
        await asyncio.sleep(0)
    return status


async def test_no_from_the_outside_world_refuses_what_follows_and_keeps_what_came_before(toy: Toy, bank: Bank) -> None:
    service = toy.service()
    paying(service, bank)
    bank.faults = [Refused("no", x="money")]
    async with toy.network(service) as network:
        assert await network.phone(LAN).text("PAY 5", CODE) == "no money"
        assert len(bank.asked) == 1
        assert (await purse(network), await purse(network, MAI)) == (Purse(5), Purse())
        assert network.phone(MAI).texts == ["note begun"]
        assert await rows(network, "SELECT * FROM job") == await rows(network, "SELECT * FROM dead_letter") == []


async def test_no_from_the_outside_world_can_be_caught_and_what_came_before_given_back(toy: Toy, bank: Bank) -> None:
    service = toy.service()
    bank.faults = [Refused("no", x="money")]

    @service.sms("PAY {amount}")
    async def pay(ctx: Context, amount: int) -> Reply:
        await ctx.change(ctx.sender, spend, amount)
        try:
            await ctx.call("debit", bank.debit, ctx.sender, amount)
        except Refused as refused:
            await ctx.change(ctx.sender, spend, -amount)
            return ctx.reply(refused.key, **refused.params)
        return ctx.reply("done", x="")

    async with toy.network(service) as network:
        assert await network.phone(LAN).text("PAY 5", CODE) == "no money"
        assert await purse(network) == Purse(0)


async def test_a_call_that_failed_is_repeated_with_the_same_key_and_arguments(toy: Toy, bank: Bank) -> None:
    service = toy.service()
    paying(service, bank)
    bank.faults = [TimeoutError(), ConnectionError(), ValueError("not JSON")]
    async with toy.network(service) as network:
        assert "done" in await network.phone(LAN).text("PAY 5", CODE)
        assert len(bank.asked) == 4
        assert len(set(bank.asked)) == 1
        assert network.phone(MAI).texts == ["note begun", "note paid"]


async def test_each_call_of_each_command_has_a_key_of_its_own(toy: Toy, bank: Bank) -> None:
    service = toy.service()

    @service.sms("PAY {amount}")
    async def pay(ctx: Context, amount: int) -> Reply:
        for _ in range(2):
            await ctx.call("debit", bank.debit, ctx.sender, amount)
        return ctx.reply("done", x="")

    async with toy.network(service) as network:
        for _ in range(2):
            await network.phone(LAN).text("PAY 5", CODE)
        assert len(bank.moved) == len(bank.asked) == 4


@pytest.mark.parametrize("cut", ["before the answer", "after the answer"])
async def test_a_power_cut_during_a_call_moves_the_money_once(toy: Toy, bank: Bank, cut: str) -> None:
    service = toy.service()
    paying(service, bank)
    bank.closed.clear()
    async with toy.network(service) as network:
        await asking(network, bank, "PAY 5")
        if cut == "after the answer":
            bank.moved[bank.asked[0][0]] = 5
        async with toy.crashed(network, service) as after:
            bank.closed.set()
            await after.settled()
            assert after.phone(LAN).texts == [f"done r1 0.5 02/03 {LAN}"]
            assert after.phone(MAI).texts == ["note paid"]
            assert len(set(bank.asked)) == 1
            assert list(bank.moved.values()) == [5]
            assert (await purse(after), await purse(after, MAI)) == (Purse(5), Purse(5))
            assert await rows(after, "SELECT * FROM job") == []


async def test_a_handler_that_goes_on_another_day_takes_the_way_it_took_and_then_knows_the_time(
    toy: Toy, bank: Bank
) -> None:
    service = toy.service()

    @service.sms("PAY {amount}")
    async def pay(ctx: Context, amount: int) -> Reply:
        if ctx.now.hour == 9:
            await ctx.change(ctx.sender, spend, amount)
        began = ctx.today
        await ctx.call("debit", bank.debit, ctx.sender, amount)
        return ctx.reply("done", x=f"{began:%d} {ctx.now:%d %H}")

    bank.closed.clear()
    async with toy.network(service) as network:
        await asking(network, bank, "PAY 5")
        async with toy.crashed(network, service, now=MORNING + timedelta(hours=20)) as after:
            bank.closed.set()
            await after.settled()
            assert after.phone(LAN).texts == ["done 02 03 05"]


async def test_a_restart_during_a_call_asks_again_with_the_same_key(toy: Toy, bank: Bank) -> None:
    service = toy.service()
    paying(service, bank)
    bank.closed.clear()
    async with toy.network(service) as network:
        await asking(network, bank, "PAY 5")
        await network.restart()
        bank.closed.set()
        await network.settled()
        assert network.phone(LAN).texts == [f"done r1 0.5 02/03 {LAN}"]
        assert len(bank.asked) == 2
        assert len(set(bank.asked)) == 1


async def test_a_call_of_a_service_that_is_switched_off_waits_for_it(toy: Toy, bank: Bank) -> None:
    service = toy.service()
    paying(service, bank)
    bank.closed.clear()
    async with toy.network(service) as network:
        await asking(network, bank, "PAY 5")
        await network.restart(*toy.mounted(toy.service("other")))
        bank.closed.set()
        await network.settled()
        assert len(await rows(network, "SELECT * FROM job")) == 1
        await network.restart(*toy.mounted(service))
        await network.settled()
        assert network.phone(LAN).texts == [f"done r1 0.5 02/03 {LAN}"]


async def test_a_fault_after_the_call_undoes_only_what_follows_it(toy: Toy, bank: Bank) -> None:
    service = toy.service()

    @service.sms("PAY {amount}")
    async def pay(ctx: Context, amount: int) -> Reply:
        await ctx.change(ctx.sender, spend, amount)
        await ctx.call("debit", bank.debit, ctx.sender, amount)
        await ctx.change(MAI_NUMBER, spend, amount)
        await ctx.send(MAI_NUMBER, "note", x="paid")
        raise ValueError("a bug")

    async with toy.network(service) as network:
        await network.phone(LAN).text("PAY 5", CODE)
        assert (await purse(network), await purse(network, MAI)) == (Purse(5), Purse())
        assert network.phone(MAI).texts == []
        assert len(bank.moved) == 1
        assert await rows(network, "SELECT kind, error, body FROM dead_letter") == [("call", "ValueError: a bug", b"")]
        assert await rows(network, "SELECT * FROM job") == []


async def test_whoever_paid_is_not_told_that_nothing_was_done(toy: Toy, bank: Bank) -> None:
    service = toy.service()

    @service.sms("PAY {amount}")
    async def pay(ctx: Context, amount: int) -> Reply:
        await ctx.call("debit", bank.debit, ctx.sender, amount)
        raise ValueError("a bug")

    async with toy.network(service) as network:
        answer = await network.phone(LAN).text("PAY 5", CODE)
        assert "chua duoc thuc hien" not in fold(answer)
        assert "gap loi" in fold(answer)


async def test_the_journey_tells_of_the_call(toy: Toy, bank: Bank) -> None:
    service = toy.service()
    paying(service, bank)
    async with toy.network(service) as network:
        await network.phone(LAN).text("PAY 5", CODE)
        assert await rows(network, "SELECT result, handler, reply FROM inbox") == [("answered", "pay", "done")]
        causes = await rows(network, "SELECT DISTINCT cause FROM outbox")
        assert causes == await rows(network, "SELECT id FROM inbox")


async def test_a_key_press_that_comes_again_after_its_call_is_shown_the_same_screen(toy: Toy, bank: Bank) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        await talk.call("debit", bank.debit, talk.sender, 5)
        return talk.reply("done", x="")

    async with toy.network(service, confirms=False) as network:
        lan, session = network.phone(LAN), network.node.dispatch.session_opened(ACCOUNT)
        dialled = Inbound(
            ACCOUNT, session, 1, moment(network.now_ms), lan.number.digits, "100", "*100#", b"x",
            UssdTurn("1", begin=True),
        )  # fmt: skip
        await network.redeliver(dialled)
        network.node.dispatch.session_closed(session)
        assert lan.texts == ["done "]
        lan.screen = ""
        again = network.node.dispatch.session_opened(ACCOUNT)
        await network.redeliver(msgspec.structs.replace(dialled, session=again))
        assert "nhắn tin cho bạn" in lan.screen
        assert lan.texts == ["done "]


async def test_a_talk_never_waits_for_the_outside_world_it_says_that_it_will_text(toy: Toy, bank: Bank) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        amount = await talk.ask("first", int)
        await talk.change(talk.sender, spend, amount)
        receipt = await talk.call("debit", bank.debit, talk.sender, amount)
        return talk.reply("done", x=receipt.number)

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await lan.dial("*100#")
        assert "nhắn tin cho bạn" in await lan.answer("5")
        assert not lan.open
        assert lan.texts == ["done r1"]
        assert await purse(network) == Purse(5)
        assert len(bank.moved) == 1


async def test_a_talk_cannot_ask_the_subscriber_after_it_has_asked_the_outside_world(toy: Toy, bank: Bank) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        await talk.call("debit", bank.debit, talk.sender, 5)
        return talk.reply("done", x=await talk.ask("first"))

    async with toy.network(service) as network:
        await network.phone(LAN).dial("*100#")
        [(error,)] = await rows(network, "SELECT error FROM dead_letter")
        assert "cannot ask the subscriber any more" in error


@pytest.mark.parametrize("fault", [None, ValueError("a bug")])
async def test_a_job_may_ask_the_outside_world(toy: Toy, bank: Bank, fault: Exception | None) -> None:
    service = toy.service()

    @service.job
    async def collect(ctx: Context, payer: Msisdn, amount: int) -> None:
        await ctx.change(payer, spend, amount)
        receipt = await ctx.call("debit", bank.debit, payer, amount)
        if fault is not None:
            raise fault
        await ctx.send(payer, "note", x=f"{receipt.number} {payer}")

    @service.sms("LATER")
    async def later(ctx: Context) -> None:
        await ctx.later(collect, payer=ctx.sender, amount=7)

    async with toy.network(service) as network:
        await network.phone(LAN).text("LATER", CODE)
        assert await purse(network) == Purse(7)
        assert not any(message.reply for message in network.sent)
        assert list(bank.moved.values()) == [7]
        assert network.phone(LAN).texts == ([f"note r1 {LAN}"] if fault is None else [])
        assert await rows(network, "SELECT * FROM job") == []


async def test_a_recurring_job_that_fails_after_a_call_texts_nobody(toy: Toy, bank: Bank) -> None:
    service = toy.service()

    @service.every("0 10 * * *")
    async def collect(ctx: Context) -> None:
        await ctx.call("debit", bank.debit, LAN_NUMBER, 1)
        raise ValueError("a bug")

    async with toy.network(service) as network:
        network.now_ms += 3_600_000
        await network.settled()
        assert len(bank.moved) == 1
        assert network.sent == []
        assert len(await rows(network, "SELECT * FROM dead_letter")) == 1


async def test_an_outcome_may_ask_the_outside_world(toy: Toy, bank: Bank) -> None:
    service = toy.service()

    @service.outcome
    async def charge(ctx: Context, outcome: Outcome) -> None:
        receipt = await ctx.call("debit", bank.debit, outcome.to, 3)
        await ctx.send(ctx.sender, "note", x=f"{receipt.number} {outcome.result} {outcome.params['x']}")

    @service.sms("ASK")
    async def ask(ctx: Context) -> None:
        await ctx.send(MAI_NUMBER, "note", then=charge, x="hello")

    async with toy.network(service) as network:
        await network.phone(LAN).text("ASK", CODE)
        assert network.phone(LAN).texts == ["note r1 delivered hello"]
        assert list(bank.moved.values()) == [3]


async def test_an_outcome_of_a_message_without_a_receipt_may_ask_the_outside_world(toy: Toy, bank: Bank) -> None:
    service = toy.service()

    @service.outcome
    async def refund(ctx: Context, outcome: Outcome) -> None:
        receipt = await ctx.call("debit", bank.debit, outcome.to, 3)
        await ctx.send(ctx.sender, "note", x=f"{receipt.number} {outcome.result}")

    @service.sms("ASK")
    async def ask(ctx: Context) -> None:
        await ctx.send(MAI_NUMBER, "note", then=refund, valid=timedelta(hours=1), x="hello")

    async with toy.network(service) as network:
        network.receipts = False
        await network.phone(LAN).text("ASK", CODE)
        await network.pass_time(timedelta(hours=26))
        assert network.phone(LAN).texts == ["note r1 unknown"]


async def test_an_answer_that_could_not_be_written_is_not_lost(toy: Toy, bank: Bank) -> None:
    service = toy.service()
    paying(service, bank)
    bank.closed.clear()
    async with toy.network(service) as network:
        await asking(network, bank, "PAY 5")
        store = network.node.store
        commit, broken = store.commit, [True]

        async def commit_or_not(works: object) -> object:
            from vas.errors import StoreError

            if broken:
                broken.pop()
                raise StoreError("the disk is full")
            return await commit(works)  # type: ignore[arg-type]

        store.commit = commit_or_not  # type: ignore[method-assign, assignment]
        bank.closed.set()
        await network.settled()
        assert not broken
        assert network.phone(LAN).texts == [f"done r1 0.5 02/03 {LAN}"]
        assert len(bank.moved) == 1


async def test_a_recurring_job_that_answers_nobody_in_particular_is_a_fault(toy: Toy) -> None:
    service = toy.service()

    @service.every("0 10 * * *")
    async def report(ctx: Context) -> Reply:
        return ctx.reply("done", x="")

    async with toy.network(service) as network:
        network.now_ms += 3_600_000
        await network.settled()
        assert network.sent == []
        [(error,)] = await rows(network, "SELECT error FROM dead_letter")
        assert "has no sender" in error


async def test_a_call_that_needs_a_secret_which_a_power_cut_took_ends_in_an_apology(toy: Toy, bank: Bank) -> None:
    service = toy.service()
    typed: list[str] = []

    async def debit_with(pin: Secret, *, key: str) -> str:
        typed.append(pin.reveal())
        await bank.closed.wait()
        return "r1"

    @service.sms("PAY {pin:secret}")
    async def pay(ctx: Context, pin: Secret) -> Reply:
        await ctx.change(ctx.sender, spend, 5)
        return ctx.reply("done", x=await ctx.call("debit", debit_with, pin))

    bank.closed.clear()
    bank.was_asked.set()
    async with toy.network(service) as network:
        await asking(network, bank, "PAY 739146")
        async with toy.crashed(network, service) as after:
            bank.closed.set()
            await after.settled()
            assert typed == ["739146"]
            [apology] = after.phone(LAN).texts
            assert "gap loi khi dang xu ly" in fold(apology)
            assert await purse(after) == Purse(5)
            assert await rows(after, "SELECT * FROM job") == []
            [(kind, error)] = await rows(after, "SELECT kind, error FROM dead_letter")
            assert kind == "call"
            assert "ServiceError in the call" in error


async def test_an_answer_that_comes_twice_is_not_taken_for_that_of_the_next_call(toy: Toy, bank: Bank) -> None:
    service = toy.service()

    @service.sms("PAY {amount}")
    async def pay(ctx: Context, amount: int) -> Reply:
        first = await ctx.call("debit", bank.debit, ctx.sender, amount)
        second = await ctx.call("debit", bank.debit, ctx.sender, amount + 1)
        return ctx.reply("done", x=f"{first.amount} {second.amount}")

    bank.closed.clear()
    async with toy.network(service) as network:
        await asking(network, bank, "PAY 10")
        node = network.node
        [job] = await rows(network, "SELECT * FROM job")
        again = GoOn(node.core, node.calls, JobRow(*job), Answer(bank.asked[0][0], "the first answer"))
        bank.was_asked.clear()
        bank.closed.set()
        await asyncio.sleep(0)
        bank.closed.clear()
        async with asyncio.timeout(5):
            await bank.was_asked.wait()
        node.dispatch.submit(again)
        await node.dispatch.drained()
        bank.closed.set()
        await network.settled()
        assert network.phone(LAN).texts == ["done 1 1.1"]
