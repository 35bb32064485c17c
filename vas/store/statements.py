"""Every statement of the message path, built once with SQLAlchemy Core and compiled for an engine."""

from __future__ import annotations

from functools import cached_property

from sqlalchemy import (
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal,
    literal_column,
    select,
    tuple_,
    update,
)

from vas.store import schema
from vas.store.outbox_statements import OutboxStatements
from vas.store.part_statements import PartStatements
from vas.store.sql import Query

inbox, outbox, job, talk, state, receipt, seen = (
    schema.inbox, schema.outbox, schema.job, schema.talk, schema.state, schema.receipt, schema.seen,
)  # fmt: skip


class Statements(PartStatements, OutboxStatements):
    """Compiled on first use. A parameter's name is the column's, or `given_…` where both would clash."""

    # -- written with a batch

    @cached_property
    def insert_inbox(self) -> Query:
        return self._compile(insert(inbox))

    @cached_property
    def insert_outbox(self) -> Query:
        return self._compile(insert(outbox))

    @cached_property
    def insert_job(self) -> Query:
        return self._compile(insert(job))

    @cached_property
    def insert_dead_letter(self) -> Query:
        return self._compile(insert(schema.dead_letter))

    @cached_property
    def put_state(self) -> Query:
        return self._upsert(state)

    @cached_property
    def put_talk(self) -> Query:
        return self._upsert(talk)

    @cached_property
    def put_meta(self) -> Query:
        return self._upsert(schema.meta)

    @cached_property
    def put_session(self) -> Query:
        return self._upsert(schema.session)

    @cached_property
    def put_fired(self) -> Query:
        return self._upsert(schema.fired)

    @cached_property
    def put_seen(self) -> Query:
        return self._upsert(schema.seen)

    @cached_property
    def end_talk(self) -> Query:
        return self._compile(
            delete(talk).where(talk.c.shard == bindparam("shard"), talk.c.msisdn == bindparam("msisdn"))
        )

    @cached_property
    def cancel_jobs(self) -> Query:
        return self._compile(
            delete(job).where(
                job.c.shard == bindparam("shard"),
                job.c.msisdn == bindparam("msisdn"),
                job.c.service == bindparam("service"),
                job.c.key == bindparam("key"),
            )
        )

    # -- read inside a batch

    @cached_property
    def meta_value(self) -> Query:
        return self._compile(select(schema.meta.c.value).where(schema.meta.c.key == bindparam("key")))

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
        session = schema.session
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
    def forget_confirmed(self) -> Query:
        """Delete some answers of a session that have surely arrived; a row of the result for each."""
        some = (
            select(seen.c.session, seen.c.ordinal)
            .where(seen.c.session == bindparam("session"), seen.c.ordinal <= bindparam("confirmed"), ~seen.c.lasting)
            .limit(bindparam("most"))
        )
        key = tuple_(seen.c.session, seen.c.ordinal)
        return self._compile(delete(seen).where(key.in_(some)).returning(literal_column("1")))

    @cached_property
    def document(self) -> Query:
        return self._compile(
            select(state.c.version, state.c.value).where(
                state.c.shard == bindparam("shard"),
                state.c.msisdn == bindparam("msisdn"),
                state.c.service == bindparam("service"),
            )
        )

    @cached_property
    def talk(self) -> Query:
        return self._compile(
            select(talk).where(talk.c.shard == bindparam("shard"), talk.c.msisdn == bindparam("msisdn"))
        )

    @cached_property
    def sessions(self) -> Query:
        return self._compile(select(schema.session))

    @cached_property
    def forget_session(self) -> Query:
        return self._compile(delete(schema.session).where(schema.session.c.id == bindparam("given_id")))

    @cached_property
    def forget_answers(self) -> Query:
        return self._compile(delete(seen).where(seen.c.session == bindparam("given_session")))

    @cached_property
    def inbox_row(self) -> Query:
        return self._compile(select(inbox).where(*self._one(inbox)))

    @cached_property
    def count_copy(self) -> Query:
        return self._compile(update(inbox).where(*self._one(inbox)).values(copies=inbox.c.copies + 1))

    @cached_property
    def inbox_went_on(self) -> Query:
        """What a command came to after it had waited for the outside world."""
        columns = ("result", "reply", "steps")
        return self._compile(
            update(inbox).where(*self._one(inbox)).values({name: bindparam(f"new_{name}") for name in columns})
        )

    # -- jobs

    @cached_property
    def jobs_due(self) -> Query:
        return self._compile(
            select(job).where(job.c.due_ms <= bindparam("now_ms")).order_by(job.c.due_ms).limit(bindparam("most"))
        )

    @cached_property
    def resume_calls(self) -> Query:
        """After a restart no call is in progress."""
        return self._compile(update(job).where(job.c.kind == "call").values(due_ms=bindparam("now_ms")))

    @cached_property
    def next_job(self) -> Query:
        return self._compile(select(func.min(job.c.due_ms)))

    @cached_property
    def job_row(self) -> Query:
        return self._compile(select(job).where(*self._one(job)))

    @cached_property
    def delete_job(self) -> Query:
        return self._compile(delete(job).where(*self._one(job)))

    @cached_property
    def put_off_job(self) -> Query:
        return self._compile(
            update(job)
            .where(*self._one(job))
            .values({name: bindparam(f"new_{name}") for name in ("due_ms", "body", "attempts")})
        )

    @cached_property
    def fired(self) -> Query:
        return self._compile(select(schema.fired.c.at_ms).where(schema.fired.c.job == bindparam("given_job")))

    @cached_property
    def all_fired(self) -> Query:
        return self._compile(select(schema.fired))

    # -- dead letters

    @cached_property
    def dead_letter(self) -> Query:
        return self._compile(select(schema.dead_letter).where(schema.dead_letter.c.id == bindparam("given_id")))

    @cached_property
    def dead_letter_replayed(self) -> Query:
        letter = schema.dead_letter
        return self._compile(
            update(letter)
            .where(letter.c.id == bindparam("given_id"))
            .values(replayed_ms=bindparam("new_ms"), replayed_by=bindparam("new_by"))
        )

    @cached_property
    def succeeded_since(self) -> Query:
        """Whether the same handler of the same service has answered this subscriber after the message that failed."""
        return self._compile(
            select(inbox.c.id)
            .where(
                inbox.c.msisdn == bindparam("msisdn"),
                inbox.c.shard == bindparam("shard"),
                inbox.c.service == bindparam("service"),
                inbox.c.handler == bindparam("handler"),
                inbox.c.result == "answered",
                inbox.c.id > bindparam("after_id"),
            )
            .limit(1)
        )

    # -- retention

    def purge(self, table: Table, column: str) -> Query:
        """Delete some finished rows from before a bound; a row of the result for each."""
        keys = list(table.primary_key)
        old = select(*keys).where(table.c[column] < bindparam("before")).limit(bindparam("most"))
        if table is outbox:
            old = old.where(outbox.c.due_ms.is_(None))
        if table is schema.dead_letter:
            # What a fault of ours left waits until it is mended; a message that was refused is only a message.
            letter = schema.dead_letter.c
            old = old.where(letter.replayed_ms.is_not(None) | (letter.kind == literal_column("'message'")))
        if table is seen:
            old = old.where(seen.c.lasting)
        return self._compile(delete(table).where(tuple_(*keys).in_(old)).returning(literal(1)))
