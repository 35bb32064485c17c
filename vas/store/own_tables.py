"""A service's own tables: made at the start if they are not there."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import MetaData
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from vas.errors import ServiceError
from vas.store.sql import SQLITE


def statements(service: str, tables: MetaData, dialect: Dialect = SQLITE) -> Iterator[str]:
    """What makes the tables and indexes that are missing, and leaves the others alone.

    Raises ServiceError for a name that does not begin with the service's own, since it could be another's.
    """
    for table in tables.sorted_tables:
        for name in (table.name, *(str(index.name) for index in table.indexes)):
            if not name.startswith(f"{service}_"):
                raise ServiceError(f"{service}: call the table or index {name!r} {service}_{name}")
        yield str(CreateTable(table, if_not_exists=True).compile(dialect=dialect))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index, if_not_exists=True).compile(dialect=dialect))
