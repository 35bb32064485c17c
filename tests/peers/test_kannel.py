"""The simulator as Kannel sees it: the most used free gateway binds, answers phones, submits, and wants receipts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from gateway.simulator import Settings, Simulator
from tests.peers.kannel import INSTALLED, Kannel

pytestmark = [
    pytest.mark.skipif(not INSTALLED, reason="Kannel (bearerbox, smsbox) is not installed"),
    pytest.mark.timeout(60),
]
LAN = "84912345678"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    settings = Settings(port=0, accounts={"vas": "secret"}, receipt_delay=timedelta(milliseconds=20))
    simulator = Simulator(settings)
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def kannel(simulator: Simulator, tmp_path: Path) -> AsyncIterator[Kannel]:
    async with Kannel(tmp_path, simulator.port, reply="Kannel has it.") as kannel:
        async with asyncio.timeout(20):
            await simulator.smsc.delivery.receivers(1)
        yield kannel


@pytest.fixture
async def reports() -> AsyncIterator[tuple[str, asyncio.Queue[dict[str, str]]]]:
    """A web server that takes delivery reports: its URL, and what came."""
    came: asyncio.Queue[dict[str, str]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        came.put_nowait(dict(request.query))
        return web.Response(text="")

    app = web.Application()
    app.router.add_get("/report", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/report", came
    await runner.cleanup()


async def test_a_phone_that_texts_kannel_gets_its_answer(simulator: Simulator, kannel: Kannel) -> None:
    phone = simulator.phone(LAN)
    (mo,) = phone.text("HELLO", to="9105")
    message = await phone.next_message()
    assert (message.source, message.text) == ("9105", "Kannel has it.")
    assert mo.acknowledged and len(mo.attempts) == 1


@pytest.mark.parametrize("text", ["Hello", "Chào bạn, số dư còn 5.000đ", "long " * 60])
async def test_what_kannel_submits_reaches_the_phone_and_its_report_kannel(
    simulator: Simulator, kannel: Kannel, reports: tuple[str, asyncio.Queue[dict[str, str]]], text: str
) -> None:
    url, came = reports
    query = {
        "username": "tester", "password": "secret", "from": "9105", "to": LAN, "text": text, "charset": "utf-8",
        "coding": "0" if text.isascii() else "2", "dlr-mask": "3", "dlr-url": f"{url}?state=%d&id=%F",
    }  # fmt: skip
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{kannel.sendsms_port}/cgi-bin/sendsms", params=query) as response,
    ):
        assert response.status == 202, await response.text()
    message = await simulator.phone(LAN).next_message()
    assert (message.source, message.text) == ("9105", text)
    report = await asyncio.wait_for(came.get(), 20)
    assert report["state"] == "1"
    assert report["id"] in {str(mt.id) for mt in simulator.record.mt}
