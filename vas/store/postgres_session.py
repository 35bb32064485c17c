"""One connection to the shared engine, as batches use it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
from sqlalchemy import Table

from vas.store import reaching
from vas.store.sql import Query, numbered, together

CONNECT_S = 2.0
_STATEMENTS = 1000
"""Prepared in one session."""


class Session:
    """Statements in the dialect of either engine's services, set-wise where there are many rows."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self.connection = connection

    @property
    def closed(self) -> bool:
        return bool(self.connection.is_closed())

    @property
    def pid(self) -> int:
        """Of the server's process that notifications come from."""
        return int(self.connection.get_server_pid())

    async def script(self, texts: Iterable[str]) -> str:
        """Statements without parameters or results, in one round trip; the status of the last one."""
        text = "; ".join(texts)
        return str(await self.connection.execute(text)) if text else ""

    async def fetch(self, text: str, params: Sequence[object] = ()) -> list[Any]:
        rows: list[Any] = await self.connection.fetch(numbered(text), *map(storable, params))
        return rows

    async def many(self, text: str, rows: Sequence[Sequence[object]]) -> list[Any]:
        """A statement once a row."""
        text = numbered(text)
        all_at_once = together(text)
        if all_at_once is None:
            await self.connection.executemany(text, [[*map(storable, row)] for row in rows])
        else:
            await self.connection.execute(all_at_once, *_columns(rows))
        return []

    async def put(self, statement: Query, rows: Sequence[Sequence[object]]) -> int:
        """How many rows were written."""
        status = await self.connection.execute(statement.together, *_columns(rows))
        return int(status.rpartition(" ")[2])

    async def copy(self, table: Table, rows: Sequence[Sequence[object]]) -> None:
        """Insert whole rows of which none can be there: by COPY, which costs both sides half."""
        if not all(map(_is_storable, zip(*rows, strict=True))):
            rows = [[*map(storable, row)] for row in rows]
        await self.connection.copy_records_to_table(table.name, records=rows, columns=table.columns.keys())

    async def commit(self, texts: Iterable[str], until_s: float) -> str:
        """As `script`, but not cancelled: the server would take that for an order to end a COMMIT half done.

        Past `until_s`, of the event loop's clock, the connection is let go of, and TimeoutError raised.
        """
        committing = asyncio.ensure_future(self.script(texts))
        await asyncio.wait([committing], timeout=until_s - asyncio.get_running_loop().time())
        if committing.done():
            return committing.result()
        committing.add_done_callback(lambda ended: ended.exception())
        self.terminate()
        raise TimeoutError

    def terminate(self) -> None:
        """Let go of it without a word."""
        self.connection.terminate()

    async def close(self) -> None:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await self.connection.close(timeout=CONNECT_S)


def storable(value: object) -> object:
    """What PostgreSQL can hold: no text with a NUL, which a phone may send, or with half a surrogate pair."""
    if not isinstance(value, str) or ("\0" not in value and (value.isascii() or _encodable(value))):
        return value
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _columns(rows: Sequence[Sequence[object]]) -> Iterator[Sequence[object]]:
    for column in zip(*rows, strict=True):
        yield column if _is_storable(column) else [*map(storable, column)]


def _is_storable(column: Sequence[object]) -> bool:
    """Seen at once for numbers, and for texts when they are put together."""
    if not isinstance(column[0], str) and column[0] is not None:
        return True
    text = "".join([value for value in column if isinstance(value, str)])
    return storable(text) is text


async def connect(url: str, name: str, limit: timedelta) -> Session:
    """For batches, each of which takes at most `limit`; the primary, where the URL names several servers."""
    limit_ms = str(int(limit.total_seconds() * 1000))
    settings = {
        # Two nodes that each wait for the other are found out before the time of the batch is over.
        "lock_timeout": str(int(limit.total_seconds() * 250)),
        # A node that is frozen or cut off must not keep its locks.
        "statement_timeout": limit_ms,
        "idle_in_transaction_session_timeout": limit_ms,
        # Each row is looked up by its key; else plans that were made while the tables were empty would stay.
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "jit": "off",
    }
    connection = await reaching.connect(
        url, timeout=CONNECT_S, statement_cache_size=_STATEMENTS, max_cached_statement_lifetime=0,
        server_settings=common_settings(name) | settings,
    )  # fmt: skip
    return Session(connection)


def common_settings(name: str) -> dict[str, str]:
    """Of every session. `name` is what an administrator sees; the server lets go of a peer that is not heard of."""
    return {
        "application_name": name,
        "tcp_keepalives_idle": "2",
        "tcp_keepalives_interval": "1",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "5000",
    }
