"""What only the shared engine asks: the reads of a whole batch at once, and writes that notice another node's.

Each parameter is an array, one element a row (`vas.store.sql.Query.together`).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from sqlalchemy import (
    ARRAY,
    Column,
    FromClause,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    true,
    update,
)

from vas.store import schema
from vas.store.postgres_together import Together, together
from vas.store.sql import POSTGRES, Query
from vas.store.statements import Statements

state, talk, seen, session, node, meta = (
    schema.state, schema.talk, schema.seen, schema.session, schema.node, schema.meta,
)  # fmt: skip


class PostgresStatements(Statements):
    """All statements in PostgreSQL's dialect, and its own."""

    def __init__(self) -> None:
        super().__init__(POSTGRES)

    # -- read for all units of a batch

    @cached_property
    def documents_of(self) -> Query:
        """All documents of these subscribers: shard, msisdn."""
        given = _rows(state.c.shard, state.c.msisdn)
        found = _found(state, given, "shard", "msisdn")
        return self._compile(select(*found.columns).select_from(given.join(found, true())))

    @cached_property
    def talks_of(self) -> Query:
        """The talks of these subscribers: shard, msisdn."""
        given = _rows(talk.c.shard, talk.c.msisdn)
        found = _found(talk, given, "shard", "msisdn")
        return self._compile(select(*found.columns).select_from(given.join(found, true())))

    @cached_property
    def seen_of(self) -> Query:
        """What was seen with these keys; the session that brought it, and whether its node lives and it goes on."""
        given = _rows(seen.c.key)
        found = _found(seen, given, "key")
        lives = (node.c.until_ms > _NOW_MS) & ~session.c.ended
        both = (
            given.join(found, true())
            .outerjoin(session, session.c.id == found.c.session)
            .outerjoin(node, node.c.id == session.c.node)
        )
        return self._compile(
            select(*found.columns, *session.columns, func.coalesce(lives, literal_column("false"))).select_from(both)
        )

    @cached_property
    def lock_documents(self) -> Query:
        """Keep the other nodes from these until the end of the transaction: shard, msisdn, service, in this order."""
        given = _rows(state.c.shard, state.c.msisdn, state.c.service)
        keys = (state.c.shard, state.c.msisdn, state.c.service)
        one = [column == given.c[column.name] for column in keys]
        both = given.join(state, and_(*one))
        return self._compile(select(state.c.shard).select_from(both).order_by(*keys).with_for_update(of=state))

    @cached_property
    def lock_talks(self) -> Query:
        """Likewise: shard, msisdn."""
        given = _rows(talk.c.shard, talk.c.msisdn)
        both = given.join(talk, and_(talk.c.shard == given.c.shard, talk.c.msisdn == given.c.msisdn))
        locked = select(talk.c.shard).select_from(both).order_by(talk.c.shard, talk.c.msisdn)
        return self._compile(locked.with_for_update(of=talk))

    # -- asked by many works of a batch at once

    @cached_property
    def together(self) -> dict[str, Together]:
        return together(self)

    # -- written with a batch; a row less than was given is a loss

    @cached_property
    def put_versions(self) -> Query:
        """Documents, each with the version after the one that was read."""
        new = self._insert(state)
        put = new.on_conflict_do_update(
            index_elements=["shard", "msisdn", "service"],
            set_={"version": new.excluded.version, "value": new.excluded.value},
            where=state.c.version == new.excluded.version - literal_column("1"),
        )
        return self._compile(put)

    @cached_property
    def insert_seen(self) -> Query:
        return self._compile(self._insert(seen).on_conflict_do_nothing())

    @cached_property
    def replace_seen(self) -> Query:
        """A whole row in the place of the one with its key, if that is as it was read."""
        return self._compile(
            update(seen)
            .where(
                seen.c.key == bindparam("given_key"),
                seen.c.session == bindparam("given_session"),
                seen.c.ordinal == bindparam("given_ordinal"),
            )
            .values({column.name: bindparam(f"new_{column.name}") for column in seen.columns if column.name != "key"})
        )

    @cached_property
    def insert_talk(self) -> Query:
        return self._compile(self._insert(talk).on_conflict_do_nothing())

    @cached_property
    def replace_talk(self) -> Query:
        names = [column.name for column in talk.columns if not column.primary_key]
        return self._compile(
            update(talk).where(*_as_read(talk)).values({name: bindparam(f"new_{name}") for name in names})
        )

    @cached_property
    def end_talk_as_read(self) -> Query:
        return self._compile(delete(talk).where(*_as_read(talk)))

    # -- what a node knows of its own last batch

    @cached_property
    def make_meta(self) -> Query:
        return self._compile(self._insert(meta).on_conflict_do_nothing())

    @cached_property
    def tokens(self) -> Query:
        """The tokens of all nodes' last batches, by key."""
        return self._compile(select(meta.c.key, meta.c.value).where(meta.c.key.startswith(literal_column("'batch:'"))))

    @cached_property
    def locked_token(self) -> Query:
        """A token, once the transaction that holds its row has ended; as given if there is none."""
        kept = self._insert(meta).on_conflict_do_update(index_elements=["key"], set_={"value": meta.c.value})
        return self._compile(kept.returning(meta.c.value))

    @staticmethod
    def begin(key: str, member: int) -> tuple[str, ...]:
        """Lock a token's row, then this node's: the status of the last is SELECT 1 unless it has been given up."""
        lock = f"SELECT 1 FROM meta WHERE key = '{key}' FOR UPDATE"  # noqa: S608
        fence = f"SELECT 1 FROM node WHERE id = {member} FOR KEY SHARE" if member else "SELECT 1"  # noqa: S608
        return "BEGIN", lock, fence

    @staticmethod
    def commit(key: str, token: bytes) -> tuple[str, ...]:
        # A COMMIT that is cancelled while it waits for a standby would report success.
        write = f"UPDATE meta SET value = '\\x{token.hex()}' WHERE key = '{key}'"  # noqa: S608
        return write, "SET LOCAL statement_timeout = 0", "COMMIT"

    # -- told to the other nodes

    @cached_property
    def notify(self) -> Query:
        """A channel, and what each notification says."""
        said = func.unnest(bindparam("hints", type_=ARRAY(Text))).column_valued("said")
        return self._compile(select(func.pg_notify(bindparam("channel", type_=Text), said)))


_NOW_MS = func.extract("epoch", func.clock_timestamp()) * literal_column("1000")


def _as_read(table: Table) -> list[Any]:
    return [column == bindparam(f"given_{column.name}") for column in table.columns]


def _rows(*columns: Column[Any]) -> FromClause:
    """Rows of parameters, one array a column, named as the columns are."""
    arrays = [bindparam(column.name, type_=ARRAY(column.type)) for column in columns]
    return func.unnest(*arrays).table_valued(*(column.name for column in columns)).render_derived("given")


def _found(table: Table, given: FromClause, *key: str) -> FromClause:
    """What the table has for each given row. LATERAL, so that it is looked up by its index, one after the other."""
    return select(table).where(*(table.c[name] == given.c[name] for name in key)).correlate(given).lateral("found")
