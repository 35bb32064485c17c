"""The engines that the tests of the core, the services, the operations' API and the store run on: each on both.

A test that wants a store asks for `folder`, and runs once on each. One that is about a single engine says so:
`@pytest.mark.only_on("sqlite", "the pages of its file")`.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pytest

from vas import testing
from vas.store.postgres import PostgresStore
from vas.store.protocol import Store
from vas.store.sqlite import SqliteStore
from vas.testing import Network
from vas.testing_postgres import Databases

FOLDERS = ("admin", "callme", "core", "store")
"""Of tests/: what runs on both."""
STORES: dict[str, Any] = {"sqlite": SqliteStore, "postgres": PostgresStore}
ONLY = "only_on"
TESTS = Path(__file__).parent


GROWING = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'meta'
"""
"""The tables; what a batch writes into `meta` takes no room."""
DISK_FULL = """
    CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$
"""


WRITTEN = """
    SELECT pg_read_binary_file('pg_wal/' || name) FROM pg_ls_waldir()
    WHERE name BETWEEN pg_walfile_name(pg_current_wal_lsn() - 16000000) AND pg_walfile_name(pg_current_wal_lsn())
"""
"""More of the write-ahead log than a test writes."""


class Engine(Protocol):
    """Where networks keep what they write, each in a database that goes with its folder."""

    name: str

    def prepare(self, folder: Path) -> None:
        """Put a database with all tables there, which saves a network the migrations."""

    def forget(self) -> None:
        """All databases so far; each folder begins with an empty one again."""

    def url(self, folder: Path) -> str:
        """Of its database, as store.url takes it."""

    def make_store(self, folder: Path, clock_ms: Callable[[], int]) -> Store: ...
    def copy(self, folder: Path, to: Path) -> None:
        """What is committed now, as a power cut would leave it, into the database of another folder."""

    def look(self, folder: Path, query: str) -> list[tuple[Any, ...]]:
        """Into a database past its store: what others would see now."""

    def plan(self, folder: Path, query: str) -> list[str]:
        """The steps of a query, where there are so many rows that an index is worth while."""

    def written(self, folder: Path) -> list[bytes]:
        """Everything that the engine has put on a disk for a network that runs in this folder, with what is gone."""

    def fill(self, network: Network) -> None:
        """The disk: from now on nothing can be written, until `make_room`."""

    async def make_room(self, network: Network) -> None:
        """It can be written again when this returns."""


class Sqlite:
    """A file in the folder; `empty`: one with all tables."""

    name = "sqlite"

    def __init__(self, empty: Path) -> None:
        self._empty = empty

    def prepare(self, folder: Path) -> None:
        shutil.copy(self._empty, folder / "vas.db")

    def forget(self) -> None: ...

    def url(self, folder: Path) -> str:
        return f"sqlite:///{folder}/vas.db"

    def make_store(self, folder: Path, clock_ms: Callable[[], int]) -> Store:
        return testing.sqlite_in(folder, clock_ms)

    def copy(self, folder: Path, to: Path) -> None:
        for file in folder.glob("vas.db*"):
            if not file.name.endswith(("-shm", ".lock")):
                shutil.copy(file, to)

    def look(self, folder: Path, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(folder / "vas.db")) as connection:
            return connection.execute(query).fetchall()

    def plan(self, folder: Path, query: str) -> list[str]:
        with closing(sqlite3.connect(folder / "vas.db")) as connection:
            steps = connection.execute(f"EXPLAIN QUERY PLAN {query}", [0] * query.count("?")).fetchall()
        return [step[-1] for step in steps]

    def written(self, folder: Path) -> list[bytes]:
        assert (folder / "vas.db-wal").stat().st_size
        return [file.read_bytes() for file in folder.glob("vas.db*")]

    def fill(self, network: Network) -> None:
        self._limit(network, 1)

    async def make_room(self, network: Network) -> None:
        self._limit(network, 1_000_000)

    def _limit(self, network: Network, pages: int) -> None:
        network.node.store._connection.execute(f"PRAGMA max_page_count={pages}")  # type: ignore[attr-defined]


class Postgres:
    """A database of a server."""

    name = "postgres"

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self.url, self.make_store, self.copy = databases.url, databases.make_store, databases.copy
        self.forget = databases.give_back

    def prepare(self, folder: Path) -> None: ...

    def look(self, folder: Path, query: str) -> list[tuple[Any, ...]]:
        return self._databases.run(folder, query)

    def plan(self, folder: Path, query: str) -> list[str]:
        # A parameter would have to be given; a text in its place is of whatever type is wanted.
        explain = "EXPLAIN (COSTS OFF) " + re.sub(r"\$(\d+)", r"'\1'", query)
        avoid = [f"SET LOCAL enable_{way} = off" for way in ("seqscan", "bitmapscan", "sort")]
        steps = self._databases.run(folder, *avoid, explain)
        return [step for (step,) in steps]

    def written(self, folder: Path) -> list[bytes]:
        # Whatever comes into a table stands in the log before; a commit that waits for the disk pushes it out.
        push = "SELECT pg_logical_emit_message(true, 'test', 'push')"
        self._databases.run(folder, "SET LOCAL synchronous_commit = on", push)
        return [log for (log,) in self._databases.run(folder, WRITTEN)]

    def fill(self, network: Network) -> None:
        tables = [name for (name,) in self.look(network.folder, GROWING)]
        each = [f'CREATE TRIGGER no_room BEFORE INSERT ON "{table}" EXECUTE FUNCTION no_room()' for table in tables]
        self._databases.run(network.folder, DISK_FULL, *each)

    async def make_room(self, network: Network) -> None:
        self._databases.run(network.folder, "DROP FUNCTION no_room CASCADE")
        async with asyncio.timeout(5):
            while network.node.store.outage is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def engines_of(test: pytest.Metafunc) -> tuple[str, ...]:
    """On which engines a test runs; on none if it asks for no folder, and then it can open no store either."""
    if only := test.definition.get_closest_marker(ONLY):
        return (only.args[0],)
    return tuple(STORES) if in_folders(test.definition.path) and "folder" in test.fixturenames else ()


def in_folders(path: Path) -> bool:
    return path.relative_to(TESTS).parts[0] in FOLDERS


async def refused(store: Store) -> None:
    """Instead of `open`, where a test would run on an engine that is not its own."""
    raise AssertionError(f"no {type(store).__name__} here: let the test ask for `folder`, or mark it")
