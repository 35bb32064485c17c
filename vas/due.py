"""The works that look for messages whose time has come, and give up those whose time is over.

Alone, a node has all of them. Of a database that it shares it takes those that are nobody's: which no node could send
when they were written, which were put off, or whose node is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vas.core import Core
from vas.running import Made
from vas.settling import settle
from vas.store.outbox_statements import among
from vas.store.rows import OutboxRow
from vas.unit import Batch

if TYPE_CHECKING:
    from vas.outbox import Outbox

SCAN = 1_000
"""Rows loaded from the store at a time."""
LOOK_EVERY_MS = 1_000
"""How often a node looks for messages that are nobody's, if no other tells it of some."""
FRESH_MS = 3 * LOOK_EVERY_MS
"""What became due so lately is looked at first where much waits that a node cannot send."""
NEVER_MS = 1 << 62


class ScanDue:
    """The work that loads rows whose time has come."""

    def __init__(self, core: Core, outbox: Outbox, place: tuple[int, int], in_flight: Mapping[int, int]) -> None:
        self._core = core
        self._outbox = outbox
        self.began_at = place
        self._in_flight = in_flight
        self.place = place
        self.next_due_ms = 0
        self.ready: list[OutboxRow] = []
        self.made = Made()
        self._taken: list[int] = []

    async def run(self, batch: Batch) -> None:
        self.ready, self.made = [], Made()
        due = batch.sql.outbox_due
        rows = await batch.execute(
            due.text, due.params(after_ms=self.began_at[0], after_id=self.began_at[1], now_ms=batch.now_ms, most=SCAN)
        )
        for row in map(OutboxRow._make, rows):
            assert row.due_ms is not None
            self.place = (row.due_ms, row.id)
            if row.id not in self._in_flight:
                await self._look(batch, row)
        if len(rows) == SCAN:
            self.next_due_ms = batch.now_ms
            return
        query = batch.sql.outbox_next_due
        [(next_ms,)] = await batch.execute(query.text, query.params(after_ms=max(self.place[0], batch.now_ms)))
        self.next_due_ms = next_ms if next_ms is not None else NEVER_MS

    async def _look(self, batch: Batch, row: OutboxRow) -> None:
        leaves = leaving(self._core, row, batch.now_ms)
        if leaves is not None:
            self.ready.append(leaves)
        elif row.state == "sent":
            await settle(self._core, batch, self.made, row, "unknown", error="no receipt")
        elif row.once and row.sent_ms is not None:
            await settle(self._core, batch, self.made, row, "unknown", error="no submit_sm_resp before the restart")
        elif row.expires_ms <= batch.now_ms and row.kind != "push":
            await settle(self._core, batch, self.made, row, "expired", error="waited too long")
        else:
            await give_up_question(self._core, batch, self.made, row)

    def committed(self) -> None:
        self._outbox.scanned(self)

    def lost(self, error: Exception) -> None:
        self._outbox.not_scanned(self)


class TakeDue(ScanDue):
    """The same where nodes share the database: takes what is nobody's, as far as this node can send it now.

    Its `place` is where the next look begins; each begins anew when the last one has seen all. Where more waits that
    this node cannot send than one look reads, the next one is later, and what has just become due is seen all the same.
    """

    async def run(self, batch: Batch) -> None:
        self.ready, self.made, self._taken = [], Made(), []
        self.next_due_ms, self.place = batch.now_ms + LOOK_EVERY_MS, (0, 0)
        found = await self._nobodys(batch, self.began_at)
        more = len(found) == SCAN
        if more:
            assert found[-1].due_ms is not None
            self.place = found[-1].due_ms, found[-1].id
            found += await self._nobodys(batch, max(self.place, (batch.now_ms - FRESH_MS, 0)))
        for row in await self._take(batch, [row.id for row in found if self._wanted(row, batch.now_ms)]):
            self._taken.append(row.id)
            await self._look(batch, row)
        if more and self._taken:
            self.next_due_ms = batch.now_ms

    async def _nobodys(self, batch: Batch, after: tuple[int, int]) -> list[OutboxRow]:
        look = batch.sql.outbox_nobodys
        params = look.params(after_ms=after[0], after_id=after[1], now_ms=batch.now_ms, most=SCAN)
        return [OutboxRow._make(row) for row in await batch.execute(look.text, params)]

    def _wanted(self, row: OutboxRow, now_ms: int) -> bool:
        if row.id in self._in_flight:
            return False
        leaves = leaving(self._core, row, now_ms)
        return leaves is None or self._core.takes(leaves)

    async def _take(self, batch: Batch, ids: list[int]) -> list[OutboxRow]:
        """Those of which this node is the owner now."""
        if not ids:
            return []
        take = batch.sql.outbox_take
        params = take.params(**among(ids), now_ms=batch.now_ms, new_owner=self._core.member.id)
        taken = [OutboxRow._make(row) for row in await batch.execute(take.text, params)]
        return sorted(taken, key=lambda row: (row.due_ms, row.id))

    def lost(self, error: Exception) -> None:
        # The batch may be there after all.
        self._outbox.give_back(self._taken)
        super().lost(error)


class GiveBack:
    """The work that makes messages nobody's which this node has, but is not sending."""

    def __init__(self, core: Core, outbox: Outbox, ids: set[int]) -> None:
        self._core = core
        self._outbox = outbox
        self._ids = ids

    async def run(self, batch: Batch) -> None:
        query = batch.sql.outbox_give_back
        await batch.execute(query.text, query.params(**among(self._ids), of_owner=self._core.member.id))
        batch.hints.add("outbox")

    def committed(self) -> None:
        self._outbox.given_back()

    def lost(self, error: Exception) -> None:
        self._outbox.not_given_back(self._ids)


def leaving(core: Core, row: OutboxRow, now_ms: int) -> OutboxRow | None:
    """What is to be sent of a row that is due; None: its time is over, or it has left."""
    if row.state == "sent" or (row.once and row.sent_ms is not None) or row.expires_ms <= now_ms:
        return None
    return row if row.kind in ("sms", "push") else as_sms(core, row)


def as_sms(core: Core, row: OutboxRow) -> OutboxRow | None:
    """A screen that needs no answer as an SMS from the service's short code; None if it cannot be one."""
    mounted = core.router.mounted.get(row.service)
    if (row.kind, row.key) != ("ussd", "last_screen") and row.kind != "notice":
        return None
    if mounted is None or not mounted.short_codes:
        return None
    return row._replace(kind="sms", source=mounted.short_codes[0])


async def give_up_question(core: Core, batch: Batch, made: Made, row: OutboxRow, status: int = 0) -> None:
    """The question is not on the screen; a talk that the network was to open with it ends."""
    await settle(core, batch, made, row, "expired", status=status, error="it could not be shown")
    talk = await batch.talk_of(row.msisdn) if row.kind == "push" else None
    if talk is not None and talk.id == row.cause and not talk.dialogue:
        batch.end_talk(row.msisdn)
