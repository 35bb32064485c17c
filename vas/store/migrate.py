"""Bring a database to this version's tables, by Alembic; migrations only add."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from vas.errors import StoreUnusable

HEAD = "0004"
"""The revision that this version of the platform writes."""


def upgrade(path: Path) -> None:
    """Create the tables, or add what this version has new; raises StoreUnusable if they are of a newer version."""
    found = revision(path)
    if found == HEAD:
        return
    if found is None and (foreign := _tables(path)):
        raise StoreUnusable(
            f"{path}: it holds tables that are not the platform's ({', '.join(foreign[:3])}): "
            "give the platform a store.url of its own"
        )
    # Its import already logs a line for each of its own plugins.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Alembic takes a third of a second to import, so only who needs it waits for it.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["url"] = f"sqlite:///{path}"
    if found is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(found)
        except CommandError:
            raise StoreUnusable(
                f"{path}: its tables are of revision {found}, newer than this version knows ({HEAD}): "
                "run the newer version, or restore a backup made before it"
            ) from None
    command.upgrade(config, "head")


def _tables(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    finally:
        connection.close()
    return [str(name) for (name,) in rows]


def revision(path: Path) -> str | None:
    """The revision of a database's tables; None if it has none yet."""
    connection = sqlite3.connect(path)
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None
    finally:
        connection.close()
