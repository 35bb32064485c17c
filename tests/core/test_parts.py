"""Long messages come in parts, in any order and on any bind, and run as one command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from tests.core.toys import CODE, HOA, LAN, MAI, Toy, inbound, noted, offer, purse, rows
from tests.engines import Engine
from vas import Context, Reply, Service
from vas.assembly import Installation
from vas.config import load
from vas.core import AccountRules, PartLimits
from vas.messages import RMSGQFUL, ROK, RX_T_APPN, Inbound, Part
from vas.parts import PART_OCTETS_MAX, spelled
from vas.testing import ACCOUNT, Network, cut_into

LONG = "NOTE Chị ơi, tối nay cả nhà mình ăn cơm lúc bảy giờ, chị nhớ về sớm nhé. Em nấu món cá kho tộ."
NOTED = LONG.removeprefix("NOTE ")
WAIT = PartLimits().wait


def noting(service: Service) -> None:
    @service.sms("NOTE {x}")
    async def note(ctx: Context, x: str) -> Reply:
        await ctx.change(ctx.sender, noted, x)
        return ctx.reply("done", x=len(x))

    @service.sms("FAIL {x}")
    async def fail(ctx: Context, x: str) -> Reply:
        raise ValueError("a bug")


@pytest.fixture
def service(toy: Toy) -> Service:
    made = toy.service()
    noting(made)
    return made


@pytest.fixture
async def network(toy: Toy, service: Service) -> AsyncIterator[Network]:
    async with toy.network(service) as network:
        yield network


def opened(network: Network) -> int:
    return network.node.dispatch.session_opened(ACCOUNT)


async def come(
    network: Network, parts: Sequence[Part], sessions: Sequence[int] = (), number: str = LAN
) -> list[int]:  # fmt: skip
    """Hand these over in one go, each on the session beside it; the answers."""
    sessions = sessions or [opened(network)] * len(parts)
    answers = [
        offer(network, inbound(network, "", session=session, ordinal=ordinal, number=number, part=part))
        for ordinal, (part, session) in enumerate(zip(parts, sessions, strict=True), 1)
    ]
    statuses = await asyncio.gather(*answers)
    await network.settled()
    return statuses


async def notes(network: Network, number: str = LAN) -> tuple[str, ...]:
    return (await purse(network, number)).notes


async def waiting(network: Network) -> list[int]:
    """Numbers of the parts that wait; what memory says of them is the same."""
    found = [row[0] for row in await rows(network, "SELECT number FROM part ORDER BY 1")]
    assert network.node.core.parts.count == len(found)
    return found


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
async def test_the_parts_of_a_message_run_as_one_command_in_whatever_order_they_come(
    network: Network, order: tuple[int, ...]
) -> None:
    assert await network.phone(LAN).text(LONG, CODE, parts=3, order=order) == f"done {len(NOTED)}"
    assert await notes(network) == (NOTED,)
    assert await waiting(network) == []
    assert await rows(network, "SELECT text, result, parts FROM inbox") == [(LONG, "answered", 3)]
    assert network.statuses == [ROK] * 3


async def test_a_message_of_255_parts_is_put_together(network: Network) -> None:
    text = "NOTE " + "dài " * 300
    await network.phone(LAN).text(text, CODE, parts=255, order=range(255, 0, -1))
    assert await notes(network) == (text.removeprefix("NOTE ").strip(),)


async def test_a_part_is_in_the_store_when_it_is_acknowledged(toy: Toy, network: Network, service: Service) -> None:
    lan = network.phone(LAN)
    await lan.text(LONG, CODE, parts=3, order=[2], reference="a")
    assert await waiting(network) == [2]
    assert await rows(network, "SELECT * FROM inbox") == []
    async with toy.crashed(network, service) as after:
        assert await waiting(after) == [2]
        await after.phone(LAN).text(LONG, CODE, parts=3, order=[3, 1], reference="a")
        assert await notes(after) == (NOTED,)


async def test_each_part_may_reach_a_platform_that_was_just_started(toy: Toy, service: Service) -> None:
    async with toy.network(service, fresh=True) as network:
        assert await network.phone(LAN).text(LONG, CODE, parts=3, order=[3, 1, 2]) == f"done {len(NOTED)}"


async def test_parts_meet_over_three_binds_of_an_account_within_one_batch(network: Network) -> None:
    sessions = [opened(network) for _ in range(3)]
    assert await come(network, cut_into(LONG, 3, "a"), sessions) == [ROK] * 3
    assert await notes(network) == (NOTED,)
    assert await rows(network, "SELECT session FROM inbox") == [(sessions[2],)]


async def test_parts_meet_over_binds_that_came_and_went(network: Network) -> None:
    for part in cut_into(LONG, 3, "a"):
        session = opened(network)
        assert await come(network, [part], [session]) == [ROK]
        network.node.dispatch.session_closed(session)
    assert await notes(network) == (NOTED,)


async def test_two_senders_with_the_same_reference_are_not_mixed(network: Network) -> None:
    other = LONG.replace("Chị", "Anh")
    for mine, theirs in zip(cut_into(LONG, 3, "a"), cut_into(other, 3, "a"), strict=True):
        await come(network, [mine], number=LAN)
        await come(network, [theirs], number=MAI)
    assert await notes(network, LAN) == (NOTED,)
    assert await notes(network, MAI) == (NOTED.replace("Chị", "Anh"),)


@pytest.mark.parametrize(("reference", "total", "to"), [("b", 3, CODE), ("a", 2, CODE), ("a", 3, "9001")])
async def test_another_reference_total_or_receiver_is_another_message(
    network: Network, reference: str, total: int, to: str
) -> None:
    await network.phone(LAN).text(LONG, CODE, parts=3, order=[1, 2], reference="a")
    await network.phone(LAN).text(LONG, to, parts=total, order=[total], reference=reference)
    assert await notes(network) == ()


async def test_another_account_is_another_message(network: Network) -> None:
    first, second, third = cut_into(LONG, 3, "a")
    await come(network, [first, second])
    session = network.node.dispatch.session_opened("other")
    command = inbound(network, "", session=session, ordinal=1, part=third)
    await offer(network, of_other(command))
    assert await notes(network) == ()


def of_other(command: Inbound) -> Inbound:
    return structs.replace(command, account="other")


async def test_a_copy_of_a_part_that_waits_is_ignored(network: Network) -> None:
    await network.phone(LAN).text(LONG, CODE, parts=3, order=[1, 1, 2, 1, 2])
    assert await waiting(network) == [1, 2]
    await network.phone(LAN).text(LONG, CODE, parts=3, order=[3], reference="8-bit 1")
    assert await notes(network) == (NOTED,)


@pytest.mark.parametrize("again", [1, 3])
async def test_a_redelivered_part_does_not_run_the_command_again(network: Network, again: int) -> None:
    parts = cut_into(LONG, 3, "a")
    session = opened(network)
    await come(network, parts, [session] * 3)
    network.node.dispatch.session_closed(session)
    assert await come(network, [parts[again - 1]]) == [ROK]
    assert await notes(network) == (NOTED,)
    assert await waiting(network) == []
    assert await rows(network, "SELECT result, copies FROM inbox") == [("answered", int(again == 3))]


async def test_the_parts_of_a_message_may_have_one_id_and_a_copy_of_one_is_known_by_it(network: Network) -> None:
    session, parts = opened(network), cut_into(LONG, 3, "a")
    for ordinal, part in enumerate([parts[0], parts[0], *parts[1:], parts[2]], 1):
        command = inbound(network, "", session=session, ordinal=ordinal, part=part, message_id="one")
        assert await offer(network, command) == ROK
        network.node.dispatch.session_confirmed(session, ordinal)
    await network.pass_time(WAIT)
    assert await notes(network) == (NOTED,)
    assert await rows(network, "SELECT result, copies FROM inbox") == [("answered", 1)]


async def test_all_parts_redelivered_after_the_line_fell_run_nothing_again(network: Network) -> None:
    parts, session = cut_into(LONG, 3, "a"), opened(network)
    await come(network, parts, [session] * 3)
    network.node.dispatch.session_closed(session)
    assert await come(network, parts) == [ROK] * 3
    assert await notes(network) == (NOTED,)


async def test_a_reference_that_recurs_after_the_message_was_complete_begins_another_one(network: Network) -> None:
    other = LONG.replace("Chị", "Anh")
    await network.phone(LAN).text(LONG, CODE, parts=3, reference="a")
    await network.phone(LAN).text(other, CODE, parts=3, reference="a", order=[2, 1, 3])
    assert await notes(network) == (NOTED, NOTED.replace("Chị", "Anh"))


async def test_the_same_long_message_with_the_same_reference_again_is_meant(network: Network) -> None:
    for _ in range(2):
        await network.phone(LAN).text(LONG, CODE, parts=3, reference="a")
    assert await notes(network) == (NOTED, NOTED)


async def test_a_reference_that_recurs_over_an_incomplete_message_gives_that_up_and_says_so(network: Network) -> None:
    lan, other = network.phone(LAN), LONG.replace("NOTE Chị", "NOTE Anh")
    await lan.text(LONG, CODE, parts=3, reference="a", order=[1])
    assert "thiếu phần 2-3 trên 3" in await lan.text(other, CODE, parts=3, reference="a", order=[1])
    assert await lan.text(other, CODE, parts=3, reference="a", order=[2, 3]) == f"done {len(NOTED)}"
    assert await notes(network) == (NOTED.replace("Chị", "Anh"),)
    assert await rows(network, "SELECT result FROM inbox ORDER BY id") == [("incomplete",), ("answered",)]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("vi", "Tin nhắn dài của bạn thiếu phần 2 trên 3. Vui lòng gửi lại."),
        ("en", "Part 2 of 3 of your message did not arrive. Please send it again."),
    ],
)
async def test_who_waits_in_vain_for_a_part_is_told_once_which_one(network: Network, language: str, text: str) -> None:
    lan = network.phone(LAN)
    await lan.text(f"LANG {language}", CODE)
    await lan.text(LONG, CODE, parts=3, order=[3, 1])
    await network.pass_time(WAIT - timedelta(seconds=1))
    assert len(lan.texts) == 1
    await network.pass_time(timedelta(seconds=1))
    assert lan.texts[1:] == [text]
    assert lan.received[-1].source == CODE
    await network.pass_time(2 * WAIT)
    assert len(lan.texts) == 2
    assert await waiting(network) == []
    assert await rows(network, "SELECT kind, sent_to, text, why, result, reply, parts FROM inbox LIMIT 1 OFFSET 1") == [
        ("sms", CODE, "", "part 2 of 3 did not arrive", "incomplete", "parts_missing", 3)
    ]
    assert await rows(network, "SELECT * FROM long_message") == []
    assert counted(network, "incomplete") == 1


async def test_a_long_message_that_is_given_up_is_in_the_log(network: Network) -> None:
    await network.phone(LAN).text(LONG, CODE, parts=3, order=[3, 1])
    with capture_logs() as logged:
        await network.pass_time(WAIT)
    [(row,)] = await rows(network, "SELECT id FROM inbox")
    [said] = [entry for entry in logged if entry["event"] == "long_message.incomplete"]
    assert said == {
        "event": "long_message.incomplete", "log_level": "info", "id": row, "account": ACCOUNT,
        "sender": "84912•••678", "to": CODE, "why": "part 2 of 3 did not arrive",
    }  # fmt: skip


def counted(network: Network, result: str) -> float:
    value = network.node.metrics.registry.get_sample_value(
        "vas_long_messages_total", {"account": ACCOUNT, "result": result}
    )
    return value or 0.0


async def test_what_is_missing_is_told_also_after_a_restart(network: Network) -> None:
    await network.phone(LAN).text(LONG, CODE, parts=2, order=[1])
    await network.restart()
    await network.pass_time(WAIT)
    assert "thiếu phần 2 trên 2" in network.phone(LAN).texts[-1]


async def test_the_time_to_wait_counts_from_the_first_part(network: Network) -> None:
    lan = network.phone(LAN)
    await lan.text(LONG, CODE, parts=3, order=[1], reference="a")
    await network.pass_time(WAIT / 2)
    await lan.text(LONG, CODE, parts=3, order=[1, 2], reference="a")
    await network.pass_time(WAIT / 2)
    assert "thiếu phần 3 trên 3" in lan.texts[-1]


async def test_a_message_with_the_reference_of_an_earlier_one_waits_as_long_as_any_other(network: Network) -> None:
    lan = network.phone(LAN)
    await lan.text(LONG, CODE, parts=3, reference="a")
    await network.pass_time(WAIT - timedelta(seconds=1))
    await lan.text(LONG.replace("Chị", "Anh"), CODE, parts=3, order=[1], reference="a")
    await network.pass_time(WAIT - timedelta(seconds=1))
    assert len(lan.texts) == 1
    await network.pass_time(timedelta(seconds=1))
    assert "thiếu phần 2-3 trên 3" in lan.texts[-1]


async def test_a_part_that_comes_after_its_message_was_given_up_is_not_told_of_again(network: Network) -> None:
    lan = network.phone(LAN)
    await lan.text(LONG, CODE, parts=3, order=[1, 3], reference="a")
    await network.pass_time(WAIT)
    await lan.text(LONG, CODE, parts=3, order=[2], reference="a")
    await network.pass_time(WAIT)
    assert len(lan.texts) == 1
    assert await waiting(network) == []
    assert await rows(network, "SELECT result FROM inbox ORDER BY id") == [("incomplete",), ("ignored",)]


async def test_copies_of_parts_after_their_message_was_complete_are_not_told_of(network: Network) -> None:
    lan = network.phone(LAN)
    await lan.text(LONG, CODE, parts=3, order=[1, 2, 3, 2], reference="a")
    await network.pass_time(WAIT)
    assert lan.texts == [f"done {len(NOTED)}"]
    assert await rows(network, "SELECT result FROM inbox ORDER BY id") == [("answered",), ("ignored",)]
    assert counted(network, "copies") == 1


async def test_a_new_message_with_the_reference_of_one_just_complete_is_told_of_when_parts_miss(
    network: Network,
) -> None:
    lan = network.phone(LAN)
    await lan.text(LONG, CODE, parts=3, reference="a")
    await lan.text(LONG.replace("Chị", "Anh"), CODE, parts=3, order=[1], reference="a")
    await network.pass_time(WAIT)
    assert "thiếu phần 2-3 trên 3" in lan.texts[-1]


async def test_the_whole_message_sent_again_after_it_was_given_up_runs(network: Network) -> None:
    lan = network.phone(LAN)
    await lan.text(LONG, CODE, parts=3, order=[1, 3], reference="a")
    await network.pass_time(WAIT)
    await lan.text(LONG, CODE, parts=3, reference="a")
    assert await notes(network) == (NOTED,)


async def test_one_number_is_told_of_missing_parts_as_seldom_as_it_is_helped(network: Network) -> None:
    lan = network.phone(LAN)
    for number in range(5):
        await lan.text(f"{LONG} {number}", CODE, parts=2, order=[1])
    await network.pass_time(WAIT)
    assert len(lan.texts) == 3
    assert await rows(network, "SELECT count(*) FROM inbox WHERE result = 'incomplete'") == [(5,)]


async def test_beyond_the_parts_that_may_wait_a_new_message_is_refused_for_now(toy: Toy, service: Service) -> None:
    limits = PartLimits(in_total=2)
    async with toy.network(service, parts=limits) as network:
        await network.phone(LAN).text(LONG, CODE, parts=3, order=[1, 2], reference="a")
        await network.phone(MAI).text(LONG, CODE, parts=3, order=[1], reference="a")
        assert network.statuses == [ROK, ROK, RX_T_APPN]
        assert await rows(network, "SELECT DISTINCT msisdn FROM long_message") == [("84912345678",)]
        await network.phone(LAN).text(LONG, CODE, parts=3, order=[3], reference="a")
        await network.phone(MAI).text(LONG, CODE, parts=3, reference="a")
        assert await notes(network, LAN) == await notes(network, MAI) == (NOTED,)
        assert counted(network, "later") == 1


async def test_a_part_refused_for_now_is_answered_as_the_account_wants_and_is_taken_when_it_comes_again(
    toy: Toy, service: Service
) -> None:
    rules = {"other": AccountRules(later_status=RMSGQFUL)}
    async with toy.network(service, parts=PartLimits(in_total=1), accounts=rules) as network:
        await network.phone(MAI).text(LONG, CODE, parts=2, order=[1])
        parts, session = cut_into(LONG, 2, "a"), opened(network)
        refused = of_other(inbound(network, "", session=session, ordinal=1, part=parts[0]))
        assert await offer(network, refused) == RMSGQFUL
        await network.phone(MAI).text(LONG, CODE, parts=2, order=[2], reference="8-bit 1")
        for ordinal, part in enumerate(parts, 2):
            assert (
                await offer(network, of_other(inbound(network, "", session=session, ordinal=ordinal, part=part))) == ROK
            )
        assert await notes(network) == (NOTED,)


async def test_beyond_the_parts_of_one_subscriber_their_oldest_message_is_given_up(toy: Toy, service: Service) -> None:
    async with toy.network(service, parts=PartLimits(of_one=4)) as network:
        lan = network.phone(LAN)
        await network.phone(MAI).text(LONG, CODE, parts=3, order=[1], reference="z")
        for reference in ("a", "b"):
            await lan.text(LONG, CODE, parts=3, order=[1, 2], reference=reference)
            await network.pass_time(timedelta(seconds=1))
        assert "thiếu phần 3 trên 3" in await lan.text(LONG, CODE, parts=3, order=[1], reference="c")
        assert await rows(network, "SELECT DISTINCT reference FROM part ORDER BY 1") == [("b",), ("c",), ("z",)]
        assert network.phone(MAI).texts == []
        await lan.text(LONG, CODE, parts=3, order=[3], reference="b")
        assert await notes(network) == (NOTED,)


async def test_the_message_that_is_coming_in_is_never_given_up_for_its_own_parts(toy: Toy, service: Service) -> None:
    async with toy.network(service, parts=PartLimits(of_one=4)) as network:
        lan = network.phone(LAN)
        await lan.text(LONG, CODE, parts=5, order=[1, 2, 3], reference="a")
        await network.pass_time(timedelta(seconds=1))
        await lan.text(LONG, CODE, parts=3, order=[1], reference="b")
        await lan.text(LONG, CODE, parts=5, order=[4, 5], reference="a")
        assert await notes(network) == (NOTED,)


async def test_a_fault_in_the_command_of_a_long_message_leaves_a_dead_letter_of_the_whole(network: Network) -> None:
    await network.phone(LAN).text(LONG.replace("NOTE", "FAIL"), CODE, parts=3)
    assert await waiting(network) == []
    [(body,)] = await rows(network, "SELECT body FROM dead_letter")
    assert NOTED in body.decode()


async def test_what_cannot_be_a_part_of_an_sms_stands_for_itself(network: Network) -> None:
    part = Part("a", 2, 1, b"x" * (PART_OCTETS_MAX + 1), "utf-8")
    command = inbound(network, "NOTE alone", session=opened(network), ordinal=1, part=part)
    assert await offer(network, command) == ROK
    assert await notes(network) == ("alone",)


async def test_parts_that_make_no_text_are_answered_and_do_not_come_back_for_ever(network: Network) -> None:
    statuses = await come(network, [Part("a", 2, number, b"\xff", "utf-8") for number in (1, 2)])
    assert statuses == [ROK, ROK]
    assert await rows(network, "SELECT result, text FROM inbox") == [("unmatched", "")]


@pytest.mark.parametrize(("sender", "result"), [("Bank", "ignored"), (CODE, "ignored")])
async def test_the_parts_of_a_machine_are_not_put_together(network: Network, sender: str, result: str) -> None:
    for part in cut_into(LONG, 2, "a"):
        await network.deliver(network.phone(HOA), "", CODE, None, sender=sender, part=part)
    assert await waiting(network) == []
    assert {row[0] for row in await rows(network, "SELECT result FROM inbox")} == {result}


async def test_a_batch_that_is_lost_leaves_no_part_and_no_count(network: Network, engine: Engine) -> None:
    session = opened(network)
    engine.fill(network)
    answers = [
        offer(network, inbound(network, "", session=session, ordinal=part.number, part=part))
        for part in cut_into(LONG * 40, 40, "a")
    ]
    assert await asyncio.gather(*answers) == [RX_T_APPN] * 40
    await engine.make_room(network)
    assert await waiting(network) == []
    assert await come(network, cut_into(LONG, 3, "a")) == [ROK] * 3
    assert await notes(network) == (NOTED,)


def test_the_limits_and_the_accents_are_those_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        """
        [accounts.main]
        host = "127.0.0.1"
        system_id = "vas"
        [platform]
        parts_wait = "5m"
        parts_max = 1000
        parts_each = 300
        [services.callme]
        enabled = true
        short_codes = ["9105"]
        accents = false
        """
    )
    setup = Installation(load(tmp_path / "config.toml", {})).node.setup
    assert setup.parts == PartLimits(timedelta(minutes=5), 1000, 300)
    assert [mounted.accents for mounted in setup.mounted] == [False]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([2], "2"), ([1, 2], "1-2"), ([1, 3, 4, 5, 9], "1, 3-5, 9"), ([1, 3, 5, 7], "1, 3, 5…"), ([], "")],
)
def test_missing_parts_are_spelled_shortly(numbers: list[int], text: str) -> None:
    assert spelled(numbers) == text
