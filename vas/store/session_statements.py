"""The statements of sessions, and of what was seen in them."""

from __future__ import annotations

from functools import cached_property

from sqlalchemy import ColumnElement, bindparam, delete, func, literal_column, select

from vas.store import schema
from vas.store.compiled import Compiled
from vas.store.sql import Query

session, seen, node = schema.session, schema.seen, schema.node


class SessionStatements(Compiled):
    """Parameters are named as in Statements."""

    @cached_property
    def put_session(self) -> Query:
        return self._upsert(session)

    @cached_property
    def put_seen(self) -> Query:
        return self._upsert(schema.seen)

    @cached_property
    def seen_lasting(self) -> Query:
        """The latest copy of a message that the SMSC gave an id."""
        return self._compile(
            select(seen)
            .where(seen.c.key == bindparam("key"), seen.c.lasting)
            .order_by(seen.c.received_ms.desc())
            .limit(literal_column("1"))
        )

    @cached_property
    def doubtful(self) -> Query:
        """Answers that were not confirmed when the last run ended, in the order in which they were given."""
        both = seen.outerjoin(session, seen.c.session == session.c.id)
        return self._compile(
            select(seen)
            .select_from(both)
            .where(~seen.c.lasting, seen.c.ordinal > func.coalesce(session.c.confirmed, literal_column("0")))
            .order_by(seen.c.received_ms)
        )

    @cached_property
    def seen_as(self) -> Query:
        return self._compile(
            select(seen).where(seen.c.session == bindparam("session"), seen.c.ordinal == bindparam("ordinal"))
        )

    @cached_property
    def some_answers(self) -> Query:
        """How many of the next few answers of a session there are up to an ordinal, and the last one's ordinal."""
        some = (
            select(seen.c.ordinal)
            .where(seen.c.session == bindparam("session"))
            .where(seen.c.ordinal > bindparam("after"), seen.c.ordinal <= bindparam("up_to"))
            .order_by(seen.c.ordinal)
            .limit(bindparam("most"))
            .subquery()
        )
        return self._compile(select(func.count(), func.max(some.c.ordinal)).select_from(some))

    @cached_property
    def forget_confirmed(self) -> Query:
        """Delete answers of a session that have surely arrived, in a stretch; a row of the result for each."""
        some = (
            select(seen.c.session, seen.c.ordinal)
            .where(seen.c.session == bindparam("session"), ~seen.c.lasting)
            .where(seen.c.ordinal > bindparam("after"), seen.c.ordinal <= bindparam("up_to"))
        )
        return self._delete(seen, some)

    @cached_property
    def sessions(self) -> Query:
        return self._compile(select(session))

    @cached_property
    def forget_session(self) -> Query:
        return self._compile(delete(session).where(session.c.id == bindparam("given_id")))

    @cached_property
    def forget_answers(self) -> Query:
        return self._compile(delete(seen).where(seen.c.session == bindparam("given_session")))

    @cached_property
    def seen_between(self) -> Query:
        """What was answered with inbox rows in a stretch of ids."""
        return self._compile(select(seen).where(seen.c.inbox_id.between(bindparam("first_id"), bindparam("last_id"))))

    @cached_property
    def newest_answer(self) -> Query:
        """When a session was last answered; NULL: nothing of it is kept."""
        return self._compile(select(func.max(seen.c.received_ms)).where(seen.c.session == bindparam("given_session")))

    # -- where nodes share the database

    @cached_property
    def session_now(self) -> Query:
        """Up to where its answers have arrived; whether it goes on and its node lives."""
        lives = ~session.c.ended & (node.c.until_ms > _NOW_MS)
        both = session.outerjoin(node, node.c.id == session.c.node)
        return self._compile(
            select(session.c.confirmed, func.coalesce(lives, literal_column("false")))
            .select_from(both)
            .where(session.c.id == bindparam("given_id"))
        )

    @cached_property
    def sessions_over(self) -> Query:
        """Some that have ended, or whose nodes are gone, with ids below a bound."""
        return self._compile(
            select(session.c.id)
            .where(session.c.id < bindparam("before"), _over())
            .order_by(session.c.id)
            .limit(bindparam("most"))
        )

    @cached_property
    def confirmed_of_others(self) -> Query:
        """Sessions that have ended or whose nodes are gone, and up to where their answers have arrived for good."""
        return self._compile(
            select(session.c.id, session.c.confirmed)
            .where(_over(), session.c.late == literal_column("'[]'"))
            .order_by(session.c.id)
        )


_NOW_MS = func.extract("epoch", func.clock_timestamp()) * literal_column("1000")


def _over() -> ColumnElement[bool]:
    return session.c.ended | session.c.node.not_in(select(node.c.id))
