"""The works of the outbox: what is about to leave, and how it went.

What they find out is told to the `Outbox` once it is committed.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import structlog

from vas.core import Core
from vas.due import as_sms, give_up_question
from vas.messages import ReceiptState, SendOutcome, SendResult, mask
from vas.receiving import NO_RECEIPT_AFTER_MS, segment_ended
from vas.refused import bury_message, refusal
from vas.running import Made
from vas.settling import settle
from vas.statuses import status_name
from vas.store import smsc_ids
from vas.store.ids import milliseconds
from vas.store.rows import OutboxRow, SentUpdate
from vas.unit import Batch

if TYPE_CHECKING:
    from vas.outbox import Outbox

log = structlog.get_logger()
RETRY_AFTER_S = (5, 30, 120, 600, 1800)
"""Waits between counted attempts; when they are used up the message has failed."""
NOT_SENT_AFTER_MS = 2_000
"""How long a message that could not leave waits; it costs no attempt."""
RECEIPTS_AT_ONCE = 50
"""Receipts that one statement makes ready for."""


class Sent(NamedTuple):
    row: OutboxRow
    result: SendResult


class Claim:
    """The work that writes down that a message which must not be doubled is about to leave.

    If nothing more is known of it when this node is gone, it may have left, and is not sent again.
    """

    def __init__(self, outbox: Outbox, row: OutboxRow, received_ms: int) -> None:
        self._outbox = outbox
        self._row = row
        self._received_ms = received_ms
        self._claimed = False

    async def run(self, batch: Batch) -> None:
        query, row = batch.sql.outbox_claimed, self._row
        params = query.params(new_sent_ms=batch.now_ms, of_owner=row.owner, **row.given)
        self._claimed = bool(await batch.execute(query.text, params))

    def committed(self) -> None:
        if self._claimed:
            self._outbox.hand_over(self._row, self._received_ms)
        else:
            self._outbox.not_claimed(self._row)

    def lost(self, error: Exception) -> None:
        self._outbox.not_claimed(self._row)


class RecordSent:
    """The work that writes down how submissions ended, at most so many of those known when its batch begins."""

    def __init__(self, core: Core, outbox: Outbox, results: deque[Sent], most: int) -> None:
        self._core = core
        self._outbox = outbox
        self._results = results
        self._most = most
        self._taken: list[Sent] = []
        self._wake: list[tuple[int, int]] = []
        self._refusals: list[Sent] = []
        self._dropped = 0
        self._made = Made()

    async def run(self, batch: Batch) -> None:
        self._made, self._wake, self._refusals, self._dropped = Made(), [], [], 0
        while self._results and len(self._taken) < self._most:
            self._taken.append(self._results.popleft())
        await self._sent(batch, [sent for sent in self._taken if sent.result.outcome is SendOutcome.SENT])
        for row, result in self._taken:
            match result.outcome:
                case SendOutcome.TEMPORARY | SendOutcome.PERMANENT | SendOutcome.NOT_SENT if row.kind != "sms":
                    await self._not_shown(batch, row, result)
                case SendOutcome.TEMPORARY:
                    await self._temporary(batch, row, result)
                case SendOutcome.PERMANENT:
                    await self._refused(batch, row, result, refusal(result.status))
                case SendOutcome.UNANSWERED:
                    await self._unanswered(batch, row, result)
                case SendOutcome.NOT_SENT:
                    due_ms = batch.now_ms + (NOT_SENT_AFTER_MS if self._core.takes(row) else 0)
                    await self._again(batch, row, result, due_ms, "not sent")

    async def _sent(self, batch: Batch, sent: list[Sent]) -> None:
        """All that were accepted, in a few statements: this is the most frequent thing that is written."""
        updates: list[SentUpdate] = []
        expected: list[OutboxRow] = []
        for row, result in sent:
            ids = smsc_ids.written(result.smsc_ids, result.spelled)
            give_up_ms = row.expires_ms + NO_RECEIPT_AFTER_MS if row.settle else None
            updates.append(
                SentUpdate(
                    result.account, give_up_ms, "sent", row.attempts + 1, result.segments, ids,
                    milliseconds(result.at), 0, self._core.member.name, row.shard, row.msisdn, row.id, row.owner,
                )
            )  # fmt: skip
            if give_up_ms is not None:
                self._wake.append((give_up_ms, row.id))
            if row.settle or self._core.rules(result.account).all_receipts:
                expected.append(
                    row._replace(account=result.account, segments=result.segments, smsc_ids=ids, owner=None)
                )
        lost = await self._write_sent(batch, updates)
        await self._expect(batch, [row for row in expected if row.id not in lost])

    async def _write_sent(self, batch: Batch, updates: list[SentUpdate]) -> set[int]:
        """The ids of those that are another node's by now."""
        if not self._core.shared or not updates:
            await batch.execute_many(batch.sql.outbox_sent.text, updates)
            return set()
        query = batch.sql.outbox_all_sent
        arrays = [list(values) for values in zip(*updates, strict=True)]
        found = {id_ for (id_,) in await batch.execute(query.text, arrays)}
        lost = {update.id for update in updates} - found
        self._dropped += len(lost)
        return lost

    async def _expect(self, batch: Batch, rows: list[OutboxRow]) -> None:
        """Expect the receipts of these; those that came before the submit_sm_resp settle their message now."""
        expected = {
            (row.account, smsc_id, row.msisdn): row for row in rows for smsc_id in smsc_ids.receipt_ids(row.smsc_ids)
        }
        # In one order on all nodes, lest two wait for one another.
        keys = sorted(expected)
        for start in range(0, len(keys), RECEIPTS_AT_ONCE):
            some = keys[start : start + RECEIPTS_AT_ONCE]
            params = [value for key in some for value in (*key, expected[key].id, None, "", batch.now_ms)]
            for *key, state, error in await batch.execute(batch.sql.receipt_expected.repeated(len(some)), params):
                if state is not None and ReceiptState(state).final:
                    row = expected[key[0], key[1], key[2]]
                    await segment_ended(self._core, batch, self._made, row, ReceiptState(state), error)

    async def _temporary(self, batch: Batch, row: OutboxRow, result: SendResult) -> None:
        if row.attempts >= len(RETRY_AFTER_S):
            await self._refused(batch, row, result, f"too often {refusal(result.status)}")
        else:
            due_ms = batch.now_ms + RETRY_AFTER_S[row.attempts] * 1000
            await self._again(batch, row, result, due_ms, "refused for now")

    async def _refused(self, batch: Batch, row: OutboxRow, result: SendResult, error: str) -> None:
        if await self._ended(batch, row, result, "failed", error):
            bury_message(batch, row, error)
            self._refusals.append(Sent(row, result))

    async def _unanswered(self, batch: Batch, row: OutboxRow, result: SendResult) -> None:
        """It may have arrived, and each try may be one more copy: so at once only after the first, then seldom."""
        waits_s = (0, *RETRY_AFTER_S)
        due_ms = batch.now_ms + waits_s[min(row.attempts, len(RETRY_AFTER_S))] * 1000
        if row.kind == "push" or row.once or row.attempts >= len(waits_s) or due_ms >= row.expires_ms:
            await self._ended(batch, row, result, "unknown", "no submit_sm_resp")
        else:
            await self._again(batch, row, result, due_ms, "no submit_sm_resp")

    async def _not_shown(self, batch: Batch, row: OutboxRow, result: SendResult) -> None:
        """Nobody sees the screen any more. What it said last is worth an SMS, a question is not."""
        by_sms = as_sms(self._core, row)
        if by_sms is not None:
            await self._put_off(batch, by_sms, batch.now_ms, 0, "by SMS: it could not be shown")
        else:
            await self._left(batch, row, result)
            await give_up_question(self._core, batch, self._made, row, result.status)

    async def _again(self, batch: Batch, row: OutboxRow, result: SendResult, due_ms: int, why: str) -> None:
        if row.kind == "sms" and due_ms >= row.expires_ms:
            await self._ended(batch, row, result, "expired", why)
            return
        await self._put_off(batch, row._replace(attempts=row.attempts + has_left(result)), due_ms, result.status, why)

    async def _put_off(self, batch: Batch, row: OutboxRow, due_ms: int, status: int, why: str) -> None:
        query = batch.sql.outbox_again
        found = await batch.execute(
            query.text,
            query.params(
                new_kind=row.kind, new_source=row.source, new_due_ms=due_ms, new_attempts=row.attempts,
                new_status=status, new_sent_ms=None, new_error=why, of_owner=row.owner, **row.given,
            ),
        )  # fmt: skip
        self._dropped += not found
        self._wake.append((due_ms, row.id))
        if self._core.shared and due_ms <= batch.now_ms:
            batch.hints.add("outbox")

    async def _ended(self, batch: Batch, row: OutboxRow, result: SendResult, state: str, error: str) -> bool:
        """No further try; False for a message that has its last state."""
        await self._left(batch, row, result)
        return await settle(self._core, batch, self._made, row, state, status=result.status, error=error)

    async def _left(self, batch: Batch, row: OutboxRow, result: SendResult) -> None:
        """Keep by which account a message left that was not accepted, and in how many segments."""
        if not has_left(result):
            return
        query = batch.sql.outbox_left
        await batch.execute(
            query.text,
            query.params(
                new_account=result.account, new_attempts=row.attempts + 1, new_segments=result.segments,
                new_smsc_ids=smsc_ids.written(result.smsc_ids, result.spelled),
                new_sent_ms=milliseconds(result.at), new_node=self._core.member.name, of_owner=row.owner, **row.given,
            ),
        )  # fmt: skip

    def committed(self) -> None:
        taken, self._taken = self._taken, []
        self._outbox.recorded(taken, self._made)
        self._core.metrics.results_dropped.inc(self._dropped)
        for due_ms, id_ in self._wake:
            self._outbox.wake_at(due_ms, id_)
        for row, result in self._refusals:
            log.info(
                "message.refused", id=row.id, to=mask(row.msisdn), service=row.service, account=result.account,
                status=status_name(result.status), attempts=row.attempts + has_left(result),
            )  # fmt: skip

    def lost(self, error: Exception) -> None:
        taken, self._taken = self._taken, []
        self._outbox.not_recorded(taken)


def has_left(result: SendResult) -> bool:
    """Whether the SMSC was given any of it: then it counts as an attempt."""
    return result.outcome is not SendOutcome.NOT_SENT and result.segments > 0
