"""What every collection of statements is built on: an engine's dialect, and the shapes that recur."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Executable, Select, Table, bindparam, delete, literal_column, select, tuple_
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Dialect

from vas.store.sql import SQLITE, Query, compiled


class Compiled:
    """Statements for one engine. A parameter's name is the column's, or `given_…` where both would clash."""

    def __init__(self, dialect: Dialect = SQLITE) -> None:
        self.dialect = dialect
        self._insert = sqlite_insert if dialect.name == "sqlite" else postgres_insert

    def _compile(self, statement: Executable) -> Query:
        return compiled(statement, self.dialect)

    def _upsert(self, table: Table, *keep: str) -> Query:
        """Insert a whole row, replacing all but its key and the columns to keep."""
        new = self._insert(table)
        keys = [column.name for column in table.primary_key]
        values = {
            column.name: new.excluded[column.name] for column in table.columns if column.name not in {*keys, *keep}
        }
        return self._compile(new.on_conflict_do_update(index_elements=keys, set_=values))

    def _delete(self, table: Table, some: Select[Any]) -> Query:
        """The rows with these keys, but for those that another node is just deleting; a row of the result for each."""
        chosen = some.with_for_update(of=table, skip_locked=True).cte("chosen")
        key = tuple_(*(table.c[column.name] for column in chosen.columns))
        return self._compile(delete(table).where(key.in_(select(*chosen.columns))).returning(literal_column("1")))

    @staticmethod
    def _one(table: Table) -> tuple[ColumnElement[bool], ...]:
        return (
            table.c.shard == bindparam("given_shard"),
            table.c.msisdn == bindparam("given_msisdn"),
            table.c.id == bindparam("given_id"),
        )
