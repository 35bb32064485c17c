"""Bring a database to this version's tables, by Alembic; migrations only add.

The embedded database is brought there by a start; a PostgreSQL only by `vas db upgrade`, while the nodes that share
it run: a version works on its own tables and on the next version's, so that nodes can be replaced one by one.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, create_engine, pool

from vas.errors import StoreUnusable
from vas.store.schema import metadata

HEAD = "0004"
"""The revision that this version of the platform makes; revisions are numbers of four digits."""
NEXT = f"{int(HEAD) + 1:04}"
"""The next version's, on which this one works too."""
VERSION_TABLE = "alembic_version"

Say = Callable[[str], None]
"""Is told a line of each step."""


class Upgraded(NamedTuple):
    before: str | None
    """The revision that was found; None: an empty database."""
    after: str


def unheard(_: str) -> None:
    """For who wants to hear of no step."""


def upgrade(path: Path, say: Say = unheard) -> Upgraded:
    """Create the tables, or add what this version has new, in a SQLite file.

    Raises StoreUnusable, with everything left alone, if they are of a newer version or not the platform's.
    """
    found = revision(path)
    if is_behind(found, _tables(path), str(path)):
        with create_engine(f"sqlite:///{path}", poolclass=pool.NullPool).connect() as connection:
            run(connection, say)
        return Upgraded(found, HEAD)
    assert found is not None
    return Upgraded(found, found)


def revision(path: Path) -> str | None:
    """The revision of a SQLite file's tables; None if it has none yet."""
    connection = sqlite3.connect(path)
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (VERSION_TABLE,)).fetchone():
            return None
        row = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608
        return str(row[0]) if row else None
    finally:
        connection.close()


def _tables(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    finally:
        connection.close()
    return [str(name) for (name,) in rows]


def is_behind(found: str | None, tables: Iterable[str], where: str) -> bool:
    """Whether migrations are to be run on a database of this revision that holds these tables.

    Raises StoreUnusable if it is not the platform's, or if this version is too old for it. `where` names it to people.
    """
    others = sorted({*tables} - {VERSION_TABLE})
    if others if found is None else not _is_ours(found, others):
        named = [table for table in others if table not in metadata.tables][:3] or [VERSION_TABLE]
        raise StoreUnusable(
            f"{where}: it holds tables that are not the platform's ({', '.join(named)}): "
            "give the platform a store.url of its own"
        )
    if found is not None and found > NEXT:
        raise StoreUnusable(
            f"{where}: its tables are of revision {found}, newer than this version knows ({HEAD}): "
            "run the newer version, or restore a backup made before it"
        )
    return found is None or found < HEAD


def _is_ours(found: str, tables: list[str]) -> bool:
    return len(found) == len(HEAD) and found.isdigit() and {"inbox", "outbox"} <= {*tables} & metadata.tables.keys()


def run(connection: Connection, say: Say, to: str = HEAD) -> None:
    """The migrations that the database on this connection lacks; in the caller's transaction if it has begun one."""
    # Its import already logs a line for each of its own plugins.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Alembic takes a third of a second to import, so only who needs it waits for it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes.update(connection=connection, say=say)
    command.upgrade(config, to)
