"""What keeps the store small: finished rows go by age, in small steps between the commands."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Table

from vas.core import Core
from vas.store import schema
from vas.store.ids import first_id
from vas.store.protocol import Submit, Task
from vas.unit import Batch

EVERY_MS = 60_000
STEP_ROWS = 500
"""Rows of one table deleted in one batch."""
SEEN_STEP_ROWS = 2_000
"""Rows of `seen` deleted in one batch; they are small, and lie together."""
TALK_KEPT_MS = 3_600_000
RECEIPT_KEPT = timedelta(days=7)
"""A receipt whose message never appears, or the other way round."""


class Housekeeping:
    """Looks once a minute. `submit` puts a work into the next batch."""

    def __init__(self, core: Core, submit: Submit, *, keep: timedelta, seen_for: timedelta) -> None:
        self._core = core
        self._submit = submit
        self._keep_ms = int(keep.total_seconds() * 1000)
        self._seen_for_ms = int(seen_for.total_seconds() * 1000)
        self._next_ms = 0

    def tick(self) -> None:
        now_ms = self._core.clock_ms()
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + EVERY_MS
        old = first_id(now_ms - self._keep_ms)
        for table, column, before in (
            (schema.inbox, "id", old),
            (schema.outbox, "id", old),
            (schema.dead_letter, "id", old),
            (schema.seen, "received_ms", now_ms - self._seen_for_ms),
            (schema.talk, "updated_ms", now_ms - TALK_KEPT_MS),
            (schema.receipt, "at_ms", now_ms - int(RECEIPT_KEPT.total_seconds() * 1000)),
        ):
            self._submit(Purge(self, table, column, before))
        for session, confirmed in self._core.sessions.confirmed():
            self._submit(ForgetConfirmed(self, session, confirmed))
        self._submit(ForgetSessions(self._core, first_id(now_ms - 2 * self._seen_for_ms)))

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


class ForgetConfirmed:
    """The work that deletes answers of a session that have surely arrived: no copy of what they answer can come."""

    def __init__(self, housekeeping: Housekeeping, session: int, confirmed: int) -> None:
        self._housekeeping = housekeeping
        self._session = session
        self._confirmed = confirmed
        self._more = False

    async def run(self, batch: Batch) -> None:
        query = batch.sql.forget_confirmed
        params = query.params(session=self._session, confirmed=self._confirmed, most=SEEN_STEP_ROWS)
        self._more = len(await batch.execute(query.text, params)) == SEEN_STEP_ROWS

    def committed(self) -> None:
        if self._more:
            self._housekeeping.go_on(self)

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
            await batch.execute(batch.sql.forget_answers.text, (id_,))

    def committed(self) -> None:
        self._core.sessions.forget(self._before)

    def lost(self, error: Exception) -> None:
        """The next minute tries again."""
