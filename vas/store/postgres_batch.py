"""One transaction of the shared engine: the works of a batch run together, and are merged in the order of arrival.

    all works run ─▶ all wait ─▶ one query a kind answers them ─▶ … ─▶ in order: merge, or run again ─▶ flush

Each work has a buffer of its own. One that looked at what an earlier one of the batch has written runs again over
that result; one that runs statements of its own waits until all earlier works have ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
import structlog

from vas.errors import StoreError
from vas.messages import mask
from vas.store import postgres_flush
from vas.store.ids import Ids, shard_of
from vas.store.postgres_attempts import Spoiled, Touched
from vas.store.postgres_errors import DRIVER_ERRORS, Fault, fault_of
from vas.store.postgres_run import Run, apart
from vas.store.postgres_session import Session
from vas.store.postgres_statements import PostgresStatements
from vas.store.postgres_together import Key
from vas.store.postgres_view import Kind, Look, Meeting, Statement, View
from vas.store.protocol import Work
from vas.store.rows import DeadLetterRow, Earlier, InboxRow, JobRow, OutboxRow, SeenRow, SessionRow, TalkRow
from vas.unit import DocumentKey

log = structlog.get_logger()
_SEEN_FIELDS, _SESSION_FIELDS = len(SeenRow._fields), len(SessionRow._fields)


class PostgresBatch:
    """What the transaction has read, and what the works that have ended make of it."""

    def __init__(self, session: Session, sql: PostgresStatements, ids: Ids, now_ms: int) -> None:
        self.session = session
        self.sql = sql
        self.now_ms = now_ms
        self._ids = ids
        self.documents_of: set[str] = set()
        """Subscribers whose documents have been read, all of them."""
        self.documents: dict[DocumentKey, tuple[int, bytes]] = {}
        """Version in the database, and JSON as it now is."""
        self.changed: set[DocumentKey] = set()
        self.seen: dict[bytes, Earlier | None] = {}
        self.seen_before: dict[bytes, SeenRow | None] = {}
        """As it was read, of what has been written."""
        self.talks: dict[str, TalkRow | None] = {}
        self.talks_before: dict[str, TalkRow | None] = {}
        self.inbox: list[InboxRow] = []
        self.outbox: list[OutboxRow] = []
        self.jobs: list[JobRow] = []
        self.dead_letters: list[DeadLetterRow] = []
        self.hints: set[str] = set()
        self._cancelled: list[tuple[int, str, str, str]] = []
        self._deleted = 0
        """How many of these have been deleted already."""
        self._before: list[str] = []
        self._written: set[Meeting] = set()

    def new_id(self) -> int:
        return self._ids.next(self.now_ms)

    @property
    def touched(self) -> Touched:
        return Touched(self.documents.keys(), self.talks.keys())

    async def lock(self, rows: Touched) -> None:
        """Keep other nodes from changing these until the end of the transaction."""
        if rows.documents:
            keys = sorted((shard_of(msisdn), msisdn, service) for service, msisdn in rows.documents)
            await self.session.fetch(self.sql.lock_documents.text, [*zip(*keys, strict=True)])
        if rows.talks:
            owners = sorted((shard_of(msisdn), msisdn) for msisdn in rows.talks)
            await self.session.fetch(self.sql.lock_talks.text, [*zip(*owners, strict=True)])

    async def run(self, works: Sequence[Work]) -> list[Exception | None]:
        """What each raised, if it did; nothing of the batch's own is written yet."""
        runs = [Run(work, self) for work in works]
        try:
            with apart():
                for run in runs:
                    run.proceed()
            while waiting := [run for run in runs if run.waits_with_others]:
                await self._look([run for run in waiting if isinstance(run.wanted, Look)])
                answers = await self._together([run for run in waiting if isinstance(run.wanted, Statement)])
                with apart():
                    for run in waiting:
                        if isinstance(run.wanted, Look) or run in answers:
                            run.proceed(answers.get(run))
            return [await self._in_turn(run) for run in runs]
        finally:
            for run in runs:
                run.close()

    async def _in_turn(self, run: Run) -> Exception | None:
        """All earlier works have ended: end this one."""
        if not self._written.isdisjoint(run.view.touched):
            run.begin()
            with apart():
                run.proceed()
        while run.wanted is not None:
            answer, error = await self._answer(run)
            with apart():
                run.proceed(answer, error)
        run.ended()
        if run.error is None:
            self._merge(run.view)
        elif isinstance(run.error, StoreError):
            raise run.error
        elif run.executed:
            raise Spoiled from run.error
        return run.error

    async def _answer(self, run: Run) -> tuple[object, Exception | None]:
        if isinstance(run.wanted, Statement):
            if (known := run.answered_before()) is not None:
                return known, None
            run.waits_no_more()
            run.executed = True
            try:
                return await self._execute(run.view, run.wanted), None
            except DRIVER_ERRORS as error:
                if fault_of(error, broken=self.session.closed) is not Fault.HANDLER:
                    raise
                return None, error
        await self._settle(run.view)
        await self._look([run])
        return None, None

    async def _together(self, runs: Sequence[Run]) -> dict[Run, list[Any]]:
        """What they asked for, each statement once for all; without those to whom another of the same key is first."""
        asked: dict[str, dict[Key, tuple[Sequence[Any], Run]]] = {}
        for run in runs:
            assert isinstance(run.wanted, Statement)
            text, params = run.wanted.text, run.wanted.params
            asked.setdefault(text, {}).setdefault(self.sql.together[text].key_of(params), (params, run))
        answers: dict[Run, list[Any]] = {}
        for text, some in asked.items():
            statement = self.sql.together[text]
            found: dict[Key, list[Any]] = {key: [] for key in sorted(some)}
            params = statement.params([some[key][0] for key in found])
            for row in await self.session.fetch(statement.all.text, params):
                found[row[: len(statement.key)]].append(row[len(statement.key) :])
            answers.update((some[key][1], rows) for key, rows in found.items())
        for run, rows in answers.items():
            run.answered(rows)
        return answers

    async def _look(self, runs: Sequence[Run]) -> None:
        """Read what these wait for, in a query a kind."""
        keys: dict[Kind, set[Any]] = {}
        for run in runs:
            assert isinstance(run.wanted, Look)
            keys.setdefault(run.wanted.kind, set()).add(run.wanted.key)
        if seen := keys.get(Kind.SEEN):
            await self._look_seen(seen)
        if subscribers := keys.get(Kind.DOCUMENTS):
            rows = await self.session.fetch(self.sql.documents_of.text, _owners(subscribers))
            self.documents_of |= subscribers
            self.documents.update(
                (DocumentKey(service, msisdn), (version, value)) for _, msisdn, service, version, value in rows
            )
        if subscribers := keys.get(Kind.TALKS):
            self.talks.update(dict.fromkeys(subscribers))
            rows = await self.session.fetch(self.sql.talks_of.text, _owners(subscribers))
            self.talks.update((row["msisdn"], TalkRow(*row)) for row in rows)

    async def _look_seen(self, keys: set[bytes]) -> None:
        self.seen.update(dict.fromkeys(keys))
        for row in await self.session.fetch(self.sql.seen_of.text, (list(keys),)):
            *fields, alive = row
            session = fields[_SEEN_FIELDS:]
            earlier = SeenRow(*fields[:_SEEN_FIELDS])
            self.seen[earlier.key] = Earlier(earlier, SessionRow(*session) if session[0] is not None else None, alive)

    async def _execute(self, view: View, statement: Statement) -> list[asyncpg.Record]:
        self._cancel(view)
        await self._delete_cancelled(view)
        if view.undoable:
            view.before.append("SAVEPOINT statement")
        await self._settle(view)
        run = self.session.many if statement.many else self.session.fetch
        try:
            rows = await run(statement.text, statement.params)
        except Exception:
            if view.undoable:
                view.before += ["ROLLBACK TO statement", "RELEASE statement"]
            raise
        if view.undoable:
            view.before.append("RELEASE statement")
        return rows

    async def _settle(self, view: View) -> None:
        """Set, release and go back to savepoints as the works have asked for: else a statement may not run at all."""
        texts = self._before + view.before
        self._before, view.before = [], []
        await self.session.script(texts)

    def _cancel(self, view: View) -> None:
        for cancelled in view.cancelled:
            self.jobs = [job for job in self.jobs if (job.msisdn, job.service, job.key) != cancelled]
            self._cancelled.append((shard_of(cancelled[0]), *cancelled))
        view.cancelled = []

    async def _delete_cancelled(self, view: View) -> None:
        """Before a statement that must not find them; once more with the batch, in case that is undone."""
        if len(self._cancelled) > self._deleted:
            await self._settle(view)
            await self.session.many(self.sql.cancel_jobs.text, self._cancelled[self._deleted :])
            self._deleted = len(self._cancelled)

    def _merge(self, view: View) -> None:
        self._before += view.before
        for key, document in view.changed.items():
            self.documents[key] = document.version, document.json
            self.changed.add(key)
            self._written.add(key)
        for hash_, row in view.seen.items():
            self.seen_before.setdefault(hash_, _row_of(self.seen.get(hash_)))
            self.seen[hash_] = Earlier(row)
            self._written.add(hash_)
        for msisdn, talk in view.talks.items():
            self.talks_before.setdefault(msisdn, self.talks.get(msisdn))
            self.talks[msisdn] = talk
            self._written.add(msisdn)
        self._cancel(view)
        self.inbox += view.inbox
        self.outbox += view.outbox
        self.jobs += view.jobs
        self.dead_letters += view.dead_letters
        self.hints |= view.hints

    async def write(self) -> None:
        """Everything that was gathered; raises Lost if another node was quicker."""
        await self.session.script(self._before)
        if self._cancelled:
            await self.session.many(self.sql.cancel_jobs.text, sorted(self._cancelled))
        await postgres_flush.write(self)

    def kept(self) -> None:
        """The batch is committed."""
        for letter in self.dead_letters:
            log.info(
                "dead_letter.made", id=letter.id, kind=letter.kind, cause_id=letter.cause, service=letter.service,
                handler=letter.handler, msisdn=mask(letter.msisdn), error=letter.error.partition(":")[0],
            )  # fmt: skip


def _owners(subscribers: set[str]) -> tuple[list[int], list[str]]:
    digits = list(subscribers)
    return [shard_of(msisdn) for msisdn in digits], digits


def _row_of(earlier: Earlier | None) -> SeenRow | None:
    return earlier.row if earlier is not None else None
