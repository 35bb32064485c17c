"""The statements of messages that go out, and of their receipts."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Table,
    and_,
    bindparam,
    func,
    literal,
    literal_column,
    null,
    select,
    tuple_,
    update,
)

from vas.messages import ReceiptState
from vas.store import schema
from vas.store.compiled import Compiled
from vas.store.sql import Query

outbox, receipt, node = schema.outbox, schema.receipt, schema.node

LIVE_STATES = ("queued", "sent")
_SENT = ("account", "due_ms", "state", "attempts", "segments", "smsc_ids", "sent_ms", "status", "node")


def among(ids: Collection[int]) -> dict[str, object]:
    """Parameters of the statements about some rows, at least one: with the range, other days' partitions stay shut."""
    return {"ids": list(ids), "first_id": min(ids), "last_id": max(ids)}


def _among() -> ColumnElement[bool]:
    one = outbox.c.id == func.any(bindparam("ids", type_=ARRAY(outbox.c.id.type)))
    return and_(one, outbox.c.id.between(bindparam("first_id"), bindparam("last_id")))


def nobodys(table: Table) -> ColumnElement[bool]:
    """Whether a row has no owner among the nodes that have not been given up."""
    return table.c.owner.is_(None) | table.c.owner.not_in(select(node.c.id))


def open_receipt() -> ColumnElement[bool]:
    """Whether no final one has come."""
    on_its_way = [literal(state.value) for state in ReceiptState if not state.final]
    return receipt.c.state.is_(None) | receipt.c.state.in_(on_its_way)


class OutboxStatements(Compiled):
    """Parameters are named as in Statements; `of_owner` is who had the row when it was read."""

    def _outbox_update(self, *columns: str, states: tuple[str, ...] = LIVE_STATES, free: bool = False) -> Query:
        """A row of the result if it still had that owner; `free`: then it is nobody's."""
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
        if free:
            values["owner"] = null()
        return self._compile(
            update(outbox)
            .where(
                *self._one(outbox),
                outbox.c.state.in_([literal(name) for name in states]),
                outbox.c.owner.is_not_distinct_from(bindparam("of_owner")),
            )
            .values(values)
            .returning(outbox.c.id)
        )

    @cached_property
    def outbox_row(self) -> Query:
        return self._compile(select(outbox).where(*self._one(outbox)))

    @cached_property
    def outbox_row_to_change(self) -> Query:
        """Nobody else changes it until this transaction ends."""
        return self._compile(select(outbox).where(*self._one(outbox)).with_for_update())

    @cached_property
    def outbox_sent(self) -> Query:
        """Its parameters are a SentUpdate; for executemany, so without a result."""
        return self._compile(
            update(outbox)
            .where(
                *self._one(outbox),
                outbox.c.owner.is_not_distinct_from(bindparam("of_owner")),
                outbox.c.state == "queued",
            )
            .values({"owner": null(), **{name: bindparam(f"new_{name}") for name in _SENT}})
        )

    @cached_property
    def outbox_all_sent(self) -> Query:
        """The same for many rows, on PostgreSQL: each parameter an array, of a SentUpdate's field. The ids found."""
        # No range of ids here: a planner that cannot know how few partitions are left would rather read the range.
        where = {"shard": "shard", "msisdn": "msisdn", "id": "id", "of_owner": "owner", "from_state": "state"}
        columns = {name: outbox.c[name] for name in _SENT} | {name: outbox.c[of] for name, of in where.items()}
        arrays = [bindparam(f"all_{name}", type_=ARRAY(column.type)) for name, column in columns.items()]
        given = func.unnest(*arrays).table_valued(*columns).render_derived("given")
        return self._compile(
            update(outbox)
            .where(*(outbox.c[of] == given.c[name] for name, of in where.items()))
            .values({"owner": null(), **{name: given.c[name] for name in _SENT}})
            .returning(outbox.c.id)
        )

    @cached_property
    def outbox_again(self) -> Query:
        columns = ("kind", "source", "due_ms", "attempts", "status", "sent_ms", "error")
        return self._outbox_update(*columns, states=("queued",), free=True)

    @cached_property
    def outbox_left(self) -> Query:
        columns = ("account", "attempts", "segments", "smsc_ids", "sent_ms", "node")
        return self._outbox_update(*columns, states=("queued",))

    @cached_property
    def outbox_claimed(self) -> Query:
        return self._outbox_update("sent_ms", states=("queued",))

    @cached_property
    def outbox_settled(self) -> Query:
        return self._outbox_update("state", "due_ms", "settled_ms", "status", "error")

    @cached_property
    def outbox_replaced(self) -> Query:
        return self._compile(update(outbox).where(*self._one(outbox)).values(replaced=bindparam("new_replaced")))

    @cached_property
    def outbox_due(self) -> Query:
        """Rows whose time has come, in order, beyond the place where the last look ended."""
        place = tuple_(outbox.c.due_ms, outbox.c.id)
        return self._compile(
            select(outbox)
            .where(place > tuple_(bindparam("after_ms"), bindparam("after_id")), outbox.c.due_ms <= bindparam("now_ms"))
            .order_by(outbox.c.due_ms, outbox.c.id)
            .limit(bindparam("most"))
        )

    @cached_property
    def outbox_nobodys(self) -> Query:
        """The same, of those that are nobody's."""
        place = tuple_(outbox.c.due_ms, outbox.c.id)
        return self._compile(
            select(outbox)
            .where(
                place > tuple_(bindparam("after_ms"), bindparam("after_id")),
                outbox.c.due_ms <= bindparam("now_ms"),
                nobodys(outbox),
            )
            .order_by(outbox.c.due_ms, outbox.c.id)
            .limit(bindparam("most"))
        )

    @cached_property
    def outbox_take(self) -> Query:
        """Make this node the owner of those that still are nobody's and due, as they are now.

        What another node is just taking it may have.
        """
        free = (
            select(outbox.c.shard, outbox.c.msisdn, outbox.c.id)
            .where(
                _among(),
                outbox.c.due_ms <= bindparam("now_ms"),
                nobodys(outbox),
            )
            .with_for_update(of=outbox, skip_locked=True)
            .cte("free")
        )
        return self._compile(
            update(outbox)
            .where(outbox.c.shard == free.c.shard, outbox.c.msisdn == free.c.msisdn, outbox.c.id == free.c.id)
            .values(owner=bindparam("new_owner"))
            .returning(*outbox.columns)
        )

    @cached_property
    def outbox_give_back(self) -> Query:
        """Make those nobody's that this node has, and has not sent."""
        return self._compile(
            update(outbox)
            .where(
                _among(),
                outbox.c.owner == bindparam("of_owner"),
                outbox.c.state == "queued",
            )
            .values(owner=null())
        )

    @cached_property
    def outbox_revived(self) -> Query:
        """Ids of what this node has, out of a stretch of ids."""
        return self._compile(
            select(outbox.c.id).where(
                outbox.c.id.between(bindparam("first_id"), bindparam("last_id")),
                outbox.c.owner == bindparam("of_owner"),
                outbox.c.state == "queued",
            )
        )

    @cached_property
    def node_row(self) -> Query:
        """Whether a node has not been given up."""
        return self._compile(select(node.c.id).where(node.c.id == bindparam("given_id")))

    @cached_property
    def outbox_next_due(self) -> Query:
        return self._compile(select(func.min(outbox.c.due_ms)).where(outbox.c.due_ms > bindparam("after_ms")))

    # -- where a receipt and its submit_sm_resp meet

    def _meet(self, sets: tuple[str, ...], tell: tuple[str, ...], where: ColumnElement[bool] | None = None) -> Query:
        new = self._insert(receipt)
        values = {name: new.excluded[name] for name in sets}
        keys = ["account", "smsc_id", "msisdn"]
        met = new.on_conflict_do_update(index_elements=keys, set_=values, where=where)
        return self._compile(met.returning(*(receipt.c[name] for name in tell)))

    @cached_property
    def receipt_expected(self) -> Query:
        """The submit_sm_resp came: with its key the state, if the receipt was there before it."""
        return self._meet(("outbox_id",), ("account", "smsc_id", "msisdn", "state", "error"))

    @cached_property
    def receipt_came(self) -> Query:
        """The receipt came: the outbox id, if the submit_sm_resp was there before it.

        No row at all if a final one was there before it, which stands.
        """
        return self._meet(("state", "error", "at_ms"), ("outbox_id",), open_receipt())

    @cached_property
    def sent_with_reference(self) -> Query:
        """The newest message to a number by an account, not settled, whose id has these low 16 bits; nobody else then
        changes it until this transaction ends."""
        low_bits = outbox.c.id.bitwise_and(literal_column("65535"))
        return self._compile(
            select(outbox)
            .where(
                outbox.c.shard == bindparam("of_shard"),
                outbox.c.msisdn == bindparam("of_msisdn"),
                outbox.c.account.in_([bindparam("of_account"), literal_column("''")]),
                outbox.c.state.in_([literal(name) for name in LIVE_STATES]),
                outbox.c.expires_ms > bindparam("after_ms"),
                low_bits == bindparam("of_reference"),
            )
            .order_by(outbox.c.id.desc())
            .limit(literal_column("1"))
            .with_for_update()
        )

    @cached_property
    def receipt_state(self) -> Query:
        return self._compile(
            select(receipt.c.state).where(
                receipt.c.account == bindparam("account"),
                receipt.c.smsc_id == bindparam("smsc_id"),
                receipt.c.msisdn == bindparam("msisdn"),
            )
        )
