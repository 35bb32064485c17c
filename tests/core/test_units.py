"""A unit of work: all of it or nothing, and nothing of its neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from tests.core.toys import CODE, HOA, LAN, MAI, MAI_NUMBER, Purse, Toy, inbound, offer, purse, rows, spend, together
from vas import Context, Msisdn, Refused, Reply, Service
from vas.errors import ServiceError
from vas.messages import ROK, RX_T_APPN
from vas.testing import ACCOUNT, Network

tables = sa.MetaData()
sa.Table("toy_word", tables, sa.Column("word", sa.Text, primary_key=True), sa.Index("toy_word_by_word", "word"))


def paying(service: Service, ends: Callable[[int], None] = lambda amount: None) -> None:
    """PAY changes, sends and schedules, and then `ends` may raise."""

    @service.job
    async def remind(ctx: Context, amount: int) -> None:
        await ctx.send(ctx.sender, "note", x=f"late {amount}")

    @service.sms("PAY {amount}")
    async def pay(ctx: Context, amount: int) -> Reply:
        mine = await ctx.change(ctx.sender, spend, amount)
        await ctx.change(MAI_NUMBER, spend, amount)
        await ctx.send(MAI_NUMBER, "note", x=amount)
        await ctx.later(remind, amount=amount)
        ends(amount)
        return ctx.reply("done", x=mine.spent)


def refuse_one(amount: int) -> None:
    if amount == 1:
        raise Refused("no", x=amount)


def fail_at_one(amount: int) -> None:
    if amount == 1:
        raise ValueError("a bug at one")


async def test_everything_that_a_handler_did_is_done_together(toy: Toy) -> None:
    service = toy.service()
    paying(service)
    async with toy.network(service) as network:
        lan, mai = network.phone(LAN), network.phone(MAI)
        await lan.text("PAY 5", CODE)
        assert lan.texts == ["done 5", "note late 5"]
        assert mai.texts == ["note 5"]
        assert (await purse(network), await purse(network, MAI)) == (Purse(5), Purse(5))


async def test_a_refusal_undoes_everything_and_answers(toy: Toy) -> None:
    service = toy.service()
    paying(service, refuse_one)
    async with toy.network(service) as network:
        lan, mai = network.phone(LAN), network.phone(MAI)
        assert await lan.text("PAY 1", CODE) == "no 1"
        assert mai.texts == []
        assert await rows(network, "SELECT * FROM state") == await rows(network, "SELECT * FROM job") == []
        assert await rows(network, "SELECT result, reply, steps FROM inbox") == [
            ("refused", "no", (await rows(network, "SELECT steps FROM inbox"))[0][0])
        ]
        assert await rows(network, "SELECT * FROM dead_letter") == []


async def test_a_refusal_by_a_rule_undoes_what_came_before_it(toy: Toy) -> None:
    service = toy.service()

    def never(purse: Purse) -> Purse:
        raise Refused("no", x="rule")

    @service.sms("PAY")
    async def pay(ctx: Context) -> Reply:
        await ctx.change(MAI_NUMBER, spend, 5)
        await ctx.change(ctx.sender, never)
        return ctx.reply("done", x="")

    async with toy.network(service) as network:
        assert await network.phone(LAN).text("PAY", CODE) == "no rule"
        assert await purse(network, MAI) == Purse()


async def test_a_refusal_that_the_handler_catches_is_its_own_affair(toy: Toy) -> None:
    service = toy.service()

    @service.sms("PAY")
    async def pay(ctx: Context) -> Reply:
        await ctx.change(ctx.sender, spend, 5)
        try:
            raise Refused("no", x="")
        except Refused:
            return ctx.reply("done", x="all the same")

    async with toy.network(service) as network:
        assert await network.phone(LAN).text("PAY", CODE) == "done all the same"
        assert await purse(network) == Purse(5)


async def test_a_refusal_whose_text_is_missing_is_a_fault(toy: Toy) -> None:
    service = toy.service()

    @service.sms("PAY")
    async def pay(ctx: Context) -> Reply:
        raise Refused("there_is_no_such_text")

    async with toy.network(service) as network:
        assert "gặp lỗi" in await network.phone(LAN).text("PAY", CODE)
        [(error,)] = await rows(network, "SELECT error FROM dead_letter")
        assert "there_is_no_such_text" in error


@pytest.mark.parametrize("amounts", [(1, 2, 3), (2, 1, 3), (2, 3, 1)])
async def test_a_fault_undoes_its_own_unit_and_none_beside_it(toy: Toy, amounts: tuple[int, ...]) -> None:
    service = toy.service()
    paying(service, fail_at_one)
    async with toy.network(service) as network:
        lan, mai = network.phone(LAN), network.phone(MAI)
        assert await together(network, lan, *(f"PAY {amount}" for amount in amounts)) == [ROK] * 3
        assert len({each for (each,) in await rows(network, "SELECT received_ms FROM inbox")}) == 1
        assert (await purse(network), await purse(network, MAI)) == (Purse(5), Purse(5))
        assert sorted(mai.texts) == ["note 2", "note 3"]
        assert sum("gặp lỗi" in text for text in lan.texts) == 1
        assert sorted(text for text in lan.texts if "late" in text) == ["note late 2", "note late 3"]
        [letter] = await rows(network, "SELECT kind, msisdn, service, handler, error FROM dead_letter")
        assert letter == ("command", "84912345678", "toy", "pay", "ValueError: a bug at one")


async def test_units_of_one_batch_see_what_those_before_them_did(toy: Toy) -> None:
    service = toy.service()
    paying(service)
    async with toy.network(service) as network:
        await together(network, network.phone(LAN), *(f"PAY {amount}" for amount in (2, 3, 4)))
        assert [text for text in network.phone(LAN).texts if "done" in text] == ["done 2", "done 5", "done 9"]
        assert await rows(network, "SELECT DISTINCT version FROM state") == [(1,)]


@pytest.mark.parametrize(
    "foreign",
    [lambda: asyncio.sleep(0), lambda: asyncio.sleep(0.001), lambda: asyncio.to_thread(int)],
)
async def test_awaiting_anything_but_the_context_is_an_error_that_says_so(
    toy: Toy, foreign: Callable[[], object]
) -> None:
    service = toy.service()

    @service.sms("WAIT")
    async def wait(ctx: Context) -> Reply:
        await ctx.change(ctx.sender, spend, 1)
        await foreign()  # type: ignore[misc]
        return ctx.reply("done", x="")

    async with toy.network(service) as network:
        assert "gặp lỗi" in await network.phone(LAN).text("WAIT", CODE)
        assert await purse(network) == Purse()
        [(error,)] = await rows(network, "SELECT error FROM dead_letter")
        assert error.startswith("ForeignAwait")
        assert "ctx.call" in error


async def test_a_full_disk_is_nobodys_fault(toy: Toy) -> None:
    service = toy.service(tables=tables)
    caught: list[Exception] = []

    @service.sms("PAY {amount}")
    async def pay(ctx: Context, amount: int) -> Reply:
        await ctx.change(ctx.sender, spend, amount)
        try:
            await ctx.execute("INSERT INTO toy_word VALUES (?)", (str(amount) * 100_000,))
        except Exception as error:
            caught.append(error)
        return ctx.reply("done", x=amount)

    async with toy.network(service) as network:
        lan = network.phone(LAN)
        toy.engine.fill(network)
        assert await together(network, lan, "PAY 2", "PAY 3") == [RX_T_APPN, RX_T_APPN]
        assert lan.texts == caught == []
        assert await rows(network, "SELECT * FROM inbox") == await rows(network, "SELECT * FROM dead_letter") == []
        await toy.engine.make_room(network)
        assert await together(network, lan, "PAY 2", "PAY 3") == [ROK, ROK]
        assert await purse(network) == Purse(5)


async def test_the_platform_goes_on_by_itself_after_a_full_disk(toy: Toy) -> None:
    """What was confirmed meanwhile is saved later, and messages on their way are written down later."""
    service = toy.service()
    paying(service)
    async with toy.network(service) as network:
        lan, mai = network.phone(LAN), network.phone(MAI)
        await lan.text("PAY 5", CODE)
        toy.engine.fill(network)
        network.node.dispatch.session_confirmed(network._session, 99)
        assert await together(network, lan, *(f"PAY {amount}" for amount in range(40, 80))) == [RX_T_APPN] * 40
        await toy.engine.make_room(network)
        assert await together(network, lan, "PAY 6") == [ROK]
        assert mai.texts == ["note 5", "note 6"]
        assert (99,) in await rows(network, "SELECT confirmed FROM session")


# -- the service's own tables


def storing(service: Service) -> None:
    @service.sms("KEEP {text}")
    async def keep(ctx: Context, text: str) -> Reply:
        await ctx.execute("INSERT INTO toy_word VALUES (?)", (text,))
        if text == "bad":
            raise Refused("no", x=text)
        if text == "worse":
            raise ValueError(text)
        [(count,)] = await ctx.execute("SELECT count(*) FROM toy_word")
        return ctx.reply("done", x=count)


LISTED = {
    "sqlite": "SELECT name FROM sqlite_master WHERE name LIKE 'toy%' ORDER BY name",
    "postgres": "SELECT relname FROM pg_class WHERE relname LIKE 'toy%' AND relname NOT LIKE '%_pkey' ORDER BY relname",
}
"""Tables and indexes."""


async def test_a_services_own_tables_are_made_at_the_start_and_kept(toy: Toy) -> None:
    service = toy.service(tables=tables)
    storing(service)
    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        assert await lan.text("KEEP one", CODE) == "done 1"
        assert await lan.text("KEEP two", CODE) == "done 2"
        assert await rows(network, LISTED[toy.engine.name]) == [("toy_word",), ("toy_word_by_word",)]


@pytest.mark.parametrize("text", ["bad", "worse"])
async def test_a_statement_on_own_tables_is_undone_with_its_unit_and_none_beside_it(toy: Toy, text: str) -> None:
    service = toy.service(tables=tables)
    storing(service)
    async with toy.network(service) as network:
        await together(network, network.phone(LAN), "KEEP one", f"KEEP {text}", "KEEP two")
        assert await rows(network, "SELECT word FROM toy_word ORDER BY word") == [("one",), ("two",)]


async def test_a_wrong_statement_is_the_handlers_fault_alone(toy: Toy) -> None:
    service = toy.service(tables=tables)
    storing(service)
    async with toy.network(service) as network:
        assert await together(network, network.phone(LAN), "KEEP one", "KEEP one", "KEEP two") == [ROK] * 3
        assert await rows(network, "SELECT word FROM toy_word ORDER BY word") == [("one",), ("two",)]
        [(error,)] = await rows(network, "SELECT error FROM dead_letter")
        assert error.partition(":")[0] in {"IntegrityError", "UniqueViolationError"}


async def test_a_table_of_another_name_than_the_services_stops_the_start(toy: Toy) -> None:
    wrong = sa.MetaData()
    sa.Table("inbox", wrong, sa.Column("word", sa.Text, primary_key=True))
    network = toy.network(toy.service(tables=wrong))
    with pytest.raises(ServiceError, match="toy_inbox"):
        await network.__aenter__()
    await network.node.stop()


# -- who is answered


async def test_a_text_that_nothing_matches_gets_help_three_times_an_hour(toy: Toy) -> None:
    async with toy.network(toy.service()) as network:
        lan = network.phone(LAN)
        for _ in range(5):
            await lan.text("hello?", CODE)
        assert len(lan.texts) == 3
        assert CODE in lan.texts[0]
        assert network.statuses == [ROK] * 5
        results = await rows(network, "SELECT result, why FROM inbox ORDER BY id")
        assert [result for result, _ in results] == ["unmatched"] * 5
        network.now_ms += 3_600_000
        await lan.text("hello?", CODE)
        assert len(lan.texts) == 4


@pytest.mark.parametrize("sender", ["VIETTEL", "9105", "191", "", "+", "19001234"])
async def test_nobody_answers_a_machine(toy: Toy, sender: str) -> None:
    service = toy.service()
    paying(service)
    async with toy.network(service) as network:
        command = inbound(network, "PAY 5", session=network._session, ordinal=1)
        answer = offer(network, _from(command, sender))
        assert await answer == ROK
        await network.settled()
        assert network.sent == []
        assert await rows(network, "SELECT result, why FROM inbox") == [("ignored", "nobody answers a machine")]


def _from(command: object, sender: str) -> object:
    import msgspec

    return msgspec.structs.replace(command, sender=sender)  # type: ignore[type-var]


async def test_only_the_trial_numbers_are_served_when_there_are_any(toy: Toy) -> None:
    service = toy.service()
    paying(service)
    async with toy.network(service, trial_numbers=frozenset({Msisdn.parse(LAN)})) as network:
        await network.phone(HOA).text("PAY 5", CODE)
        assert network.sent == []
        await network.phone(LAN).text("PAY 5", CODE)
        assert network.phone(LAN).texts


async def test_a_command_is_answered_only_after_it_is_durable(toy: Toy) -> None:
    service = toy.service()
    paying(service)
    network: Network
    async with toy.network(service) as network:
        stored: list[object] = []
        command = inbound(network, "PAY 5", session=network.node.dispatch.session_opened(ACCOUNT), ordinal=1)

        def answer(status: int) -> None:
            stored.append((status, toy.engine.look(network.folder, "SELECT count(*) FROM inbox")))

        network.node.dispatch.receive(command, answer)
        await network.settled()
        assert stored == [(ROK, [(1,)])]


def forgets_to_return(document: object) -> Any:
    """A rule as it is easily written wrongly."""


@pytest.mark.parametrize("whose", ["service", "platform"])
async def test_a_rule_that_returns_nothing_is_a_fault_and_spoils_no_document(toy: Toy, whose: str) -> None:
    service = toy.service()
    paying(service)

    @service.sms("BAD")
    async def bad(ctx: Context) -> None:
        await (ctx.change if whose == "service" else ctx.change_subscriber)(ctx.sender, forgets_to_return)

    async with toy.network(service) as network:
        lan = network.phone(LAN)
        await lan.text("BAD", CODE)
        [(error,)] = await rows(network, "SELECT error FROM dead_letter")
        assert "forgets_to_return gave a NoneType" in error
        await network.restart()
        await lan.text("PAY 5", CODE)
        assert "done 5" in lan.texts
