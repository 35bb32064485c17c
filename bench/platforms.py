"""What is measured: one platform over SQLite, or one node or several on a PostgreSQL of their own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.process import PROGRAM, Cpu, PlatformProcess, cpu_s, reaped_s, scratch
from tests.postgres import Server

DATABASE = {
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "autovacuum_naptime": "15s",
}
"""PostgreSQL's settings beside those of tests.postgres, as deploy/postgresql.conf has them, on a small machine."""

ACCOUNT = 'smsc_response_timer = "30s"'
"""As bench.measure's SMSC has it: what stalls on a busy machine is to be seen in the latencies, not refused for now."""


class Platforms:
    """All processes together: what they spent and what they tell is added up."""

    def __init__(self, nodes: Sequence[PlatformProcess], server: Server | None = None) -> None:
        self.nodes = nodes
        self._server = server

    def cpu(self) -> Cpu:
        parts = [node.cpu() for node in self.nodes]
        return Cpu(sum(part.loop for part in parts), sum(part.rest for part in parts), self._database_s())

    def _database_s(self) -> float:
        """Of the postmaster, its processes, and those that have ended."""
        pids = self._server.pids if self._server else []
        spent = 0.0
        for place, pid in enumerate(pids):
            folder = Path(f"/proc/{pid}")
            try:
                spent += cpu_s(folder) + (0.0 if place else reaped_s(folder))
            except FileNotFoundError:
                continue  # It has just ended, and is counted among those the next time.
        return spent

    async def metrics(self) -> Mapping[str, float]:
        """Counters and sums of histograms over all nodes; of gauges the sum means little."""
        total: Counter[str] = Counter()
        for metrics in await asyncio.gather(*(node.metrics() for node in self.nodes)):
            total.update(metrics)
        return total


@asynccontextmanager
async def on_sqlite(port: int, *program: str) -> AsyncIterator[Platforms]:
    """A new platform over an empty file, which looks for its SMSC at `port`; `program` instead of `vas run`."""
    with scratch() as folder:
        async with _running([PlatformProcess(folder, port, account=ACCOUNT, program=program or PROGRAM)]) as platforms:
            yield platforms


@asynccontextmanager
async def database(**options: str) -> AsyncIterator[Server]:
    """A server with synced commits, and a database `empty` with all tables and nothing in them.

    `options` are more settings of it.
    """
    with scratch() as folder:
        folder.chmod(0o711)  # root's; the server runs as somebody else
        with Server(folder / "postgres", fsync=True, options={**DATABASE, **options}) as server:
            await upgrade(server.create("empty"))
            yield server


async def upgrade(url: str) -> None:
    """Create the tables, as `vas db upgrade` does."""
    from vas.store import migrate_postgres

    await migrate_postgres.upgrade(url)


@asynccontextmanager
async def on_postgres(
    server: Server, port: int, nodes: int, *program: str, database: str = ""
) -> AsyncIterator[Platforms]:
    """So many nodes on a database of the server; on a new one, with nothing in its tables, if none is named."""
    if not database:
        server.drop("bench")
        server.create("bench", "empty")
    url = server.url(database or "bench")
    with scratch() as folder:
        each = [
            PlatformProcess(
                folder, port, url=url, node=f"node-{place + 1}", account=ACCOUNT, program=program or PROGRAM
            )
            for place in range(nodes)
        ]
        async with _running(each, server) as platforms:
            yield platforms


@asynccontextmanager
async def _running(nodes: Sequence[PlatformProcess], server: Server | None = None) -> AsyncIterator[Platforms]:
    try:
        for node in nodes:
            await node.start()
        yield Platforms(nodes, server)
        await asyncio.gather(*(node.stop() for node in nodes))
    finally:
        for node in nodes:
            await node.kill()
