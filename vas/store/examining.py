"""`vas db check`: whether a database can keep what the platform promises; nothing is changed."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from vas.config_problems import without_password
from vas.errors import StoreUnusable
from vas.store import migrate, migrate_postgres, partitions
from vas.store.postgres_errors import DRIVER_ERRORS, explained
from vas.store.schema import metadata

OLDEST_SERVER = 14
"""The oldest PostgreSQL that it may run on; tried with 18."""
CLOCKS_APART_S = 1.0
NODE_CONNECTIONS = 8
"""Of one node, at most."""
LITTLE_ROOM = 1 << 30
"""Octets left on a disk."""
_LOSING = {
    "fsync": "a crash of the machine destroys the database",
    "full_page_writes": "a crash of the machine can destroy the database",
    "synchronous_commit": "a crash forgets what was acknowledged in the last moments",
}
_SETTINGS = "SELECT current_setting($1)"
_UNREADABLE = """
    SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = ANY($1::text[])
    AND NOT (
        SELECT bool_and(has_table_privilege(oid, needed))
        FROM unnest('{SELECT, INSERT, UPDATE, DELETE}'::text[]) AS needed
    ) ORDER BY 1
"""
_OTHERS_LOGS = """
    SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = ANY($1::text[])
    AND NOT pg_has_role(relowner, 'USAGE') ORDER BY 1
"""
_ROOM = """
    SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
"""


class Level(Enum):
    GOOD = "good"
    NOTE = "note"
    WRONG = "wrong"


class Finding(NamedTuple):
    level: Level
    text: str
    """What was found and, if it is wrong, what to do."""


Findings = list[Finding]


async def examine_postgres(url: str, clock_s: Callable[[], float] = time.time) -> Findings:
    """All that can be found out with the right of the role in the URL."""
    where = without_password(url)
    try:
        connection = await migrate_postgres.connect(url)
    except StoreUnusable as error:
        return [Finding(Level.WRONG, str(error))]
    try:
        found = [await _server(connection, where)]
        try:
            revision = await migrate_postgres.accept(connection, where)
        except StoreUnusable as error:
            return [*found, Finding(Level.WRONG, str(error))]
        found.append(_revision(revision))
        for question in (_partitions, _privileges, _settings, _clock, _room):
            found += await question(connection, clock_s)
        return found
    except DRIVER_ERRORS as error:
        return [Finding(Level.WRONG, str(explained(error, where)))]
    finally:
        connection.terminate()


def _revision(found: str) -> Finding:
    newer = " of the next version" if found == migrate.NEXT else ""
    return Finding(Level.GOOD, f"its tables are of revision {found}{newer}")


async def _server(connection: asyncpg.Connection[Any], where: str) -> Finding:
    version = connection.get_server_version()
    if version.major < OLDEST_SERVER:
        return Finding(
            Level.WRONG, f"{where}: PostgreSQL {version.major} is too old: {OLDEST_SERVER} or newer is needed"
        )
    return Finding(Level.GOOD, f"{where} is reached, PostgreSQL {version.major}.{version.micro}")


async def _partitions(connection: asyncpg.Connection[Any], clock_s: Callable[[], float]) -> Findings:
    found = []
    ahead = await partitions.days_ahead(connection, int(clock_s() * 1000))
    for log, days in ahead.items():
        if days < 1:
            found.append(Finding(Level.WRONG, f"{log}: no table for tomorrow is made: run `vas db upgrade`"))
        else:
            found.append(Finding(Level.GOOD, f"{log}: tables are made for {days} days ahead"))
        if await connection.fetchval(f"SELECT 1 FROM {log}_rest LIMIT 1"):  # noqa: S608
            text = f"{log}_rest has rows of days for which no table was made: they go with their age, row by row"
            found.append(Finding(Level.NOTE, text))
    return found


async def _privileges(connection: asyncpg.Connection[Any], _: Callable[[], float]) -> Findings:
    role = await connection.fetchval("SELECT current_user")
    found = []
    if closed := [row[0] for row in await connection.fetch(_UNREADABLE, list(metadata.tables))]:
        text = f"{role} may not read and write {', '.join(closed)}: make it the owner, or GRANT it all four"
        found.append(Finding(Level.WRONG, text))
    if others := [row[0] for row in await connection.fetch(_OTHERS_LOGS, partitions.LOGS)]:
        text = (
            f"{role} does not own {' and '.join(others)}: nodes can make no tables for new days: make it the owner, "
            "or run `vas db upgrade` as the owner once a day"
        )
        found.append(Finding(Level.NOTE, text))
    return found or [Finding(Level.GOOD, f"{role} may do all that a node does")]


async def _settings(connection: asyncpg.Connection[Any], _: Callable[[], float]) -> Findings:
    found = []
    for name, loss in _LOSING.items():
        if await connection.fetchval(_SETTINGS, name) == "off":
            found.append(Finding(Level.WRONG, f"{name} = off: {loss}: set it to on"))
    if await connection.fetchval(_SETTINGS, "autovacuum") == "off":
        found.append(Finding(Level.WRONG, "autovacuum = off: the tables grow without end: set it to on"))
    if (encoding := await connection.fetchval(_SETTINGS, "server_encoding")) != "UTF8":
        found.append(Finding(Level.WRONG, f"its encoding is {encoding}: make the database anew with ENCODING 'UTF8'"))
    found = found or [Finding(Level.GOOD, "what is committed is on its disk")]
    if not await connection.fetchval(_SETTINGS, "synchronous_standby_names"):
        text = "no standby is synchronous: a failover can lose the last moments; of one server, a lost disk loses all"
        found.append(Finding(Level.NOTE, text))
    return found


async def _clock(connection: asyncpg.Connection[Any], clock_s: Callable[[], float]) -> Findings:
    """What the way took counts for neither side."""
    before_s = clock_s()
    theirs_s = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
    after_s = clock_s()
    apart_s = max(before_s - theirs_s, theirs_s - after_s, 0.0)
    if apart_s > CLOCKS_APART_S:
        text = f"its clock and this machine's are {apart_s:,.1f} s apart: synchronise both (chrony, systemd-timesyncd)"
        return [Finding(Level.WRONG, text)]
    return [Finding(Level.GOOD, f"its clock and this machine's agree within {apart_s + after_s - before_s:.3f} s")]


async def _room(connection: asyncpg.Connection[Any], _: Callable[[], float]) -> Findings:
    free = int(await connection.fetchval(_ROOM))
    if free < NODE_CONNECTIONS:
        text = f"{free} connections are free, and a node takes up to {NODE_CONNECTIONS}: raise max_connections"
        return [Finding(Level.WRONG, text)]
    return [Finding(Level.GOOD, f"its free connections are enough for {free // NODE_CONNECTIONS} more nodes")]


def examine_sqlite(path: Path) -> Findings:
    """Of a file that may be in use."""
    if not path.exists():
        return [Finding(Level.WRONG, f"{path}: no such database: `vas run` makes it, or `vas db upgrade`")]
    try:
        revision = migrate.revision(path)
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            broken = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error as error:
        return [Finding(Level.WRONG, f"{path}: {error}: restore a backup")]
    found = [Finding(Level.GOOD, f"{path} can be read, {path.stat().st_size:,} octets")]
    if broken != "ok":
        found.append(Finding(Level.WRONG, f"it is damaged ({broken.splitlines()[-1]}): restore a backup"))
    if revision is None or revision < migrate.HEAD:
        text = f"its tables are of revision {revision or 'none'}: the next start brings them to {migrate.HEAD}"
        found.append(Finding(Level.NOTE, text))
    elif revision > migrate.NEXT:
        found.append(Finding(Level.WRONG, f"its tables are of revision {revision}: run the newer version"))
    else:
        found.append(_revision(revision))
    free = shutil.disk_usage(path.parent).free
    room = Finding(Level.GOOD, f"{free >> 20:,} MiB are free on its disk")
    return [*found, room if free >= LITTLE_ROOM else Finding(Level.WRONG, f"{room.text}: make room")]
