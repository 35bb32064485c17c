"""A connection of its own to the shared database, for what must not wait behind the commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from vas.errors import StoreError
from vas.store import reaching
from vas.store.sql import Query

CHANNEL = "vas_nodes"
"""On which nodes tell one another that something about them has changed."""
_BROKEN = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""TimeoutError is an OSError; of several hosts, none that writes is an InternalClientError."""


class Line:
    """Made when it is first needed, and again after it broke. One question at a time."""

    def __init__(self, url: str, name: str, within_s: float, hint: Callable[[], None] | None = None) -> None:
        """`name` is what the database's administrator sees; nothing may take longer than `within_s`.

        `hint` is called in the event loop when another node has changed something; it may be called for nothing,
        and is once after every new connection.
        """
        self._url = url
        self._name = name
        self._within_s = within_s
        self._hint = hint
        self._lock = asyncio.Lock()
        self._connection: asyncpg.Connection[Any] | None = None

    async def ask(self, query: Query, **values: object) -> list[tuple[Any, ...]]:
        """The rows of a statement that is a transaction of its own. Raises StoreError."""
        async with self._lock, self._connected() as connection:
            return await _rows(connection, query, values)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Ask]:
        """Several statements, all or none. Raises StoreError."""
        async with self._lock, self._connected() as connection, connection.transaction():
            yield Ask(connection)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        loop, whole = asyncio.get_running_loop(), False
        timer: asyncio.TimerHandle | None = None
        try:
            old = self._connection
            connection = self._connection = old or await self._connect()
            # Terminated rather than cancelled: a cancel asks over another connection, which hangs where this one does.
            timer = loop.call_later(self._within_s, connection.terminate)
            if old is None and self._hint is not None:
                await connection.add_listener(CHANNEL, self._told)
                self._hint()
            yield connection
            whole = True
        except Exception as error:
            # Terminated between two answers, the driver stumbles over itself, with an AttributeError.
            if isinstance(error, _BROKEN) or (self._connection is not None and self._connection.is_closed()):
                raise StoreError(f"the shared database: {error or type(error).__name__}") from error
            raise
        finally:
            if timer is not None:
                timer.cancel()
            if not whole:
                self._let_go()

    async def _connect(self) -> asyncpg.Connection[Any]:
        within_ms = str(int(self._within_s * 1000))
        return await reaching.connect(
            self._url,
            timeout=self._within_s,
            server_settings={
                "application_name": self._name,
                "statement_timeout": within_ms,
                "idle_in_transaction_session_timeout": within_ms,
            },
        )

    def _told(self, *_: object) -> None:
        assert self._hint is not None
        self._hint()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=self._within_s)
            except _BROKEN:
                connection.terminate()


class Ask:
    """The statements of one transaction."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection

    async def __call__(self, query: Query, **values: object) -> list[tuple[Any, ...]]:
        return await _rows(self._connection, query, values)


async def _rows(connection: asyncpg.Connection[Any], query: Query, values: dict[str, object]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.fetch(query.text, *query.params(**values))]
