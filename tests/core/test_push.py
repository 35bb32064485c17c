"""Talks and screens that the network begins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.core.toys import CODE, LAN, MAI, MAI_NUMBER, Purse, Toy, noted, purse, rows
from vas import Context, Msisdn, Refused, Reply, Service, Talk
from vas.messages import Inbound, Outbound, SendOutcome, UssdTurn
from vas.store.ids import moment
from vas.testing import ACCOUNT, Network, mount


def pushing(service: Service) -> None:
    @service.sms("PUSH {friend} {code}")
    async def push(ctx: Context, friend: Msisdn, code: str) -> None:
        await ctx.push(friend, code)

    @service.sms("PUSH REFUSED")
    async def refuse(ctx: Context) -> None:
        await ctx.push(MAI_NUMBER, "#")
        raise Refused("no", x="")

    @service.sms("TELL {friend} {x}")
    async def tell(ctx: Context, friend: Msisdn, x: str) -> None:
        await ctx.notify(friend, "note", x=x)

    @service.sms("ASK THEN PUSH")
    async def ask_then_push(ctx: Context) -> None:
        await ctx.push(MAI_NUMBER, "#")
        await ctx.notify(MAI_NUMBER, "note", x="hello")
        await ctx.call("outside", outside)

    @service.ussd("#")
    async def menu(talk: Talk) -> Reply:
        first = await talk.ask("first")
        second = await talk.ask("second")
        await talk.change(talk.sender, noted, f"{first} {second}")
        return talk.reply("done", x=second)

    @service.ussd("*7#")
    async def nothing_to_ask(talk: Talk) -> None: ...

    @service.ussd("*8#")
    async def fail(talk: Talk) -> None:
        raise ValueError("a bug")

    @service.ussd("*9#")
    async def at_once(talk: Talk) -> Reply:
        return talk.reply("done", x="at once")


async def outside(*, key: str) -> int:
    return 1


@pytest.fixture
def service(toy: Toy) -> Service:
    made = toy.service()
    pushing(made)
    return made


@pytest.fixture
async def network(toy: Toy, service: Service) -> AsyncIterator[Network]:
    async with toy.network(service) as network:
        yield network


async def pushed(network: Network, code: str = "#") -> None:
    await network.phone(LAN).text(f"PUSH {MAI} {code}", CODE)


def to_mai(network: Network) -> list[Outbound]:
    return [message for message in network.sent if message.to == MAI_NUMBER]


async def test_a_pushed_talk_is_answered_and_ends_like_one_that_was_dialled(network: Network) -> None:
    mai = network.phone(MAI)
    await pushed(network)
    assert (mai.screen, mai.open) == ("first?", True)
    assert await mai.answer("one") == "second?"
    assert await mai.answer("two") == "done two"
    assert not mai.open
    assert (await purse(network, MAI)).notes == ("one two",)
    assert await rows(network, "SELECT * FROM talk") == []


async def test_a_push_leaves_as_a_question_of_the_network_by_any_account(network: Network) -> None:
    await pushed(network)
    [message] = to_mai(network)
    assert (message.push, message.more, message.session, message.token) == (True, True, 0, b"")
    assert (message.text, message.source, message.account) == ("first?", CODE, "")
    assert message.expires_at == moment(network.now_ms) + timedelta(seconds=60)


async def test_a_pushed_talk_can_be_answered_in_advance(network: Network) -> None:
    await pushed(network, "*1#")
    assert network.phone(MAI).screen == "second?"


async def test_a_pushed_talk_without_a_question_is_a_notice(network: Network) -> None:
    await pushed(network, "*9#")
    [message] = to_mai(network)
    assert (message.push, message.more, message.text) == (True, False, "done at once")


@pytest.mark.parametrize("code", ["*7#", "*8#"])
async def test_a_pushed_talk_that_has_nothing_to_say_or_fails_shows_nothing(network: Network, code: str) -> None:
    await pushed(network, code)
    assert to_mai(network) == []


async def test_the_first_answer_says_which_dialogue_the_talk_is_in_and_no_other_one_goes_on_with_it(
    network: Network,
) -> None:
    await pushed(network)
    mai = network.phone(MAI)
    await mai.answer("one")
    assert await rows(network, "SELECT account, dialogue FROM talk") == [(ACCOUNT, str(mai.dialogues))]
    await network.deliver(mai, "two", "105", UssdTurn("another", begin=False))
    assert "kết thúc" in mai.screen
    assert await purse(network, MAI) == Purse()


async def test_an_answer_may_come_by_any_account(network: Network) -> None:
    await pushed(network)
    session = network.node.dispatch.session_opened("other")
    turn = UssdTurn("7", begin=False)
    await network.redeliver(
        Inbound("other", session, 1, moment(network.now_ms), MAI_NUMBER.digits, "105", "one", b"x", turn)
    )
    assert await rows(network, "SELECT account, dialogue FROM talk") == [("other", "7")]


async def test_a_push_goes_out_also_when_the_power_is_cut_before_it_does(
    toy: Toy, service: Service, network: Network
) -> None:
    images: list[Network] = []
    network.outcome = lambda message: images.append(toy.crashed(network, service)) or SendOutcome.SENT  # type: ignore[func-returns-value]
    await pushed(network)
    async with images[0] as after:
        await after.settled()
        mai = after.phone(MAI)
        assert mai.screen == "first?"
        assert await mai.answer("one") == "second?"


async def test_a_restart_between_question_and_answer_loses_nothing(network: Network) -> None:
    await pushed(network)
    await network.restart()
    assert await network.phone(MAI).answer("one") == "second?"


async def test_a_refused_command_pushes_nothing(network: Network) -> None:
    await network.phone(LAN).text("PUSH REFUSED", CODE)
    assert to_mai(network) == []
    assert await rows(network, "SELECT * FROM job") == []


@pytest.mark.parametrize("outcome", [SendOutcome.PERMANENT, SendOutcome.TEMPORARY, SendOutcome.NOT_SENT])
async def test_a_push_that_could_not_be_shown_ends_the_talk(network: Network, outcome: SendOutcome) -> None:
    network.outcome = lambda message: outcome if message.push else SendOutcome.SENT
    await pushed(network)
    assert await rows(network, "SELECT * FROM talk") == []
    assert await rows(network, "SELECT state, error FROM outbox") == [("expired", "it could not be shown")]
    await network.pass_time(timedelta(hours=1))
    assert len(to_mai(network)) == 1


async def test_a_push_whose_fate_is_unknown_is_not_repeated_and_may_be_answered(network: Network) -> None:
    network.outcome = lambda message: SendOutcome.UNANSWERED if message.push else SendOutcome.SENT
    await pushed(network)
    mai = network.phone(MAI)
    mai.dialogues, mai.open = 1, True
    assert await mai.answer("one") == "second?"
    assert len([message for message in to_mai(network) if message.push]) == 1


async def test_a_push_that_the_phone_refuses_ends_the_talk(network: Network) -> None:
    await pushed(network)
    await network.phone(MAI).hang_up()
    assert await rows(network, "SELECT * FROM talk") == []
    assert "kết thúc" in await network.phone(MAI)._turn("one", begin=False)


async def test_a_notice_that_was_shown_does_not_end_the_question_that_came_after_it(network: Network) -> None:
    mai = network.phone(MAI)
    await pushed(network)
    await network.deliver(mai, "", "", UssdTurn("of the notice", begin=False, ended=True, shown=True))
    assert await mai.answer("one") == "second?"


async def test_a_pushed_talk_that_was_answered_can_be_gone_on_with_by_dialling(network: Network) -> None:
    mai = network.phone(MAI)
    await pushed(network)
    await mai.answer("one")
    await mai.hang_up()
    await mai.dial("*100#")
    assert await mai.answer("1") == "second?"


async def test_a_phone_in_a_talk_gets_the_push_after_it(network: Network) -> None:
    mai = network.phone(MAI)
    await mai.dial("*100#")
    await pushed(network)
    assert not any(message.push for message in to_mai(network))
    assert await mai.answer("one") == "second?"
    await mai.answer("two")
    await network.pass_time(timedelta(seconds=30))
    assert mai.screen == "first?"


async def test_a_phone_that_stays_in_talks_gets_no_push_after_five_minutes(network: Network) -> None:
    mai = network.phone(MAI)
    await pushed(network)
    await pushed(network)
    for _ in range(12):
        await network.pass_time(timedelta(seconds=30))
        if not mai.open:
            break
        await mai.dial("*100*1#")
    assert len([message for message in to_mai(network) if message.push]) == 1
    assert await rows(network, "SELECT kind, result, why FROM inbox WHERE result = 'ignored'") == [
        ("push", "ignored", "the phone was in another talk")
    ]
    assert await rows(network, "SELECT * FROM job") == []


async def test_a_push_whose_handler_is_gone_is_a_dead_letter(toy: Toy, service: Service) -> None:
    alone = toy.service("alone")

    @alone.sms("PUSH")
    async def push(ctx: Context) -> None:
        await ctx.push(MAI_NUMBER, "#")

    async with toy.network(service, alone) as network:
        await network.phone(LAN).text("PUSH", "9001")
        assert await rows(network, "SELECT kind, service, error FROM dead_letter") == [
            ("push", "alone", "nothing of it answers *101#")
        ]
        assert await rows(network, "SELECT * FROM job") == []


async def test_a_pushed_talk_has_a_journey_of_its_own(network: Network) -> None:
    await pushed(network)
    [(id_, text, result)] = await rows(network, "SELECT id, text, result FROM inbox WHERE kind = 'push'")
    assert (text, result) == ("*100#", "asking")
    assert await rows(network, "SELECT kind, cause FROM outbox") == [("push", id_)]


async def test_a_push_and_a_notice_before_a_call_are_made_once(network: Network) -> None:
    await network.phone(LAN).text("ASK THEN PUSH", CODE)
    assert sorted((message.more, message.text) for message in to_mai(network)) == [
        (False, "note hello"), (True, "first?"),
    ]  # fmt: skip


async def test_a_notice_is_a_screen_without_an_answer(network: Network) -> None:
    await network.phone(LAN).text(f"TELL {MAI} hello", CODE)
    mai = network.phone(MAI)
    assert (mai.screen, mai.open, mai.texts) == ("note hello", False, [])
    [message] = to_mai(network)
    assert (message.push, message.more, message.source) == (True, False, CODE)


@pytest.mark.parametrize("outcome", list(SendOutcome)[1:])
async def test_a_notice_that_cannot_be_shown_goes_by_sms(network: Network, outcome: SendOutcome) -> None:
    network.outcome = lambda message: outcome if message.push else SendOutcome.SENT
    await network.phone(LAN).text(f"TELL {MAI} hello", CODE)
    await network.pass_time(timedelta(seconds=1))
    assert network.phone(MAI).texts == ["note hello"]
    assert [(message.push, message.source) for message in to_mai(network)] == [(True, CODE), (False, CODE)]


async def test_a_notice_that_a_restart_found_unsent_goes_by_sms(toy: Toy, service: Service, network: Network) -> None:
    images: list[Network] = []
    network.outcome = lambda message: images.append(toy.crashed(network, service)) or SendOutcome.SENT  # type: ignore[func-returns-value]
    await network.phone(LAN).text(f"TELL {MAI} hello", CODE)
    async with images[0] as after:
        await after.settled()
        assert after.phone(MAI).texts == ["note hello"]


async def test_a_service_without_ussd_cannot_push(toy: Toy, service: Service) -> None:
    async with Network(toy.folder, mount(service, short_codes=[CODE])) as network:
        await pushed(network)
        [(error,)] = await rows(network, "SELECT error FROM dead_letter")
        assert "services.toy.ussd" in error
