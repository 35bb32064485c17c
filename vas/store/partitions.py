"""The logs of a PostgreSQL, inbox and outbox, lie in a table a day: made ahead, dropped whole when it is old.

What falls into no day's, because nobody made it or a clock was far off, lies in a table of the rest. Days are UTC's, by
the ids. Every node does this, on a connection of its own; two at once do no harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg

from vas.store.ids import first_id, milliseconds, moment

LOGS = ("inbox", "outbox")
DAYS_AHEAD = 7
LOCK_MS = 200
"""How long it waits for a lock, since commands wait behind it meanwhile; once got, it is held for a few ms."""
STEP_ROWS = 1_000
_DAY = timedelta(days=1)
_NAME = re.compile(rf"(?P<log>{'|'.join(LOGS)})_(?P<day>[0-9]{{8}})").fullmatch
_PARTITIONS = """
    SELECT part.relname FROM pg_inherits
    JOIN pg_class AS part ON part.oid = inhrelid JOIN pg_class AS log ON log.oid = inhparent
    WHERE log.relnamespace = current_schema()::regnamespace AND log.relname = ANY($1::text[]) ORDER BY 1
"""
_FINISHED = {"inbox": "TRUE", "outbox": "due_ms IS NULL"}


class Partition(NamedTuple):
    log: str
    day: date

    @property
    def name(self) -> str:
        return f"{self.log}_{self.day:%Y%m%d}"

    @property
    def ids(self) -> tuple[int, int]:
        """The first one in it, and the first one after it."""
        begin = datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC)
        return first_id(milliseconds(begin)), first_id(milliseconds(begin + _DAY))


class Tended(NamedTuple):
    """How the partitions stand."""

    days_ahead: Mapping[str, int]
    """By log, the days after today that have one, up to the first that has none."""
    made: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    put_off: tuple[str, ...] = ()
    """What could not be done now: a partition and why."""


async def tend(connection: asyncpg.Connection[Any], now_ms: int, keep: timedelta | None) -> Tended:
    """Make what is missing from today to DAYS_AHEAD; drop the days that are older than `keep`, none if it is None.

    A day of the outbox stays while one of its messages is not finished, and the finished ones go by themselves.
    """
    await connection.execute(f"SET lock_timeout = {LOCK_MS}")
    now = moment(now_ms)
    there = await _there(connection)
    made: list[str] = []
    dropped: list[str] = []
    put_off: list[str] = []
    for part in (Partition(log, now.date() + _DAY * ahead) for log in LOGS for ahead in range(DAYS_AHEAD + 1)):
        if part not in there:
            with _noting(part.name, part.log, put_off):
                await _make(connection, part)
                made.append(part.name)
    if keep is not None:
        await _forget(connection, sorted(there), now - keep, dropped, put_off)
    return Tended(_days_ahead(await _there(connection), now.date()), tuple(made), tuple(dropped), tuple(put_off))


async def _forget(
    connection: asyncpg.Connection[Any], there: list[Partition], oldest: datetime, dropped: list[str],
    put_off: list[str],
) -> None:  # fmt: skip
    for part in there:
        if part.day + _DAY <= oldest.date():
            with _noting(part.name, part.log, put_off):
                if await _is_finished(connection, part):
                    await connection.execute(f"DROP TABLE {part.name}")
                    dropped.append(part.name)
                else:
                    await _purge(connection, part.name, part.log, oldest)
    for log in LOGS:
        with _noting(rest := f"{log}_rest", log, put_off):
            await _purge(connection, rest, log, oldest)


_DONE_BY_ANOTHER = (
    *(asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError),
    asyncpg.UndefinedTableError,
)
"""How a node is told that another one is making, or has just dropped, what it wanted to."""


@contextmanager
def _noting(table: str, log: str, put_off: list[str]) -> Iterator[None]:
    """Note why something could not be done now, and go on; if another node was before us, there is nothing to note."""
    try:
        yield
    except _DONE_BY_ANOTHER:
        pass
    except asyncpg.CheckViolationError:
        put_off.append(f"{table}: {log}_rest has rows of that day, which stay there")
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
        put_off.append(f"{table}: {log} is in use by a long transaction")
    except asyncpg.InternalServerError as error:  # so PostgreSQL calls it when two drop one partition at once
        put_off.append(f"{table}: {error}")
    except asyncpg.InsufficientPrivilegeError as error:
        put_off.append(f"{table}: {error}: make the role the tables' owner, or run `vas db upgrade` as the owner")


async def days_ahead(connection: asyncpg.Connection[Any], now_ms: int) -> Mapping[str, int]:
    """As Tended.days_ahead; changes nothing."""
    return _days_ahead(await _there(connection), moment(now_ms).date())


def _days_ahead(there: set[Partition], today: date) -> dict[str, int]:
    ahead = {}
    for log in LOGS:
        ahead[log] = 0
        while Partition(log, today + _DAY * (ahead[log] + 1)) in there:
            ahead[log] += 1
    return ahead


async def _there(connection: asyncpg.Connection[Any]) -> set[Partition]:
    """Those of days."""
    named = [_NAME(row[0]) for row in await connection.fetch(_PARTITIONS, LOGS)]
    return {Partition(name["log"], datetime.strptime(name["day"], "%Y%m%d").date()) for name in named if name}  # noqa: DTZ007


async def _make(connection: asyncpg.Connection[Any], part: Partition) -> None:
    begin, end = part.ids
    async with connection.transaction():
        # To be made apart and then attached takes a weaker lock of the log than to be made in its place.
        await connection.execute(f"CREATE TABLE {part.name} (LIKE {part.log} INCLUDING DEFAULTS INCLUDING INDEXES)")
        attach = f"ALTER TABLE {part.log} ATTACH PARTITION {part.name} FOR VALUES FROM ({begin}) TO ({end})"
        await connection.execute(attach)


async def _is_finished(connection: asyncpg.Connection[Any], part: Partition) -> bool:
    """By an index of what is not; rows that are finished never become unfinished again."""
    unfinished = f"SELECT 1 FROM {part.name} WHERE NOT ({_FINISHED[part.log]}) LIMIT 1"  # noqa: S608
    return await connection.fetchval(unfinished) is None


async def _purge(connection: asyncpg.Connection[Any], table: str, log: str, oldest: datetime) -> None:
    """Delete finished rows before this in small steps, each a transaction; not those that another node deletes."""
    some = f"SELECT ctid FROM {table} WHERE id < $1 AND {_FINISHED[log]} LIMIT {STEP_ROWS} FOR UPDATE SKIP LOCKED"  # noqa: S608
    step = f"DELETE FROM {table} WHERE ctid = ANY(ARRAY({some}))"  # noqa: S608
    while await connection.execute(step, first_id(milliseconds(oldest))) == f"DELETE {STEP_ROWS}":
        pass
