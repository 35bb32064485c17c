"""Talks and screens that the network begins, from a handler to a phone of the simulator and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway import AccountSettings, SmppGateway
from gateway.simulator import Settings, Simulator
from gateway.simulator.phone import Phone
from gateway.simulator.settings import Account
from tests.core.toys import CODE, MAI_NUMBER, Toy
from tests.gateway.peer import until
from vas import Context, Reply, Service, Talk, testing
from vas.messages import Receiver
from vas.mounting import Platform
from vas.node import Node, Setup
from vas.selfcare import selfcare
from vas.testing import mount

LAN, MAI = "84912345678", "84987654321"


def pushing(service: Service) -> None:
    @service.sms("PUSH")
    async def push(ctx: Context) -> None:
        await ctx.push(MAI_NUMBER, "#")

    @service.sms("TELL {x}")
    async def tell(ctx: Context, x: str) -> None:
        await ctx.notify(MAI_NUMBER, "note", x=x)

    @service.sms("TELL AND PUSH")
    async def tell_and_push(ctx: Context) -> None:
        await ctx.notify(MAI_NUMBER, "note", x="first")
        await ctx.push(MAI_NUMBER, "#")

    @service.ussd("#")
    async def menu(talk: Talk) -> Reply:
        first = await talk.ask("first")
        return talk.reply("done", x=f"{first} {await talk.ask('second')}")


class Line:
    """A platform, an SMSC that speaks a dialect of USSD, and SMPP between them."""

    def __init__(self, folder: Path, service: Service, dialect: str) -> None:
        accounts = {"vas": Account(password="secret", ussd=dialect)}
        self.simulator = Simulator(Settings(port=0, accounts=accounts, receipt_delay=timedelta()))
        setup = Setup(Toy.mounted(service), mount(selfcare), Platform(ZoneInfo("Asia/Ho_Chi_Minh")), tick_s=0.01)
        self._dialect = dialect
        self.node = Node(setup, testing.make_store(folder, setup.clock_ms), self._gateway)

    def _gateway(self, receiver: Receiver) -> SmppGateway:
        account = AccountSettings(
            name="main", host="127.0.0.1", port=self.simulator.port, system_id="vas", password="secret",
            ussd_dialect=self._dialect,
        )  # fmt: skip
        self.gateway = SmppGateway([account], receiver)
        return self.gateway

    async def start(self) -> None:
        await self.simulator.start()
        await self.node.start()
        await until(lambda: self.gateway.account("main").up)

    async def stop(self) -> None:
        await self.node.stop()
        await self.simulator.stop()

    @property
    def mai(self) -> Phone:
        return self.simulator.phone(MAI)

    def lan_texts(self, text: str) -> None:
        self.simulator.phone(LAN).text(text, CODE)

    async def shown(self, text: str) -> None:
        """Until Mai's screen says so."""
        await until(lambda: self.mai.screen is not None and self.mai.screen.text == text)

    async def count(self, question: str) -> int:
        return int((await self.node.store.read(question))[0][0])

    async def counted(self, number: int, question: str) -> None:
        """Until the store answers so."""
        async with asyncio.timeout(5):
            while await self.count(question) != number:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@pytest.fixture
async def line(toy: Toy, request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    service = toy.service()
    pushing(service)
    made = Line(toy.folder, service, getattr(request, "param", "spec"))
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize("line", ["spec", "mica", "bercut", "msisdn"], indirect=True)
async def test_a_pushed_question_is_answered_and_ends_like_one_that_was_dialled(line: Line) -> None:
    line.lan_texts("PUSH")
    await line.shown("first?")
    line.mai.answer("one")
    await line.shown("second?")
    line.mai.answer("two")
    await line.shown("done one two")
    assert line.mai.dialogue is None
    assert await line.count("SELECT count(*) FROM talk") == 0


@pytest.mark.parametrize("line", ["spec", "mica", "bercut", "msisdn"], indirect=True)
async def test_a_notice_is_shown_and_does_not_end_the_question_that_follows_it(line: Line) -> None:
    line.lan_texts("TELL AND PUSH")
    await line.shown("first?")
    await line.counted(1, "SELECT count(*) FROM inbox WHERE why = 'what needed no answer was shown'")
    line.mai.answer("one")
    await line.shown("second?")


@pytest.mark.parametrize("line", ["spec", "mica"], indirect=True)
async def test_what_a_phone_that_is_off_cannot_show_goes_by_sms_and_a_question_is_dropped(line: Line) -> None:
    line.mai.switch_off()
    line.lan_texts("PUSH")
    await line.counted(1, "SELECT count(*) FROM outbox WHERE kind = 'push' AND state = 'expired'")
    assert await line.count("SELECT count(*) FROM talk") == 0
    line.lan_texts("TELL you")
    await line.counted(1, "SELECT count(*) FROM outbox WHERE kind = 'sms' AND state = 'sent'")
    line.mai.switch_on()
    assert (await line.mai.next_message()).text == "note you"


@pytest.mark.parametrize("line", ["spec", "mica"], indirect=True)
async def test_hanging_up_on_a_pushed_question_ends_the_talk(line: Line) -> None:
    line.lan_texts("PUSH")
    await line.shown("first?")
    line.mai.hang_up()
    await line.counted(0, "SELECT count(*) FROM talk")
