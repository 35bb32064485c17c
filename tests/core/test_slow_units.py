"""A unit that takes long holds up its neighbours, and is counted; they are not."""

from __future__ import annotations

import time

import pytest

from tests.core.toys import HOA, LAN, MAI, Purse, Toy, inbound, offer
from vas import Context, Msisdn, Reply
from vas.messages import ROK
from vas.testing import ACCOUNT

FRIEND = Msisdn.parse("0977777777")


async def test_who_waits_for_a_slow_neighbour_is_not_slow(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    service = toy.service()
    seconds = 0.0

    @service.sms("QUICK")
    async def quick(ctx: Context) -> Reply:
        theirs: Purse = await ctx.load(FRIEND)
        return ctx.reply("done", x=theirs.spent)

    @service.sms("SLOW")
    async def slow(ctx: Context) -> Reply:
        nonlocal seconds
        seconds += 1
        return await quick(ctx)

    async with toy.network(service) as network:
        monkeypatch.setattr(time, "perf_counter", lambda: seconds)
        session = network.node.dispatch.session_opened(ACCOUNT)
        said = {LAN: "QUICK", MAI: "SLOW", HOA: "QUICK"}
        answers = [
            offer(network, inbound(network, text, session=session, ordinal=ordinal, number=number))
            for ordinal, (number, text) in enumerate(said.items(), 1)
        ]
        assert [await answer for answer in answers] == [ROK, ROK, ROK]
        sample = network.node.metrics.registry.get_sample_value
        assert sample("vas_slow_units_total", {"service": "toy"}) == 1
        assert sample("vas_unit_seconds_sum", {"service": "toy"}) == 1
