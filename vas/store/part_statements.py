"""The statements of long messages that come in parts."""

from __future__ import annotations

from functools import cached_property

from sqlalchemy import ColumnElement, Table, bindparam, delete, exists, func, insert, literal_column, select, update

from vas.store import schema
from vas.store.compiled import Compiled
from vas.store.rows import PartKey
from vas.store.sql import Query

part, long_message = schema.part, schema.long_message


class PartStatements(Compiled):
    """The parameters of one long message's key are a PartKey's fields, with `of_` before them."""

    @cached_property
    def long_message_met(self) -> Query:
        """Find or make the row of a long message, which nobody else then writes until this transaction ends."""
        new = self._insert(long_message)
        return self._compile(
            new.on_conflict_do_update(index_elements=PartKey._fields, set_={"due_ms": long_message.c.due_ms}).returning(
                long_message.c.due_ms, long_message.c.ended
            )
        )

    @cached_property
    def long_message_began(self) -> Query:
        return self._compile(update(long_message).where(*_of(long_message)).values(due_ms=bindparam("new_due_ms")))

    @cached_property
    def long_message_ended(self) -> Query:
        names = ("due_ms", "ended_ms", "ended")
        return self._compile(
            update(long_message).where(*_of(long_message)).values({name: bindparam(f"new_{name}") for name in names})
        )

    @cached_property
    def forget_long_message(self) -> Query:
        return self._compile(delete(long_message).where(*_of(long_message)))

    @cached_property
    def long_messages_due(self) -> Query:
        """Their keys, the oldest first; not those that another node is just looking at."""
        due = select(*_key()).where(long_message.c.due_ms <= bindparam("now_ms"))
        some = due.order_by(long_message.c.due_ms).limit(bindparam("most"))
        return self._compile(some.with_for_update(skip_locked=True))

    @cached_property
    def next_long_message(self) -> Query:
        return self._compile(select(func.min(long_message.c.due_ms)))

    @cached_property
    def oldest_long_messages(self) -> Query:
        """Keys of the two incomplete messages of a subscriber that have waited for longest."""
        waits = exists().where(*(part.c[name] == long_message.c[name] for name in PartKey._fields))
        return self._compile(
            select(*_key())
            .where(
                long_message.c.shard == bindparam("of_shard"), long_message.c.msisdn == bindparam("of_msisdn"), waits
            )
            .order_by(long_message.c.due_ms)
            .limit(literal_column("2"))
        )

    @cached_property
    def insert_part(self) -> Query:
        return self._compile(insert(part))

    @cached_property
    def parts_of(self) -> Query:
        return self._compile(select(part.c.number, part.c.octets, part.c.coding).where(*_of(part)))

    @cached_property
    def delete_parts(self) -> Query:
        return self._compile(delete(part).where(*_of(part)))

    @cached_property
    def count_parts_of_one(self) -> Query:
        """Of one subscriber."""
        return self._compile(
            select(func.count()).where(part.c.shard == bindparam("of_shard"), part.c.msisdn == bindparam("of_msisdn"))
        )

    @cached_property
    def count_parts(self) -> Query:
        return self._compile(select(func.count()).select_from(part))


def _key() -> list[ColumnElement[object]]:
    return [long_message.c[name] for name in PartKey._fields]


def _of(table: Table) -> list[ColumnElement[bool]]:
    return [table.c[name] == bindparam(f"of_{name}") for name in PartKey._fields]
