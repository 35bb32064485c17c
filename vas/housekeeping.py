"""What keeps the store small: finished rows go by age, in small steps between the commands."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from sqlalchemy import Table

from vas.core import Core
from vas.errors import StoreError
from vas.store import schema
from vas.store.ids import first_id
from vas.store.protocol import Submit
from vas.store.sqlite import SqliteStore
from vas.unit import Batch

log = structlog.get_logger()

EVERY_MS = 60_000
STEP_ROWS = 500
"""Rows of one table deleted in one batch."""
TALK_KEPT_MS = 3_600_000
RECEIPT_KEPT = timedelta(days=7)
"""A receipt whose message never appears, or the other way round."""


class Housekeeping:
    """Looks once a minute. `submit` puts a work into the next batch."""

    def __init__(self, core: Core, store: SqliteStore, submit: Submit, *, keep: timedelta, seen_for: timedelta) -> None:
        self._core = core
        self._store = store
        self._submit = submit
        self._keep_ms = int(keep.total_seconds() * 1000)
        self._seen_for_ms = int(seen_for.total_seconds() * 1000)
        self._next_ms = 0
        self._rotating: asyncio.Task[None] | None = None

    def tick(self) -> None:
        now_ms = self._core.clock_ms()
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + EVERY_MS
        old = first_id(now_ms - self._keep_ms)
        for table, column, before in (
            (schema.inbox, "id", old),
            (schema.outbox, "id", old),
            (schema.talk, "updated_ms", now_ms - TALK_KEPT_MS),
            (schema.receipt, "at_ms", now_ms - int(RECEIPT_KEPT.total_seconds() * 1000)),
        ):
            self._submit(Purge(self, table, column, before))
        self._submit(ForgetSessions(self._core, first_id(now_ms - 2 * self._seen_for_ms)))
        if self._rotating is None or self._rotating.done():
            self._rotating = asyncio.get_running_loop().create_task(self._rotate(now_ms))

    def purge_on(self, purge: Purge) -> None:
        """There was more than one step's worth."""
        self._submit(purge)

    async def _rotate(self, now_ms: int) -> None:
        try:
            await self._store.rotate_seen(now_ms, self._seen_for_ms)
        except StoreError as error:
            log.error("seen.rotation_failed", error=str(error))


class Purge:
    """The work that deletes a few finished rows of one table."""

    def __init__(self, housekeeping: Housekeeping, table: Table, column: str, before: int) -> None:
        self._housekeeping = housekeeping
        self._table = table
        self._column = column
        self._before = before
        self._more = False

    async def run(self, batch: Batch) -> None:
        query = batch.sql.purge(self._table, self._column)
        deleted = await batch.execute(query.text, query.params(before=self._before, most=STEP_ROWS))
        self._more = len(deleted) == STEP_ROWS

    def committed(self) -> None:
        if self._more:
            self._housekeeping.purge_on(self)

    def lost(self, error: Exception) -> None:
        """The next minute tries again."""


class ForgetSessions:
    """The work that drops sessions of which no copy can come any more."""

    def __init__(self, core: Core, before: int) -> None:
        self._core = core
        self._before = before

    async def run(self, batch: Batch) -> None:
        for id_ in self._core.sessions.over(self._before):
            await batch.execute(batch.sql.forget_session.text, (id_,))

    def committed(self) -> None:
        self._core.sessions.forget(self._before)

    def lost(self, error: Exception) -> None:
        """The next minute tries again."""
