"""Several platforms on one PostgreSQL, each with phones and a gateway of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from tests.core.toys import Toy
from tests.engines import Engine
from vas import Service
from vas.messages import Inbound
from vas.store.ids import first_id
from vas.store.postgres import PostgresStore
from vas.testing import Network

_runs = count(1)
_STANDS = "floor(extract(epoch FROM clock_timestamp()) * 1000) + 3600000"


class Joined:
    """A member whose lease lasts as long as a test, unless the test takes its row away."""

    def __init__(self, engine: Engine, folder: Path, name: str) -> None:
        self.name = name
        self.id = self.number = 0
        self._engine = engine
        self._folder = folder

    def run(self, statement: str) -> None:
        self._engine.look(self._folder, statement)

    async def join(self) -> None:
        run = next(_runs)
        self.id, self.number = first_id(1_772_400_000_000) + run, run % 128
        self.run(
            "INSERT INTO node (id, name, number, address, version, started_ms, until_ms) "  # noqa: S608
            f"VALUES ({self.id}, '{self.name}', {self.number}, '', '', 0, {_STANDS})"
        )

    async def leave(self) -> None:
        self.give_up()

    def give_up(self) -> None:
        """What the others do with a node whose lease is over."""
        self.run(f"DELETE FROM node WHERE id = {self.id}")  # noqa: S608

    def freeze(self) -> None:
        """Its lease is over, and nobody has given it up yet."""
        self.run(f"UPDATE node SET until_ms = 0 WHERE id = {self.id}")  # noqa: S608

    def holds(self) -> bool:
        return True


class Nodes:
    """Starts platforms over the database of a toy's folder."""

    def __init__(self, toy: Toy) -> None:
        self._toy = toy
        self._running = AsyncExitStack()
        self._names = iter("abcdef")

    def network(self, *services: Service, **options: Any) -> Network:
        toy = self._toy
        member = Joined(toy.engine, toy.folder, next(self._names))

        def store(clock_ms: Callable[[], int]) -> PostgresStore:
            url = toy.engine.url(toy.folder)
            return PostgresStore(url, clock_ms=clock_ms, member=member, commit_timeout=timedelta(seconds=20))

        return toy.network(*services, member=member, store=store, **options)

    async def start(self, *services: Service, **options: Any) -> Network:
        return await self._running.enter_async_context(self.network(*services, **options))

    async def stop(self) -> None:
        await self._running.aclose()


@asynccontextmanager
async def nodes_of(toy: Toy) -> AsyncIterator[Nodes]:
    nodes = Nodes(toy)
    try:
        yield nodes
    finally:
        await nodes.stop()


def member(network: Network) -> Joined:
    joined = network.node.member
    assert isinstance(joined, Joined)
    return joined


def died(network: Network) -> None:
    """As after a kill -9, once the others have noticed: it does nothing more, and has no row."""
    network.node.outbox.stopped = True
    member(network).give_up()


async def rest(*networks: Network, seconds: int = 2) -> None:
    """Let some seconds go by, so that each node has looked at what is nobody's."""
    for _ in range(seconds):
        for network in networks:
            await network.pass_time(timedelta(seconds=1))


async def told(network: Network, command: Inbound) -> int:
    """Hand over a deliver_sm whose answer may want another node; its command_status."""
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    network.node.dispatch.receive(command, answered.set_result)
    async with asyncio.timeout(20):
        return await answered
