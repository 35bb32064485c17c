"""A PostgreSQL is brought to a version by `vas db upgrade`, while nodes work; a start only looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, pool
from sqlalchemy.ext.asyncio import create_async_engine

from services.callme import callme
from vas.errors import StoreUnusable
from vas.store import migrate, migrate_postgres
from vas.store.postgres import PostgresStore
from vas.store.schema import metadata
from vas.testing import Network, mount

OBJECTS = """
    SELECT oid, relname, relfilenode FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'pg_toast%' ORDER BY oid
"""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def objects(url: str) -> list[tuple[object, ...]]:
    async with connected(url) as connection:
        return [tuple(row) for row in await connection.fetch(OBJECTS)]


async def at_revision(url: str, revision: str) -> None:
    """As the version of that revision would have left an empty database."""
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=pool.NullPool
    )
    async with engine.begin() as connection:
        await connection.run_sync(lambda old: migrate.run(old, migrate.unheard, to=revision))


async def stamp(url: str, revision: str) -> None:
    async with connected(url) as connection:
        await connection.execute("UPDATE alembic_version SET version_num = $1", revision)


async def stamped(url: str) -> object:
    async with connected(url) as connection:
        return await connection.fetchval("SELECT version_num FROM alembic_version")


def differences(connection: Connection) -> list[Any]:
    def is_no_partition(item: Any, name: str | None, kind: str, *_: object) -> bool:
        table = name if kind == "table" else getattr(getattr(item, "table", None), "name", "")
        return not str(table).endswith("_rest")

    opts = {"compare_type": True, "compare_server_default": True, "include_object": is_no_partition}
    return list(compare_metadata(MigrationContext.configure(connection, opts=opts), metadata))


async def test_the_migrations_make_exactly_the_tables_of_the_schema_comments_included(blank: str) -> None:
    assert await migrate_postgres.upgrade(blank) == (None, migrate.HEAD)
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(blank), poolclass=pool.NullPool
    )
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_an_upgrade_of_what_is_new_already_changes_nothing(blank: str) -> None:
    await migrate_postgres.upgrade(blank)
    before = await objects(blank)
    assert await migrate_postgres.upgrade(blank) == (migrate.HEAD, migrate.HEAD)
    assert await objects(blank) == before


async def test_every_step_is_told(blank: str) -> None:
    steps: list[str] = []
    await migrate_postgres.upgrade(blank, steps.append)
    assert [step[:5] for step in steps] == ["0001:", "0002:", "0003:", "0004:"]


async def test_several_who_upgrade_at_once_do_it_once(blank: str) -> None:
    steps: list[str] = []
    done = await asyncio.gather(*(migrate_postgres.upgrade(blank, steps.append) for _ in range(4)))
    assert sorted(done, key=str) == [(migrate.HEAD, migrate.HEAD)] * 3 + [(None, migrate.HEAD)]
    assert len(steps) == int(migrate.HEAD)


async def test_several_who_upgrade_an_older_one_at_once_do_it_once(blank: str) -> None:
    await at_revision(blank, "0002")
    done = await asyncio.gather(*(migrate_postgres.upgrade(blank) for _ in range(4)))
    assert sorted(done) == [("0002", migrate.HEAD)] + [(migrate.HEAD, migrate.HEAD)] * 3


async def test_what_is_in_an_older_one_stays(blank: str) -> None:
    await at_revision(blank, "0003")
    async with connected(blank) as connection:
        await connection.execute("INSERT INTO session (id, account, confirmed, late) VALUES (7, 'a', 3, '[]')")
        await migrate_postgres.upgrade(blank)
        [row] = await connection.fetch("SELECT id, confirmed, node, ended FROM session")
        assert tuple(row) == (7, 3, 0, False)


async def test_an_upgrade_gives_way_while_somebody_holds_a_table_and_is_done_when_they_let_go(
    blank: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate_postgres, "LOCK_S", 0.05)
    monkeypatch.setattr(migrate_postgres, "PAUSE_S", 0.01)
    await at_revision(blank, "0003")
    waits = asyncio.Event()
    async with connected(blank) as other:
        holding = other.transaction()
        await holding.start()
        await other.execute("LOCK TABLE session IN ACCESS SHARE MODE")
        upgrading = asyncio.create_task(migrate_postgres.upgrade(blank, lambda line: _set_if(waits, "in use" in line)))
        await waits.wait()
        assert await stamped(blank) == "0003"
        await holding.rollback()
        assert await upgrading == ("0003", migrate.HEAD)


def _set_if(event: asyncio.Event, condition: bool) -> None:
    if condition:
        event.set()


async def test_tables_of_somebody_else_are_left_alone(blank: str) -> None:
    async with connected(blank) as connection:
        await connection.execute("CREATE TABLE customers (name text)")
    before = await objects(blank)
    with pytest.raises(StoreUnusable, match=r"customers.*store\.url of its own"):
        await migrate_postgres.upgrade(blank)
    assert await objects(blank) == before


async def test_the_migrations_of_somebody_else_are_not_taken_for_ours(blank: str) -> None:
    async with connected(blank) as connection:
        await connection.execute("CREATE TABLE alembic_version (version_num varchar(32)); CREATE TABLE users (id int)")
        await connection.execute("INSERT INTO alembic_version VALUES ('0001')")
    with pytest.raises(StoreUnusable, match="users"):
        await migrate_postgres.upgrade(blank)


async def test_another_schema_of_the_database_is_nobodys_business(blank: str) -> None:
    async with connected(blank) as connection:
        await connection.execute(
            "CREATE SCHEMA crm; CREATE TABLE crm.inbox (id int); CREATE VIEW today AS SELECT now()"
        )
    assert (await migrate_postgres.upgrade(blank)).after == migrate.HEAD


async def test_a_role_that_may_not_make_tables_is_told_what_it_needs(blank: str) -> None:
    name = urlsplit(blank).path.strip("/")
    async with connected(blank) as connection:
        await connection.execute(f"CREATE ROLE {name} LOGIN")
        try:
            url = urlsplit(blank)
            with pytest.raises(StoreUnusable, match="owner of the database"):
                await migrate_postgres.upgrade(url._replace(netloc=f"{name}@{url.netloc.rpartition('@')[2]}").geturl())
        finally:
            await connection.execute(f"DROP ROLE {name}")


async def test_who_cannot_be_reached_is_named_without_the_password() -> None:
    with pytest.raises(StoreUnusable) as refused:
        await migrate_postgres.upgrade("postgresql://vas:geheim@127.0.0.1:1/vas")
    assert "127.0.0.1:1" in str(refused.value)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    "revision, advice",
    [
        pytest.param("0003", r"revision 0003.*needs 0004.*run `vas db upgrade`", id="of the version before"),
        pytest.param("0006", r"revision 0006.*newer.*run the newer version", id="of the version after the next"),
        pytest.param("9f3c2a7d11", r"not the platform's.*store\.url of its own", id="of another program"),
    ],
)
@pytest.mark.only_on("postgres", "the embedded one is upgraded by a start")
async def test_a_start_refuses_tables_that_it_cannot_work_on_and_changes_nothing(
    blank: str, revision: str, advice: str
) -> None:
    await migrate_postgres.upgrade(blank)
    await stamp(blank, revision)
    before = await objects(blank)
    with pytest.raises(StoreUnusable, match=advice):
        await PostgresStore(blank, clock_ms=lambda: 0).open()
    assert await objects(blank) == before
    assert await stamped(blank) == revision


@pytest.mark.only_on("postgres", "the embedded one is made by a start")
async def test_a_start_makes_no_tables(blank: str) -> None:
    with pytest.raises(StoreUnusable, match="no tables yet: run `vas db upgrade`, once for all nodes"):
        await PostgresStore(blank, clock_ms=lambda: 0).open()
    assert await objects(blank) == []


@pytest.mark.only_on("postgres", "the embedded one has one node")
async def test_a_node_goes_on_while_the_next_version_adds_its_columns_and_starts_on_them_too(
    folder: Path, engine: Any
) -> None:
    url = engine.url(folder)
    async with Network(folder, mount(callme, short_codes=["9105"], ussd="*105")) as network:
        lan = network.phone("0912345678")
        assert "0987654321" in await lan.text("CM 0987654321", "9105")
        async with connected(url) as newer, newer.transaction():
            for table in metadata.tables:
                await newer.execute(f"ALTER TABLE \"{table}\" ADD COLUMN of_the_next_version text DEFAULT 'x' NOT NULL")
            await newer.execute("UPDATE alembic_version SET version_num = $1", migrate.NEXT)
        assert "0987654322" in await lan.text("CM 0987654322", "9105")
        assert "0987654323" in await lan.dial("*105*0987654323#")
    async with Network(folder, mount(callme, short_codes=["9105"], ussd="*105")) as again:
        assert "0987654324" in await again.phone("0912345678").text("CM 0987654324", "9105")
    assert await migrate_postgres.upgrade(url) == (migrate.NEXT, migrate.NEXT)
