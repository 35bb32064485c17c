"""outbind: the SMSC connects to us."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway import SmppGateway
from gateway.links.outbind import STRANGERS_MAX, UNREAD_OCTETS_MAX
from gateway.pdus import pdu as smpp
from tests.gateway.conftest import Network
from tests.gateway.peer import Connection, Core, Peer, mo, until
from tests.gateway.test_tls import PEM
from vas.messages import SendOutcome

SMSC = {"outbind_system_id": "smsc", "outbind_password": "s3cret"}
OUTBIND = smpp.Outbind(1, system_id=b"smsc", password=b"s3cret")


async def called(start: Network, **fields: Any) -> tuple[SmppGateway, Any, int]:
    """A gateway that listens; its port."""
    patient = {"response_timer": timedelta(minutes=1)}  # so that no test passes because a timer ran out
    gateway, send = await start(**{"host": "", "outbind": ("127.0.0.1", 0)} | SMSC | patient | fields)
    await until(lambda: gateway.account("main").status.outbind_port)
    return gateway, send, gateway.account("main").status.outbind_port


async def call(peer: Peer, port: int, *pdus: smpp.Pdu | bytes, context: ssl.SSLContext | None = None) -> Connection:
    """The SMSC connects and says something."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(peer), "127.0.0.1", port, ssl=context)
    connection.send(*pdus)
    return connection


async def test_who_sends_the_right_outbind_is_bound_to_as_receiver(peer: Peer, core: Core, start: Network) -> None:
    gateway, _, port = await called(start)
    connection = await call(peer, port, OUTBIND)
    await until(lambda: core.sessions)
    assert [type(pdu) for pdu in connection.received] == [smpp.BindReceiver]
    connection.send(mo("in"))
    await until(lambda: core.inbound)
    assert [bind.bind_type for bind in gateway.binds()] == ["receiver"]


async def test_smpp_5_binds_as_transceiver_on_the_connection_that_came(peer: Peer, core: Core, start: Network) -> None:
    _, send, port = await called(start, interface_version="5.0")
    connection = await call(peer, port, OUTBIND)
    await until(lambda: core.sessions)
    bind = connection.received[0]
    assert isinstance(bind, smpp.BindTransceiver)
    assert bind.interface_version == 0x50
    assert (await send.result(send())).outcome is SendOutcome.SENT


async def test_the_transmitter_connects_out_where_there_is_a_host(peer: Peer, core: Core, start: Network) -> None:
    gateway, send, port = await called(start, host="127.0.0.1", bind="transmitter+receiver")
    assert (await send.result(send())).outcome is SendOutcome.SENT
    await call(peer, port, OUTBIND)
    await until(lambda: len(core.sessions) == 2)
    assert [(bind.bind_type, bind.state) for bind in gateway.binds()] == [
        ("receiver", "bound"),
        ("transmitter", "bound"),
    ]


async def test_what_follows_the_outbind_in_one_piece_is_not_lost(peer: Peer, core: Core, start: Network) -> None:
    peer.answers[smpp.BindReceiver] = lambda bind: []
    _, _, port = await called(start)
    await call(peer, port, OUTBIND, smpp.BindReceiverResp(1), mo("at once"))
    await until(lambda: core.inbound)
    assert core.inbound[0].text == "at once"


async def test_the_smsc_may_call_again_after_a_loss(peer: Peer, core: Core, start: Network) -> None:
    _, _, port = await called(start, reconnect_first=timedelta(hours=1))
    (await call(peer, port, OUTBIND)).transport.abort()
    await call(peer, port, OUTBIND)
    await until(lambda: core.sessions)


STRANGERS = [
    pytest.param(smpp.Outbind(1, system_id=b"smsc", password=b"wrong"), [], id="wrong password"),
    pytest.param(smpp.Outbind(1, system_id=b"other", password=b"s3cret"), [], id="wrong system_id"),
    pytest.param(smpp.Outbind(1), [], id="no password"),
    pytest.param(mo(sequence=3), [smpp.DeliverSmResp(3, 0x04)], id="no outbind"),
    pytest.param(smpp.BindTransceiver(3), [smpp.BindTransceiverResp(3, 0x04)], id="an ESME"),
    pytest.param(b"GET / HTTP/1.1\r\n\r\n", [smpp.GenericNack(0, 0x02)], id="not SMPP"),
    pytest.param(bytes.fromhex("00004000 00000005 00000000") + bytes(UNREAD_OCTETS_MAX), [], id="too long"),
    pytest.param(smpp.Unbind(3), [smpp.UnbindResp(3)], id="unbind"),
]


@pytest.mark.parametrize("said, answered", STRANGERS)
async def test_a_stranger_is_shown_out_and_never_bound_to(
    peer: Peer, core: Core, start: Network, said: smpp.Pdu | bytes, answered: list[smpp.Pdu]
) -> None:
    gateway, _, port = await called(start)
    connection = await call(peer, port, said)
    await until(lambda: connection.lost)
    assert connection.received == answered
    assert gateway.account("main").status.outbinds_refused == 1
    await call(peer, port, OUTBIND)
    await until(lambda: core.sessions)


async def test_who_says_nothing_is_shown_out(peer: Peer, start: Network) -> None:
    _, _, port = await called(start, response_timer=timedelta(milliseconds=100))
    connection = await call(peer, port, smpp.EnquireLink(7))
    await until(lambda: connection.lost)
    assert connection.received == [smpp.EnquireLinkResp(7)]


async def test_strangers_cannot_take_all_places(peer: Peer, start: Network) -> None:
    _, _, port = await called(start)
    strangers = [await call(peer, port) for _ in range(STRANGERS_MAX + 1)]
    await until(lambda: any(stranger.lost for stranger in strangers))
    assert [stranger.lost for stranger in strangers] == [False] * STRANGERS_MAX + [True]


async def test_an_account_changes_from_being_called_to_calling_and_back(peer: Peer, core: Core, start: Network) -> None:
    gateway, _, port = await called(start)
    account = gateway.account("main")
    await call(peer, port, OUTBIND)
    await until(lambda: core.sessions)
    waiting = account.settings
    calling = msgspec.structs.replace(waiting, host="127.0.0.1", port=peer.port, outbind=None)
    assert await account.change(calling) == ""
    assert [bind.bind_type for bind in gateway.binds()] == ["transceiver"]
    assert (core.ended, account.status.outbind_port) == ([1], 0)
    assert await account.change(waiting) == ""
    await until(lambda: account.status.outbind_port)
    await call(peer, account.status.outbind_port, OUTBIND)
    await until(lambda: len(core.sessions) == 3)
    assert [bind.bind_type for bind in gateway.binds()] == ["receiver"]


async def test_another_password_of_the_smsc_holds_for_the_next_call(peer: Peer, core: Core, start: Network) -> None:
    gateway, _, port = await called(start, outbind_password="other")
    account = gateway.account("main")
    stranger = await call(peer, port, OUTBIND)
    await until(lambda: stranger.lost)
    await account.change(msgspec.structs.replace(account.settings, outbind_password="s3cret"))
    await call(peer, port, OUTBIND)
    await until(lambda: core.sessions)


async def test_nobody_is_listened_to_after_the_stop(peer: Peer, start: Network) -> None:
    gateway, _, port = await called(start)
    stranger = await call(peer, port)
    await gateway.stop()
    await until(lambda: stranger.lost)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.get_running_loop().create_connection(lambda: Connection(peer), "127.0.0.1", port)


async def test_a_port_that_is_taken_is_told(start: Network) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        gateway, _ = await start(host="", outbind=("127.0.0.1", server.getsockname()[1]), **SMSC)
        await until(lambda: gateway.binds()[0].last_error)
    assert "address already in use" in gateway.binds()[0].last_error
    assert gateway.binds()[0].state == "listening"


async def test_an_smsc_may_call_over_tls(peer: Peer, core: Core, start: Network) -> None:
    ours = {"tls_certificate": PEM / "smsc.pem", "tls_key": PEM / "smsc.key", "tls_ca": PEM / "authority.pem"}
    _, _, port = await called(start, tls=True, **ours)
    context = ssl.create_default_context(cafile=PEM / "authority.pem")
    context.check_hostname = False
    context.load_cert_chain(PEM / "esme.pem", PEM / "esme.key")
    await call(peer, port, OUTBIND, context=context)
    await until(lambda: core.sessions)


async def test_over_tls_who_shows_no_certificate_never_gets_as_far_as_an_outbind(
    peer: Peer, core: Core, start: Network
) -> None:
    ours = {"tls_certificate": PEM / "smsc.pem", "tls_key": PEM / "smsc.key", "tls_ca": PEM / "authority.pem"}
    _, _, port = await called(start, tls=True, **ours)
    context = ssl.create_default_context(cafile=PEM / "authority.pem")
    context.check_hostname = False
    with contextlib.suppress(OSError):
        connection = await call(peer, port, OUTBIND, context=context)
        await until(lambda: connection.lost)
    assert core.sessions == []
    assert peer.received == []
