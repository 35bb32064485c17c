"""A gateway beside others: its part of an account's connections and rate, and whether it may send at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway import AccountSettings, SmppGateway
from gateway.pdus import pdu as smpp
from tests.gateway.peer import Core, Peer, Sender, mo, until
from vas.messages import SendOutcome


class Beside:
    """A gateway that shares its accounts with others, over the peer; `may` says whether it may send."""

    def __init__(self, peer: Peer, core: Core) -> None:
        self.may = True
        self._peer = peer
        self._core = core

    def settings(self, name: str = "main", **fields: Any) -> AccountSettings:
        agreed: dict[str, Any] = {
            "host": "127.0.0.1", "port": self._peer.port, "system_id": "vas", "password": "secret",
            "reconnect_first": timedelta(milliseconds=20), "response_timer": timedelta(seconds=5),
        }  # fmt: skip
        return AccountSettings(name, **agreed | fields)

    async def start(self, *accounts: AccountSettings) -> Sender:
        self.gateway = SmppGateway(accounts, self._core, may_send=lambda: self.may, shared=True)
        await self.gateway.start()
        return Sender(self.gateway)

    def bound(self) -> int:
        return sum(account.status.binds_up for account in self.gateway.accounts)


@pytest.fixture
async def beside(peer: Peer, core: Core) -> AsyncIterator[Beside]:
    beside = Beside(peer, core)
    yield beside
    for connection in peer.connections:
        connection.transport.abort()
    await beside.gateway.stop()


async def test_an_account_has_no_connection_before_a_share_of_it(peer: Peer, beside: Beside) -> None:
    send = await beside.start(beside.settings(binds=2))
    account = beside.gateway.account("main")
    assert (await asyncio.wait_for(send.result(send()), 1.0)).outcome is SendOutcome.NOT_SENT
    assert (account.up, account.takes, account.status.binds, peer.connections) == (False, False, 0, [])
    assert beside.gateway.binds_agreed() == {"main": 2}


async def test_a_message_goes_by_the_account_that_has_connections_here(beside: Beside) -> None:
    send = await beside.start(beside.settings("other"), beside.settings())
    await beside.gateway.share("main", [0])
    assert (await send.result(send(account=""))).account == "main"


async def test_a_share_of_the_connections_is_the_same_share_of_the_rate(beside: Beside) -> None:
    await beside.start(beside.settings(binds=4, rate=100))
    seen = []
    for places in ([2], [0, 2, 3], [0, 1, 2, 3], [3], []):
        await beside.gateway.share("main", places)
        status = beside.gateway.account("main").status
        seen.append((status.binds, status.rate_now))
    assert seen == [(1, 25), (3, 75), (4, 100), (1, 25), (0, 25)]


async def test_a_connection_that_goes_to_another_node_is_unbound_when_it_has_its_answers(
    peer: Peer, beside: Beside
) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    send = await beside.start(beside.settings(window=1))
    await beside.gateway.share("main", [0])
    await until(lambda: beside.bound() == 1)
    left, waits = send("left"), send("waits")
    await until(lambda: peer.of(smpp.SubmitSm))
    leaving = asyncio.create_task(beside.gateway.share("main", []))
    assert (await send.result(waits)).outcome is SendOutcome.NOT_SENT
    assert (peer.of(smpp.Unbind), leaving.done()) == ([], False)
    peer.connections[-1].send(smpp.SubmitSmResp(peer.of(smpp.SubmitSm)[0].sequence, message_id=b"7"))
    assert (await send.result(left)).outcome is SendOutcome.SENT
    await leaving
    assert (len(peer.of(smpp.Unbind)), beside.bound()) == (1, 0)


async def test_a_share_that_comes_back_binds_again(beside: Beside) -> None:
    send = await beside.start(beside.settings())
    for _ in range(2):
        await beside.gateway.share("main", [0])
        await until(lambda: beside.bound() == 1)
        assert (await send.result(send())).outcome is SendOutcome.SENT
        await beside.gateway.share("main", [])


async def test_a_share_stands_when_the_settings_change(beside: Beside) -> None:
    agreed = beside.settings(binds=4, rate=100)
    await beside.start(agreed)
    await beside.gateway.share("main", [1, 3])
    await beside.gateway.share("later", [0])
    new = msgspec.structs.replace(agreed, binds=2, rate=80, window=7)
    assert await beside.gateway.apply([new, beside.settings("later")], {}, ()) == []
    await until(lambda: beside.bound() == 2)
    assert [(status.binds, status.rate_now, status.window_max) for status in
            (account.status for account in beside.gateway.accounts)] == [(1, 40, 7), (1, 0, 50)]  # fmt: skip


async def test_an_account_waits_for_outbinds_only_where_it_has_a_connection(beside: Beside) -> None:
    await beside.start(beside.settings(host="", outbind=("127.0.0.1", 0), outbind_password="theirs"))
    account = beside.gateway.account("main")
    assert account.status.outbind_port == 0
    await beside.gateway.share("main", [0])
    await until(lambda: account.status.outbind_port)
    await beside.gateway.share("main", [])
    assert account.status.outbind_port == 0
    await beside.gateway.share("main", [0])
    await until(lambda: account.status.outbind_port)


async def test_nothing_is_submitted_while_nothing_may_be_sent_and_all_goes_on_after(
    peer: Peer, core: Core, beside: Beside
) -> None:
    send = await beside.start(beside.settings())
    await beside.gateway.share("main", [0])
    await until(lambda: beside.bound() == 1)
    beside.may = False
    waits = send()
    peer.connections[0].send(mo("still answered"))
    await until(lambda: peer.of(smpp.DeliverSmResp) and peer.of(smpp.EnquireLink))
    await asyncio.sleep(0.7)
    status = beside.gateway.account("main").status
    assert (peer.of(smpp.SubmitSm), status.waiting_replies, status.window_used) == ([], 1, 0)
    beside.may = True
    assert (await send.result(waits)).outcome is SendOutcome.SENT


async def test_what_was_about_to_leave_stays_if_nothing_may_be_sent_any_more(peer: Peer, beside: Beside) -> None:
    send = await beside.start(beside.settings())
    await beside.gateway.share("main", [0])
    await until(lambda: beside.bound() == 1)
    number = send()  # handed to the link, which writes at the end of this turn of the loop
    beside.may = False
    await asyncio.sleep(0.3)
    assert peer.of(smpp.SubmitSm) == []
    beside.may = True
    assert (await send.result(number)).outcome is SendOutcome.SENT


async def test_a_gateway_that_is_cut_off_gives_back_what_waits_and_says_no_word(peer: Peer, beside: Beside) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    send = await beside.start(beside.settings(window=1))
    await beside.gateway.share("main", [0])
    await until(lambda: beside.bound() == 1)
    left, waits = send("left"), send("waits")
    await until(lambda: peer.of(smpp.SubmitSm))
    beside.gateway.cut()
    assert (await send.result(waits)).outcome is SendOutcome.NOT_SENT
    assert (await send.result(left)).outcome is SendOutcome.UNANSWERED
    await until(lambda: beside.bound() == 0)
    assert peer.of(smpp.Unbind) == []
    await beside.gateway.stop()
    assert peer.of(smpp.Unbind) == []


async def test_a_connection_that_another_node_may_have_is_not_made_again(peer: Peer, beside: Beside) -> None:
    send = await beside.start(beside.settings())
    await beside.gateway.share("main", [0])
    (await peer.bound()).transport.abort()
    beside.may = False
    await until(lambda: beside.bound() == 0)
    await asyncio.sleep(0.3)  # more than ten pauses before another attempt
    assert (len(peer.connections), beside.bound()) == (1, 0)
    [bind] = beside.gateway.binds()
    assert bind.last_error == "not bound while nothing may be sent"
    beside.may = True
    await until(lambda: beside.bound() == 1)
    assert (await send.result(send())).outcome is SendOutcome.SENT
