"""What is finished goes by age, in small steps; what is not stays."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.core.toys import CODE, LAN, MAI_NUMBER, Toy, noted, purse, rows
from vas import Context, Outcome, Reply, Service, Talk, saving
from vas.messages import SendOutcome
from vas.node import Statement
from vas.saving import ForgetConfirmed
from vas.testing import ACCOUNT, Network

KEEP = timedelta(days=30)


def living(service: Service) -> None:
    @service.outcome
    async def settle(ctx: Context, outcome: Outcome) -> None: ...

    @service.job
    async def remind(ctx: Context) -> None: ...

    @service.sms("NOTE {x}")
    async def note(ctx: Context, x: str) -> Reply:
        await ctx.change(ctx.sender, noted, x)
        return ctx.reply("done", x=x)

    @service.sms("NEXT YEAR")
    async def next_year(ctx: Context) -> None:
        await ctx.send(MAI_NUMBER, "note", at=datetime(2027, 3, 2, tzinfo=UTC), then=settle, x="")
        await ctx.later(remind, at=datetime(2027, 3, 2, tzinfo=UTC))

    @service.sms("FAIL")
    async def fail(ctx: Context) -> None:
        raise ValueError("a bug")

    @service.ussd("#")
    async def menu(talk: Talk) -> Reply:
        return talk.reply("done", x=await talk.ask("first"))


async def keep_house(network: Network) -> None:
    network.node.housekeeping.tick()
    while network.node.housekeeping.tending:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await network.settled()


async def counted(network: Network, table: str) -> int:
    return int((await rows(network, f"SELECT count(*) FROM {table}"))[0][0])  # noqa: S608


async def test_finished_messages_go_after_their_time_and_not_before(toy: Toy) -> None:
    service = toy.service()
    living(service)
    async with toy.network(service, keep=KEEP) as network:
        lan = network.phone(LAN)
        await lan.text("NOTE old", CODE)
        await network.pass_time(KEEP - timedelta(hours=1))
        await lan.text("NOTE new", CODE)
        await keep_house(network)
        assert (await counted(network, "inbox"), await counted(network, "outbox")) == (2, 2)
        await network.pass_time(timedelta(hours=2))
        await keep_house(network)
        assert [text for (text,) in await rows(network, "SELECT text FROM inbox")] == ["NOTE new"]
        assert [text for (text,) in await rows(network, "SELECT text FROM outbox")] == ["done new"]


async def test_what_is_not_finished_and_what_is_remembered_stays_however_old(toy: Toy) -> None:
    service = toy.service()
    living(service)
    async with toy.network(service, keep=KEEP) as network:
        lan = network.phone(LAN)
        await lan.text("NOTE old", CODE)
        await lan.text("NEXT YEAR", CODE)
        await lan.text("FAIL", CODE)
        await network.pass_time(timedelta(days=200))
        await keep_house(network)
        assert await rows(network, "SELECT state FROM outbox") == [("queued",)]
        assert (await counted(network, "job"), await counted(network, "dead_letter")) == (1, 1)
        assert (await purse(network)).notes == ("old",)
        assert await counted(network, "inbox") == 0


async def test_a_refused_message_goes_after_its_time_also_when_nobody_replayed_it(toy: Toy) -> None:
    service = toy.service()
    living(service)
    async with toy.network(service, keep=KEEP) as network:
        network.outcome = lambda message: SendOutcome.PERMANENT
        await network.phone(LAN).text("NOTE refused", CODE)
        await network.pass_time(KEEP - timedelta(hours=1))
        await keep_house(network)
        assert await counted(network, "dead_letter") == 1
        await network.pass_time(timedelta(hours=2))
        await keep_house(network)
        assert await counted(network, "dead_letter") == 0


@pytest.mark.only_on("sqlite", "elsewhere the logs are no part of the batches")
async def test_much_goes_in_small_steps_until_it_is_gone(toy: Toy) -> None:
    service = toy.service()

    @service.sms("MANY")
    async def many(ctx: Context) -> None:
        for number in range(1_200):
            await ctx.send(MAI_NUMBER, "note", x=number)

    async with toy.network(service, keep=KEEP) as network:
        await network.phone(LAN).text("MANY", CODE)
        await network.pass_time(KEEP + timedelta(hours=1))
        steps: list[int] = []
        commit = network.node.store.commit

        async def counting(works: list[object]) -> list[Exception | None]:
            before = await counted(network, "outbox")
            outcomes = await commit(works)  # type: ignore[arg-type]
            steps.append(before - await counted(network, "outbox"))
            return outcomes

        network.node.store.commit = counting  # type: ignore[method-assign, assignment]
        await keep_house(network)
        assert await counted(network, "outbox") == 0
        assert max(steps) <= 500


async def test_a_talk_that_nobody_goes_on_with_goes_after_an_hour(toy: Toy) -> None:
    service = toy.service()
    living(service)
    async with toy.network(service, keep=KEEP) as network:
        await network.phone(LAN).dial("*100#")
        network.now_ms += 59 * 60_000
        await keep_house(network)
        assert await counted(network, "talk") == 1
        network.now_ms += 2 * 60_000
        await keep_house(network)
        assert await counted(network, "talk") == 0


async def test_house_is_kept_at_most_once_a_minute(toy: Toy) -> None:
    service = toy.service()
    living(service)
    async with toy.network(service, keep=KEEP) as network:
        await network.phone(LAN).text("NOTE old", CODE)
        await keep_house(network)
        network.now_ms += int(KEEP.total_seconds() * 1000)
        await keep_house(network)
        await network.phone(LAN).text("NOTE a", CODE)
        left = await counted(network, "inbox")
        await keep_house(network)
        assert await counted(network, "inbox") == left


SEEN = (
    "INSERT INTO seen (session, ordinal, key, received_ms, msisdn, inbox_id, lasting) VALUES (?, ?, ?, ?, '84', 0, ?)"
)


async def test_answers_that_have_arrived_are_looked_at_once_a_few_at_a_time(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third one stays: the SMSC gave it an id, so it is kept for longer."""
    stretches: list[tuple[int, int]] = []
    committed = ForgetConfirmed.committed

    def noted_down(self: ForgetConfirmed) -> None:
        before = self._forgotten.get(self._session, 0)
        committed(self)
        stretches.append((before, self._forgotten[self._session]))

    monkeypatch.setattr(ForgetConfirmed, "committed", noted_down)
    monkeypatch.setattr(saving, "ANSWERS_AT_ONCE", 10)
    async with toy.network(toy.service(), confirms=False) as network:
        dispatch, session = network.node.dispatch, network.node.dispatch.session_opened(ACCOUNT)
        answers = [(session, at, at.to_bytes(4), network.now_ms, at % 3 == 0) for at in range(1, 46)]
        await network.node.run(*(Statement(SEEN, answer) for answer in answers))

        async def left(confirmed: int) -> list[int]:
            dispatch.session_confirmed(session, confirmed)
            network.now_ms += 61_000
            await keep_house(network)
            return [at for (at,) in await rows(network, "SELECT ordinal FROM seen ORDER BY ordinal")]

        for confirmed in (25, 25, 40):
            assert await left(confirmed) == [at for at in range(1, 46) if at % 3 == 0 or at > confirmed]
        assert stretches == [(0, 10), (10, 20), (20, 25), (25, 35), (35, 40)]
