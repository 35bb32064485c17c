"""A bounded number of commands is unfinished at any time; past it answers wait, and then say so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.core.toys import Toy, inbound, noted, offer, purse
from vas import Context, Service
from vas.core import AccountRules
from vas.messages import RMSGQFUL, ROK, RTHROTTLED, RX_T_APPN
from vas.store.protocol import Store
from vas.testing import ACCOUNT, Network


class Gate:
    """Holds back every commit until it is opened."""

    def __init__(self, store: Store) -> None:
        self.open = asyncio.Event()
        self.batches: list[int] = []
        commit = store.commit

        async def commit_later(works: list[object]) -> list[Exception | None]:
            self.batches.append(len(works))
            await self.open.wait()
            return await commit(works)  # type: ignore[arg-type]

        store.commit = commit_later  # type: ignore[method-assign, assignment]


Full = Callable[..., AbstractAsyncContextManager[tuple[Network, Gate]]]


def noting(service: Service) -> None:
    @service.sms("NOTE {x}")
    async def note(ctx: Context, x: str) -> None:
        await ctx.change(ctx.sender, noted, x)


@pytest.fixture
def full(toy: Toy) -> Full:
    """A network that takes two commands at a time, and whose store is shut."""

    @asynccontextmanager
    async def opened(**rules: object) -> AsyncIterator[tuple[Network, Gate]]:
        service = toy.service()
        noting(service)
        network = toy.network(service, credits=2)
        network._setup = replace(network._setup, accounts={ACCOUNT: AccountRules(**rules)})  # type: ignore[arg-type]
        async with network:
            gate = Gate(network.node.store)
            try:
                yield network, gate
            finally:
                gate.open.set()
            await network.settled()

    return opened


def send(network: Network, *texts: str, session: int = 0) -> list[asyncio.Future[int]]:
    session = session or network.node.dispatch.session_opened(ACCOUNT)
    return [offer(network, inbound(network, text, session=session, ordinal=at)) for at, text in enumerate(texts, 1)]


async def test_what_does_not_fit_waits_and_is_taken_in_its_order(full: Full) -> None:
    async with full() as (network, gate):
        answers = send(network, *(f"NOTE {letter}" for letter in "abcd"))
        await asyncio.sleep(0.01)
        assert network.node.dispatch.unfinished == 4
        assert not any(answer.done() for answer in answers)
        gate.open.set()
        assert await asyncio.gather(*answers) == [ROK] * 4
        await network.settled()
        assert (await purse(network)).notes == tuple("abcd")
        assert max(gate.batches) <= 2
        assert network.node.dispatch.unfinished == 0


@pytest.mark.parametrize("status", [RTHROTTLED, RMSGQFUL])
async def test_what_has_waited_half_the_response_timer_is_told_to_slow_down(full: Full, status: int) -> None:
    async with full(smsc_response_timer=timedelta(milliseconds=20), full_status=status) as (network, gate):
        answers = send(network, *(f"NOTE {letter}" for letter in "abcd"))
        await asyncio.sleep(0.02)
        network.node.dispatch.tick()
        assert [answer.result() for answer in answers[2:]] == [status] * 2
        gate.open.set()
        assert await asyncio.gather(*answers[:2]) == [ROK, ROK]
        await network.settled()
        assert (await purse(network)).notes == ("a", "b")


async def test_no_more_wait_than_there_are_credits(full: Full) -> None:
    async with full() as (network, gate):
        answers = send(network, *(f"NOTE {letter}" for letter in "abcdef"))
        assert [answer.result() for answer in answers if answer.done()] == [RTHROTTLED] * 2
        gate.open.set()
        await network.settled()
        assert sorted(answer.result() for answer in answers) == [ROK] * 4 + [RTHROTTLED] * 2


async def test_who_was_told_to_slow_down_is_served_when_it_comes_again(full: Full) -> None:
    async with full() as (network, gate):
        session = network.node.dispatch.session_opened(ACCOUNT)
        answers = send(network, *(f"NOTE {letter}" for letter in "abcde"), session=session)
        refused = [at for at, answer in enumerate(answers) if answer.done()]
        assert refused
        gate.open.set()
        await network.settled()
        again = [
            offer(network, inbound(network, f"NOTE {'abcde'[at]}", session=session, ordinal=10 + at)) for at in refused
        ]
        assert await asyncio.gather(*again) == [ROK] * len(refused)
        await network.settled()
        assert sorted((await purse(network)).notes) == list("abcde")


async def test_what_waits_when_its_session_dies_is_forgotten_and_comes_again(full: Full) -> None:
    async with full() as (network, gate):
        session = network.node.dispatch.session_opened(ACCOUNT)
        answers = send(network, *(f"NOTE {letter}" for letter in "abc"), session=session)
        network.node.dispatch.session_closed(session)
        gate.open.set()
        await network.settled()
        assert [answer.done() for answer in answers] == [True, True, False]
        assert await asyncio.gather(*send(network, "NOTE c")) == [ROK]
        await network.settled()
        assert (await purse(network)).notes == ("a", "b", "c")


async def test_a_platform_that_is_closing_takes_nothing_new_and_finishes_what_it_took(full: Full) -> None:
    async with full() as (network, gate):
        session = network.node.dispatch.session_opened(ACCOUNT)
        taken = send(network, "NOTE a", session=session)
        network.node.dispatch.closing = True
        assert await asyncio.gather(*send(network, "NOTE b")) == [RX_T_APPN]
        gate.open.set()
        assert await asyncio.gather(*taken) == [ROK]
        assert (await purse(network)).notes == ("a",)


async def test_the_status_that_means_later_is_the_accounts_own(full: Full) -> None:
    async with full(later_status=0x45) as (network, _):
        network.node.dispatch.closing = True
        assert await asyncio.gather(*send(network, "NOTE a")) == [0x45]
