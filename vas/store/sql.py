"""SQLAlchemy Core statements, compiled once to text for the raw driver: one source for both engines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

SQLITE: Dialect = sqlite.dialect(paramstyle="qmark")
POSTGRES: Dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]
_VALUES = re.compile(r"VALUES (\([^()]*\))")
_NUMBERED = re.compile(r"\$(\d+)")
_TYPED = re.compile(r"\$(\d+)::([A-Z]+)")
_QUOTED_OR_MARK = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\?""")


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

    @property
    def together(self) -> str:
        """PostgreSQL's text of a statement of one row, for any number: each parameter is an array, an element a row."""
        text = together(self.text)
        assert text is not None
        return text

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
    values = _VALUES.search(text)
    assert values is not None
    group = values[1]
    numbered = (
        re.sub(r"\$(\d+)", lambda number, row=row: f"${int(number[1]) + row * columns}", group) for row in range(times)
    )
    return text[: values.start(1)] + ", ".join(numbered) + text[values.end(1) :]


@lru_cache(4096)
def together(text: str) -> str | None:
    """See Query.together; None if it cannot be put so: its parameters have no types, or it is none that writes."""
    types = dict(_TYPED.findall(text))
    if not types or len(types) != len(set(_NUMBERED.findall(text))):
        return None
    numbers = sorted(types, key=int)
    rows = "unnest(" + ", ".join(f"${number}::{types[number]}[]" for number in numbers) + ")"
    if values := _VALUES.search(text):
        fits = values[1] == "(" + ", ".join(f"${number}::{types[number]}" for number in numbers) + ")"
        return " ".join((text[: values.start()] + "SELECT * FROM", rows + text[values.end() :])) if fits else None
    kind = text.partition(" ")[0]
    if kind not in ("UPDATE", "DELETE"):
        return None
    named = ", ".join(f"p{number}" for number in numbers)
    head, where, rest = _TYPED.sub(r"given.p\1", text).partition(" WHERE ")
    return f"{head} {'FROM' if kind == 'UPDATE' else 'USING'} {rows} AS given({named}){where}{rest}"


@lru_cache(4096)
def numbered(text: str) -> str:
    """A statement with `?` for its parameters as PostgreSQL has it, with $1, $2, …; those in quotes stay."""
    numbers = count(1)
    return _QUOTED_OR_MARK.sub(lambda found: f"${next(numbers)}" if found[0] == "?" else found[0], text)


def compiled(statement: Executable, dialect: Dialect = SQLITE, columns: tuple[str, ...] | None = None) -> Query:
    """Compile a statement whose values are `bindparam`s; an insert takes its table's columns in order."""
    assert isinstance(statement, ClauseElement)
    compiler = statement.compile(dialect=dialect, column_keys=columns, compile_kwargs={"render_postcompile": True})
    assert isinstance(compiler, SQLCompiler)
    names = tuple(compiler.positiontup or ())
    fixed = {name: value for name, value in compiler.params.items() if value is not None}
    return Query(compiler.string, names, fixed)
