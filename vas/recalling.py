"""Messages kept from being delivered, or given another text: what the store and the outbox have to do with it."""

from __future__ import annotations

import msgspec

from vas.core import Core
from vas.errors import Refused
from vas.node import Node
from vas.running import Made
from vas.settling import settle
from vas.store.ids import shard_of
from vas.store.rows import OutboxRow
from vas.unit import Batch

REPLACED_AT_MOST = 20
"""Texts that are tried in the place of one message's."""


class Replaced(msgspec.Struct, frozen=True):
    """A text that operations had the SMSC put in the place of a message's."""

    at_ms: int
    who: str
    text: str
    said: str
    """Why the SMSC may not have done so; empty: it has."""


async def sent_row(node: Node, msisdn: str, id_: int) -> OutboxRow:
    """A message as it is kept.

    Raises Refused("over") where it is not kept any more, "ussd" where it is no SMS, and "no_id" where the SMSC
    accepted it without giving an id, by which alone it can be spoken of.
    """
    query = node.store.sql.outbox_row
    params = query.params(given_shard=shard_of(msisdn), given_msisdn=msisdn, given_id=id_)
    found: list[tuple[object, ...]] = await node.store.read(query.text, params)
    if not found:
        raise Refused("over")
    row = OutboxRow._make(found[0])
    if row.kind != "sms":
        raise Refused("ussd")
    if row.state != "queued" and row.sent_ms is not None and not row.status and not row.smsc_ids.split():
        raise Refused("no_id")
    return row


async def cancel_queued(node: Node, row: OutboxRow, who: str) -> None:
    """Take a message out of the queue; raises Refused("leaving") where the gateway has it, of this or another node."""
    if not node.outbox.withhold(row.id):
        raise Refused("leaving")
    try:
        await settle_cancelled(node, row, who, "queued")
    finally:
        node.outbox.release(row.id)


async def settle_cancelled(node: Node, row: OutboxRow, who: str, state: str) -> None:
    """Give a message that is still in `state` the last one; raises Refused("over") where it is not any more."""
    cancellation = Cancellation(node.core, row, who, state)
    await node.run(cancellation)
    node.follow(cancellation.made, 0)


class Cancellation:
    """The work that writes down that a message is cancelled, and tells its `then=`."""

    def __init__(self, core: Core, row: OutboxRow, who: str, state: str) -> None:
        self._core = core
        self._row = row
        self._who = who
        self._state = state
        self.made = Made()

    async def run(self, batch: Batch) -> None:
        self.made = Made()
        node = batch.sql.node_row
        row = await _row_to_change(batch, self._row)
        if row.state != self._state:
            raise Refused("over")
        if row.owner not in (None, self._core.me) and await batch.execute(node.text, (row.owner,)):
            raise Refused("leaving")
        await settle(self._core, batch, self.made, row, "cancelled", error=f"cancelled by {self._who}")


def replacements(row: OutboxRow) -> list[Replaced]:
    """Those that were tried, the oldest first."""
    return msgspec.json.decode(row.replaced, type=list[Replaced]) if row.replaced else []


class Replacement:
    """The work that writes down what text the SMSC was given, by whom, and what it answered."""

    def __init__(self, row: OutboxRow, who: str, text: str, said: str) -> None:
        self._row = row
        self._who, self._text, self._said = who, text, said

    async def run(self, batch: Batch) -> None:
        replaced = batch.sql.outbox_replaced
        row = await _row_to_change(batch, self._row)
        tried = [*replacements(row), Replaced(batch.now_ms, self._who, self._text, self._said)]
        await batch.execute(replaced.text, replaced.params(new_replaced=msgspec.json.encode(tried), **self._row.given))


async def _row_to_change(batch: Batch, row: OutboxRow) -> OutboxRow:
    """As it is now, locked; raises Refused("over") where it has gone since it was read."""
    query = batch.sql.outbox_row_to_change
    found = await batch.execute(query.text, query.params(**row.given))
    if not found:
        raise Refused("over")
    return OutboxRow._make(found[0])
