"""The tables that a service brings along, on a database that several nodes share."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text

from tests.engines import Engine
from vas.store.own_tables import MakeTables
from vas.store.postgres import PostgresStore
from vas.store.postgres_statements import PostgresStatements

tables = MetaData()
Table("toy_word", tables, Column("word", Text, primary_key=True), Column("n", BigInteger), Index("toy_word_by_n", "n"))
Table("toy_place", tables, Column("place", Text, primary_key=True))
SHARED = pytest.mark.only_on("postgres", "the embedded one has one node")


def stores(url: str, number: int) -> list[PostgresStore]:
    return [PostgresStore(url, clock_ms=lambda: 0) for _ in range(number)]


@SHARED
async def test_nodes_that_start_at_once_make_them_once(folder: Path, engine: Engine) -> None:
    nodes = stores(engine.url(folder), 5)
    for node in nodes:
        await node.open()
    try:
        for attempt in range(5):
            own = MetaData()
            for table in tables.tables.values():
                copy = Table(
                    f"toy{attempt}_{table.name}",
                    own,
                    *(Column(c.name, c.type, primary_key=c.primary_key) for c in table.c),
                )
                Index(f"toy{attempt}_{table.name}_by_all", *copy.c)
            done = await asyncio.gather(*(node.commit([MakeTables(f"toy{attempt}", own, node.sql)]) for node in nodes))
            assert done == [[None]] * len(nodes)
    finally:
        for node in nodes:
            await node.close()


@SHARED
async def test_where_they_are_a_role_that_may_make_none_does_not_need_to(folder: Path, engine: Engine) -> None:
    url = engine.url(folder)
    [owner] = stores(url, 1)
    await owner.open()
    assert await owner.commit([MakeTables("toy", tables, owner.sql)]) == [None]
    await owner.close()
    role = urlsplit(url).path.strip("/") + "_guest"
    connection = await asyncpg.connect(url)
    await connection.execute(f"CREATE ROLE {role} LOGIN")
    guest = await asyncpg.connect(url.replace("postgres@", f"{role}@"))
    try:
        made = await MakeTables("toy", tables, PostgresStatements()).make(
            lambda text, params: guest.fetch(text, *params)
        )
        assert made == []
    finally:
        await guest.close()
        await connection.execute(f"DROP ROLE {role}; DROP TABLE toy_word, toy_place")
        await connection.close()
