"""What keeps the store small: finished rows go by age, in small steps between the commands."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
from sqlalchemy import Table

from vas.core import Core
from vas.errors import StoreError
from vas.saving import ForgetConfirmed, ForgetConfirmedOfOthers, ForgetSessions
from vas.store import schema
from vas.store.ids import first_id
from vas.store.protocol import Store, Submit, Task
from vas.unit import Batch

log = structlog.get_logger()
EVERY_MS = 60_000
TEND_EVERY_MS = 3_600_000
"""Tables a day are made and dropped so often; what could not be done is tried again in the next minute."""
STEP_ROWS = 500
"""Rows of one table deleted in one batch."""
TALK_KEPT_MS = 3_600_000
RECEIPT_KEPT = timedelta(days=7)
"""A receipt whose message never appears, or the other way round."""


class Housekeeping:
    """Looks once a minute. `submit` puts a work into the next batch. Every node does all of it."""

    def __init__(self, core: Core, submit: Submit, store: Store, *, keep: timedelta, seen_for: timedelta) -> None:
        self._core = core
        self._submit = submit
        self._store = store
        self._keep = keep
        self._tending: asyncio.Task[None] | None = None
        self._tend_ms = 0
        self._put_off: tuple[str, ...] = ()
        self._keep_ms = int(keep.total_seconds() * 1000)
        self._seen_for_ms = int(seen_for.total_seconds() * 1000)
        self._next_ms = 0

    def tick(self) -> None:
        now_ms = self._core.clock_ms()
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + EVERY_MS
        old = first_id(now_ms - self._keep_ms)
        if now_ms >= self._tend_ms and self._store.shared and not self.tending:
            self._tend_ms = now_ms + TEND_EVERY_MS
            self._tending = asyncio.get_running_loop().create_task(self._tend())
        logs = () if self._store.shared else ((schema.inbox, "id", old), (schema.outbox, "id", old))
        for table, column, before in (
            *logs,
            (schema.dead_letter, "id", old),
            (schema.seen, "received_ms", now_ms - self._seen_for_ms),
            (schema.talk, "updated_ms", now_ms - TALK_KEPT_MS),
            (schema.receipt, "at_ms", now_ms - int(RECEIPT_KEPT.total_seconds() * 1000)),
        ):
            self._submit(Purge(self, table, column, before))
        sessions = self._core.sessions
        for session, confirmed in sessions.not_forgotten(sessions.confirmed()):
            self._submit(ForgetConfirmed(self._core, self.go_on, session, confirmed))
        if self._core.shared:
            self._submit(ForgetConfirmedOfOthers(self._core, self.go_on))
        self._submit(ForgetSessions(self._core, now_ms - 2 * self._seen_for_ms))

    @property
    def tending(self) -> bool:
        """Whether the store is just making and dropping tables."""
        return self._tending is not None and not self._tending.done()

    async def _tend(self) -> None:
        try:
            tended = await self._store.tend(self._keep)
        except StoreError as error:
            log.warning("store.not_tended", error=str(error))
            self._tend_ms = 0
            return
        if tended is None:
            return
        for name, days in tended.days_ahead.items():
            self._core.metrics.partitions_ahead.labels(name).set(days)
        if tended.made or tended.dropped:
            log.info("store.tended", made=tended.made, dropped=tended.dropped)
        if tended.put_off:
            self._tend_ms = 0
            if tended.put_off != self._put_off:
                log.warning("store.put_off", what=tended.put_off)
        self._put_off = tended.put_off

    async def stop(self) -> None:
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)

    def go_on(self, work: Task) -> None:
        """There was more than one step's worth."""
        self._submit(work)


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
            self._housekeeping.go_on(self)

    def lost(self, error: Exception) -> None:
        """The next minute tries again."""
