"""A USSD talk: every key press reaches a platform that has just been started, and it reads like a conversation."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Literal

import pytest

from tests.core.toys import HOA, LAN, MAI, MAI_NUMBER, TEXTS, Purse, Toy, noted, purse, rows, spend
from vas import Msisdn, Refused, Reply, Service, Talk, speak
from vas.alphabet import fits_ussd
from vas.messages import SendOutcome, UssdTurn
from vas.testing import Phone


class Size(StrEnum):
    SMALL = "small"
    LARGE = "large"


async def screens(phone: Phone, *keys: str) -> list[str]:
    """What the phone shows after dialling the first and typing each of the others."""
    return [await (phone.answer(key) if at else phone.dial(key)) for at, key in enumerate(keys)]


async def again(phone: Phone, key: str) -> str:
    """The SMSC delivers the last key press once more; what is shown."""
    phone.screen = ""
    await phone.network.deliver(phone, key, "105", UssdTurn(str(phone.dialogues), begin=False, token=b"t"))
    return phone.screen


def three_questions(service: Service) -> None:
    @service.ussd("#")
    async def ask(talk: Talk) -> Reply:
        first = await talk.ask("first")
        second = await talk.ask("second")
        third = await talk.ask("third")
        return talk.reply("done", x=f"{first} {second} {third}")


async def test_a_talk_goes_on_where_it_was_on_any_platform(toy: Toy) -> None:
    service = toy.service()
    three_questions(service)
    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        assert await screens(lan, "*100#", "a", "b", "c") == ["first?", "second?", "third?", "done a b c"]
        assert not lan.open


async def test_branching_on_state_that_the_talk_itself_changed(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        if not (await talk.load(talk.sender)).notes:
            await talk.change(talk.sender, noted, await talk.ask("first"))
        amount = await talk.ask("second", int)
        await talk.change(talk.sender, spend, amount)
        sure = await talk.ask("third")
        return talk.reply("done", x=f"{amount} {sure} {(await talk.load(talk.sender)).spent}")

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        assert await screens(lan, "*100#", "n", "50", "y") == ["first?", "second?", "third?", "done 50 y 50"]
        assert await purse(network) == Purse(50, ("n",))
        assert await screens(lan, "*100#", "7", "y") == ["second?", "third?", "done 7 y 57"]


async def test_what_a_turn_did_stands_when_the_subscriber_hangs_up(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        await talk.change(talk.sender, spend, await talk.ask("first", int))
        return talk.reply("done", x=await talk.ask("second"))

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await screens(lan, "*100#", "5")
        await lan.hang_up()
        assert (await purse(network)).spent == 5
        assert network.statuses == [0, 0, 0]


async def test_a_digit_means_what_was_on_the_screen(toy: Toy) -> None:
    service = toy.service()
    on_sale = ["An", "Binh", "Chi"]

    @service.ussd("#")
    async def pick(talk: Talk) -> Reply:
        return talk.reply("done", x=await talk.choose("which", on_sale))

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        assert await lan.dial("*100#") == "which?\n1. An\n2. Binh\n3. Chi"
        on_sale.pop(0)
        assert await lan.answer("1") == "done An"


@pytest.mark.parametrize("typed", ["0", "4", "x", "", "-1", "1.5", "٣"])
async def test_what_is_not_on_the_menu_is_asked_again(toy: Toy, typed: str) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pick(talk: Talk) -> Reply:
        return talk.reply("done", x=await talk.choose("which", ["An", "Binh", "Chi"]))

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await lan.dial("*100#")
        again = await lan.answer(typed)
        assert again.endswith("which?\n1. An\n2. Binh\n3. Chi")
        assert again.startswith("Chọn một số")
        assert await lan.answer("3") == "done Chi"


async def test_what_cannot_be_meant_is_asked_again_with_the_reason(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def whom(talk: Talk) -> Reply:
        friend = await talk.ask("first", Msisdn)
        amount = await talk.ask("second", int)
        size = await talk.ask("third", Size)
        unit = await talk.ask("which.title", Literal["g", "kg"])
        return talk.reply("done", x=f"{friend} {amount + 1} {size is Size.LARGE} {unit}")

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await lan.dial("*100#")
        assert (await lan.answer("9105")).endswith("first?")
        assert "không phải số thuê bao" in lan.screen
        assert await lan.answer(MAI) == "second?"
        assert "con số" in await lan.answer("mười")
        assert await lan.answer("1.000") == "third?"
        assert "SMALL, LARGE" in await lan.answer("medium")
        assert await lan.answer("Large") == "which?"
        assert await lan.answer("KG") == f"done {MAI} 1001 True kg"


async def test_a_reason_that_does_not_fit_beside_the_question_leaves_the_question(toy: Toy) -> None:
    service = toy.service(texts={**TEXTS, "first": "q" * 160, "not_a_number": "r" * 60})

    @service.ussd("#")
    async def amount(talk: Talk) -> Reply:
        return talk.reply("done", x=await talk.ask("first", int))

    async with toy.network(service) as network:
        lan = network.phone(LAN)
        await lan.dial("*100#")
        assert await lan.answer("ten") == "q" * 160


async def test_a_deploy_in_mid_talk_apologises_and_changes_nothing(toy: Toy) -> None:
    before, after = toy.service(), toy.service()

    @before.ussd("#")
    async def old(talk: Talk) -> Reply:
        return talk.reply("done", x=await talk.ask("first") + await talk.ask("second"))

    @after.ussd("#")
    async def new(talk: Talk) -> Reply:
        await talk.change(talk.sender, spend, 1)
        return talk.reply("done", x=await talk.ask("second") + await talk.ask("first"))

    async with toy.network(before, fresh=True) as network:
        lan = network.phone(LAN)
        await lan.dial("*100#")
        await network.restart(*toy.mounted(after))
        assert "vừa được cập nhật" in await lan.answer("5")
        assert not lan.open
        assert (await purse(network)).spent == 0
        assert await rows(network, "SELECT * FROM dead_letter") == []
        assert await lan.dial("*100#") == "second?"


async def test_a_service_that_is_gone_in_mid_talk_apologises(toy: Toy) -> None:
    service, other = toy.service(), toy.service("other")
    three_questions(service)
    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await lan.dial("*100#")
        await network.restart(*toy.mounted(other))
        assert "vừa được cập nhật" in await lan.answer("5")
        assert await rows(network, "SELECT * FROM talk") == []


async def test_a_redelivered_key_press_gets_the_same_screen_and_does_nothing_twice(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        await talk.change(talk.sender, spend, await talk.ask("first", int))
        await talk.send(MAI_NUMBER, "note", x="paid")
        return talk.reply("done", x=await talk.ask("second"))

    async with toy.network(service, fresh=True, confirms=False) as network:
        lan, mai = network.phone(LAN), network.phone(MAI)
        assert await screens(lan, "*100#", "5") == ["first?", "second?"]
        assert await again(lan, "5") == "second?"
        assert lan.open
        assert await lan.answer("end") == "done end"
        assert await again(lan, "end") == "done end"
        assert not lan.open
        assert (await purse(network)).spent == 5
        assert mai.texts == ["note paid"]


async def test_the_same_digit_on_two_screens_is_two_answers(toy: Toy) -> None:
    service = toy.service()
    three_questions(service)
    async with toy.network(service, fresh=True) as network:
        assert (await screens(network.phone(LAN), "*100#", "1", "1", "1"))[-1] == "done 1 1 1"


async def test_a_service_that_catches_everything_still_waits_for_its_answer(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def careless(talk: Talk) -> Reply:
        try:
            return talk.reply("done", x=await talk.ask("first"))
        except Exception:
            return talk.reply("no", x="oops")

    async with toy.network(service, fresh=True) as network:
        assert await screens(network.phone(LAN), "*100#", "me") == ["first?", "done me"]


# -- back, start, pages


async def test_zero_goes_back_to_the_question_before_and_double_zero_to_the_first(toy: Toy) -> None:
    service = toy.service()
    three_questions(service)
    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        assert await screens(lan, "*100#", "a", "0", "b", "c", "00") == [
            "first?", "second?", "first?", "second?", "third?", "first?",
        ]  # fmt: skip
        assert (await lan.answer("x"), await lan.answer("y"), await lan.answer("z")) == (
            "second?", "third?", "done x y z",
        )  # fmt: skip


async def test_going_back_shows_the_menu_as_it_was(toy: Toy) -> None:
    service = toy.service()
    on_sale = ["An", "Binh"]

    @service.ussd("#")
    async def pick(talk: Talk) -> Reply:
        name = await talk.choose("which", on_sale)
        return talk.reply("done", x=name + await talk.ask("first"))

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await screens(lan, "*100#", "1")
        on_sale.reverse()
        assert await lan.answer("0") == "which?\n1. An\n2. Binh"
        assert (await lan.answer("2"), await lan.answer("!")) == ("first?", "done Binh!")


@pytest.mark.parametrize("key", ["0", "00"])
async def test_going_back_never_undoes_or_repeats_what_was_done(toy: Toy, key: str) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        first = await talk.ask("first")
        await talk.change(talk.sender, spend, 5)
        await talk.send(MAI_NUMBER, "note", x=first)
        second = await talk.ask("second")
        third = await talk.ask("third")
        return talk.reply("done", x=f"{first} {second} {third}")

    async with toy.network(service, fresh=True) as network:
        lan, mai = network.phone(LAN), network.phone(MAI)
        assert (await screens(lan, "*100#", "a", "b", key))[-1] == "second?"
        # Nothing lies before it that could be taken back, so this is an answer.
        assert await lan.answer(key) == "third?"
        assert await lan.answer("c") == f"done a {key} c"
        assert (await purse(network)).spent == 5
        assert mai.texts == ["note a"]


async def test_going_back_does_not_repeat_a_change_of_what_the_platform_knows(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def settings(talk: Talk) -> Reply:
        await talk.ask("first")
        await talk.change_subscriber(talk.sender, speak, "en")
        return talk.reply("done", x=await talk.ask("second"))

    async with toy.network(service, fresh=True) as network:
        assert (await screens(network.phone(LAN), "*100#", "a", "0"))[-1] == "done 0"


async def test_going_back_reads_again_what_was_only_read(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def ask(talk: Talk) -> Reply:
        await talk.ask("first")
        spent = (await talk.load(talk.sender)).spent
        return talk.reply("done", x=f"{await talk.ask('second')} {spent}")

    @service.sms("SPEND")
    async def spend_one(talk: Talk) -> None:
        await talk.change(talk.sender, spend, 1)

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await screens(lan, "*100#", "a")
        await lan.text("SPEND", "9000")
        assert (await lan.answer("0"), await lan.answer("a"), await lan.answer("b")) == (
            "first?",
            "second?",
            "done b 1",
        )


NAMES = [f"Nguyễn Thị {name} {'x' * (at % 7)}" for at, name in enumerate(["An", "Bình", "Chi", "Dũng", "Én"] * 8)]


async def test_every_page_of_a_long_menu_fits_the_screen_and_every_option_can_be_chosen(toy: Toy) -> None:
    service = toy.service(texts={**TEXTS, "which.title": "Chọn [một] người {{€}}:"})

    @service.ussd("#")
    async def pick(talk: Talk) -> Reply:
        return talk.reply("done", x=await talk.choose("which", NAMES))

    async with toy.network(service) as network:
        lan = network.phone(LAN)
        pages = [await lan.dial("*100#")]
        while "98. Xem tiep" in pages[-1]:
            pages.append(await lan.answer("98"))
        assert len(pages) > 3
        assert all(fits_ussd(page) and page.isascii() is False for page in pages)  # the euro sign stays
        lines = [line for page in pages for line in page.splitlines() if ". Nguyen" in line]
        assert [line.partition(".")[0] for line in lines] == [str(number) for number in range(1, 41)]
        assert all("0. Quay lai" in page for page in pages[1:])
        assert "98." not in pages[-1]
        # A page could not hold one more line and what stands below it.
        for page, following in pairwise(pages):
            first_of_next = following.splitlines()[1]
            assert not fits_ussd(f"{page}\n{first_of_next}")
        assert await lan.answer("0") == pages[-2]
        assert await lan.answer("40") == f"done {NAMES[39]}"


async def test_the_first_page_has_no_page_before_it(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pick(talk: Talk) -> Reply:
        await talk.ask("first")
        return talk.reply("done", x=await talk.choose("which", NAMES))

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        first_page = (await screens(lan, "*100#", "a"))[-1]
        assert await lan.answer("98") != first_page
        assert await lan.answer("0") == first_page
        assert await lan.answer("0") == "first?"


async def test_a_line_that_is_too_long_for_a_screen_is_cut(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pick(talk: Talk) -> Reply:
        return talk.reply("done", x=len(await talk.choose("which", ["ợ" * 300, "b" * 300])))

    async with toy.network(service) as network:
        lan = network.phone(LAN)
        page = await lan.dial("*100#")
        assert fits_ussd(page)
        assert page.startswith("which?\n1. oooo")
        assert "98." in page
        assert fits_ussd(await lan.answer("98"))
        assert await lan.answer("2") == "done 300"


# -- answers in advance


async def test_answers_may_be_dialled_in_advance(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def menu(talk: Talk) -> Reply:
        option = await talk.choose("which", ["call", "block"])
        return talk.reply("done", x=f"{option} {await talk.ask('first', Msisdn)}")

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        assert await lan.dial(f"*100*1*{MAI}#") == f"done call {MAI}"
        assert await lan.dial("*100*2#") == "first?"
        assert await lan.answer(MAI) == f"done block {MAI}"


async def test_a_wrong_answer_in_advance_is_asked_for(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def menu(talk: Talk) -> Reply:
        option = await talk.choose("which", ["call", "block"])
        return talk.reply("done", x=f"{option} {await talk.ask('first', Msisdn)}")

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        assert (await lan.dial("*100*7*0987654321#")).endswith("which?\n1. call\n2. block")
        assert (await lan.answer("1"), await lan.answer(MAI)) == ("first?", f"done call {MAI}")
        assert (await lan.dial("*100*1*9105#")).endswith("first?")
        assert await lan.answer(MAI) == f"done call {MAI}"


async def test_a_code_with_placeholders_starts_its_handler_with_them(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("*{friend}*{amount}#")
    async def send(talk: Talk, friend: Msisdn, amount: int) -> Reply:
        return talk.reply("done", x=f"{friend} {amount} {await talk.ask('first')}")

    async with toy.network(service, fresh=True) as network:
        assert await screens(network.phone(LAN), f"*100*{MAI}*500#", "y") == ["first?", f"done {MAI} 500 y"]


async def test_a_dialled_number_that_cannot_be_one_is_refused(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("*{friend}#")
    async def send(talk: Talk, friend: Msisdn) -> Reply:
        return talk.reply("done", x=friend)

    async with toy.network(service) as network:
        lan = network.phone(LAN)
        assert "không phải số thuê bao" in await lan.dial("*100*9105#")
        assert not lan.open


async def test_a_code_of_nobody_says_so(toy: Toy) -> None:
    async with toy.network(toy.service()) as network:
        lan = network.phone(LAN)
        assert "không có dịch vụ" in await lan.dial("*555#")
        assert not lan.open


# -- ends


async def test_a_refusal_undoes_its_turn_and_ends_the_talk(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        await talk.change(talk.sender, spend, await talk.ask("first", int))
        await talk.change(talk.sender, spend, await talk.ask("second", int))
        raise Refused("no", x="more")

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        assert await screens(lan, "*100#", "5", "7") == ["first?", "second?", "no more"]
        assert not lan.open
        assert (await purse(network)).spent == 5


async def test_a_fault_undoes_its_turn_apologises_and_ends_the_talk(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        await talk.change(talk.sender, spend, await talk.ask("first", int))
        raise ValueError("a bug")

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        assert "gặp lỗi" in (await screens(lan, "*100#", "5"))[-1]
        assert not lan.open
        assert await purse(network) == Purse()
        assert len(await rows(network, "SELECT * FROM dead_letter")) == 1
        assert await rows(network, "SELECT * FROM talk") == []


async def test_an_answer_to_a_dialogue_that_is_over_says_so(toy: Toy) -> None:
    service = toy.service()
    three_questions(service)
    async with toy.network(service) as network:
        lan = network.phone(LAN)
        await network.deliver(lan, "1", "*100", UssdTurn("999", begin=False, token=b"t"))
        assert "đã kết thúc" in lan.screen
        assert not lan.open


async def test_two_phones_talk_side_by_side(toy: Toy) -> None:
    service = toy.service()
    three_questions(service)
    async with toy.network(service, fresh=True) as network:
        lan, hoa = network.phone(LAN), network.phone(HOA)
        await lan.dial("*100#")
        await hoa.dial("*100#")
        for key in "abc":
            await lan.answer(key)
            await hoa.answer(key.upper())
        assert (lan.screen, hoa.screen) == ("done a b c", "done A B C")


async def test_a_new_dial_ends_the_talk_before_it(toy: Toy) -> None:
    service = toy.service()
    three_questions(service)

    @service.ussd("*9#")
    async def other(talk: Talk) -> Reply:
        return talk.reply("done", x=await talk.ask("third"))

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        assert await screens(lan, "*100#", "a") == ["first?", "second?"]
        assert await screens(lan, "*100*9#", "z") == ["third?", "done z"]


# -- resumed


async def test_a_talk_that_was_cut_off_can_be_resumed_by_dialling_again(toy: Toy) -> None:
    service = toy.service()
    three_questions(service)
    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await screens(lan, "*100#", "a", "b")
        await lan.hang_up()
        await network.pass_time(timedelta(minutes=2))
        assert (await lan.dial("*100#")).endswith("1. Làm tiếp\n2. Bắt đầu lại")
        assert (await lan.answer("x")).endswith("2. Bắt đầu lại")
        assert await lan.answer("1") == "third?"
        assert await lan.answer("c") == "done a b c"
        assert await lan.dial("*100#") == "first?"


async def test_a_talk_that_was_cut_off_can_be_begun_again(toy: Toy) -> None:
    service = toy.service()
    three_questions(service)
    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await screens(lan, "*100#", "a")
        assert "Bắt đầu lại" in await lan.dial("*100#")
        assert (await lan.answer("2"), await lan.answer("x")) == ("first?", "second?")


@pytest.mark.parametrize("minutes", [4, 30])
async def test_after_some_minutes_a_talk_begins_anew(toy: Toy, minutes: int) -> None:
    service = toy.service()
    three_questions(service)
    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await screens(lan, "*100#", "a")
        await network.pass_time(timedelta(minutes=minutes))
        assert await lan.dial("*100#") == "first?"


async def test_a_talk_of_which_nothing_was_answered_begins_anew(toy: Toy) -> None:
    service = toy.service()
    three_questions(service)
    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await lan.dial("*100#")
        assert await lan.dial("*100#") == "first?"


async def test_what_was_done_before_a_talk_was_cut_off_is_not_done_again_when_it_is_resumed(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        await talk.change(talk.sender, spend, await talk.ask("first", int))
        return talk.reply("done", x=await talk.ask("second"))

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await screens(lan, "*100#", "5")
        await lan.hang_up()
        assert (await screens(lan, "*100#", "1", "y"))[-1] == "done y"
        assert (await purse(network)).spent == 5


async def test_a_talk_keeps_the_day_on_which_it_began(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def day(talk: Talk) -> Reply:
        before = talk.today
        await talk.ask("first")
        return talk.reply("done", x=f"{before} {talk.today} {talk.now:%d}")

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await network.pass_time(timedelta(hours=14, minutes=59))
        await lan.dial("*100#")
        await network.pass_time(timedelta(minutes=2))
        assert await lan.answer("x") == f"done {date(2026, 3, 2)} {date(2026, 3, 2)} 03"


async def test_a_last_screen_that_came_too_late_is_sent_by_sms_and_a_question_is_not(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def ask(talk: Talk) -> Reply:
        return talk.reply("done", x=await talk.ask("first"))

    async with toy.network(service) as network:
        lan = network.phone(LAN)
        network.outcome = lambda message: SendOutcome.NOT_SENT if message.session else SendOutcome.SENT
        await lan.dial("*100#")
        assert lan.texts == []
        await again(lan, "x")
        assert lan.texts == ["done x"]
        assert await rows(network, "SELECT kind, state FROM outbox ORDER BY id") == [
            ("ussd", "expired"),
            ("sms", "sent"),
        ]
