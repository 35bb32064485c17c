"""A secret is used in its own turn and stands nowhere afterwards: in no file of the database, and in no log."""

from __future__ import annotations

from io import BytesIO

import pytest

from tests.core.toys import CODE, LAN, MAI, MAI_NUMBER, Purse, Toy, noted, purse, rows, spend
from vas import Context, Msisdn, Refused, Reply, Secret, Service, Talk, logs
from vas.errors import ServiceError

PIN = "739146"


@pytest.fixture
def logged() -> BytesIO:
    """Everything that is logged, bodies as well."""
    stream = BytesIO()
    logs.configure(level="debug", json=True, bodies=True, stream=stream)
    return stream


def nowhere(toy: Toy, logged: BytesIO, secret: str = PIN) -> bool:
    """Whether the secret is in nothing that the engine has written, and in nothing that was logged."""
    return not any(secret.encode() in content for content in [*toy.engine.written(toy.folder), logged.getvalue()])


def remember(purse: Purse, pin: Secret) -> Purse:
    return noted(purse, "right" if pin.reveal() == PIN else "wrong")


def pay_with(purse: Purse, amount: int, pin: Secret) -> Purse:
    return spend(purse, amount) if pin.reveal() == PIN else purse


def paying(service: Service) -> None:
    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        amount = await talk.ask("first", int)
        await talk.change(talk.sender, pay_with, amount, await talk.ask_secret("pin"))
        return talk.reply("done", x=await talk.ask("second"))


@pytest.mark.parametrize("fresh", [True, False])
async def test_a_pin_in_a_talk_is_used_once_and_kept_nowhere(toy: Toy, logged: BytesIO, fresh: bool) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        amount = await talk.ask("first", int)
        await talk.change(talk.sender, remember, await talk.ask_secret("pin"))
        return talk.reply("done", x=f"{amount} {await talk.ask('second')}")

    async with toy.network(service, fresh=fresh) as network:
        lan = network.phone(LAN)
        assert await lan.dial("*100#") == "first?"
        assert (await lan.answer("50"), await lan.answer(PIN), await lan.answer("y")) == (
            "PIN?",
            "second?",
            "done 50 y",
        )
        assert await purse(network) == Purse(0, ("right",))
        assert nowhere(toy, logged)


async def test_the_turn_before_and_after_a_pin_can_be_read_by_support(toy: Toy) -> None:
    service = toy.service()
    paying_in_one_turn(service)
    async with toy.network(service) as network:
        lan = network.phone(LAN)
        await lan.dial("*100#")
        await lan.answer("50")
        await lan.answer(PIN)
        assert [text for (text,) in await rows(network, "SELECT text FROM inbox ORDER BY id")] == ["*100#", "50", "•••"]


def paying_in_one_turn(service: Service) -> None:
    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        amount = await talk.ask("first", int)
        right = (await talk.ask_secret("pin")).reveal() == PIN
        await talk.change(talk.sender, spend, amount if right else 0)
        return talk.reply("done", x=right)


@pytest.mark.parametrize("code", [f"*100*50*{PIN}#", f"*100*fifty*{PIN}#", f"*100*50*{PIN}*more#", f"*100*50*1*{PIN}#"])
async def test_a_pin_dialled_in_advance_is_kept_nowhere(toy: Toy, logged: BytesIO, code: str) -> None:
    service = toy.service()
    paying_in_one_turn(service)
    async with toy.network(service, fresh=True) as network:
        await network.phone(LAN).dial(code)
        assert nowhere(toy, logged)


async def test_a_pin_dialled_in_advance_works(toy: Toy) -> None:
    service = toy.service()
    paying_in_one_turn(service)
    async with toy.network(service, fresh=True) as network:
        assert await network.phone(LAN).dial(f"*100*50*{PIN}#") == "done True"
        assert (await purse(network)).spent == 50


async def test_a_talk_that_is_resumed_does_not_ask_for_the_pin_as_if_it_had_it(toy: Toy) -> None:
    service = toy.service()
    paying(service)
    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await lan.dial("*100#")
        await lan.answer("50")
        assert await lan.answer(PIN) == "second?"
        await lan.hang_up()
        await lan.dial("*100#")
        assert await lan.answer("1") == "second?"
        assert await lan.answer("y") == "done y"
        assert (await purse(network)).spent == 50


async def test_a_pin_that_is_used_after_its_own_turn_is_a_fault_not_an_empty_pin(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        pin = await talk.ask_secret("pin")
        await talk.ask("first")
        return talk.reply("done", x=pin.reveal())

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await lan.dial("*100#")
        await lan.answer(PIN)
        assert "gặp lỗi" in await lan.answer("x")
        [(error,)] = await rows(network, "SELECT error FROM dead_letter")
        assert "only in the turn in which it was typed" in error


async def test_a_talk_cannot_ask_for_a_secret_as_for_any_answer(toy: Toy) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        return talk.reply("done", x=await talk.ask("pin", Secret))

    async with toy.network(service) as network:
        assert "gặp lỗi" in await network.phone(LAN).dial("*100#")
        [(error,)] = await rows(network, "SELECT error FROM dead_letter")
        assert error.startswith("ServiceError")
        assert "ask_secret" in error


@pytest.mark.parametrize("answered", ["kept", "refused", "failed"])
async def test_a_pin_in_a_text_is_kept_nowhere_however_it_ends(toy: Toy, logged: BytesIO, answered: str) -> None:
    service = toy.service()

    @service.sms("PAY {to} {amount} {pin:secret}")
    async def pay(ctx: Context, to: Msisdn, amount: int, pin: Secret) -> Reply:
        await ctx.change(ctx.sender, remember, pin)
        await ctx.send(to, "note", x=f"{amount} {pin}")
        if answered == "refused":
            raise Refused("no", x=pin)
        if answered == "failed":
            raise ValueError(f"cannot use {pin.reveal()}")
        return ctx.reply("done", x=pin)

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await lan.text(f"PAY {MAI} 5 {PIN}", CODE)
        assert nowhere(toy, logged)
        assert await rows(network, "SELECT text, result FROM inbox") == [
            ("•••", {"kept": "answered"}.get(answered, answered))
        ]
        if answered == "failed":
            assert await rows(network, "SELECT error, body FROM dead_letter") == [("ValueError", b"")]


@pytest.mark.parametrize("answered", ["asked again", "failed"])
async def test_a_talk_that_fails_after_the_pin_keeps_it_nowhere(toy: Toy, logged: BytesIO, answered: str) -> None:
    service = toy.service()

    @service.ussd("#")
    async def pay(talk: Talk) -> Reply:
        pin = await talk.ask_secret("pin")
        if answered == "failed":
            raise KeyError(pin.reveal())
        raise Refused("no", x=pin)

    async with toy.network(service, fresh=True) as network:
        lan = network.phone(LAN)
        await lan.dial("*100#")
        await lan.answer(PIN)
        assert nowhere(toy, logged)


@pytest.mark.parametrize(
    "text", [f"PAY {MAI} 5 {PIN} please", f"PAY {MAI} {PIN} 5 0", f"pay{MAI} {PIN} 5 0", f"PÂY {PIN}", f"Pay, {PIN}"]
)
async def test_a_pin_in_a_text_that_was_written_wrongly_is_kept_nowhere(toy: Toy, logged: BytesIO, text: str) -> None:
    service = toy.service()

    @service.sms("PAY {to} {amount} {pin:secret}")
    async def pay(ctx: Context, to: Msisdn, amount: int, pin: Secret) -> Reply:
        return ctx.reply("done", x=amount)

    async with toy.network(service) as network:
        await network.phone(LAN).text(text, CODE)
        assert nowhere(toy, logged)


async def test_a_dialled_pin_is_kept_nowhere(toy: Toy, logged: BytesIO) -> None:
    service = toy.service()

    @service.ussd("*{to}*{pin:secret}#")
    async def pay(talk: Talk, to: Msisdn, pin: Secret) -> Reply:
        right = pin.reveal() == PIN
        return talk.reply("done", x=f"{right} {await talk.ask('first')}")

    async with toy.network(service) as network:
        assert await network.phone(LAN).dial(f"*100*{MAI}*{PIN}#") == "first?"
        assert nowhere(toy, logged)


async def test_a_pin_that_goes_to_the_outside_world_is_kept_nowhere(toy: Toy, logged: BytesIO) -> None:
    service = toy.service()
    asked: list[str] = []

    async def debit(amount: int, pin: Secret, *, key: str) -> str:
        asked.append(pin.reveal())
        return "ok"

    @service.sms("PAY {amount} {pin:secret}")
    async def pay(ctx: Context, amount: int, pin: Secret) -> Reply:
        answer = await ctx.call("debit", debit, amount, pin)
        await ctx.send(MAI_NUMBER, "note", x=answer)
        return ctx.reply("done", x=answer)

    async with toy.network(service) as network:
        assert await network.phone(LAN).text(f"PAY 5 {PIN}", CODE) == "done ok"
        assert asked == [PIN]
        assert nowhere(toy, logged)


def test_a_secret_does_not_show_itself() -> None:
    pin = Secret(PIN)
    for shown in (repr(pin), str(pin), f"{pin}", f"{pin!r}", "{}".format(pin), "%s" % pin, repr([pin])):  # noqa: UP031, UP032
        assert PIN not in shown
    with pytest.raises(ServiceError):
        Secret().reveal()


async def test_the_search_finds_a_pin_that_is_there(toy: Toy, logged: BytesIO) -> None:
    """What all tests here stand on."""
    other = PIN[::-1]
    service = toy.service()

    @service.sms("NOTE {x}")
    async def note(ctx: Context, x: str) -> None:
        await ctx.change(ctx.sender, noted, x)

    async with toy.network(service) as network:
        await network.phone(LAN).text(f"NOTE {other}", CODE)
        assert not nowhere(toy, BytesIO(), other)
