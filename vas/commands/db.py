"""`vas db`: the database brought to this version, checked, and copied."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from vas.commands import plain_errors
from vas.commands.desk import Config
from vas.errors import VasError

if TYPE_CHECKING:
    from vas.config import Settings
    from vas.store.examining import Findings

CONFIG = Path("config.toml")
SOMETHING_WRONG = 1
"""Exit status of a check."""
_MARKS = {"good": "[green]✓[/]", "note": "[yellow]•[/]", "wrong": "[bold red]✗[/]"}

db_app = typer.Typer(help="The database.", no_args_is_help=True)


@db_app.command()
def upgrade(config: Config = CONFIG) -> None:
    """Bring the tables to this version; on PostgreSQL once for all nodes, while they run.

    The embedded database needs it not: each start does it.
    """
    from vas.assembly import sqlite_file
    from vas.config import load

    with plain_errors():
        settings = load(config, os.environ)
        file = sqlite_file(settings)
        if file is None:
            asyncio.run(_upgrade_postgres(settings))
        else:
            _upgrade_sqlite(file)


@db_app.command()
def check(config: Config = CONFIG) -> None:
    """Look whether the database can keep what is promised; exit status 1, with advice, if it cannot."""
    from vas.assembly import sqlite_file
    from vas.config import load
    from vas.store.examining import examine_postgres, examine_sqlite

    with plain_errors():
        settings = load(config, os.environ)
        file = sqlite_file(settings)
        found = asyncio.run(examine_postgres(settings.store.url)) if file is None else examine_sqlite(file)
        raise typer.Exit(SOMETHING_WRONG if _show(found) else 0)


@db_app.command()
def backup(file: Annotated[Path, typer.Argument(help="The copy to make.")], config: Config = CONFIG) -> None:
    """Copy the embedded database, also while the platform runs; the copy is whole and synced when this ends."""
    from vas.assembly import sqlite_file
    from vas.config import load
    from vas.store.backup import backup

    with plain_errors():
        database = sqlite_file(load(config, os.environ))
        if database is None:
            raise VasError(
                "a PostgreSQL is copied by its own tools: pg_basebackup with an archive of the WAL keeps every "
                "acknowledged command, pg_dump only what was there when it began; see docs/operations.md"
            )
        with Console(stderr=True).status("copying …"):
            backup(database, file)
        _print(f"{file}: {file.stat().st_size:,} octets")


def _upgrade_sqlite(path: Path) -> None:
    from vas.store import migrate

    before = migrate.revision(path) if path.exists() else None
    if before is None or before < migrate.HEAD:
        asyncio.run(_open_and_close(path))
    _told(before, migrate.upgrade(path).after)


async def _open_and_close(path: Path) -> None:
    """As a start does, which brings it up to date, and is refused while another platform runs on it."""
    from vas.store.sqlite import SqliteStore

    store = SqliteStore(path, clock_ms=_now_ms)
    await store.open()
    await store.close()


async def _upgrade_postgres(settings: Settings) -> None:
    from vas.assembly import mounted_services
    from vas.store import migrate_postgres, partitions
    from vas.store.own_tables import MakeTables
    from vas.store.postgres_statements import PostgresStatements

    url = settings.store.url
    done = await migrate_postgres.upgrade(url, _print)
    _told(*done)
    connection = await migrate_postgres.connect(url)
    try:
        for mounted in mounted_services(settings):
            if mounted.service.tables is not None:
                work = MakeTables(mounted.name, mounted.service.tables, PostgresStatements())
                async with connection.transaction():
                    made = await work.make(lambda text, params: connection.fetch(text, *params))
                if made:
                    _print(f"{mounted.name}: {', '.join(made)} made")
        tended = await partitions.tend(connection, _now_ms(), keep=None)
    finally:
        await connection.close()
    days = min(tended.days_ahead.values())
    if not days:
        raise VasError("\n".join((*tended.put_off, "no table for tomorrow's messages: run it again when that is over")))
    for why in tended.put_off:
        _print(why)
    _print(f"tables for messages are made for {days} days ahead")


def _now_ms() -> int:
    return int(time.time() * 1000)


def _told(before: str | None, after: str) -> None:
    if before == after:
        _print(f"the tables are of revision {after} already")
    else:
        _print(f"the tables are of revision {after} now; {f'they were of {before}' if before else 'there were none'}")


def _show(found: Findings) -> bool:
    """Whether something is wrong."""
    from vas.store.examining import Level

    for finding in found:
        Console(highlight=False, soft_wrap=True).print(f"{_MARKS[finding.level.value]} {escape(finding.text)}")
    return any(finding.level is Level.WRONG for finding in found)


def _print(line: str) -> None:
    Console(highlight=False, soft_wrap=True).print(escape(line))
