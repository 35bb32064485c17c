"""Which messages can be spoken of with the SMSC."""

from __future__ import annotations

import pytest

from gateway import SmppGateway
from tests.core.toys import CODE, LAN, LAN_NUMBER, MAI_NUMBER, Toy, rows
from vas import Context, Refused, Reply
from vas.accounts import SmscAccounts
from vas.config import Settings
from vas.node import Statement
from vas.recalling import Replacement, sent_row, settle_cancelled


async def test_a_message_that_the_smsc_gave_no_id_is_not_taken_for_one_without_segments(toy: Toy) -> None:
    service = toy.service()

    @service.sms("HELLO")
    async def hello(ctx: Context) -> Reply:
        return ctx.reply("done", x="")

    async with toy.network(service) as network:
        network.segments = lambda message: 0
        await network.phone(LAN).text("HELLO", CODE)
        [(id_,)] = await rows(network, "SELECT id FROM outbox")
        with pytest.raises(Refused, match="no_id"):
            await sent_row(network.node, LAN_NUMBER.digits, id_)


async def test_binary_data_is_not_replaced_by_a_text(toy: Toy) -> None:
    service = toy.service()

    @service.sms("RING")
    async def ring(ctx: Context) -> None:
        await ctx.send_binary(MAI_NUMBER, b"tune", port=5505)

    def nobody() -> SmppGateway:
        raise AssertionError("the SMSC is not asked")

    async with toy.network(service) as network:
        await network.phone(LAN).text("RING", CODE)
        [(id_,)] = await rows(network, "SELECT id FROM outbox")
        accounts = SmscAccounts(network.node, nobody, Settings(), {}, lambda settings: None)
        with pytest.raises(Refused, match="coding"):
            await accounts.replace(MAI_NUMBER.digits, id_, "a text", who="linh")


@pytest.mark.parametrize("late", ["cancelled", "replaced"])
async def test_a_message_that_has_gone_meanwhile_is_over(toy: Toy, late: str) -> None:
    service = toy.service()

    @service.sms("HELLO")
    async def hello(ctx: Context) -> Reply:
        return ctx.reply("done", x="")

    async with toy.network(service) as network:
        await network.phone(LAN).text("HELLO", CODE)
        [(id_,)] = await rows(network, "SELECT id FROM outbox")
        row = await sent_row(network.node, LAN_NUMBER.digits, id_)
        await network.node.run(Statement("DELETE FROM outbox", ()))
        with pytest.raises(Refused, match="over"):
            if late == "cancelled":
                await settle_cancelled(network.node, row, "linh", "sent")
            else:
                await network.node.run(Replacement(row, "linh", "a text", ""))
