"""The shared engine: many nodes on one PostgreSQL, each with one connection that writes.

A batch is one transaction, READ COMMITTED: what it read is compared when it writes, and if another node was
quicker it runs again. It begins with a look at this node's row in `node`: who has been given up writes nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from vas.cluster.member import Alone, Member
from vas.config_problems import without_password
from vas.errors import StoreError, StoreUnusable
from vas.store import migrate_postgres
from vas.store.ids import Ids
from vas.store.postgres_batch import PostgresBatch, Spoiled
from vas.store.postgres_errors import DRIVER_ERRORS, Fault, explained, fault_of
from vas.store.postgres_flush import Lost
from vas.store.postgres_session import Session, common_settings, writers_settings
from vas.store.postgres_statements import PostgresStatements
from vas.store.protocol import Outage, Work

log = structlog.get_logger()
_HASH_KEY = "hash_key"
CONNECT_S = 2.0
READERS = 4


class PostgresStore:
    """The Store on a database that other nodes may share; `member` is this node among them."""

    shared = True

    def __init__(
        self, url: str, *, clock_ms: Callable[[], int], member: Member | None = None,
        commit_timeout: timedelta = timedelta(seconds=4),
    ) -> None:  # fmt: skip
        self._url = url
        self._where = without_password(url)
        self._clock_ms = clock_ms
        self._member = member or Alone()
        self._commit_timeout = commit_timeout
        self.hash_key = b""
        self.on_hint: Callable[[str], None] = lambda hint: None
        self.sql = PostgresStatements()
        self.outage: Outage | None = None
        self.revived: tuple[int, int] | None = None
        self._ids = Ids(self._member.number)
        self._writing = asyncio.Lock()
        self._session: Session | None = None
        self._readers: asyncpg.Pool[asyncpg.Record] | None = None

    def new_id(self) -> int:
        return self._ids.next(self._clock_ms())

    async def open(self) -> None:
        try:
            self._session = await self._connect()
        except DRIVER_ERRORS as error:
            raise StoreUnusable(str(explained(error, self._where))) from error
        self._readers = await asyncpg.create_pool(
            self._url, min_size=1, max_size=READERS, timeout=CONNECT_S,
            server_settings=common_settings(self._name) | {"default_transaction_read_only": "on"},
        )  # fmt: skip

    @property
    def _name(self) -> str:
        return f"vas {self._member.name}".strip()

    async def _connect(self) -> Session:
        connection = await asyncpg.connect(
            self._url, timeout=CONNECT_S, target_session_attrs="read-write", statement_cache_size=1000,
            max_cached_statement_lifetime=0, server_settings=writers_settings(self._name, self._commit_timeout),
        )  # fmt: skip
        await migrate_postgres.accept(connection, self._where)
        await connection.execute(
            "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT DO NOTHING", _HASH_KEY, secrets.token_bytes(32)
        )
        self.hash_key = await connection.fetchval(self.sql.meta_value.text, _HASH_KEY)
        return Session(connection)

    async def close(self) -> None:
        async with self._writing:
            if self._session is not None:
                await self._session.close()
                self._session = None
        if self._readers is not None:
            await self._readers.close()

    async def commit(self, works: Sequence[Work]) -> list[Exception | None]:
        return await asyncio.shield(self._commit(works))

    async def _commit(self, works: Sequence[Work]) -> list[Exception | None]:
        async with self._writing:
            if self._session is None:
                raise StoreError(f"{self._where}: not open")
            try:
                async with asyncio.timeout(self._commit_timeout.total_seconds()):
                    return await self._together(works)
            except DRIVER_ERRORS as error:
                raise explained(error, self._where) from error

    async def _together(self, works: Sequence[Work]) -> list[Exception | None]:
        try:
            return await self._transaction(works)
        except (Lost, Spoiled) as error:
            if len(works) == 1:
                return [error.__cause__ if isinstance(error.__cause__, Exception) else error]
        except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            if fault_of(error, broken=self._session is None or self._session.closed) is not Fault.HANDLER:
                raise
            if len(works) == 1:
                return [error]
        return [(await self._together([work]))[0] for work in works]

    async def _transaction(self, works: Sequence[Work]) -> list[Exception | None]:
        session = self._session
        assert session is not None
        batch = PostgresBatch(session, self.sql, self._ids, self._clock_ms())
        try:
            await session.script(["BEGIN"])
            outcomes = await batch.run(works)
            await batch.write()
            await session.script(["COMMIT"])
        except BaseException:
            await session.script(["ROLLBACK"])
            raise
        batch.kept()
        return outcomes

    async def read(self, text: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        if self._readers is None:
            raise StoreError("the store is not open")
        try:
            async with self._readers.acquire(timeout=CONNECT_S) as connection:
                return [tuple(row) for row in await connection.fetch(text, *params)]
        except DRIVER_ERRORS as error:
            raise explained(error, self._where) from error

    async def backup(self, path: Path) -> None:
        raise StoreError(
            f"{self._where}: the platform does not copy a PostgreSQL: "
            "run `pg_basebackup` for the whole server, or `pg_dump` for this database"
        )
