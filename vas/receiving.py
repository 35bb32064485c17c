"""A delivery receipt: matched with its message, whichever of receipt and submit_sm_resp came first."""

from __future__ import annotations

from vas.core import Core
from vas.errors import Invalid
from vas.messages import ROK, Answer, Msisdn, Receipt, ReceiptState
from vas.running import Effects, Made
from vas.settling import settle
from vas.store.ids import shard_of
from vas.store.rows import OutboxRow
from vas.unit import Batch

STATE_OF = {
    ReceiptState.DELIVERED: "delivered",
    ReceiptState.EXPIRED: "expired",
    ReceiptState.UNKNOWN: "unknown",
}
"""How a receipt ends a message; every other final state is a failure."""


class ReceiptWork:
    """The work of one Receipt. A receipt that comes twice changes nothing the second time."""

    def __init__(self, core: Core, effects: Effects, receipt: Receipt, answer: Answer) -> None:
        self._core = core
        self._effects = effects
        self._receipt = receipt
        self._answer = answer
        self._made = Made()

    async def run(self, batch: Batch) -> None:
        self._made = Made()
        receipt = self._receipt
        if not receipt.state.final or not receipt.smsc_id:
            return
        msisdn = number(receipt.msisdn)
        query = batch.sql.receipt_came
        came = (receipt.account, receipt.smsc_id, msisdn, None, receipt.state.value, receipt.error, batch.now_ms)
        [(outbox_id,)] = await batch.execute(query.text, came)
        if outbox_id is None:
            return
        rows = await batch.execute(batch.sql.outbox_row.text, (shard_of(msisdn), msisdn, outbox_id))
        if rows:
            await segment_ended(self._core, batch, self._made, OutboxRow(*rows[0]), receipt.state, receipt.error)

    def committed(self) -> None:
        self._core.metrics.receipts.labels(self._receipt.account, self._receipt.state.value).inc()
        self._answer(ROK)
        self._effects.follow(self._made, 0)

    def lost(self, error: Exception) -> None:
        self._answer(self._core.rules(self._receipt.account).later_status)


async def segment_ended(core: Core, batch: Batch, made: Made, row: OutboxRow, state: ReceiptState, error: str) -> None:
    """One segment's receipt: the message is delivered with its last segment, and fails with its first."""
    ending = STATE_OF.get(state, "failed")
    if ending == "delivered" and row.segments > 1 and not await _all_delivered(batch, row):
        return
    await settle(
        core, batch, made, row, ending, error="" if ending == "delivered" else f"{state.value} {error}".strip()
    )


async def _all_delivered(batch: Batch, row: OutboxRow) -> bool:
    for smsc_id in row.smsc_ids.split():
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
