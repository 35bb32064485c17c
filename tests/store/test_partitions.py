"""The logs of a PostgreSQL lie in a table a day: made ahead, dropped whole when it is old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import asyncpg
import pytest

from vas.housekeeping import Housekeeping
from vas.store import migrate_postgres, partitions
from vas.store.ids import first_id, milliseconds
from vas.store.partitions import DAYS_AHEAD, LOGS, Tended
from vas.testing import Network

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
KEEP = timedelta(days=30)
DAY = timedelta(days=1)

Connection: TypeAlias = "asyncpg.Connection[Any]"


@pytest.fixture
async def database(blank: str) -> AsyncIterator[Connection]:
    await migrate_postgres.upgrade(blank)
    connection = await asyncpg.connect(blank)
    yield connection
    await connection.close()


async def tended(database: Connection, at: datetime) -> Tended:
    return await partitions.tend(database, milliseconds(at), KEEP)


async def came(database: Connection, at: datetime) -> int:
    """A command, then; the id of its row."""
    id_ = first_id(milliseconds(at))
    await database.execute(
        "INSERT INTO inbox (shard, msisdn, id, kind, account, session, ordinal, received_ms, sent_to, text, service, "
        "handler, why, result, reply, steps) VALUES (1, '84', $1, '', '', 1, 1, 1, '', '', '', '', '', '', '', '')",
        id_,
    )
    return id_


async def goes(database: Connection, at: datetime, due_ms: int | None) -> int:
    """A message that was made then; `due_ms`: None if it is finished."""
    id_ = first_id(milliseconds(at))
    await database.execute(
        "INSERT INTO outbox (shard, msisdn, id, cause, origin, service, kind, source, account, text, key, params, "
        "settle, once, reply, created_ms, expires_ms, due_ms, state, attempts, segments, smsc_ids, status, error) "
        "VALUES (1, '84', $1, 1, '', '', '', '', '', '', '', '', '', false, false, 1, 1, $2, '', 0, 0, '', 0, '')",
        id_, due_ms,
    )  # fmt: skip
    return id_


async def ids(database: Connection, table: str) -> list[int]:
    return [row[0] for row in await database.fetch(f"SELECT id FROM {table} ORDER BY id")]  # noqa: S608


async def tables(database: Connection) -> list[str]:
    return [row[0] for row in await database.fetch(partitions._PARTITIONS, LOGS)]


async def test_today_and_a_week_ahead_are_made_and_then_a_day_each_day(database: Connection) -> None:
    first = await tended(database, NOON)
    assert first.days_ahead == {"inbox": 7, "outbox": 7}
    assert len(first.made) == 2 * (1 + DAYS_AHEAD)
    assert (await tended(database, NOON)).made == ()
    assert (await tended(database, NOON + DAY)).made == ("inbox_20261130", "outbox_20261130")


async def test_a_row_lies_in_the_table_of_the_day_of_its_id_and_is_found_the_day_after(database: Connection) -> None:
    await tended(database, NOON)
    last, first = await came(database, MIDNIGHT - timedelta(milliseconds=1)), await came(database, MIDNIGHT)
    assert await ids(database, "inbox_20261122") == [last]
    assert await ids(database, "inbox_20261123") == [first]
    await tended(database, NOON + DAY)
    assert await ids(database, "inbox") == [last, first]
    assert await ids(database, "inbox_rest") == []


async def test_several_who_tend_at_once_make_and_drop_each_table_once(database: Connection, blank: str) -> None:
    others = [await asyncpg.connect(blank) for _ in range(3)]
    for at in (NOON, NOON + 60 * DAY):
        done = await asyncio.gather(*(tended(each, at) for each in (database, *others)))
        made = [name for each in done for name in each.made]
        assert len(made) == len({*made}) == 2 * (1 + DAYS_AHEAD)
        assert {(*each.days_ahead.values(),) for each in done} == {(DAYS_AHEAD, DAYS_AHEAD)}
    assert len(await tables(database)) == 2 * (1 + DAYS_AHEAD) + 2
    for each in others:
        await each.close()


async def test_a_day_is_dropped_once_all_of_it_is_older_than_is_kept(database: Connection) -> None:
    await tended(database, NOON)
    await came(database, NOON)
    assert (await tended(database, MIDNIGHT + KEEP - timedelta(seconds=1))).dropped == ()
    assert (await tended(database, MIDNIGHT + KEEP)).dropped == ("inbox_20261122", "outbox_20261122")
    assert await ids(database, "inbox") == []


async def test_nothing_is_dropped_for_who_only_makes_what_is_missing(database: Connection) -> None:
    await tended(database, NOON)
    assert (await partitions.tend(database, milliseconds(NOON + 100 * DAY), None)).dropped == ()
    assert "inbox_20261122" in await tables(database)


async def test_a_day_of_which_a_message_is_not_finished_stays_and_the_finished_ones_go(database: Connection) -> None:
    await tended(database, NOON)
    unfinished = await goes(database, NOON, due_ms=milliseconds(NOON + 300 * DAY))
    await goes(database, NOON + timedelta(seconds=1), due_ms=None)
    assert (await tended(database, MIDNIGHT + KEEP)).dropped == ("inbox_20261122",)
    assert await ids(database, "outbox") == [unfinished]
    await database.execute("UPDATE outbox SET due_ms = NULL")
    assert (await tended(database, MIDNIGHT + KEEP)).dropped == ("outbox_20261122",)


async def test_what_lies_in_no_day_goes_row_by_row_by_its_age(
    database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "STEP_ROWS", 2)
    for second in range(5):
        await came(database, NOON + timedelta(seconds=second))
    young = await came(database, NOON + DAY)
    unfinished = await goes(database, NOON, due_ms=1)
    await goes(database, NOON + timedelta(seconds=1), due_ms=None)
    await tended(database, NOON + KEEP + timedelta(minutes=1))
    assert await ids(database, "inbox_rest") == [young]
    assert await ids(database, "outbox_rest") == [unfinished]


async def test_a_day_whose_rows_lie_with_the_rest_already_is_told_of_and_the_next_ones_are_made(
    database: Connection,
) -> None:
    stray = await came(database, NOON)
    found = await tended(database, NOON)
    assert found.put_off == ("inbox_20261122: inbox_rest has rows of that day, which stay there",)
    assert found.days_ahead == {"inbox": 7, "outbox": 7}
    assert await ids(database, "inbox") == [stray]
    assert (await tended(database, NOON + DAY)).put_off == ()


async def test_it_gives_way_to_a_long_transaction_and_does_it_the_next_time(database: Connection, blank: str) -> None:
    await tended(database, NOON)
    reader = await asyncpg.connect(blank)
    reading = reader.transaction()
    await reading.start()
    await reader.fetch("SELECT count(*) FROM inbox")
    found = await tended(database, MIDNIGHT + KEEP)
    assert found.dropped == ("outbox_20261122",)
    assert "inbox_20261122: inbox is in use by a long transaction" in found.put_off
    assert await reader.fetch("SELECT count(*) FROM inbox")
    await reading.rollback()
    await reader.close()
    found = await tended(database, MIDNIGHT + KEEP)
    assert (found.dropped, found.put_off) == (("inbox_20261122",), ())
    assert found.days_ahead == {"inbox": 7, "outbox": 7}


async def test_a_role_that_does_not_own_the_logs_says_so_and_harms_nothing(database: Connection, blank: str) -> None:
    role = urlsplit(blank).path.strip("/")
    await database.execute(f"CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    url = urlsplit(blank)
    guest = await asyncpg.connect(url._replace(netloc=f"{role}@{url.netloc.rpartition('@')[2]}").geturl())
    try:
        found = await tended(guest, NOON)
        assert found.made == ()
        assert found.days_ahead == {"inbox": 0, "outbox": 0}
        assert "run `vas db upgrade` as the owner" in found.put_off[0]
    finally:
        await guest.close()
        await database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.only_on("postgres", "the embedded one has no partitions")
async def test_a_node_tends_at_its_start_and_each_hour_and_its_metric_tells_how_it_stands(folder: Path) -> None:
    async with Network(folder) as network:
        house, ahead = network.node.housekeeping, network.node.metrics.partitions_ahead
        house.tick()
        assert house.tending
        await _done(house)
        assert [sample.value for sample in ahead.collect()[0].samples] == [DAYS_AHEAD] * len(LOGS)
        for minutes, tends in ((59, False), (61, True)):
            network.now_ms += minutes * 60_000
            house.tick()
            assert house.tending is tends
            await _done(house)


@pytest.mark.only_on("sqlite", "the other one has partitions")
async def test_the_embedded_database_has_no_such_metric(folder: Path) -> None:
    async with Network(folder) as network:
        network.node.housekeeping.tick()
        await network.settled()
        assert network.node.metrics.partitions_ahead.collect()[0].samples == []


async def _done(house: Housekeeping) -> None:
    while house.tending:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
