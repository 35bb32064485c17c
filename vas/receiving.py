"""A delivery receipt: matched with its message, whichever of receipt and submit_sm_resp came first."""

from __future__ import annotations

from vas.core import Core
from vas.errors import Invalid
from vas.messages import ROK, Answer, Msisdn, Receipt, ReceiptState
from vas.running import Effects, Made
from vas.settling import settle
from vas.store.ids import shard_of
from vas.store.rows import OutboxRow
from vas.store.smsc_ids import receipt_ids
from vas.unit import Batch

STATE_OF = {
    ReceiptState.DELIVERED: "delivered",
    ReceiptState.EXPIRED: "expired",
    ReceiptState.UNKNOWN: "unknown",
}
"""How a receipt ends a message; every other final state is a failure."""
NO_RECEIPT_AFTER_MS = 86_400_000
"""A message without a receipt by its validity and this has an unknown outcome."""


class ReceiptWork:
    """The work of one Receipt. A receipt that comes twice changes nothing the second time."""

    def __init__(self, core: Core, effects: Effects, receipt: Receipt, answer: Answer) -> None:
        self._core = core
        self._effects = effects
        self._receipt = receipt
        self.key = receipt.account, receipt.smsc_id, number(receipt.msisdn)
        """Of the row where it meets its submit_sm_resp."""
        self._answer = answer
        self.answer_by_s = core.rules(receipt.account).answer_by_s()
        self._made = Made()
        self._early = False

    async def run(self, batch: Batch) -> None:
        self._made, self._early = Made(), False
        receipt, outbox_id = self._receipt, None
        _, smsc_id, msisdn = self.key
        if not smsc_id:
            smsc_id, outbox_id = await self._by_reference(batch, msisdn)
        if not smsc_id:
            return
        query = batch.sql.receipt_came
        found = await batch.execute_together(
            query.text,
            query.params(
                account=receipt.account, smsc_id=smsc_id, msisdn=msisdn, outbox_id=outbox_id,
                state=receipt.state.value, error=receipt.error, at_ms=batch.now_ms,
            ),
        )  # fmt: skip
        if not found or found[0][0] is None or not receipt.state.final:
            return
        # Nobody else looks at the receipts of its other segments until this one is there for all to see.
        query = batch.sql.outbox_row_to_change
        rows = await batch.execute_together(query.text, (shard_of(msisdn), msisdn, found[0][0]))
        if rows:
            await segment_ended(self._core, batch, self._made, OutboxRow(*rows[0]), receipt.state, receipt.error)

    async def _by_reference(self, batch: Batch, msisdn: str) -> tuple[str, int | None]:
        """SMSC id and outbox id of the message that a receipt without an id means; empty if there is none.

        Receipts of a long message cannot be told apart: each is taken for that of the first segment without one.
        """
        receipt, query = self._receipt, batch.sql.sent_with_reference
        if receipt.reference is None:
            return "", None
        rows = await batch.execute(
            query.text,
            query.params(
                of_shard=shard_of(msisdn), of_msisdn=msisdn, of_account=receipt.account,
                of_reference=receipt.reference, after_ms=batch.now_ms - NO_RECEIPT_AFTER_MS,
            ),
        )  # fmt: skip
        if not rows:
            return "", None
        row = OutboxRow(*rows[0])
        self._early = row.state == "queued"
        for smsc_id in receipt_ids(row.smsc_ids):
            found = await batch.execute(batch.sql.receipt_state.text, (row.account, smsc_id, msisdn))
            if not found or found[0][0] is None or not ReceiptState(found[0][0]).final:
                return smsc_id, row.id
        return "", None

    def committed(self) -> None:
        if self._early:
            # Its submit_sm_resp is on the way; with that it has ids under which a receipt can be kept.
            self._answer(self._core.rules(self._receipt.account).later_status)
            return
        self._core.metrics.receipts.labels(self._receipt.account, self._receipt.state.value).inc()
        self._answer(ROK)
        self._effects.follow(self._made, 0)

    def lost(self, error: Exception) -> None:
        self.refuse("later")

    def refuse(self, result: str) -> None:
        """Answer `later`, or `throttled` while the platform is full; nothing was written."""
        self._answer(self._core.rules(self._receipt.account).refusing(result))


async def segment_ended(core: Core, batch: Batch, made: Made, row: OutboxRow, state: ReceiptState, error: str) -> None:
    """One segment's receipt: the message is delivered with its last segment, and fails with its first."""
    ending = STATE_OF.get(state, "failed")
    if ending == "delivered" and row.segments > 1 and not await _all_delivered(batch, row):
        return
    await settle(
        core, batch, made, row, ending, error="" if ending == "delivered" else f"{state.value} {error}".strip()
    )


async def _all_delivered(batch: Batch, row: OutboxRow) -> bool:
    for smsc_id in receipt_ids(row.smsc_ids):
        found = await batch.execute(batch.sql.receipt_state.text, (row.account, smsc_id, row.msisdn))
        if not found or found[0][0] != ReceiptState.DELIVERED:
            return False
    return True


def number(spelled: str) -> str:
    """Digits of a receipt's source address in the form of outbox.msisdn, however the SMSC spells it."""
    try:
        return Msisdn.parse(spelled).digits
    except Invalid:
        return spelled
