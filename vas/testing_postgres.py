"""PostgreSQL under a suite of tests: a database for each network, as quick as a file.

@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server("postgresql://me@localhost/postgres") as server:
        yield server

@pytest.fixture(autouse=True, params=["sqlite", "postgres"])
def engine(request, server, monkeypatch) -> Iterator[None]:
    if request.param == "sqlite":
        yield
        return
    with server.databases() as databases:
        monkeypatch.setattr(vas.testing, "make_store", databases.make_store)
        yield
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import asyncpg

from vas.store import migrate_postgres
from vas.store.postgres import PostgresStore
from vas.store.protocol import Store

T = TypeVar("T")
_TABLES = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND relname <> 'alembic_version'
"""
_SHAPE = """
    SELECT md5(string_agg(name, ' ' ORDER BY name)) FROM (
        SELECT attrelid::regclass::text || '.' || attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = 'public'::regnamespace AND NOT attisdropped
        UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT version_num FROM alembic_version
    ) AS named (name)
"""
"""Of a database: columns, indexes, functions, triggers, and the version that made them."""
_ALONE = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


class Database(NamedTuple):
    name: str
    connection: asyncpg.Connection[asyncpg.Record]


class Server:
    """A PostgreSQL that runs somewhere, as a context manager; what was made in it is dropped in the end.

    `url`: of any database of it, with a role that may create others.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._prefix = f"vas_test_{secrets.token_hex(4)}"
        self._made = 0
        self._empty: list[Database] = []
        self._shape = ""
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="databases", daemon=True)
        self._one_at_a_time = asyncio.Lock()
        self._connection: asyncpg.Connection[asyncpg.Record]
        self._emptying: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait(self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        self.wait(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, database: str) -> str:
        return str(urlsplit(self._url)._replace(path=f"/{database}").geturl())

    @contextmanager
    def databases(self) -> Iterator[Databases]:
        """Databases for the networks of one test."""
        databases = Databases(self)
        try:
            yield databases
        finally:
            databases.give_back()

    def take(self) -> Database:
        """An empty database with all tables."""
        return self.wait(self._take())

    def give_back(self, database: Database) -> None:
        """It is emptied beside the test that follows."""
        self._loop.call_soon_threadsafe(self._give_back, database)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Its result; it runs beside the event loop of the test, which waits."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _begin(self) -> None:
        self._connection = await asyncpg.connect(self._url)
        await self._connection.execute(f"CREATE DATABASE {self._prefix}")
        await migrate_postgres.upgrade(self.url(self._prefix))
        connection = await asyncpg.connect(self.url(self._prefix))
        self._shape = await connection.fetchval(_SHAPE)
        await connection.close()

    async def _take(self) -> Database:
        async with self._one_at_a_time:
            if self._empty:
                return self._empty.pop()
            self._made += 1
            name = f"{self._prefix}_{self._made}"
            await self._connection.execute(f"CREATE DATABASE {name} TEMPLATE {self._prefix}")
            return Database(name, await asyncpg.connect(self.url(name)))

    def _give_back(self, database: Database) -> None:
        task = self._loop.create_task(self._empty_it(database))
        self._emptying.add(task)
        task.add_done_callback(self._emptying.discard)

    async def _empty_it(self, database: Database) -> None:
        """To be used again, which takes a hundredth of the time of a new one; not if its tables were changed."""
        async with self._one_at_a_time:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await database.connection.execute(_ALONE)
                if await database.connection.fetchval(_SHAPE) == self._shape:
                    tables = [table for (table,) in await database.connection.fetch(_TABLES)]
                    await database.connection.execute("; ".join(f'DELETE FROM "{table}"' for table in tables))  # noqa: S608
                    self._empty.append(database)
                    return
            await self._drop(database)

    async def _drop(self, database: Database) -> None:
        database.connection.terminate()
        await self._connection.execute(f"DROP DATABASE {database.name} WITH (FORCE)")

    async def _end(self) -> None:
        await asyncio.gather(*self._emptying)
        for database in self._empty:
            await self._drop(database)
        await self._connection.execute(f"DROP DATABASE {self._prefix}")
        await self._connection.close()


class Databases:
    """A database for each folder in which a network of a test lives, from when it is first asked for."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._taken: dict[Path, Database] = {}

    def url(self, folder: Path) -> str:
        return self._server.url(self._of(folder).name)

    def make_store(self, folder: Path, clock_ms: Callable[[], int]) -> Store:
        """For vas.testing.make_store."""
        return PostgresStore(self.url(folder), clock_ms=clock_ms)

    def copy(self, folder: Path, to: Path) -> None:
        """What is committed now, into the database of another folder: what a crash would leave of this one."""
        self._server.wait(_copy(self._of(folder).connection, self._of(to).connection))

    def give_back(self) -> None:
        """All of them; whoever is connected still is sent away."""
        while self._taken:
            self._server.give_back(self._taken.popitem()[1])

    def run(self, folder: Path, *statements: str) -> list[tuple[Any, ...]]:
        """Past the store of a folder, in a transaction; the rows of the last statement."""
        return self._server.wait(_run(self._of(folder).connection, statements))

    def _of(self, folder: Path) -> Database:
        if folder not in self._taken:
            self._taken[folder] = self._server.take()
        return self._taken[folder]


async def _run(connection: asyncpg.Connection[Any], statements: Sequence[str]) -> list[tuple[Any, ...]]:
    *first, last = statements
    async with connection.transaction():
        for statement in first:
            await connection.execute(statement)
        return [tuple(row) for row in await connection.fetch(last)]


async def _copy(source: asyncpg.Connection[Any], target: asyncpg.Connection[Any]) -> None:
    async with source.transaction(isolation="repeatable_read", readonly=True):
        for (table,) in await source.fetch(_TABLES):
            rows = BytesIO()
            await source.copy_from_query(f'SELECT * FROM "{table}"', output=rows, format="binary")  # noqa: S608
            rows.seek(0)
            await target.copy_to_table(table, source=rows, format="binary")
