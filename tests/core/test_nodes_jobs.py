"""Jobs, recurring ones and calls of nodes that share a database: each once."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from tests.core.nodes import Nodes, died, rest
from tests.core.toys import CODE, LAN, Toy, inbound, noted, offer, purse, rows, spend
from vas import Context, Reply, Service
from vas.messages import ROK
from vas.node import Statement
from vas.settling import CALL_PATIENCE_MS
from vas.testing import ACCOUNT, Network

pytestmark = pytest.mark.only_on("postgres", "nodes share no file")


class Bank:
    """Is asked, and says nothing until it is open."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.open = asyncio.Event()

    async def debit(self, amount: int, *, key: str) -> int:
        self.keys.append(key)
        await self.open.wait()
        return amount


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
def ran() -> list[str]:
    """What each job left outside the database: once for each time that it was begun."""
    return []


@pytest.fixture
def service(toy: Toy, bank: Bank, ran: list[str]) -> Service:
    made = toy.service()

    @made.job
    async def remind(ctx: Context, x: str) -> None:
        ran.append(x)
        await ctx.change(ctx.sender, noted, x)

    @made.sms("REMIND {count}")
    async def remember(ctx: Context, count: int) -> None:
        for number in range(count):
            await ctx.later(remind, after=timedelta(minutes=1), x=str(number))

    @made.sms("PAY")
    async def pay(ctx: Context) -> Reply:
        amount = await ctx.call("debit", bank.debit, 5)
        return ctx.reply("done", x=(await ctx.change(ctx.sender, spend, amount)).spent)

    @made.every("*/10 * * * *")
    async def sweep(ctx: Context) -> None:
        ran.append(f"{ctx.now:%H:%M}")

    return made


async def at_once(*networks: Network, after: timedelta) -> None:
    """Time goes by on all nodes, and all look at the same moment."""
    for network in networks:
        network.now_ms += int(after.total_seconds() * 1000)
        network.node.schedule.tick()
    await asyncio.gather(*(network.settled() for network in networks))


async def asked(bank: Bank, network: Network) -> None:
    """A command that asks the bank, and is acknowledged."""
    session = network.node.dispatch.session_opened(ACCOUNT)
    before = len(bank.keys)
    assert await offer(network, inbound(network, "PAY", session=session, ordinal=1)) == ROK
    async with asyncio.timeout(5):
        while len(bank.keys) == before:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def begun(network: Network, *, seconds: int = 1) -> None:
    """The node has looked for jobs, without waiting for calls that nobody answers."""
    for _ in range(seconds):
        network.now_ms += 1_000
        network.node.schedule.tick()
        await network.node.dispatch.drained()
        await asyncio.sleep(0.01)


async def test_each_job_runs_once_when_two_nodes_look_at_the_same_moment(
    a: Network, b: Network, ran: list[str]
) -> None:
    await a.phone(LAN).text("REMIND 60", CODE)
    await at_once(a, b, after=timedelta(minutes=1))
    await rest(a, b)
    assert (await purse(a)).notes == tuple(str(number) for number in range(60))
    assert await rows(a, "SELECT count(*) FROM job") == [(0,)]


async def test_a_job_of_a_node_that_is_gone_is_run_by_another(a: Network, b: Network, ran: list[str]) -> None:
    await a.phone(LAN).text("REMIND 1", CODE)
    died(a)
    await at_once(b, after=timedelta(minutes=1))
    assert (await purse(b)).notes == ("0",)


async def test_a_crowd_of_jobs_is_told_to_the_others(a: Network, b: Network) -> None:
    told: list[str] = []
    b.node.store.on_hint = told.append
    await a.phone(LAN).text("REMIND 150", CODE)
    await at_once(a, after=timedelta(minutes=1))
    async with asyncio.timeout(5):
        while "jobs" not in told:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_runs_at_set_times_runs_once_over_all_nodes(a: Network, b: Network, ran: list[str]) -> None:
    for _ in range(6):
        await at_once(a, b, after=timedelta(minutes=10))
        await rest(a, b, seconds=1)
    assert len(ran) == 6
    assert Counter(time[:-1] for time in ran) == Counter({f"{9 + at // 6:02d}:{at % 6}": 1 for at in range(1, 7)})


async def test_what_was_missed_by_all_is_made_up_once(
    nodes: Nodes, a: Network, service: Service, ran: list[str]
) -> None:
    await a.pass_time(timedelta(minutes=10))
    died(a)
    ran.clear()
    networks = [nodes.network(service) for _ in range(2)]
    for network in networks:
        network.now_ms = a.now_ms + 3_600_000
    async with networks[0] as b, networks[1] as c:
        await at_once(b, c, after=timedelta())
        await rest(b, c, seconds=1)
    assert len(ran) == 1


async def test_a_node_that_starts_does_not_begin_anew_what_another_has_fired(
    nodes: Nodes, a: Network, service: Service, ran: list[str]
) -> None:
    await a.pass_time(timedelta(minutes=10))
    b = nodes.network(service)
    b.now_ms = a.now_ms - 5_000
    async with b:
        assert await rows(a, "SELECT count(*) FROM fired") == [(1,)]
        await at_once(a, b, after=timedelta(seconds=6))
    assert len(ran) == 1


async def test_of_two_nodes_that_start_at_once_the_second_begins_nothing_anew(a: Network, ran: list[str]) -> None:
    """It has read that the job never ran, and the first one has begun it since."""
    begin = a.node.store.sql.begin_firing
    fired = await rows(a, "SELECT job, at_ms FROM fired")
    await a.node.run(Statement(begin.text, (fired[0][0], a.now_ms + 60_000)))
    assert await rows(a, "SELECT job, at_ms FROM fired") == fired


async def test_a_call_that_a_living_node_makes_is_not_made_by_another(a: Network, b: Network, bank: Bank) -> None:
    await asked(bank, a)
    b.now_ms += CALL_PATIENCE_MS
    await begun(b, seconds=2)
    assert len(bank.keys) == 1
    bank.open.set()
    await a.settled()
    assert a.phone(LAN).texts == ["done 5"]
    assert await rows(a, "SELECT count(*) FROM job") == [(0,)]


async def test_a_call_of_a_dead_node_is_made_by_another_at_once_with_the_same_key(
    a: Network, b: Network, bank: Bank
) -> None:
    await asked(bank, a)
    died(a)
    await begun(b, seconds=2)
    assert len(bank.keys) == 2
    assert len(set(bank.keys)) == 1
    bank.open.set()
    await b.settled()
    assert b.phone(LAN).texts == ["done 5"]
    assert (await purse(b)).spent == 5


async def test_a_call_that_was_made_twice_has_its_effect_once(a: Network, b: Network, bank: Bank) -> None:
    """The node was given up, and was none the wiser when the answer came."""
    await asked(bank, a)
    joined = a.node.member
    died(a)
    await begun(b, seconds=2)
    await joined.join()
    bank.open.set()
    await asyncio.gather(a.settled(), b.settled())
    assert (await purse(b)).spent == 5
    assert await rows(a, "SELECT count(*) FROM job") == [(0,)]


async def test_the_calls_of_a_node_that_stops_go_on_at_another(
    nodes: Nodes, service: Service, b: Network, bank: Bank
) -> None:
    async with nodes.network(service) as a:
        await asked(bank, a)
    await begun(b, seconds=2)
    assert len(bank.keys) == 2
    bank.open.set()
    await b.settled()
    assert b.phone(LAN).texts == ["done 5"]
