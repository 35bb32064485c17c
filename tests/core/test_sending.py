"""What a handler may send besides texts, and how its texts are written."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.core.toys import CODE, LAN, MAI, MAI_NUMBER, Toy, rows
from vas import Context, Reply, Service, Talk
from vas.messages import Outbound
from vas.sending import BINARY_OCTETS_MAX
from vas.testing import Network, mount

ACCENTED = {
    "done": "đã xong {x}",
    "note": "lời nhắn {x}",
    "first": "câu hỏi?",
    "which.title": "chọn gì?",
    "no": "không",
}
DATA = bytes(range(256))


def sending(service: Service) -> None:
    @service.sms("FLASH")
    async def flash(ctx: Context) -> None:
        await ctx.send(MAI_NUMBER, "note", flash=True, x="a")

    @service.sms("DATA {octets} {port}")
    async def data(ctx: Context, octets: int, port: int) -> None:
        await ctx.send_binary(MAI_NUMBER, (DATA * 200)[:octets], port=port)

    @service.sms("CALL")
    async def call(ctx: Context) -> Reply:
        await ctx.send(MAI_NUMBER, "note", x="before")
        await ctx.send_binary(MAI_NUMBER, DATA)
        await ctx.call("outside", outside)
        await ctx.send(MAI_NUMBER, "note", x="after")
        return ctx.reply("done", x="")

    @service.sms("NOTE")
    async def note(ctx: Context) -> Reply:
        await ctx.send(MAI_NUMBER, "note", x="ạ")
        return ctx.reply("done", x="ạ")

    @service.sms("SHOW")
    async def show(ctx: Context) -> None:
        await ctx.notify(MAI_NUMBER, "note", x="ạ")

    @service.ussd("#")
    async def menu(talk: Talk) -> Reply:
        match await talk.choose("which", ["một", "hai"]):
            case "một":
                await talk.ask("first")
        return talk.reply("done", x="ạ")


async def outside(*, key: str) -> int:
    return 1


@pytest.fixture
def service(toy: Toy) -> Service:
    made = toy.service(texts=ACCENTED)
    sending(made)
    return made


@pytest.fixture
async def network(toy: Toy, service: Service) -> AsyncIterator[Network]:
    async with toy.network(service) as network:
        yield network


async def sent(network: Network, text: str) -> list[Outbound]:
    await network.phone(LAN).text(text, CODE)
    return [message for message in network.sent if message.to == MAI_NUMBER]


async def test_a_flash_message_is_stored_and_sent_as_one(network: Network) -> None:
    [message] = await sent(network, "FLASH")
    assert message.flash
    assert await rows(network, "SELECT flash FROM outbox WHERE key = 'note'") == [(1,)]


async def test_binary_data_goes_to_the_port_it_is_for(network: Network) -> None:
    [message] = await sent(network, "DATA 256 2948")
    assert (message.data, message.port, message.text, message.flash) == (DATA, 2948, "", False)
    assert network.phone(MAI).received == [message]


async def test_binary_data_is_in_the_store_until_it_has_left(toy: Toy, service: Service, network: Network) -> None:
    images: list[Network] = []
    outcome = network.outcome

    def cut(message: Outbound) -> object:
        images.append(toy.crashed(network, service))
        return outcome(message)

    network.outcome = cut  # type: ignore[assignment]
    await sent(network, "DATA 300 0")
    async with images[0] as after:
        await after.settled()
        [message] = after.phone(MAI).received
        assert message.data == (DATA * 2)[:300]


@pytest.mark.parametrize("text", ["DATA 0 0", f"DATA {BINARY_OCTETS_MAX + 1} 0", "DATA 1 65536"])
async def test_binary_data_that_no_handset_could_be_given_is_a_fault_of_the_service(
    network: Network, text: str
) -> None:
    assert await sent(network, text) == []
    [(error,)] = await rows(network, "SELECT error FROM dead_letter")
    assert error.startswith("ServiceError: ")


async def test_what_was_sent_before_a_call_is_sent_once_and_the_journey_has_what_came_after_it(
    network: Network,
) -> None:
    messages = await sent(network, "CALL")
    assert [message.text for message in messages] == ["lời nhắn before", "", "lời nhắn after"]
    [(result, reply, steps)] = await rows(network, "SELECT result, reply, steps FROM inbox")
    assert (result, reply) == ("answered", "done")
    ids = {str(message.id) for message in network.sent}
    assert len(ids) == 4
    assert all(id_ in steps.decode() for id_ in ids)


async def test_texts_have_their_accents_unless_the_service_or_the_subscriber_does_without(
    toy: Toy, service: Service
) -> None:
    said = {}
    for accents in (True, False):
        folder = toy.folder / str(accents)
        folder.mkdir()
        mounted = mount(service, short_codes=[CODE], ussd="*100", accents=accents)
        async with Network(folder, mounted) as network:
            lan, mai = network.phone(LAN), network.phone(MAI)
            reply = await lan.text("NOTE", CODE)
            menu = await lan.dial("*100#")
            asked, last = await lan.answer("1"), await lan.answer("x")
            await lan.text("SHOW", CODE)
            said[accents] = (reply, mai.texts[-1], menu, asked, last, mai.screen)
            await lan.text("DAU OFF", CODE)
            assert await lan.text("NOTE", CODE) == "da xong a"
    assert said[True] == (
        "đã xong ạ", "lời nhắn ạ", "chọn gì?\n1. một\n2. hai", "câu hỏi?", "đã xong ạ", "lời nhắn ạ",
    )  # fmt: skip
    assert said[False] == ("da xong a", "loi nhan a", "chon gi?\n1. mot\n2. hai", "cau hoi?", "da xong a", "loi nhan a")


async def test_another_service_keeps_its_accents(toy: Toy, service: Service) -> None:
    other = toy.service("other", texts=ACCENTED)
    sending(other)
    plain = mount(service, short_codes=[CODE], accents=False)
    async with Network(toy.folder, plain, mount(other, short_codes=["9001"])) as network:
        lan = network.phone(LAN)
        assert await lan.text("NOTE", CODE) == "da xong a"
        assert await lan.text("NOTE", "9001") == "đã xong ạ"
