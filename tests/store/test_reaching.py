"""Which of several servers a connection is made to, and what the others can do to it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.engines import Engine
from vas.store import reaching

pytestmark = pytest.mark.only_on("postgres", "its servers")
WITHIN_S = 10.0


@pytest.fixture
def url(engine: Engine, tmp_path: Path) -> str:
    return engine.url(tmp_path)


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing, as one that hangs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def before(url: str, *servers: str) -> str:
    """The address with these servers before its own."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}{','.join((*servers, host))}").geturl()


@pytest.mark.parametrize(
    ("url", "each"),
    [
        ("postgresql://vas@db/vas", ["postgresql://vas@db/vas"]),
        ("postgresql://v:p@a,b:1/vas?x=1,2", ["postgresql://v:p@a/vas?x=1,2", "postgresql://v:p@b:1/vas?x=1,2"]),
        ("postgresql://v:a,b@[::1]:5432,c/vas", ["postgresql://v:a,b@[::1]:5432/vas", "postgresql://v:a,b@c/vas"]),
    ],
)
def test_each_server_of_an_address(url: str, each: list[str]) -> None:
    assert reaching.servers(url) == each


async def test_a_server_that_says_nothing_keeps_nobody_from_the_next_one(url: str, silent: str) -> None:
    began = time.monotonic()
    connection = await reaching.connect(before(url, silent, silent), timeout=WITHIN_S)
    assert await connection.fetchval("SELECT 1") == 1
    assert time.monotonic() - began < WITHIN_S / 2
    await connection.close()


async def test_a_server_that_refuses_is_passed_over_at_once(url: str) -> None:
    connection = await reaching.connect(before(url, "127.0.0.1:1"), timeout=WITHIN_S)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def test_who_gives_up_says_what_tells_most(url: str, silent: str) -> None:
    nowhere = before(url, "127.0.0.1:1")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await reaching.connect(urlsplit(nowhere)._replace(path="/nothing_of_the_kind").geturl(), timeout=WITHIN_S)
    with pytest.raises(ConnectionRefusedError):
        await reaching.connect(before(url, "127.0.0.1:1"), timeout=WITHIN_S, target_session_attrs="standby")
    with pytest.raises(TimeoutError):
        await reaching.connect(before("postgresql://vas@127.0.0.1:1/vas", silent), timeout=0.5)
