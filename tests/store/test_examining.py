"""`vas db check` finds what would break the promises, and says what to do; `vas db upgrade` mends what it can."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from tests.postgres import Server
from vas.__main__ import app
from vas.store import migrate, migrate_postgres, partitions
from vas.store.examining import Findings, Level, examine_postgres, examine_sqlite

ROOT = Path(__file__).parents[2]


def wrong(found: Findings) -> list[str]:
    return [text for level, text in found if level is Level.WRONG]


def notes(found: Findings) -> list[str]:
    return [text for level, text in found if level is Level.NOTE]


async def ready(url: str) -> None:
    await migrate_postgres.upgrade(url)
    connection = await asyncpg.connect(url)
    await partitions.tend(connection, int(time.time() * 1000), None)
    await connection.close()


@pytest.fixture(scope="module")
def durable() -> Iterator[Server]:
    """Whose settings keep what they are told."""
    with Server(fsync=True) as server:
        yield server


async def test_nothing_is_wrong_with_a_durable_server_that_was_upgraded(durable: Server) -> None:
    url = durable.create("good")
    await ready(url)
    found = await examine_postgres(url)
    assert wrong(found) == []
    assert notes(found) == [
        "no standby is synchronous: a failover can lose the last moments; of one server, a lost disk loses all"
    ]


async def test_settings_that_lose_what_was_committed_are_wrong(blank: str) -> None:
    await ready(blank)
    named = {text.partition(" = off")[0] for text in wrong(await examine_postgres(blank))}
    assert named == {"fsync", "full_page_writes", "synchronous_commit"}


async def test_clocks_that_differ_are_wrong_by_how_much(durable: Server) -> None:
    url = durable.create("clocks")
    await ready(url)
    assert wrong(await examine_postgres(url, lambda: time.time() + 0.5)) == []
    [text] = wrong(await examine_postgres(url, lambda: time.time() - 60))
    assert text.startswith("its clock and this machine's are 60.0 s apart: synchronise both")


async def test_days_that_nobody_made_are_wrong_and_rows_without_a_day_are_noted(durable: Server) -> None:
    url = durable.create("days")
    await migrate_postgres.upgrade(url)
    connection = await asyncpg.connect(url)
    columns = "shard, msisdn, id, kind, account, session, ordinal, received_ms, sent_to, text, service, handler, why"
    await connection.execute(
        f"INSERT INTO inbox ({columns}, result, reply, steps) "  # noqa: S608
        "VALUES (1, '84', 1, '', '', 1, 1, 1, '', '', '', '', '', '', '', '')"
    )
    await connection.close()
    found = await examine_postgres(url)
    assert wrong(found) == [f"{log}: no table for tomorrow is made: run `vas db upgrade`" for log in partitions.LOGS]
    assert "inbox_rest has rows of days" in notes(found)[0]


async def test_a_role_without_its_rights_is_told_which_it_lacks(durable: Server) -> None:
    url = durable.create("rights")
    await ready(url)
    durable.sql(
        "CREATE ROLE guest LOGIN", "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO guest",
        "REVOKE DELETE ON seen FROM guest", database="rights",
    )  # fmt: skip
    found = await examine_postgres(url.replace("postgres@", "guest@"))
    assert wrong(found) == ["guest may not read and write seen: make it the owner, or GRANT it all four"]
    assert any("does not own inbox and outbox" in text for text in notes(found))


async def test_tables_of_another_version_and_a_server_that_is_not_there_are_wrong(blank: str) -> None:
    [text] = wrong(await examine_postgres(blank))
    assert "run `vas db upgrade`, once for all nodes" in text
    [text] = wrong(await examine_postgres("postgresql://vas:geheim@127.0.0.1:1/vas"))
    assert "check that it runs" in text
    assert "geheim" not in text


async def test_too_few_connections_are_wrong() -> None:
    with Server(fsync=True, options={"max_connections": "10"}) as small:
        url = small.create("small")
        await ready(url)
        assert ["raise max_connections" in text for text in wrong(await examine_postgres(url))] == [True]


def test_an_embedded_database_is_whole_or_damaged_or_not_there(empty_database: Path, tmp_path: Path) -> None:
    assert wrong(examine_sqlite(empty_database)) == []
    assert "no such database" in wrong(examine_sqlite(tmp_path / "vas.db"))[0]
    damaged = tmp_path / "damaged.db"
    octets = bytearray(empty_database.read_bytes())
    octets[4096 * 3 : 4096 * 4] = bytes(4096)
    damaged.write_bytes(octets)
    assert "restore a backup" in wrong(examine_sqlite(damaged))[0]
    damaged.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    assert "restore a backup" in wrong(examine_sqlite(damaged))[0]


def test_an_embedded_database_of_another_version_is_noted_or_wrong(tmp_path: Path) -> None:
    path = tmp_path / "vas.db"
    migrate.upgrade(path)
    for revision, level in (("0003", Level.NOTE), (migrate.NEXT, Level.GOOD), ("0042", Level.WRONG)):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        assert [found.level for found in examine_sqlite(path) if revision in found.text] == [level]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Whose store.url a test sets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAS_CONFIG", str(ROOT / "config.toml"))
    return monkeypatch


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["db", *arguments])
    return done.exit_code, done.output


def test_the_commands_upgrade_and_check_a_postgresql(durable: Server, settings: pytest.MonkeyPatch) -> None:
    settings.setenv("VAS_STORE__URL", durable.create("commands"))
    status, said = run("check")
    assert (status, "run `vas db upgrade`" in said) == (1, True)
    status, said = run("upgrade")
    assert status == 0
    assert f"the tables are of revision {migrate.HEAD} now; there were none" in said
    assert "tables for messages are made for 7 days ahead" in said
    status, said = run("upgrade")
    assert (status, f"of revision {migrate.HEAD} already" in said) == (0, True)
    assert run("check")[0] == 0
    status, said = run("backup", "copy")
    assert (status, "pg_basebackup" in said) == (2, True)


@pytest.mark.only_on("sqlite", "its commands")
def test_the_commands_upgrade_check_and_copy_an_embedded_database(tmp_path: Path, settings: pytest.MonkeyPatch) -> None:
    settings.setenv("VAS_STORE__URL", f"sqlite:///{tmp_path}/vas.db")
    assert run("check")[0] == 1
    status, said = run("upgrade")
    assert (status, "there were none" in said) == (0, True)
    assert run("check")[0] == 0
    assert run("upgrade")[0] == 0
    assert run("backup", "copy.db")[0] == 0
    assert migrate.revision(tmp_path / "copy.db") == migrate.HEAD
