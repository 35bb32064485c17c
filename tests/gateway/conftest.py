"""A gateway between an SMSC of a few lines and a core that only remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from gateway import AccountSettings, SmppGateway
from tests.gateway.peer import Connection, Core, Peer, Sender

Network = Callable[..., Awaitable[tuple[SmppGateway, Sender]]]


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """An SMSC that listens."""
    smsc = Peer()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(smsc), "127.0.0.1", 0)
    smsc.port = server.sockets[0].getsockname()[1]
    yield smsc
    server.close()
    for connection in smsc.connections:
        connection.transport.abort()


@pytest.fixture
def core() -> Core:
    return Core()


@pytest.fixture
async def start(peer: Peer, core: Core) -> AsyncIterator[Network]:
    """Start a gateway with one account `main`; the keywords are AccountSettings."""
    gateways: list[SmppGateway] = []

    async def started(**fields: Any) -> tuple[SmppGateway, Sender]:
        settings: dict[str, Any] = {
            "name": "main",
            "host": "127.0.0.1",
            "port": peer.port,
            "system_id": "vas",
            "password": "secret",
            "reconnect_first": timedelta(milliseconds=20),
            "response_timer": timedelta(seconds=5),
        }
        gateway = SmppGateway([AccountSettings(**settings | fields)], core)
        gateways.append(gateway)
        await gateway.start()
        return gateway, Sender(gateway)

    yield started
    for gateway in gateways:
        for connection in peer.connections:
            connection.transport.abort()
        await gateway.stop()
