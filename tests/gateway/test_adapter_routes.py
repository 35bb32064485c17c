"""Several accounts: which one carries a message, who takes over, and what a reload does to those in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from gateway import AccountSettings, SmppGateway, sending
from gateway.dialects.ussd_dialects import Dialect
from gateway.pdus import pdu as smpp
from gateway.routes import Route
from tests.gateway.peer import Connection, Core, Peer, Sender, mo, until
from vas.messages import SendOutcome

BOTH = (Route(("one", "two")),)


class World:
    """A gateway with the accounts `one` and `two`, each with an SMSC of its own."""

    def __init__(self, core: Core, one: Peer, two: Peer) -> None:
        self.core, self.one, self.two = core, one, two
        self.servers: dict[str, asyncio.Server] = {}

    def settings(self, name: str, **fields: Any) -> AccountSettings:
        values: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": getattr(self, name).port,
            "system_id": "vas",
            "reconnect_first": timedelta(milliseconds=20),
            "response_timer": timedelta(seconds=5),
        }
        return AccountSettings(name=name, **values | fields)

    async def start(self, routes: Sequence[Route] = BOTH, **fields: Any) -> None:
        """The keywords are AccountSettings of both accounts."""
        accounts = [self.settings(name, **fields) for name in ("one", "two")]
        self.gateway = SmppGateway(accounts, self.core, routes=routes)
        self.send = Sender(self.gateway)
        await self.gateway.start()
        await until(lambda: len(self.core.sessions) == 2)

    async def went_by(self, **fields: Any) -> str:
        """The account that a message left by."""
        result = await self.send.result(self.send(**{"account": ""} | fields))
        assert result.outcome is SendOutcome.SENT
        return result.account

    def lose(self, name: str) -> None:
        """The SMSC goes away, and nobody listens there any more."""
        self.servers[name].close()
        for connection in getattr(self, name).connections:
            connection.transport.abort()


async def listen(peer: Peer) -> asyncio.Server:
    server = await asyncio.get_running_loop().create_server(lambda: Connection(peer), "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    return server


@pytest.fixture
async def world(core: Core) -> AsyncIterator[World]:
    made = World(core, Peer(), Peer())
    async with AsyncExitStack() as stack:
        for name in ("one", "two"):
            made.servers[name] = await listen(getattr(made, name))
            stack.callback(made.servers[name].close)
        yield made
        for peer in (made.one, made.two):
            for connection in peer.connections:
                connection.transport.abort()
        await made.gateway.stop()


async def test_the_first_account_of_the_route_carries_a_message_while_it_is_up(world: World) -> None:
    await world.start()
    assert await world.went_by() == "one"
    assert world.two.of(smpp.SubmitSm) == []


async def test_a_reply_leaves_by_the_account_that_its_command_came_by(world: World) -> None:
    await world.start()
    assert await world.went_by(account="two", reply=True) == "two"


async def test_without_a_route_nobody_takes_over(world: World) -> None:
    await world.start(routes=(), patience=timedelta(0))
    world.lose("one")
    await until(lambda: not world.gateway.account("one").up)
    assert (await world.send.result(world.send(account="one"))).outcome is SendOutcome.NOT_SENT
    assert world.two.of(smpp.SubmitSm) == []


async def test_where_an_account_is_down_the_next_one_takes_the_message_at_once(world: World) -> None:
    await world.start()
    world.lose("one")
    await until(lambda: not world.gateway.account("one").up)
    assert await world.went_by() == "two"


async def test_what_waits_for_an_account_that_goes_down_leaves_by_the_next_at_once(world: World) -> None:
    world.one.answers[smpp.SubmitSm] = lambda pdu: []
    await world.start(window=1)
    unanswered = world.send(account="")
    waiting = [world.send(account="") for _ in range(3)]
    await until(lambda: world.one.of(smpp.SubmitSm))
    world.lose("one")
    assert {(await world.send.result(each)).account for each in waiting} == {"two"}
    assert (await world.send.result(unanswered)).outcome is SendOutcome.UNANSWERED
    assert len(world.two.of(smpp.SubmitSm)) == 3, "what may have arrived is not sent by another account"


async def test_where_no_account_is_up_a_message_waits_for_the_first(world: World) -> None:
    await world.start()
    world.lose("one")
    world.lose("two")
    await until(lambda: not (world.gateway.account("one").up or world.gateway.account("two").up))
    waiting = world.send(account="")
    world.servers["one"] = await asyncio.get_running_loop().create_server(
        lambda: Connection(world.one), "127.0.0.1", world.one.port
    )
    assert (await world.send.result(waiting)).account == "one"
    world.servers["one"].close()


async def test_a_message_that_waits_for_the_first_expires_there(world: World) -> None:
    await world.start(patience=timedelta(0))
    world.lose("one")
    world.lose("two")
    await until(lambda: not (world.gateway.account("one").up or world.gateway.account("two").up))
    assert (await world.send.result(world.send(account=""))).outcome is SendOutcome.NOT_SENT


@pytest.mark.parametrize("order", ["drain", "stop"])
async def test_what_waits_for_an_account_that_is_taken_out_leaves_by_the_next(world: World, order: str) -> None:
    held: list[smpp.Pdu] = []
    world.one.answers[smpp.SubmitSm] = lambda pdu: held.append(pdu) or []  # type: ignore[func-returns-value]
    await world.start(window=1)
    first = world.send(account="")
    waiting = world.send(account="")
    await until(lambda: held)
    taken_out = asyncio.ensure_future(getattr(world.gateway.account("one"), order)())
    assert (await world.send.result(waiting)).account == "two"
    world.one.connections[0].send(smpp.SubmitSmResp(held[0].sequence, message_id=b"7"))
    await taken_out
    assert (await world.send.result(first)).account == "one", "what had left keeps its outcome"
    assert await world.went_by() == "two"


async def test_a_drained_account_still_takes_commands_and_comes_back(world: World) -> None:
    await world.start()
    account = world.gateway.account("one")
    await account.drain()
    world.one.connections[0].send(smpp.DeliverSm(1, source_addr=b"84912345678", short_message=b"HELLO"))
    await until(lambda: world.core.inbound)
    assert await world.went_by() == "two"
    await account.start()
    assert await world.went_by() == "one"


@pytest.mark.parametrize(
    ("status", "outcome"), [(0x0B, SendOutcome.PERMANENT), (0x08, SendOutcome.TEMPORARY)], ids=["for good", "for now"]
)
async def test_a_message_that_the_smsc_refuses_is_not_tried_by_another_account(
    world: World, status: int, outcome: SendOutcome
) -> None:
    world.one.answers[smpp.SubmitSm] = lambda pdu: [smpp.SubmitSmResp(pdu.sequence, status)]
    await world.start()
    result = await world.send.result(world.send(account=""))
    assert (result.outcome, result.account) == (outcome, "one")
    assert world.two.of(smpp.SubmitSm) == []


@pytest.mark.parametrize("status", [0x0B, None], ids=["refused for good", "not answered"])
async def test_a_segment_that_decides_for_its_message_is_not_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    monkeypatch.setattr(sending, "SEGMENTS_AGAIN_AFTER_S", (0.0,))

    def answer(pdu: smpp.SubmitSm) -> list[smpp.Pdu]:
        if pdu.short_message[5] != 2:
            return [smpp.SubmitSmResp(pdu.sequence, 0, message_id=b"1")]
        return [] if status is None else [smpp.SubmitSmResp(pdu.sequence, status)]

    world.one.answers[smpp.SubmitSm] = answer
    await world.start()
    sent = world.send("a" * 307, account="")
    await until(lambda: len(world.one.of(smpp.SubmitSm)) == 3)
    if status is None:
        world.lose("one")
    expected = SendOutcome.UNANSWERED if status is None else SendOutcome.PERMANENT
    assert (await world.send.result(sent)).outcome is expected
    assert len(world.one.of(smpp.SubmitSm)) == 3


async def test_segments_that_were_refused_for_now_are_sent_again_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SEGMENTS_AGAIN_AFTER_S", (0.0, 0.0))
    refused = iter([0x08, 0x08])

    def answer(pdu: smpp.SubmitSm) -> list[smpp.Pdu]:
        number = pdu.short_message[5]
        status = next(refused, 0) if number == 2 else 0
        return [smpp.SubmitSmResp(pdu.sequence, status, message_id=b"" if status else b"%d" % number)]

    world.one.answers[smpp.SubmitSm] = answer
    await world.start()
    result = await world.send.result(world.send("a" * 307, account=""))
    assert (result.outcome, result.smsc_ids) == (SendOutcome.SENT, ("1", "2", "3"))
    assert [pdu.short_message[5] for pdu in world.one.of(smpp.SubmitSm)] == [1, 2, 3, 2, 2]


async def test_segments_are_not_tried_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "SEGMENTS_AGAIN_AFTER_S", (0.0,))
    world.one.answers[smpp.SubmitSm] = lambda pdu: [
        smpp.SubmitSmResp(pdu.sequence, 0x08 if pdu.short_message[5] == 2 else 0, message_id=b"1")
    ]
    await world.start()
    result = await world.send.result(world.send("a" * 307, account=""))
    assert (result.outcome, result.status) == (SendOutcome.TEMPORARY, 0x08)
    assert [pdu.short_message[5] for pdu in world.one.of(smpp.SubmitSm)] == [1, 2, 3, 2]


async def test_a_stop_ends_the_pause_before_segments_are_sent_again(world: World) -> None:
    world.one.answers[smpp.SubmitSm] = lambda pdu: [
        smpp.SubmitSmResp(pdu.sequence, 0x08 if pdu.short_message[5] == 2 else 0, message_id=b"1")
    ]
    await world.start()
    sent = world.send("a" * 307, account="")
    await until(lambda: world.gateway.pausing)
    await world.gateway.stop()
    assert world.send.results[sent].outcome is SendOutcome.TEMPORARY
    assert world.gateway.backlog == 0


async def test_a_message_of_which_a_segment_was_accepted_is_never_said_not_to_have_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SEGMENTS_AGAIN_AFTER_S", (0.1,))
    world.one.answers[smpp.SubmitSm] = lambda pdu: [
        smpp.SubmitSmResp(pdu.sequence, 0x08 if pdu.short_message[5] == 2 else 0, message_id=b"1")
    ]
    await world.start()
    sent = world.send("a" * 200, account="")
    await until(lambda: world.gateway.pausing)
    await world.gateway.account("one").stop()
    result = await world.send.result(sent)
    assert (result.outcome, result.smsc_ids) == (SendOutcome.TEMPORARY, ("1",))
    assert world.two.of(smpp.SubmitSm) == []


async def test_a_pause_that_begins_while_the_gateway_stops_is_ended_too(world: World) -> None:
    world.one.answers[smpp.SubmitSm] = lambda pdu: []
    await world.start()
    sent = world.send("a" * 200, account="")
    await until(lambda: len(world.one.of(smpp.SubmitSm)) == 2)
    stopping = asyncio.create_task(world.gateway.stop())
    await asyncio.sleep(0)
    first, second = world.one.of(smpp.SubmitSm)
    world.one.connections[0].send(
        smpp.SubmitSmResp(first.sequence, message_id=b"1"), smpp.SubmitSmResp(second.sequence, 0x08)
    )
    await stopping
    assert world.send.results[sent].outcome is SendOutcome.TEMPORARY
    assert world.gateway.backlog == 0


async def test_a_route_may_put_replies_behind_and_the_rest_before(world: World) -> None:
    held: list[smpp.Pdu] = []
    world.one.answers[smpp.SubmitSm] = lambda pdu: held.append(pdu) or []  # type: ignore[func-returns-value]
    await world.start(
        routes=(Route(("one",), short_codes=("1",), lane="bulk"), Route(("one",), lane="reply")), window=1
    )
    world.send("blocks", account="")
    await until(lambda: held)
    world.send("reply", account="", source="1", reply=True)
    world.send("rest", account="", source="2", reply=False)
    for count in (2, 3):
        world.one.connections[0].send(smpp.SubmitSmResp(held[-1].sequence, message_id=b"1"))
        await until(lambda count=count: len(held) == count)  # type: ignore[misc]
    assert [pdu.short_message for pdu in world.one.of(smpp.SubmitSm)] == [b"blocks", b"rest", b"reply"]
    world.one.connections[0].send(smpp.SubmitSmResp(held[-1].sequence, message_id=b"1"))


async def test_a_pushed_screen_leaves_by_an_account_that_carries_ussd(world: World) -> None:
    await world.start(routes=())
    await world.gateway.apply([world.settings("one", interface_version="3.3"), world.settings("two")], {}, ())
    assert await world.went_by(push=True, more=True) == "two"


async def test_accounts_come_and_go_while_messages_leave(world: World) -> None:
    await world.start(routes=())
    assert await world.went_by(account="one") == "one"

    await world.gateway.apply([world.settings("two")], {}, ())

    assert [account.settings.name for account in world.gateway.accounts] == ["two"]
    assert world.one.of(smpp.Unbind)
    assert await world.went_by(account="one") == "two", "nobody else can answer for an account that is gone"
    await world.gateway.apply([world.settings("one"), world.settings("two")], {}, BOTH)
    await until(lambda: world.gateway.account("one").up)
    assert await world.went_by() == "one"


async def test_a_change_that_needs_no_bind_keeps_the_connections(world: World) -> None:
    await world.start()
    await world.gateway.apply([world.settings("one", window=7), world.settings("two")], {}, BOTH)
    assert world.gateway.account("one").settings.window == 7
    assert len(world.one.connections) == 1
    assert world.one.of(smpp.Unbind) == []


async def test_an_account_whose_smsc_refuses_the_new_settings_goes_on_with_the_old(world: World) -> None:
    await world.start()

    def bind(pdu: smpp.BindTransceiver) -> list[smpp.Pdu]:
        return [smpp.BindTransceiverResp(pdu.sequence, 0x0E if pdu.password == b"wrong" else 0)]

    world.one.answers[smpp.BindTransceiver] = bind
    [problem] = await world.gateway.apply([world.settings("one", password="wrong"), world.settings("two")], {}, BOTH)
    assert problem.startswith("accounts.one: ")
    assert world.gateway.account("one").settings.password == ""
    assert await world.went_by() == "one"


async def test_settings_that_stay_keep_the_dialect_that_the_new_ones_do_not_have(world: World) -> None:
    await world.start()
    both = [world.settings("one", ussd_dialect="ours"), world.settings("two")]
    await world.gateway.apply(both, {"ours": Dialect(service_type_in=b"OURS")}, BOTH)
    world.one.answers[smpp.BindTransceiver] = lambda pdu: [smpp.BindTransceiverResp(pdu.sequence, 0x0E)]
    assert await world.gateway.apply([world.settings("one", password="wrong"), world.settings("two")], {}, BOTH)
    world.one.connections[0].send(mo("*105#", service_type=b"OURS"))
    await until(lambda: world.one.of(smpp.DeliverSmResp))
    [inbound] = world.core.inbound
    assert inbound.ussd is not None
