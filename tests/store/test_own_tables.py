"""The tables that a service brings along, on a database that several nodes share."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import asyncpg
from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text

from vas.store import migrate_postgres
from vas.store.own_tables import MakeTables
from vas.store.postgres_statements import PostgresStatements

NAMES = ["toy_place", "toy_word", "toy_word_by_n"]
tables = MetaData()
Table("toy_word", tables, Column("word", Text, primary_key=True), Column("n", BigInteger), Index("toy_word_by_n", "n"))
Table("toy_place", tables, Column("place", Text, primary_key=True))


async def made(url: str) -> list[str]:
    """By a node that starts."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            work = MakeTables("toy", tables, PostgresStatements())
            return sorted(await work.make(lambda text, params: connection.fetch(text, *params)))
    finally:
        await connection.close()


async def test_nodes_that_start_at_once_make_them_once(blank: str) -> None:
    await migrate_postgres.upgrade(blank)
    for _ in range(5):
        # All but the first wait for it, and what they then are told to make is there.
        assert NAMES in await asyncio.gather(*(made(blank) for _ in range(5)))
        assert await made(blank) == []
        connection = await asyncpg.connect(blank)
        await connection.execute("DROP TABLE toy_word, toy_place")
        await connection.close()


async def test_where_they_are_a_role_that_may_make_none_does_not_need_to(blank: str) -> None:
    await migrate_postgres.upgrade(blank)
    await made(blank)
    address = urlsplit(blank)
    role = address.path.strip("/")
    connection = await asyncpg.connect(blank)
    await connection.execute(f"CREATE ROLE {role} LOGIN")
    try:
        assert await made(address._replace(netloc=f"{role}@{address.netloc.rpartition('@')[2]}").geturl()) == []
    finally:
        await connection.execute(f"DROP ROLE {role}")
        await connection.close()
