"""SQLAlchemy Core statements, compiled once to text for the raw driver: one source for both engines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

SQLITE: Dialect = sqlite.dialect(paramstyle="qmark")
POSTGRES: Dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Query:
    """A statement's text and the names of its parameters, in the order in which the driver wants them."""

    text: str
    names: tuple[str, ...]
    fixed: dict[str, Any]
    """Values that stand in the statement itself, by parameter name."""

    def repeated(self, times: int) -> str:
        """The text of an insert of one row, for so many rows in one statement."""
        return _repeated(self.text, len(self.names), times)

    def params(self, **values: object) -> tuple[object, ...]:
        """The tuple for the driver; raises KeyError for a name that was not given."""
        given = {**self.fixed, **values}
        return tuple(given[name] for name in self.names)


class Portable:
    """A statement for whichever engine runs it: compiled once for each, when it is first asked for."""

    def __init__(self, statement: Executable, columns: tuple[str, ...] | None = None) -> None:
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, Query] = {}

    def on(self, dialect: Dialect) -> Query:
        if dialect.name not in self._compiled:
            self._compiled[dialect.name] = compiled(self._statement, dialect, self._columns)
        return self._compiled[dialect.name]


@lru_cache(4096)
def _repeated(text: str, columns: int, times: int) -> str:
    group = "(" + ", ".join("?" * columns) + ")"
    assert group in text
    return text.replace(group, ", ".join([group] * times), 1)


def compiled(statement: Executable, dialect: Dialect = SQLITE, columns: tuple[str, ...] | None = None) -> Query:
    """Compile a statement whose values are `bindparam`s; an insert takes its table's columns in order."""
    assert isinstance(statement, ClauseElement)
    compiler = statement.compile(dialect=dialect, column_keys=columns, compile_kwargs={"render_postcompile": True})
    assert isinstance(compiler, SQLCompiler)
    names = tuple(compiler.positiontup or ())
    fixed = {name: value for name, value in compiler.params.items() if value is not None}
    return Query(compiler.string, names, fixed)
