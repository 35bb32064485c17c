"""A command comes to one node, and its copy to another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.core.nodes import Nodes, died, member, rest, told
from tests.core.toys import LAN, Toy, inbound, offer, purse, rows, spend
from vas import Context, Reply, Service
from vas.core import AccountRules
from vas.messages import ROK, RX_T_APPN, Inbound
from vas.testing import ACCOUNT, Network

pytestmark = pytest.mark.only_on("postgres", "nodes share no file")
QUICK = {ACCOUNT: AccountRules(smsc_response_timer=timedelta(seconds=1))}


@pytest.fixture
def service(toy: Toy) -> Service:
    made = toy.service()

    @made.sms("PAY")
    async def pay(ctx: Context) -> Reply:
        return ctx.reply("done", x=(await ctx.change(ctx.sender, spend, 1)).spent)

    return made


def opened(network: Network) -> int:
    return network.node.dispatch.session_opened(ACCOUNT)


def pay(network: Network, session: int, message_id: str = "", ordinal: int = 1) -> Inbound:
    return inbound(network, "PAY", session=session, ordinal=ordinal, message_id=message_id)


async def saved(network: Network) -> None:
    """What is confirmed is written down."""
    network.node.dispatch.tick()
    await network.settled()


def peer(network: Network, alive: bool, *, confirms: bool = True) -> list[int]:
    """What the peers of this node's sessions say when they are asked; who was."""
    asked: list[int] = []

    async def ask_alive(session: int) -> bool:
        asked.append(session)
        if alive and confirms:
            network.node.dispatch.session_confirmed(session, 1)
        return alive

    network.node.gateway.ask_alive = ask_alive  # type: ignore[method-assign]
    return asked


async def test_a_copy_with_the_smsc_s_id_is_one_on_whichever_node_it_comes(a: Network, b: Network) -> None:
    await told(a, pay(a, opened(a), "17"))
    await told(b, pay(b, opened(b), "17"))
    assert (await purse(a)).spent == 1
    assert await rows(a, "SELECT result, copies, node FROM inbox") == [("answered", 1, "a")]


async def test_what_two_nodes_are_brought_at_the_same_moment_is_done_once(a: Network, b: Network) -> None:
    for number in range(10):
        commands = [(network, pay(network, opened(network), str(number))) for network in (a, b)]
        assert await asyncio.gather(*(told(*each) for each in commands)) == [ROK, ROK]
        assert (await purse(a)).spent == number + 1


async def test_what_has_surely_arrived_absorbs_nothing_on_another_node(a: Network, b: Network) -> None:
    session = opened(a)
    await told(a, pay(a, session))
    a.node.dispatch.session_confirmed(session, 1)
    await saved(a)
    assert await told(b, pay(b, opened(b))) == ROK
    assert (await purse(a)).spent == 2


async def test_a_copy_of_what_a_dead_node_answered_is_absorbed(a: Network, b: Network) -> None:
    await told(a, pay(a, opened(a)))
    await a.settled()
    died(a)
    assert await told(b, pay(b, opened(b))) == ROK
    assert (await purse(b)).spent == 1


async def test_a_copy_of_what_a_node_answered_whose_lease_is_over_is_absorbed(a: Network, b: Network) -> None:
    asked = peer(a, alive=True)
    await told(a, pay(a, opened(a)))
    await a.settled()
    member(a).freeze()
    assert await told(b, pay(b, opened(b))) == ROK
    assert (await purse(b)).spent == 1
    assert asked == []


async def test_a_copy_of_what_was_answered_in_a_session_that_fell_on_another_node_is_absorbed(
    a: Network, b: Network
) -> None:
    session = opened(a)
    await told(a, pay(a, session))
    a.node.dispatch.session_closed(session)
    await saved(a)
    assert await rows(b, f"SELECT confirmed, ended FROM session WHERE id = {session}") == [(0, True)]  # noqa: S608
    assert await told(b, pay(b, opened(b))) == ROK
    assert (await purse(b)).spent == 1


async def test_what_was_answered_too_late_on_another_node_absorbs_a_copy(a: Network, b: Network) -> None:
    session = opened(a)
    await told(a, pay(a, session))
    a.node.dispatch.answered_late(session, 1)
    a.node.dispatch.session_confirmed(session, 1)
    await saved(a)
    assert await told(b, pay(b, opened(b))) == ROK
    assert (await purse(b)).spent == 1


@pytest.mark.parametrize(("alive", "spent"), [(True, 2), (False, 1)])
async def test_a_copy_of_what_another_node_answered_is_decided_by_a_sign_of_life_to_that_node(
    a: Network, b: Network, alive: bool, spent: int
) -> None:
    asked = peer(a, alive)
    session = opened(a)
    await told(a, pay(a, session))
    assert await told(b, pay(b, opened(b))) == ROK
    assert asked == [session]
    assert (await purse(b)).spent == spent


async def test_many_copies_want_one_sign_of_life(a: Network, b: Network) -> None:
    asked = peer(a, alive=False)
    session = opened(a)
    commands = [
        inbound(a, "PAY", session=session, ordinal=ordinal, number=f"09123456{ordinal:02d}") for ordinal in range(1, 21)
    ]
    await asyncio.gather(*(told(a, command) for command in commands))
    other = opened(b)
    copies = [
        inbound(b, "PAY", session=other, ordinal=ordinal, number=f"09123456{ordinal:02d}") for ordinal in range(1, 21)
    ]
    assert await asyncio.gather(*(told(b, copy) for copy in copies)) == [ROK] * 20
    assert asked == [session]
    assert await rows(b, "SELECT count(*), sum(copies) FROM inbox") == [(20, 20)]


async def test_a_copy_of_which_nobody_knows_in_time_is_to_come_again(nodes: Nodes, service: Service) -> None:
    a, b = await nodes.start(service, accounts=QUICK), await nodes.start(service, accounts=QUICK)
    peer(a, alive=True, confirms=False)
    session, other = opened(a), opened(b)
    await told(a, pay(a, session))
    assert await told(b, pay(b, other)) == RX_T_APPN
    assert (await purse(b)).spent == 1
    a.node.dispatch.session_confirmed(session, 1)
    await saved(a)
    assert await told(b, pay(b, other, ordinal=2)) == ROK
    assert (await purse(b)).spent == 2


async def test_a_look_that_hangs_keeps_nobody_waiting_past_their_time(
    nodes: Nodes, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await nodes.start(service, accounts=QUICK), await nodes.start(service, accounts=QUICK)
    peer(a, alive=True)

    async def hangs(text: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        raise await asyncio.Future()

    await told(a, pay(a, opened(a)))
    monkeypatch.setattr(b.node.store, "read", hangs)
    assert await told(b, pay(b, opened(b))) == RX_T_APPN


async def test_an_answer_that_absorbed_a_copy_is_judged_by_the_session_of_that_copy(a: Network, b: Network) -> None:
    await told(a, pay(a, opened(a)))
    await a.settled()
    died(a)
    session = opened(b)
    await told(b, pay(b, session))
    b.node.dispatch.session_confirmed(session, 1)
    assert await told(b, pay(b, session, ordinal=2)) == ROK
    assert (await purse(b)).spent == 2


async def test_a_node_that_starts_anew_knows_what_was_answered_before(
    nodes: Nodes, service: Service, a: Network
) -> None:
    await told(a, pay(a, opened(a)))
    await a.settled()
    died(a)
    b = await nodes.start(service)
    assert await told(b, pay(b, opened(b))) == ROK
    assert (await purse(b)).spent == 1


async def test_two_wishes_on_two_nodes_are_two(a: Network, b: Network) -> None:
    """Each node confirms at once, as where there is traffic."""
    await a.phone(LAN).text("PAY", "9000")
    await saved(a)
    await b.phone(LAN).text("PAY", "9000")
    await saved(b)
    await a.phone(LAN).text("PAY", "9000")
    assert (await purse(a)).spent == 3


async def test_answers_that_arrived_on_a_node_that_is_gone_are_forgotten_by_another(a: Network, b: Network) -> None:
    await told(a, pay(a, opened(a), "17"))
    session = opened(a)
    await asyncio.gather(*(offer(a, pay(a, session, ordinal=ordinal)) for ordinal in (1, 2)))
    a.node.dispatch.session_confirmed(session, 2)
    await saved(a)
    await a.settled()
    died(a)
    b.node.housekeeping.tick()
    await b.settled()
    assert await rows(b, "SELECT lasting FROM seen") == [(True,)]
    b.now_ms += int(timedelta(hours=72 * 2 + 1).total_seconds() * 1000)
    b.node.housekeeping.tick()
    await rest(b)
    assert await rows(b, "SELECT id FROM session WHERE node <> (SELECT id FROM node)") == []
