"""A redelivered command is told from one that the subscriber means again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest

from tests.core.toys import CODE, LAN, Toy, inbound, offer, purse, rows, spend
from vas import Context, Reply, Service
from vas.messages import ROK, Inbound
from vas.testing import ACCOUNT, Network

TIMER = timedelta(seconds=10)
"""The SMSC's response timer."""


def paying(service: Service) -> None:
    @service.sms("PAY")
    async def pay(ctx: Context) -> Reply:
        return ctx.reply("done", x=(await ctx.change(ctx.sender, spend, 1)).spent)


@pytest.fixture
def service(toy: Toy) -> Service:
    made = toy.service()
    paying(made)
    return made


@pytest.fixture
async def network(toy: Toy, service: Service) -> AsyncIterator[Network]:
    async with toy.network(service) as network:
        yield network


def opened(network: Network, account: str = ACCOUNT) -> int:
    return network.node.dispatch.session_opened(account)


async def paid(network: Network, *commands: Inbound) -> int:
    """What Lan has spent after these were delivered, each in a batch of its own."""
    for command in commands:
        assert await offer(network, command) == ROK
        await network.settled()
    return (await purse(network)).spent


def pay(network: Network, session: int, ordinal: int, message_id: str = "") -> Inbound:
    return inbound(network, "PAY", session=session, ordinal=ordinal, message_id=message_id)


async def test_a_copy_after_the_session_died_is_absorbed_and_not_answered_again(network: Network) -> None:
    first = opened(network)
    assert await paid(network, pay(network, first, 1)) == 1
    network.node.dispatch.session_closed(first)
    assert await paid(network, pay(network, opened(network), 1)) == 1
    assert network.phone(LAN).texts == ["done 1"]
    assert await rows(network, "SELECT result, copies FROM inbox") == [("answered", 1)]


async def test_a_doubtful_answer_absorbs_one_copy_whose_own_answer_is_judged_afresh(network: Network) -> None:
    first = opened(network)
    await paid(network, pay(network, first, 1))
    network.node.dispatch.session_closed(first)
    second = opened(network)
    assert await paid(network, pay(network, second, 1)) == 1
    assert await paid(network, pay(network, second, 2)) == 2
    network.node.dispatch.session_closed(second)
    assert await paid(network, pay(network, opened(network), 1)) == 2


async def test_a_confirmed_answer_absorbs_nothing(network: Network) -> None:
    first = opened(network)
    await paid(network, pay(network, first, 1))
    network.node.dispatch.session_confirmed(first, 1)
    network.node.dispatch.session_closed(first)
    assert await paid(network, pay(network, opened(network), 1)) == 2


async def test_only_answers_up_to_what_was_confirmed_are_confirmed(network: Network) -> None:
    first = opened(network)
    await paid(network, pay(network, first, 2))
    network.node.dispatch.session_confirmed(first, 1)
    network.node.dispatch.session_closed(first)
    assert await paid(network, pay(network, opened(network), 1)) == 1


async def test_an_answer_that_left_too_late_is_not_confirmed_by_what_follows(network: Network) -> None:
    first = opened(network)
    await paid(network, pay(network, first, 1))
    network.node.dispatch.answered_late(first, 1)
    network.node.dispatch.session_confirmed(first, 5)
    network.node.dispatch.session_closed(first)
    assert await paid(network, pay(network, opened(network), 1)) == 1


async def test_who_sends_the_same_text_twice_means_it(network: Network) -> None:
    session = opened(network)
    assert await paid(network, *(pay(network, session, ordinal) for ordinal in (1, 2, 3))) == 3
    assert network.phone(LAN).texts == ["done 1", "done 2", "done 3"]


async def test_two_copies_in_one_batch_of_a_live_session_are_two_wishes(network: Network) -> None:
    session = opened(network)
    await asyncio.gather(*(offer(network, pay(network, session, ordinal)) for ordinal in (1, 2)))
    assert (await purse(network)).spent == 2


async def test_a_copy_in_the_batch_of_the_first_is_absorbed_when_that_session_died(network: Network) -> None:
    first, second = opened(network), opened(network)
    answers = [offer(network, pay(network, first, 1))]
    network.node.dispatch.session_closed(first)
    answers.append(offer(network, pay(network, second, 1)))
    assert await asyncio.gather(*answers) == [ROK, ROK]
    await network.settled()
    assert (await purse(network)).spent == 1


@pytest.mark.parametrize(
    ("later", "confirmed", "spent"), [(9, False, 2), (10, False, 1), (60, False, 1), (60, True, 2)]
)
async def test_on_a_live_session_a_copy_after_the_response_timer_is_a_redelivery_unless_confirmed(
    network: Network, later: int, confirmed: bool, spent: int
) -> None:
    session = opened(network)
    await paid(network, pay(network, session, 1))
    if confirmed:
        network.node.dispatch.session_confirmed(session, 1)
    network.now_ms += later * 1000
    assert await paid(network, pay(network, session, 2)) == spent


@pytest.mark.parametrize(("alive", "spent"), [(True, 2), (False, 1)])
async def test_a_copy_over_another_live_session_is_decided_by_a_sign_of_life_of_the_first(
    network: Network, alive: bool, spent: int
) -> None:
    asked: list[int] = []

    async def ask_alive(session: int) -> bool:
        asked.append(session)
        await asyncio.sleep(0)
        return alive

    network.node.gateway.ask_alive = ask_alive  # type: ignore[method-assign]
    first, second = opened(network), opened(network)
    await paid(network, pay(network, first, 1))
    assert await paid(network, pay(network, second, 1)) == spent
    assert asked == [first]


@pytest.mark.parametrize(("confirmed", "spent"), [(True, 2), (False, 1)])
async def test_what_was_confirmed_before_a_restart_stays_confirmed(
    network: Network, confirmed: bool, spent: int
) -> None:
    session = opened(network)
    await paid(network, pay(network, session, 1))
    if confirmed:
        network.node.dispatch.session_confirmed(session, 1)
    await network.restart()
    assert await paid(network, pay(network, opened(network), 1)) == spent


async def test_a_copy_after_a_power_cut_is_absorbed(toy: Toy, service: Service, network: Network) -> None:
    await paid(network, pay(network, opened(network), 1))
    async with toy.crashed(network, service) as after:
        assert await paid(after, pay(after, opened(after), 1)) == 1


async def test_what_the_database_never_had_is_done_after_a_power_cut(
    toy: Toy, service: Service, network: Network
) -> None:
    async with toy.crashed(network, service) as after:
        await paid(network, pay(network, opened(network), 1))
        assert await paid(after, pay(after, opened(after), 1)) == 1


async def test_late_answers_are_remembered_over_a_restart(network: Network) -> None:
    session = opened(network)
    await paid(network, pay(network, session, 1))
    network.node.dispatch.answered_late(session, 1)
    network.node.dispatch.session_confirmed(session, 3)
    await network.restart()
    assert await paid(network, pay(network, opened(network), 1)) == 1


async def test_a_message_id_of_the_smsc_decides_alone(network: Network) -> None:
    session = opened(network)
    assert await paid(network, pay(network, session, 1, "a"), pay(network, session, 2, "b")) == 2
    network.node.dispatch.session_confirmed(session, 2)
    assert await paid(network, pay(network, session, 3, "a"), pay(network, session, 4, "b")) == 2
    await network.restart()
    assert await paid(network, pay(network, opened(network), 1, "a")) == 2


@pytest.mark.parametrize("change", [{"account": "other"}, {"identity": b"other"}])
async def test_another_account_or_another_text_is_another_command(network: Network, change: dict[str, object]) -> None:
    first = opened(network)
    await paid(network, pay(network, first, 1))
    network.node.dispatch.session_closed(first)
    second = opened(network)
    assert await paid(network, msgspec.structs.replace(pay(network, second, 1), **change)) == 2


async def test_a_refusal_is_an_answer_too(toy: Toy) -> None:
    from vas import Refused

    service = toy.service()
    runs: list[int] = []

    @service.sms("PAY")
    async def refuse(ctx: Context) -> Reply:
        runs.append(1)
        raise Refused("no", x="")

    async with toy.network(service) as network:
        first = opened(network)
        await paid(network, pay(network, first, 1))
        network.node.dispatch.session_closed(first)
        await paid(network, pay(network, opened(network), 1))
        assert (len(runs), network.phone(LAN).texts) == (1, ["no "])


async def test_what_was_seen_is_known_for_as_long_as_the_setting_says(toy: Toy, service: Service) -> None:
    async with toy.network(service, seen_for=timedelta(hours=72)) as network:
        await keep_house(network)
        first = opened(network)
        await paid(network, pay(network, first, 1))
        network.node.dispatch.session_closed(first)
        for _ in range(71):
            network.now_ms += 3_600_000
            await keep_house(network)
        second = opened(network)
        assert await paid(network, pay(network, second, 1)) == 1
        network.node.dispatch.session_closed(second)


async def test_a_copy_is_judged_by_the_last_answer_however_old_the_first_is(toy: Toy, service: Service) -> None:
    async with toy.network(service, seen_for=timedelta(hours=1)) as network:
        await keep_house(network)
        sessions = [opened(network)]
        await paid(network, pay(network, sessions[0], 1))
        network.node.dispatch.session_closed(sessions[0])
        for hours in range(4):
            network.now_ms += 3_600_000 // 2
            await keep_house(network)
            network.now_ms += 3_600_000 // 2
            await keep_house(network)
            session = opened(network)
            await paid(network, pay(network, session, 1))
            network.node.dispatch.session_confirmed(session, 1)
            assert await paid(network, pay(network, session, 2)) == hours + 2
            network.node.dispatch.session_closed(session)


async def keep_house(network: Network) -> None:
    network.node.housekeeping.tick()
    await network.settled()


async def test_neither_the_number_nor_the_text_can_be_read_from_what_was_seen(network: Network) -> None:
    await paid(network, pay(network, opened(network), 1))
    keys = [key for (key,) in await rows(network, "SELECT key FROM seen")]
    assert len(keys) == 1
    assert len(keys[0]) >= 16
    assert CODE.encode() not in keys[0]
    assert b"PAY" not in keys[0]
