"""Every statement of the message path, built once with SQLAlchemy Core and compiled for an engine."""

from __future__ import annotations

from functools import cached_property

from sqlalchemy import (
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)

from vas.store import schema
from vas.store.outbox_statements import OutboxStatements, nobodys
from vas.store.part_statements import PartStatements
from vas.store.session_statements import SessionStatements
from vas.store.sql import Query

inbox, outbox, job, fired, talk, state, seen = (
    schema.inbox, schema.outbox, schema.job, schema.fired, schema.talk, schema.state, schema.seen,
)  # fmt: skip


class Statements(PartStatements, OutboxStatements, SessionStatements):
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
        """In order; not those that another node is just looking at, nor the calls that it is making."""
        mine = (job.c.kind != literal_column("'call'")) | nobodys(job) | (job.c.owner == bindparam("of_owner"))
        return self._compile(
            select(job)
            .where(job.c.due_ms <= bindparam("now_ms"), mine)
            .order_by(job.c.due_ms)
            .limit(bindparam("most"))
            .with_for_update(of=job, skip_locked=True)
        )

    @cached_property
    def resume_calls(self) -> Query:
        """Calls that nobody makes (any more) are due now, if they are not yet: then another node may be at them."""
        waits = (job.c.kind == literal_column("'call'"), nobodys(job), job.c.due_ms > bindparam("now_ms"))
        return self._compile(update(job).where(*waits).values(due_ms=bindparam("now_ms")))

    @cached_property
    def next_job(self) -> Query:
        return self._compile(select(func.min(job.c.due_ms)))

    @cached_property
    def job_row(self) -> Query:
        """Nobody else changes it until this transaction ends."""
        return self._compile(select(job).where(*self._one(job)).with_for_update())

    @cached_property
    def delete_job(self) -> Query:
        return self._compile(delete(job).where(*self._one(job)))

    @cached_property
    def put_off_job(self) -> Query:
        return self._compile(
            update(job)
            .where(*self._one(job))
            .values({name: bindparam(f"new_{name}") for name in ("due_ms", "body", "attempts", "owner")})
        )

    @cached_property
    def fire(self) -> Query:
        """Note that a recurring job is fired now; no row if it has been at or after the time for which it is fired."""
        new = self._insert(fired)
        earlier = fired.c.at_ms < bindparam("due_ms")
        noted = new.on_conflict_do_update(index_elements=["job"], set_={"at_ms": new.excluded.at_ms}, where=earlier)
        return self._compile(noted.returning(fired.c.job))

    @cached_property
    def begin_firing(self) -> Query:
        """A recurring job that is new counts as fired now."""
        return self._compile(self._insert(fired).on_conflict_do_nothing())

    @cached_property
    def all_fired(self) -> Query:
        return self._compile(select(fired))

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
        return self._delete(table, old)
