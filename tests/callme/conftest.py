"""A network with call-me at 9105 and *105, and the phones of three people."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.callme import callme
from services.callme.settings import Config
from vas.testing import Network, Phone, mount

Open = Callable[..., AbstractAsyncContextManager[Network]]


@pytest.fixture
def open_network(folder: Path) -> Open:
    """Open a network with these settings of call-me; `fresh` and `now` are the network's own."""

    @asynccontextmanager
    async def opened(*, fresh: bool = False, **settings: Any) -> AsyncIterator[Network]:
        config = Config(**{"pair_pause": timedelta(0), **settings})
        async with Network(folder, mount(callme, config, short_codes=["9105"], ussd="*105"), fresh=fresh) as network:
            yield network

    return opened


@pytest.fixture
async def network(open_network: Open) -> AsyncIterator[Network]:
    async with open_network() as network:
        yield network


@pytest.fixture
def lan(network: Network) -> Phone:
    return network.phone("0912345678")


@pytest.fixture
def mai(network: Network) -> Phone:
    return network.phone("0987654321")


@pytest.fixture
def hoa(network: Network) -> Phone:
    return network.phone("0905000001")
