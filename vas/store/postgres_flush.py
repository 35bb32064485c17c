"""What a batch has gathered is written set-wise, table by table in one order, rows in the order of their keys.

So two nodes that write the same rows wait for each other, and neither for both. Each row is written only if it is
as it was read; if one is not, another node was quicker, and the batch is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vas.store import schema
from vas.store.ids import shard_of
from vas.store.postgres_attempts import Lost
from vas.store.rows import TalkRow
from vas.store.sql import Query

if TYPE_CHECKING:
    from vas.store.postgres_batch import PostgresBatch

HINTS = "vas"
"""The channel of what nodes tell each other."""


async def write(batch: PostgresBatch) -> None:
    """Everything; raises Lost."""
    await _write_seen(batch)
    await _write_documents(batch)
    await _write_talks(batch)
    sql, session = batch.sql, batch.session
    for table, rows in (
        (schema.inbox, batch.inbox),
        (schema.outbox, batch.outbox),
        (schema.job, batch.jobs),
        (schema.dead_letter, batch.dead_letters),
    ):
        if rows:
            await session.copy(table, rows)
    if batch.hints:
        await session.fetch(sql.notify.text, (HINTS, sorted(batch.hints)))


async def _all_of(batch: PostgresBatch, statement: Query, rows: Sequence[Sequence[object]]) -> None:
    if rows and await batch.session.put(statement, rows) != len(rows):
        raise Lost(batch.touched)


async def _write_seen(batch: PostgresBatch) -> None:
    new, instead = [], []
    for key, before in sorted(batch.seen_before.items()):
        earlier = batch.seen[key]
        assert earlier is not None
        row = earlier.row
        if before is None:
            new.append(row)
        else:
            instead.append(
                (row.session, row.ordinal, row.received_ms, row.msisdn, row.inbox_id, row.lasting, key,
                 before.session, before.ordinal)
            )  # fmt: skip
    await _all_of(batch, batch.sql.insert_seen, new)
    await _all_of(batch, batch.sql.replace_seen, instead)


async def _write_documents(batch: PostgresBatch) -> None:
    rows = []
    for key in batch.changed:
        version, json = batch.documents[key]
        rows.append((shard_of(key.msisdn), key.msisdn, key.service, version + 1, json))
    await _all_of(batch, batch.sql.put_versions, sorted(rows))


async def _write_talks(batch: PostgresBatch) -> None:
    new: list[TalkRow] = []
    changed: list[tuple[object, ...]] = []
    ended: list[TalkRow] = []
    for msisdn, before in sorted(batch.talks_before.items()):
        talk = batch.talks[msisdn]
        if talk is not None and before is not None:
            changed.append((*talk[2:], *before))
        elif talk is not None:
            new.append(talk)
        elif before is not None:
            ended.append(before)
    await _all_of(batch, batch.sql.end_talk_as_read, ended)
    await _all_of(batch, batch.sql.replace_talk, changed)
    await _all_of(batch, batch.sql.insert_talk, new)
