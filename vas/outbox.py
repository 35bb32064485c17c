"""Committed rows → gateway → what came of them.

A new row goes to the gateway at once, from memory; the row in the store is there for the restart, for
messages that wait for their hour, and for more than memory should hold.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import structlog

from vas.core import Core
from vas.messages import Gateway, Msisdn, Outbound, ReceiptState, SendOutcome, SendResult
from vas.receiving import segment_ended
from vas.running import Made, Screen
from vas.settling import settle
from vas.store.ids import milliseconds, moment
from vas.store.protocol import Submit
from vas.store.rows import OutboxRow, SentUpdate
from vas.unit import Batch

log = structlog.get_logger()

RETRY_AFTER_S = (5, 30, 120, 600, 1800)
"""Waits between counted attempts; when they are used up the message has failed."""
NOT_SENT_AFTER_MS = 2_000
"""How long a message that could not leave waits; it costs no attempt."""
NO_RECEIPT_AFTER = timedelta(days=1)
"""A message without a receipt by its validity and this has an unknown outcome."""
RECEIPTS_AT_ONCE = 50
"""Receipts that one statement makes ready for."""
SCAN = 1_000
"""Rows loaded from the store at a time."""


class Sent(NamedTuple):
    row: OutboxRow
    result: SendResult


class Outbox:
    """Hands rows to the gateway and writes back how it went. `submit` puts a work into the next batch."""

    def __init__(self, core: Core, gateway: Gateway, submit: Submit, *, memory_limit: int = 20_000) -> None:
        self._core = core
        self._gateway = gateway
        self._submit = submit
        self._memory_limit = memory_limit
        self._in_flight: dict[int, int] = {}
        self._results: deque[Sent] = deque()
        self._recording = False
        self._scanning = False
        self._place = (0, 0)
        self._due_ms = 0
        """No row that is not in flight is due before this; 0: look at once, as after a restart."""
        self.stopped = False
        self.sent = 0
        """Messages submitted since the start."""

    @property
    def backlog(self) -> int:
        """Messages in memory that have not been answered by the SMSC."""
        return len(self._in_flight)

    @property
    def oldest_ms(self) -> int:
        """When the message that has been in flight for longest was handed over; 0: there is none."""
        return next(iter(self._in_flight.values()), 0)

    @property
    def busy(self) -> bool:
        """Whether something is in flight, being written down, or being looked for."""
        return bool(self._in_flight or self._results or self._scanning)

    def send(self, row: OutboxRow, received_ms: int = 0) -> None:
        """Send a committed row, now or when it is due."""
        now_ms = self._core.clock_ms()
        if self.stopped or row.due_ms is None:
            return
        if row.due_ms > now_ms or len(self._in_flight) >= self._memory_limit:
            self.wake_at(row.due_ms, row.id)
            return
        if row.id in self._in_flight:
            return
        self._in_flight[row.id] = now_ms
        if row.once:
            self._submit(Claim(self, row, received_ms))
        else:
            self.hand_over(row, received_ms)

    def hand_over(self, row: OutboxRow, received_ms: int) -> None:
        """Give the gateway a message that may be sent now."""
        message = Outbound(
            row.id, Msisdn(row.msisdn), row.source, row.text, row.account, self._wants_receipt(row),
            moment(row.expires_ms), row.reply,
        )  # fmt: skip
        self._gateway.send(message, partial(self._done, row, received_ms))

    def show(self, screen: Screen, received_ms: int) -> None:
        """Send a USSD screen into its dialogue; a screen that is shown again leaves no second row."""
        row, inbound = screen.row, screen.inbound
        if self.stopped or inbound.ussd is None:
            return
        message = Outbound(
            row.id if row else 0, Msisdn.parse(inbound.sender), inbound.to, screen.text, inbound.account, False,
            None, True, inbound.session, inbound.ussd.token, screen.more,
        )  # fmt: skip
        if row is None:
            self._gateway.send(message, lambda result: None)
        else:
            self._in_flight[row.id] = self._core.clock_ms()
            self._gateway.send(message, partial(self._done, row, received_ms))

    @staticmethod
    def _wants_receipt(row: OutboxRow) -> bool:
        return bool(row.settle)

    def _done(self, row: OutboxRow, received_ms: int, result: SendResult) -> None:
        self._core.metrics.sent.labels(row.service, result.account or row.account, result.outcome.value).inc()
        if received_ms and result.outcome is SendOutcome.SENT:
            self._core.metrics.latency_seconds.observe((milliseconds(result.at) - received_ms) / 1000)
        self.sent += result.outcome is SendOutcome.SENT
        self._results.append(Sent(row, result))
        self._record()

    def _record(self) -> None:
        if not self._recording:
            self._recording = True
            self._submit(RecordSent(self._core, self, self._results))

    def recorded(self, sent: list[Sent], made: Made) -> None:
        """Results are written down."""
        self._recording = False
        for each in sent:
            self._in_flight.pop(each.row.id, None)
        for row in made.messages:
            self.send(row)
        if self._results:
            self._record()

    def not_claimed(self, row: OutboxRow) -> None:
        """It stays where it is until `tick` looks again."""
        del self._in_flight[row.id]
        self.wake_at(row.due_ms or 0, row.id)

    def not_recorded(self, sent: list[Sent]) -> None:
        """The store failed; the results are kept and written with the next batch that `tick` begins."""
        self._recording = False
        self._results.extendleft(reversed(sent))

    def wake_at(self, due_ms: int, id_: int) -> None:
        """A row will want a look then: to be sent, or to be given up."""
        self._due_ms = min(self._due_ms, due_ms)
        self._place = min(self._place, (due_ms, id_ - 1))

    def tick(self) -> None:
        """Called a few times a second: rows whose time has come, results that could not be written."""
        if self._results:
            self._record()
        if self.stopped or self._scanning or self._core.clock_ms() < self._due_ms:
            return
        if len(self._in_flight) < self._memory_limit // 2:
            scan = ScanDue(self._core, self, self._place, self._in_flight)
            self._scanning = True
            self._place, self._due_ms = (NEVER_MS, 0), NEVER_MS
            self._submit(scan)

    def scanned(self, scan: ScanDue) -> None:
        self._scanning = False
        self.wake_at(scan.next_due_ms, 0)
        self._place = min(self._place, scan.place)
        for row in scan.ready:
            self.send(row)
        for row in scan.made.messages:
            self.send(row)

    def not_scanned(self, scan: ScanDue) -> None:
        self._scanning = False
        self._place, self._due_ms = min(self._place, scan.began_at), 0


class Claim:
    """The work that writes down that a message which must not be doubled is about to leave.

    If nothing more is known of it after a restart, it may have left, and is not sent again.
    """

    def __init__(self, outbox: Outbox, row: OutboxRow, received_ms: int) -> None:
        self._outbox = outbox
        self._row = row
        self._received_ms = received_ms
        self._claimed = False

    async def run(self, batch: Batch) -> None:
        query, row = batch.sql.outbox_claimed, self._row
        self._claimed = bool(
            await batch.execute(
                query.text,
                query.params(new_sent_ms=batch.now_ms, given_shard=row.shard, given_msisdn=row.msisdn, given_id=row.id),
            )
        )

    def committed(self) -> None:
        if self._claimed:
            self._outbox.hand_over(self._row, self._received_ms)
        else:
            self._outbox.not_claimed(self._row)

    def lost(self, error: Exception) -> None:
        self._outbox.not_claimed(self._row)


class RecordSent:
    """The work that writes down how submissions ended, all that are known when its batch begins."""

    def __init__(self, core: Core, outbox: Outbox, results: deque[Sent]) -> None:
        self._core = core
        self._outbox = outbox
        self._results = results
        self._taken: list[Sent] = []
        self._wake: list[tuple[int, int]] = []
        self._made = Made()

    async def run(self, batch: Batch) -> None:
        self._made, self._wake = Made(), []
        while self._results:
            self._taken.append(self._results.popleft())
        await self._sent(batch, [sent for sent in self._taken if sent.result.outcome is SendOutcome.SENT])
        for row, result in self._taken:
            match result.outcome:
                case SendOutcome.TEMPORARY:
                    await self._temporary(batch, row, result)
                case SendOutcome.PERMANENT if row.kind == "ussd":
                    await self._not_sent(batch, row, result)
                case SendOutcome.PERMANENT:
                    await settle(
                        self._core, batch, self._made, row, "failed", status=result.status, error="refused by the SMSC"
                    )
                case SendOutcome.UNANSWERED:
                    await self._unanswered(batch, row)
                case SendOutcome.NOT_SENT:
                    await self._not_sent(batch, row, result)

    async def _sent(self, batch: Batch, sent: list[Sent]) -> None:
        """All that were accepted, in a few statements: this is the most frequent thing that is written."""
        updates: list[SentUpdate] = []
        expected: dict[tuple[str, str, str], OutboxRow] = {}
        for row, result in sent:
            ids = " ".join(result.smsc_ids)
            give_up_ms = _give_up_ms(row) if row.settle else None
            updates.append(
                SentUpdate(
                    result.account, give_up_ms, "sent", row.attempts + 1, result.segments, ids,
                    milliseconds(result.at), 0, row.shard, row.msisdn, row.id,
                )
            )  # fmt: skip
            if give_up_ms is not None:
                self._wake.append((give_up_ms, row.id))
            if row.settle or self._core.rules(result.account).all_receipts:
                row = row._replace(account=result.account, segments=result.segments, smsc_ids=ids)
                expected.update({(row.account, smsc_id, row.msisdn): row for smsc_id in result.smsc_ids})
        await batch.execute_many(batch.sql.outbox_sent.text, updates)
        await self._expect(batch, expected)

    async def _expect(self, batch: Batch, expected: dict[tuple[str, str, str], OutboxRow]) -> None:
        """Expect the receipts of these; those that came before the submit_sm_resp settle their message now."""
        keys = list(expected)
        for start in range(0, len(keys), RECEIPTS_AT_ONCE):
            some = keys[start : start + RECEIPTS_AT_ONCE]
            params = [value for key in some for value in (*key, expected[key].id, None, "", batch.now_ms)]
            for *key, state, error in await batch.execute(batch.sql.receipt_expected.repeated(len(some)), params):
                if state is not None:
                    row = expected[key[0], key[1], key[2]]
                    await segment_ended(self._core, batch, self._made, row, ReceiptState(state), error)

    async def _temporary(self, batch: Batch, row: OutboxRow, result: SendResult) -> None:
        if row.attempts >= len(RETRY_AFTER_S):
            await settle(self._core, batch, self._made, row, "failed", status=result.status, error="refused too often")
        else:
            due_ms = batch.now_ms + RETRY_AFTER_S[row.attempts] * 1000
            await self._again(batch, row, due_ms, row.attempts + 1, result.status, "refused for now")

    async def _unanswered(self, batch: Batch, row: OutboxRow) -> None:
        """It may have arrived, and each try may be one more copy: so at once only after the first, then seldom."""
        waits_s = (0, *RETRY_AFTER_S)
        due_ms = batch.now_ms + waits_s[min(row.attempts, len(RETRY_AFTER_S))] * 1000
        if row.once or row.attempts >= len(waits_s) or due_ms >= row.expires_ms:
            await settle(self._core, batch, self._made, row, "unknown", error="no submit_sm_resp")
        else:
            await self._again(batch, row, due_ms, row.attempts + 1, 0, "no submit_sm_resp")

    async def _not_sent(self, batch: Batch, row: OutboxRow, result: SendResult) -> None:
        if row.kind == "sms":
            await self._again(batch, row, batch.now_ms + NOT_SENT_AFTER_MS, row.attempts, result.status, "not sent")
            return
        # Nobody sees the screen any more. What it said last is worth an SMS, a question is not.
        source = _short_code(self._core, row)
        if row.key == "last_screen" and source:
            await self._again(
                batch,
                row._replace(kind="sms", source=source),
                batch.now_ms,
                row.attempts,
                0,
                "by SMS: the dialogue was over",
            )
        else:
            await settle(self._core, batch, self._made, row, "expired", error="the dialogue was over")

    async def _again(self, batch: Batch, row: OutboxRow, due_ms: int, attempts: int, status: int, why: str) -> None:
        if row.kind == "sms" and due_ms >= row.expires_ms:
            await settle(self._core, batch, self._made, row, "expired", status=status, error=why)
            return
        query = batch.sql.outbox_again
        await batch.execute(
            query.text,
            query.params(
                new_kind=row.kind, new_source=row.source, new_due_ms=due_ms, new_attempts=attempts, new_status=status,
                new_sent_ms=None, new_error=why, given_shard=row.shard, given_msisdn=row.msisdn, given_id=row.id,
            ),
        )  # fmt: skip
        self._wake.append((due_ms, row.id))

    def committed(self) -> None:
        taken, self._taken = self._taken, []
        self._outbox.recorded(taken, self._made)
        for due_ms, id_ in self._wake:
            self._outbox.wake_at(due_ms, id_)

    def lost(self, error: Exception) -> None:
        taken, self._taken = self._taken, []
        self._outbox.not_recorded(taken)


class ScanDue:
    """The work that loads rows whose time has come, and gives up those whose time is over."""

    def __init__(self, core: Core, outbox: Outbox, place: tuple[int, int], in_flight: Mapping[int, int]) -> None:
        self._core = core
        self._outbox = outbox
        self.began_at = place
        self._in_flight = in_flight
        self.place = place
        self.next_due_ms = 0
        self.ready: list[OutboxRow] = []
        self.made = Made()

    async def run(self, batch: Batch) -> None:
        self.ready, self.made = [], Made()
        due = batch.sql.outbox_due
        rows = await batch.execute(
            due.text, due.params(after_ms=self.began_at[0], after_id=self.began_at[1], now_ms=batch.now_ms, most=SCAN)
        )
        for fields in rows:
            row = OutboxRow(*fields)
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
        if row.state == "sent":
            await settle(self._core, batch, self.made, row, "unknown", error="no receipt")
        elif row.once and row.sent_ms is not None:
            await settle(self._core, batch, self.made, row, "unknown", error="no submit_sm_resp before the restart")
        elif row.expires_ms <= batch.now_ms:
            await settle(self._core, batch, self.made, row, "expired", error="waited too long")
        elif row.kind == "sms":
            self.ready.append(row)
        elif row.key == "last_screen" and (source := _short_code(self._core, row)):
            self.ready.append(row._replace(kind="sms", source=source))
        else:
            await settle(self._core, batch, self.made, row, "expired", error="the dialogue was over")

    def committed(self) -> None:
        self._outbox.scanned(self)

    def lost(self, error: Exception) -> None:
        self._outbox.not_scanned(self)


NEVER_MS = 1 << 62


def _give_up_ms(row: OutboxRow) -> int:
    return row.expires_ms + _ms(NO_RECEIPT_AFTER)


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)


def _short_code(core: Core, row: OutboxRow) -> str:
    mounted = core.router.mounted.get(row.service)
    return mounted.short_codes[0] if mounted is not None and mounted.short_codes else ""
