"""Long messages of a subscriber that wait for the rest of their parts."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby

from sqlalchemy import and_, bindparam, select

from vas.admin.desk import Reader
from vas.admin.values import Model
from vas.store import schema
from vas.store.ids import moment, shard_of
from vas.store.rows import PartKey
from vas.store.sql import Portable

_PARTS_AT_MOST = 1_000

_long, _part = schema.long_message.c, schema.part.c
_WAITING = Portable(
    select(_long.due_ms, _long.account, _long.receiver, _long.reference, _long.total, _part.number)
    .join_from(
        schema.long_message, schema.part, and_(*(_long[name] == _part[name] for name in PartKey._fields))
    )
    .where(_long.shard == bindparam("of_shard"), _long.msisdn == bindparam("of_msisdn"))
    .order_by(_long.due_ms, _long.account, _long.receiver, _long.reference, _long.total, _part.number)
    .limit(_PARTS_AT_MOST)
)  # fmt: skip


class Waiting(Model):
    """A long message of which parts are missing."""

    account: str
    to: str
    """The short code."""
    came: list[int]
    """Numbers of the parts that have come."""
    parts: int
    """How many it has."""
    until: datetime
    """When it is given up, and the subscriber told what is missing."""


async def waiting_from(reader: Reader, msisdn: str) -> list[Waiting]:
    """The one that is given up first stands first."""
    query = _WAITING.on(reader.sql.dialect)
    found = await reader.read(query.text, query.params(of_shard=shard_of(msisdn), of_msisdn=msisdn))
    return [
        Waiting(account=account, to=receiver, came=[row[-1] for row in rows], parts=total, until=moment(due_ms))
        for (due_ms, account, receiver, _, total), rows in groupby(found, key=lambda row: row[:-1])
    ]
