"""An account over TLS, against a peer with real certificates."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

from gateway import AccountSettings
from gateway.links import tls
from gateway.pdus import pdu as smpp
from tests.gateway.conftest import Network
from tests.gateway.peer import Connection, Core, Peer, mo, until
from vas.errors import ConfigError
from vas.messages import SendOutcome

PEM = Path(__file__).parent / "certificates"
Listen = Callable[..., Awaitable[Peer]]


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Start an SMSC that speaks TLS with the certificate of that name."""
    servers: list[tuple[asyncio.Server, Peer]] = []

    async def listening(certificate: str = "smsc", asks_for_ours: bool = False, newest: bool = True) -> Peer:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=PEM / "authority.pem")
        context.load_cert_chain(PEM / f"{certificate}.pem", PEM / f"{certificate}.key")
        context.verify_mode = ssl.CERT_REQUIRED if asks_for_ours else ssl.CERT_NONE
        if not newest:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        peer = Peer()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(peer), "127.0.0.1", 0, ssl=context)
        peer.port = server.sockets[0].getsockname()[1]
        servers.append((server, peer))
        return peer

    yield listening
    for server, peer in servers:
        server.close()
        for connection in peer.connections:
            connection.transport.abort()


@pytest.mark.parametrize("newest", [True, False], ids=["TLS 1.3", "TLS 1.2"])
async def test_messages_go_both_ways_over_tls(listen: Listen, core: Core, start: Network, newest: bool) -> None:
    peer = await listen(newest=newest)
    _, send = await start(port=peer.port, tls=True, tls_ca=PEM / "authority.pem")
    (await peer.bound()).send(mo("in"))
    assert (await send.result(send())).outcome is SendOutcome.SENT
    await until(lambda: peer.of(smpp.DeliverSmResp))
    assert [inbound.text for inbound in core.inbound] == ["in"]


async def test_an_smsc_that_asks_for_our_certificate_gets_it(listen: Listen, core: Core, start: Network) -> None:
    peer = await listen(asks_for_ours=True)
    ours = {"tls_certificate": PEM / "esme.pem", "tls_key": PEM / "esme.key"}
    await start(port=peer.port, tls=True, tls_ca=PEM / "authority.pem", **ours)
    await until(lambda: core.sessions)
    shown = peer.connections[0].transport.get_extra_info("peercert")
    assert shown["subjectAltName"] == (("DNS", "esme.example"),)


async def test_the_name_in_the_certificate_may_be_given(listen: Listen, core: Core, start: Network) -> None:
    peer = await listen("elsewhere")
    await start(port=peer.port, tls=True, tls_ca=PEM / "authority.pem", tls_server_name="elsewhere.example")
    await until(lambda: core.sessions)


UNTRUSTED = [
    pytest.param("smsc", {}, "who signs the SMSC's certificate is not known", id="system's authorities"),
    pytest.param("smsc", {"tls_ca": PEM / "stranger.pem"}, "who signs the SMSC's certificate", id="other authority"),
    pytest.param("expired", {"tls_ca": PEM / "authority.pem"}, "has expired", id="expired"),
    pytest.param("elsewhere", {"tls_ca": PEM / "authority.pem"}, "set tls_server_name", id="other name"),
]


@pytest.mark.parametrize("certificate, settings, words", UNTRUSTED)
async def test_an_smsc_that_does_not_prove_itself_never_sees_the_password(
    listen: Listen, start: Network, certificate: str, settings: dict[str, Path], words: str
) -> None:
    peer = await listen(certificate)
    gateway, _ = await start(port=peer.port, tls=True, **settings)
    await until(lambda: gateway.binds()[0].last_error)
    assert words in gateway.binds()[0].last_error
    assert peer.received == []


REFUSED = [
    pytest.param({}, "the SMSC asks for a certificate of ours: set tls_certificate and tls_key", id="none shown"),
    pytest.param(
        {"tls_certificate": PEM / "intruder.pem", "tls_key": PEM / "intruder.key"},
        "the SMSC does not know who signs our tls_certificate",
        id="signed by a stranger",
    ),
]


@pytest.mark.parametrize("settings, words", REFUSED)
async def test_an_smsc_that_refuses_our_certificate_is_explained(
    start: Network, settings: dict[str, Path], words: str
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=PEM / "authority.pem")
    context.load_cert_chain(PEM / "smsc.pem", PEM / "smsc.key")
    context.verify_mode = ssl.CERT_REQUIRED

    class Telling(asyncio.Protocol):
        """Says why a handshake fails, as OpenSSL's servers do and asyncio's does not."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.Transport, transport)
            self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

        def data_received(self, data: bytes) -> None:
            self.incoming.write(data)
            with contextlib.suppress(ssl.SSLError):
                self.tls.do_handshake()
            self.transport.write(self.outgoing.read())

    server = await asyncio.get_running_loop().create_server(Telling, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    gateway, _ = await start(port=port, tls=True, tls_ca=PEM / "authority.pem", **settings)
    await until(lambda: gateway.binds()[0].last_error)
    assert gateway.binds()[0].last_error.endswith(words)
    server.close()


async def test_a_port_without_tls_is_explained(peer: Peer, start: Network) -> None:
    class Answering(Connection):
        def data_received(self, data: bytes) -> None:
            self.send(smpp.GenericNack(0, smpp.RINVCMDLEN))

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(peer), "127.0.0.1", 0)
    gateway, _ = await start(port=server.sockets[0].getsockname()[1], tls=True)
    await until(lambda: gateway.binds()[0].last_error)
    assert gateway.binds()[0].last_error == "the other side does not speak TLS at this port"
    server.close()


FILES = [
    pytest.param({"tls_ca": PEM / "gone.pem"}, "tls_ca: .*gone.pem: No such file", id="no such file"),
    pytest.param({"tls_ca": PEM / "make.sh"}, "tls_ca: .*make.sh is not a PEM file", id="not PEM"),
    pytest.param(
        {"tls_certificate": PEM / "esme.pem", "tls_key": PEM / "smsc.key"},
        "tls_key: .*smsc.key is not the key of .*esme.pem",
        id="another key",
    ),
    pytest.param(
        {"tls_certificate": PEM / "esme.key", "tls_key": PEM / "esme.key"},
        "esme.key with .* cannot be used",
        id="swapped",
    ),
    pytest.param({"tls_certificate": PEM / "esme.pem"}, "the key in it", id="no key"),
]


@pytest.mark.parametrize("settings, words", FILES)
async def test_files_that_cannot_be_used_are_named(settings: dict[str, Path], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        tls.client_context(AccountSettings("main", "smsc", 2775, "vas", tls=True, **settings))


async def test_a_key_with_a_pass_phrase_is_an_error_and_no_question_at_the_terminal(tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    process = await asyncio.create_subprocess_exec(
        "openssl", "ec", "-in", PEM / "esme.key", "-aes128", "-passout", "pass:secret", "-out", locked,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await process.wait() == 0
    settings = AccountSettings("main", "smsc", 2775, "vas", tls_certificate=PEM / "esme.pem", tls_key=locked)
    with pytest.raises(ConfigError, match="a key with a pass phrase is not supported"):
        tls.client_context(settings)


async def test_a_renewed_certificate_is_used_by_the_next_connection(
    listen: Listen, core: Core, start: Network, tmp_path: Path
) -> None:
    peer = await listen(asks_for_ours=True)
    certificate = tmp_path / "ours.pem"
    certificate.write_bytes((PEM / "intruder.pem").read_bytes() + (PEM / "intruder.key").read_bytes())
    gateway, _ = await start(port=peer.port, tls=True, tls_ca=PEM / "authority.pem", tls_certificate=certificate)
    await until(lambda: gateway.binds()[0].last_error)
    assert core.sessions == []
    certificate.write_bytes((PEM / "esme.pem").read_bytes() + (PEM / "esme.key").read_bytes())
    await until(lambda: core.sessions)


def test_nothing_below_tls_1_2_is_spoken() -> None:
    settings = AccountSettings("main", "smsc", 2775, "vas", tls_certificate=PEM / "smsc.pem", tls_key=PEM / "smsc.key")
    for context in (tls.client_context(settings), tls.server_context(settings)):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
