"""The statements of messages that go out, and of their receipts."""

from __future__ import annotations

from functools import cached_property

from sqlalchemy import ColumnElement, bindparam, func, literal, literal_column, select, tuple_, update

from vas.messages import ReceiptState
from vas.store import schema
from vas.store.compiled import Compiled
from vas.store.sql import Query

outbox, receipt = schema.outbox, schema.receipt

LIVE_STATES = ("queued", "sent")


class OutboxStatements(Compiled):
    """Parameters are named as in Statements."""

    def _outbox_update(self, *columns: str, states: tuple[str, ...] = LIVE_STATES) -> Query:
        return self._compile(
            update(outbox)
            .where(*self._one(outbox), outbox.c.state.in_([literal(name) for name in states]))
            .values({name: bindparam(f"new_{name}") for name in columns})
            .returning(outbox.c.id)
        )

    @cached_property
    def outbox_row(self) -> Query:
        return self._compile(select(outbox).where(*self._one(outbox)))

    @cached_property
    def outbox_sent(self) -> Query:
        """Its parameters are a SentUpdate; for executemany, so without a result."""
        columns = ("state", "due_ms", "segments", "smsc_ids", "account", "sent_ms", "status", "attempts")
        return self._compile(
            update(outbox)
            .where(*self._one(outbox), outbox.c.state == "queued")
            .values({name: bindparam(f"new_{name}") for name in columns})
        )

    @cached_property
    def outbox_again(self) -> Query:
        columns = ("kind", "source", "due_ms", "attempts", "status", "sent_ms", "error")
        return self._outbox_update(*columns, states=("queued",))

    @cached_property
    def outbox_left(self) -> Query:
        columns = ("account", "attempts", "segments", "smsc_ids", "sent_ms")
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
        on_its_way = [literal(state.value) for state in ReceiptState if not state.final]
        open_ = receipt.c.state.is_(None) | receipt.c.state.in_(on_its_way)
        return self._meet(("state", "error", "at_ms"), ("outbox_id",), open_)

    @cached_property
    def sent_with_reference(self) -> Query:
        """The newest message to a number by an account, not settled, whose id has these low 16 bits."""
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
