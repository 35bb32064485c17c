"""A service's own tables: made at the start, or by `vas db upgrade`, if they are not there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from vas.errors import ServiceError
from vas.store.sql import SQLITE
from vas.store.statements import Statements
from vas.unit import Batch

Execute = Callable[[str, Sequence[object]], Awaitable[list[Any]]]
ONE_AT_A_TIME = "own_tables"
"""The row of `meta` that who makes tables holds, for two who make the same ones at once would both fail."""
_IS_THERE = {
    "sqlite": "SELECT 1 FROM sqlite_master WHERE name = ?",
    "postgresql": "SELECT 1 WHERE to_regclass($1) IS NOT NULL",
}


def statements(service: str, tables: MetaData, dialect: Dialect = SQLITE) -> Iterator[tuple[str, str]]:
    """The names of the tables and indexes, each with what makes it if it is missing, and else leaves it alone.

    Raises ServiceError for a name that does not begin with the service's own, since it could be another's.
    """
    for table in tables.sorted_tables:
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        for name in (table.name, *(str(index.name) for index in indexes)):
            if not name.startswith(f"{service}_"):
                raise ServiceError(f"{service}: call the table or index {name!r} {service}_{name}")
        yield table.name, str(CreateTable(table, if_not_exists=True).compile(dialect=dialect))
        for index in indexes:
            yield str(index.name), str(CreateIndex(index, if_not_exists=True).compile(dialect=dialect))


class MakeTables:
    """The work that makes a service's tables; where all are there, it needs no right to make any."""

    def __init__(self, service: str, tables: MetaData, sql: Statements) -> None:
        self._sql = sql
        self._statements = dict(statements(service, tables, sql.dialect))

    async def run(self, batch: Batch) -> None:
        await self.make(batch.execute)

    async def make(self, execute: Execute) -> list[str]:
        """Those that were missing, in the caller's transaction, in which `execute` runs a statement."""
        is_there = _IS_THERE[self._sql.dialect.name]
        missing = [name for name in self._statements if not await execute(is_there, (name,))]
        if missing:
            await execute(self._sql.put_meta.text, (ONE_AT_A_TIME, b""))
        for name in missing:
            await execute(self._statements[name], ())
        return missing
