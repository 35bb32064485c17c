"""What a checker reads of a platform's database, whichever engine keeps it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import asyncpg

_READ_WITHIN_S = 30.0


class Rows(Protocol):
    """A database, read from outside while the platform may be using it."""

    async def query(self, text: str) -> list[tuple[Any, ...]]:
        """The rows of a SELECT that both engines understand."""


class SqliteRows:
    def __init__(self, file: Path) -> None:
        self._file = file

    async def query(self, text: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)) as connection:
            connection.execute("PRAGMA query_only=ON")
            return connection.execute(text).fetchall()


class PostgresRows:
    """By a way of its own to the server, whatever stands between the server and the platform."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def query(self, text: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self._url, timeout=_READ_WITHIN_S)
        try:
            return [tuple(row) for row in await connection.fetch(text, timeout=_READ_WITHIN_S)]
        finally:
            await connection.close()

    async def run(self, *statements: str) -> None:
        """What the checker needs to be kept, such as a history."""
        connection = await asyncpg.connect(self._url, timeout=_READ_WITHIN_S)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()
