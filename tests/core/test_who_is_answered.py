"""Who gets an answer at all: people, in the trial's circle, and not too often the same help."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from services.callme import callme
from vas import Context, Msisdn, Reply, Service
from vas.messages import ROK, Outbound, SendOutcome
from vas.testing import Network, mount

LAN, MAI = "0912345678", "0987654321"


def network(folder: Path, **setup: object) -> Network:
    return Network(folder, mount(callme, short_codes=["9105"], ussd="*105"), **setup)


@pytest.mark.parametrize("sender", ["MobiFone", "9105", "105", "VNPT-INFO", "84900000001"])
async def test_nobody_answers_a_machine(folder: Path, sender: str) -> None:
    async with network(folder, own_numbers=frozenset({"84900000001"})) as net:
        status = await net.deliver(net.phone(LAN), "CM 0987654321", "9105", None, sender=sender)
        assert (status, net.sent) == (ROK, [])


async def test_in_the_trial_only_its_numbers_are_served(folder: Path) -> None:
    async with network(folder, trial_numbers=frozenset({Msisdn.parse(LAN)})) as net:
        assert await net.phone(LAN).text("HD", to="9105")
        assert await net.phone(MAI).text("HD", to="9105") == ""


async def test_a_text_that_nothing_matches_is_answered_with_help_three_times_an_hour(folder: Path) -> None:
    async with network(folder) as net:
        lan = net.phone(LAN)
        answers = [await lan.text(f"hello {n}", to="9105") for n in range(5)]
        assert [bool(answer) for answer in answers] == [True, True, True, False, False]
        assert "HD" in answers[0]
        await net.pass_time(timedelta(hours=1, seconds=1))
        assert await lan.text("hello again", to="9105")


async def test_a_last_screen_that_the_smsc_refuses_comes_by_sms(folder: Path) -> None:
    async with network(folder) as net:
        lan = net.phone(LAN)

        def refuse_screens(message: Outbound) -> SendOutcome:
            return SendOutcome.PERMANENT if message.session else SendOutcome.SENT

        net.outcome = refuse_screens
        await lan.dial("*105*0987654321#")
        await net.pass_time(timedelta(seconds=1))
        assert MAI in lan.texts[-1]


async def test_where_there_is_no_hd_the_help_names_the_commands(folder: Path) -> None:
    texts = folder / "texts.toml"
    texts.write_text('ok = { vi = "ok", en = "ok" }')
    shop = Service("shop", texts=texts)

    @shop.sms("BUY {thing}")
    async def buy(ctx: Context, thing: str) -> Reply:
        return ctx.reply("ok")

    async with Network(folder, mount(shop, short_codes=["9000"])) as net:
        assert "BUY THING" in await net.phone(LAN).text("what?", to="9000")


async def test_who_neither_goes_on_nor_starts_again_is_told_to_choose(folder: Path) -> None:
    async with network(folder, language="en") as net:
        lan = net.phone(LAN)
        await lan.dial("*105#")
        await lan.answer("2")
        offered = await lan.dial("*105#")
        assert "1. Go on" in offered
        assert await lan.answer("7") == f"Choose a number on the screen.\n{offered}"
        assert "Block a number" in await lan.answer("1")
