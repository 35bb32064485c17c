"""Statements of one row that many works of a batch wait for at the same time, put as one for all of them.

What a work asks in this way runs before its turn, and once: should the work run again, it is told the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, ColumnElement, FromClause, bindparam, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from vas.store.outbox_statements import LIVE_STATES, open_receipt, outbox, receipt
from vas.store.sql import POSTGRES, Query, compiled
from vas.store.statements import Statements

Key = tuple[Any, ...]
_OWNED = {"given_shard": outbox.c.shard, "given_msisdn": outbox.c.msisdn, "given_id": outbox.c.id}


class Together(NamedTuple):
    """A statement, and the same with an array for each of its parameters; each row found begins with its key."""

    one: Query
    all: Query
    key: tuple[str, ...]
    """Parameters by which a row is found; in one order on all nodes, lest two wait for one another."""

    def key_of(self, params: Sequence[object]) -> Key:
        return tuple(params[self.one.names.index(name)] for name in self.key)

    def params(self, rows: Sequence[Sequence[object]]) -> tuple[object, ...]:
        columns = dict(zip(self.one.names, map(list, zip(*rows, strict=True)), strict=True))
        return self.all.params(**{name: column for name, column in columns.items() if name not in self.one.fixed})


def together(sql: Statements) -> dict[str, Together]:
    """All there are, by the text of the one."""
    each = (
        Together(sql.receipt_came, _receipts_came(sql), ("account", "smsc_id", "msisdn")),
        Together(sql.outbox_row_to_change, _outbox_rows_to_change(), tuple(_OWNED)),
        Together(sql.outbox_settled, _outbox_all_settled(), tuple(_OWNED)),
    )
    return {statements.one.text: statements for statements in each}


def _receipts_came(sql: Statements) -> Query:
    given = _given(**{column.name: column for column in receipt.columns if column.name in sql.receipt_came.names})
    new = insert(receipt).from_select([column.name for column in given.c], select(*given.c))
    came = new.on_conflict_do_update(
        index_elements=["account", "smsc_id", "msisdn"],
        set_={name: new.excluded[name] for name in ("state", "error", "at_ms")},
        where=open_receipt(),
    )
    return compiled(
        came.returning(receipt.c.account, receipt.c.smsc_id, receipt.c.msisdn, receipt.c.outbox_id), POSTGRES
    )


def _outbox_rows_to_change() -> Query:
    given = _given(**_OWNED)
    chosen = select(*_OWNED.values(), *outbox.columns).where(*_each(given)).order_by(*_OWNED.values())
    return compiled(chosen.with_for_update(of=outbox), POSTGRES)


def _outbox_all_settled() -> Query:
    new = {f"new_{name}": outbox.c[name] for name in ("state", "due_ms", "settled_ms", "status", "error")}
    given = _given(**new, of_owner=outbox.c.owner, **_OWNED)
    settled = (
        update(outbox)
        .where(
            *_each(given),
            outbox.c.state.in_([literal(name) for name in LIVE_STATES]),
            outbox.c.owner.is_not_distinct_from(given.c.of_owner),
        )
        .values({column.name: given.c[name] for name, column in new.items()})
    )
    return compiled(settled.returning(*_OWNED.values(), outbox.c.id), POSTGRES)


def _given(**columns: ColumnElement[Any]) -> FromClause:
    """Rows of parameters, an array for each of these names."""
    arrays = [bindparam(name, type_=ARRAY(column.type)) for name, column in columns.items()]
    return func.unnest(*arrays).table_valued(*columns).render_derived("given")


def _each(given: FromClause) -> list[ColumnElement[bool]]:
    """Those of the outbox with the given keys."""
    return [column == given.c[name] for name, column in _OWNED.items()]
