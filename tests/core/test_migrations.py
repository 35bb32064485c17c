"""The tables that migrations make are those that the statements are built from; and copies of them."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tests.core.toys import CODE, LAN, LAN_NUMBER, Toy, noted, purse, rows
from vas import Context, Reply, Service
from vas.errors import StoreError, StoreUnusable
from vas.store import migrate
from vas.store.ids import shard_of
from vas.store.schema import metadata
from vas.testing import MORNING, Network


def noting(service: Service) -> None:
    @service.sms("NOTE {x}")
    async def note(ctx: Context, x: str) -> Reply:
        await ctx.change(ctx.sender, noted, x)
        return ctx.reply("done", x=x)


def test_the_migrations_make_exactly_the_tables_of_the_schema(empty_database: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{empty_database}")
    with engine.connect() as connection:
        opts = {"compare_type": True, "compare_server_default": True, "include_object": _of_sqlite}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def _of_sqlite(item: object, name: str | None, *_: object) -> bool:
    return name != "seen_key"


def test_the_schema_is_what_a_new_database_would_get(empty_database: Path, tmp_path: Path) -> None:
    """Also what a comparison does not look at: tables without a rowid, partial indexes."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'new.db'}")
    metadata.create_all(engine)
    engine.dispose()
    assert _shape(empty_database) == _shape(tmp_path / "new.db")


def _shape(path: Path) -> dict[str, object]:
    connection = sqlite3.connect(path)
    listed = connection.execute("PRAGMA table_list").fetchall()
    tables = {row[1]: row[4:] for row in listed if not row[1].startswith(("sqlite_", "alembic_"))}
    indexes = {
        name: " ".join(sql.replace('"', "").split())
        for name, sql in connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL")
    }
    connection.close()
    return {**tables, **indexes}


def test_an_upgrade_of_what_is_new_already_changes_nothing(empty_database: Path) -> None:
    before = empty_database.read_bytes()
    migrate.upgrade(empty_database)
    assert empty_database.read_bytes() == before
    assert migrate.revision(empty_database) == migrate.HEAD


@pytest.mark.only_on("sqlite", "there is no PostgreSQL of that version")
async def test_a_database_of_the_version_before_is_brought_up_to_date_with_all_that_is_in_it(
    toy: Toy, tmp_path: Path
) -> None:
    """A message that waits there leaves here, and what came is still told."""
    service, folder = toy.service(), tmp_path / "old"
    noting(service)
    folder.mkdir()
    old_database(folder / "vas.db")
    async with toy.network(service, folder=folder) as network:
        await network.settled()
        assert network.phone(LAN).texts == ["from before"]
        assert await rows(network, "SELECT text, parts FROM inbox") == [("NOTE old", 1)]
        assert await network.phone(LAN).text("NOTE new", CODE) == "done new"
    assert migrate.revision(folder / "vas.db") == migrate.HEAD


def old_database(path: Path) -> None:
    """What revision 0001 would have left: a command, and its answer that has not left."""
    with sa.create_engine(f"sqlite:///{path}").connect() as old:
        migrate.run(old, migrate.unheard, to="0001")
    shard, digits, now_ms = shard_of(LAN_NUMBER.digits), LAN_NUMBER.digits, int(MORNING.timestamp() * 1000)
    came = (shard, digits, 1, "sms", "test", 1, 1, now_ms, CODE, "NOTE old", "toy", "note", "", "answered", "done")
    goes = (shard, digits, 2, 1, digits, "toy", "sms", CODE, "test", "from before", "done", b"", "", False, True)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"INSERT INTO inbox VALUES ({', '.join('?' * 17)})", (*came, b"[]", 0))  # noqa: S608
        connection.execute(
            f"INSERT INTO outbox VALUES ({', '.join('?' * 26)})",  # noqa: S608
            (*goes, now_ms, now_ms + 60_000, now_ms, "queued", 0, 0, "", None, None, 0, ""),
        )


@pytest.mark.only_on("sqlite", "tests/store/test_shared_migrations.py has the others")
async def test_a_database_of_a_newer_version_is_refused_and_left_alone(toy: Toy) -> None:
    path = toy.folder / "vas.db"
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    network = toy.network(toy.service())
    with pytest.raises(StoreUnusable) as refused:
        await network.__aenter__()
    await network.node.stop()
    assert "9999" in str(refused.value)
    assert "run the newer version" in str(refused.value)
    assert path.read_bytes() == before


@pytest.mark.only_on("sqlite", "tests/store/test_shared_migrations.py has the others")
async def test_a_database_of_the_next_version_is_worked_on_so_that_one_can_go_back(toy: Toy) -> None:
    service = toy.service()
    noting(service)
    with contextlib.closing(sqlite3.connect(toy.folder / "vas.db")) as connection, connection:
        for table in metadata.tables:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN of_the_next_version TEXT NOT NULL DEFAULT 'x'")
        connection.execute("UPDATE alembic_version SET version_num = ?", (migrate.NEXT,))
    async with toy.network(service) as network:
        assert await network.phone(LAN).text("NOTE x", CODE) == "done x"
    assert migrate.revision(toy.folder / "vas.db") == migrate.NEXT


def test_the_migrations_of_somebody_else_are_not_taken_for_ours(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num)")
        connection.execute("CREATE TABLE users (id)")
        connection.execute("INSERT INTO alembic_version VALUES ('0001')")
    with pytest.raises(StoreUnusable, match="users"):
        migrate.upgrade(path)


@pytest.mark.only_on("sqlite", "the other one is shared")
async def test_a_second_platform_on_one_database_is_refused(toy: Toy) -> None:
    async with toy.network(toy.service()):
        second = toy.network(toy.service())
        with pytest.raises(StoreUnusable, match="another platform runs"):
            await second.__aenter__()
        await second.node.stop()


def file_modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


@pytest.mark.only_on("sqlite", "the mode of its files")
async def test_only_its_owner_reads_a_database_and_its_backup(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        await network.node.store.backup(tmp_path / "copy.db")
        modes = file_modes(tmp_path)
        assert {"vas.db", "vas.db-wal", "copy.db"} <= modes.keys()
        assert set(modes.values()) == {0o600}


@pytest.mark.only_on("sqlite", "a PostgreSQL is backed up by its own tools")
async def test_a_backup_of_a_running_platform_is_whole_and_can_be_run(toy: Toy) -> None:
    service = toy.service()
    noting(service)
    copy = toy.folder / "backup"
    copy.mkdir()
    async with toy.network(service) as network:
        lan = network.phone(LAN)
        await lan.text("NOTE before", CODE)
        texts = [asyncio.create_task(lan.text(f"NOTE {number}", CODE)) for number in range(5)]
        await network.node.store.backup(copy / "vas.db")
        await asyncio.gather(*texts)
        async with toy.network(service, folder=copy) as restored:
            notes = (await purse(restored)).notes
            assert notes[0] == "before"
            assert notes == (await purse(network)).notes[: len(notes)]
            assert await rows(restored, "PRAGMA integrity_check") == [("ok",)]
            await restored.settled()
            assert await restored.phone(LAN).text("NOTE after", CODE) == "done after"


@pytest.mark.only_on("sqlite", "a PostgreSQL is backed up by its own tools")
async def test_a_backup_never_overwrites(toy: Toy) -> None:
    async with toy.network(toy.service()) as network:
        (toy.folder / "there").write_text("precious")
        with pytest.raises(StoreError, match="exists already"):
            await network.node.store.backup(toy.folder / "there")
        assert (toy.folder / "there").read_text() == "precious"


def test_tables_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customers (name)")
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match="customers"):
        migrate.upgrade(path)
    assert path.read_bytes() == before


def test_what_alembic_says_of_itself_is_not_among_the_logs(tmp_path: Path) -> None:
    words = (
        "import logging, pathlib, sys; logging.basicConfig(level=logging.INFO);"
        "from vas.store import migrate; migrate.upgrade(pathlib.Path(sys.argv[1]))"
    )
    ran = subprocess.run(  # in a process of its own, since Alembic speaks when it is imported
        [sys.executable, "-c", words, str(tmp_path / "vas.db")], capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
