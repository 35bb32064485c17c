"""One connection to the shared engine, as batches use it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import asyncpg

from vas.store.sql import Query, numbered, together


class Session:
    """Statements in the dialect of either engine's services, set-wise where there are many rows."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    @property
    def closed(self) -> bool:
        return bool(self._connection.is_closed())

    async def script(self, texts: Iterable[str]) -> str:
        """Statements without parameters or results, in one round trip; the status of the last one."""
        text = "; ".join(texts)
        return await self._connection.execute(text) if text else ""

    async def fetch(self, text: str, params: Sequence[object] = ()) -> list[Any]:
        rows: list[Any] = await self._connection.fetch(numbered(text), *params)
        return rows

    async def many(self, text: str, rows: Sequence[Sequence[object]]) -> list[Any]:
        """A statement once a row."""
        text = numbered(text)
        all_at_once = together(text)
        if all_at_once is None:
            await self._connection.executemany(text, rows)
        else:
            await self._connection.execute(all_at_once, *zip(*rows, strict=True))
        return []

    async def put(self, statement: Query, rows: Sequence[Sequence[object]]) -> int:
        """How many rows were written."""
        status = await self._connection.execute(statement.together, *zip(*rows, strict=True))
        return int(status.rpartition(" ")[2])

    def terminate(self) -> None:
        """Let go of it without a word."""
        self._connection.terminate()

    async def close(self) -> None:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            await self._connection.close(timeout=1)


def writers_settings(name: str, limit: timedelta) -> dict[str, str]:
    """Of a session that runs batches, each of which takes at most `limit`."""
    limit_ms = str(int(limit.total_seconds() * 1000))
    return {
        **common_settings(name),
        # A node that is frozen, or cut off, must not keep its locks.
        "statement_timeout": limit_ms,
        "idle_in_transaction_session_timeout": limit_ms,
        "lock_timeout": limit_ms,
        # Each row is looked up by its key; plans made while the tables were empty would stay.
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "jit": "off",
    }


def common_settings(name: str) -> dict[str, str]:
    return {
        "application_name": name,
        "tcp_keepalives_idle": "2",
        "tcp_keepalives_interval": "1",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "5000",
    }
