"""The tables of a PostgreSQL: brought up to date by `vas db upgrade`, and looked at by each start."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg
from sqlalchemy import Connection, pool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import SetColumnComment, SetTableComment

from vas.config_problems import without_password
from vas.errors import StoreUnusable
from vas.store import reaching
from vas.store.migrate import HEAD, NEXT, VERSION_TABLE, Say, Upgraded, is_behind, run, unheard
from vas.store.postgres_errors import DRIVER_ERRORS, explained
from vas.store.schema import metadata

CONNECT_S = 10.0
LOCK_S = 2
"""How long a migration waits for a table: all commands wait behind it. Then it gives way, and tries again."""
PAUSE_S = 1.0
TRIES = 30
_VERSION = f"""
    CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version_num varchar(32) CONSTRAINT alembic_version_pkc PRIMARY KEY)
"""
_ONE_AT_A_TIME = f"LOCK TABLE {VERSION_TABLE} IN SHARE ROW EXCLUSIVE MODE"
_FOUND = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608
# What an extension brought along is nobody's.
_TABLES = """
    SELECT relname FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'f') AND NOT relispartition
    AND NOT EXISTS (
        SELECT 1 FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
    )
"""
_LOCKED = "55P03"
_MADE_BY_ANOTHER = {"23505", "42P07", "40P01", "XX000"}
"""Two that begin at once on an empty database both make the first table: how one of them is told so."""


async def connect(url: str) -> asyncpg.Connection[Any]:
    """Raises StoreUnusable with what is wrong and what to do about it."""
    try:
        return await reaching.connect(url, timeout=CONNECT_S)
    except (*DRIVER_ERRORS, ValueError) as error:
        raise StoreUnusable(str(explained(error, without_password(url)))) from error


async def upgrade(url: str, say: Say = unheard) -> Upgraded:
    """Create the tables, or add what this version has new, while nodes work; two at once do it once.

    Raises StoreUnusable, with everything left alone: a newer version's, not the platform's, no right to, always busy.
    """
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: connect(url), poolclass=pool.NullPool)
    for _ in range(TRIES):
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(_upgrade, without_password(url), say)
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if state == _LOCKED:
                say("a table is in use by a long transaction; trying again")
            elif state not in _MADE_BY_ANOTHER:
                raise StoreUnusable(f"{without_password(url)}: {_plain(error)}") from error
        await asyncio.sleep(PAUSE_S)
    raise StoreUnusable(
        f"{without_password(url)}: a table is always in use: look in pg_stat_activity for a transaction that stays open"
    )


def _upgrade(connection: Connection, where: str, say: Say) -> Upgraded:
    connection.execute(text(_VERSION))
    connection.execute(text(_ONE_AT_A_TIME))
    found = connection.execute(text(_FOUND)).scalar()
    tables = connection.execute(text(_TABLES)).scalars().all()
    if not is_behind(found, tables, where):
        assert found is not None
        return Upgraded(found, found)
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_S}s'"))
    run(connection, say)
    for table in metadata.tables.values():
        connection.execute(SetTableComment(table))
        for column in table.columns:
            connection.execute(SetColumnComment(column))
    return Upgraded(found, HEAD)


def _plain(error: DBAPIError) -> str:
    """What the server said, and what to do about it where that is known."""
    said = str(error.orig).partition(": ")[2] or str(error.orig)
    if "permission denied for schema" in said:
        return f"{said}: make the role the owner of the database, or GRANT CREATE ON SCHEMA to it"
    return said


async def accept(connection: asyncpg.Connection[Any], where: str) -> str:
    """The revision that the tables have, if this version can work on it; changes nothing.

    Raises StoreUnusable with what to do about it. `where` names the database to people.
    """
    found = None
    with suppress(asyncpg.UndefinedTableError):
        found = await connection.fetchval(_FOUND)
    tables = [row[0] for row in await connection.fetch(_TABLES)]
    if is_behind(found, tables, where):
        has = f"its tables are of revision {found}, and this version needs {HEAD}" if found else "it has no tables yet"
        raise StoreUnusable(f"{where}: {has}: run `vas db upgrade`, once for all nodes")
    assert found in (HEAD, NEXT)
    return str(found)
