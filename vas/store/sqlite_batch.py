"""One open transaction of the embedded engine (vas.unit.Batch), in the writer thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from itertools import chain
from typing import Any, TypeVar

import structlog

from vas.errors import ForeignAwait
from vas.messages import mask
from vas.store.ids import Ids, shard_of
from vas.store.rows import DeadLetterRow, Earlier, InboxRow, JobRow, OutboxRow, SeenRow, TalkRow
from vas.store.sql import Query
from vas.store.statements import Statements
from vas.unit import Document, DocumentKey

log = structlog.get_logger()
T = TypeVar("T")
ROWS_AT_ONCE = 64
"""Rows that one statement writes; each size that occurs is a statement of its own in the connection's cache."""
HANDLERS_FAULT = frozenset(
    {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE}
)
"""Result codes that say a statement is wrong, not that the engine is in trouble."""


class EngineFailed(BaseException):
    """The engine failed under a handler; not an Exception, so that no handler takes it for its own fault."""

    def __init__(self, error: sqlite3.Error) -> None:
        super().__init__(str(error))
        self.error = error


class SqliteBatch:
    """One open transaction (vas.unit.Batch)."""

    waited_s = 0.0
    """A unit runs to its end before the next one begins."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        sql: Statements,
        ids: Ids,
        now_ms: int,
        documents: dict[DocumentKey, Document],
    ) -> None:
        self.now_ms = now_ms
        self.sql = sql
        self.documents = documents
        self._changed: dict[DocumentKey, Document] = {}
        self.inbox: list[InboxRow] = []
        self.outbox: list[OutboxRow] = []
        self.jobs: list[JobRow] = []
        self.dead_letters: list[DeadLetterRow] = []
        self.hints: set[str] = set()
        self._seen: dict[bytes, SeenRow] = {}
        self._talks: dict[str, TalkRow | None] = {}
        self._execute = connection.execute
        self._run_many = connection.executemany
        self._ids = ids

    def new_id(self) -> int:
        return self._ids.next(self.now_ms)

    def _run(self, text: str, params: Sequence[object] = ()) -> sqlite3.Cursor:
        try:
            return self._execute(text, params)
        except sqlite3.Error as error:
            if result_code(error) in HANDLERS_FAULT:
                raise
            raise EngineFailed(error) from error

    async def stored_document(self, key: DocumentKey) -> tuple[int, bytes] | None:
        return self._run(self.sql.document.text, (shard_of(key.msisdn), key.msisdn, key.service)).fetchone()  # type: ignore[no-any-return]

    async def seen_before(self, key: bytes, *, lasting: bool) -> Earlier | None:
        if key in self._seen:
            return Earlier(self._seen[key])
        if not lasting:
            return None
        query = self.sql.seen_lasting
        row = self._run(query.text, query.params(key=key)).fetchone()
        return Earlier(SeenRow(*row)) if row is not None else None

    def mark_seen(self, row: SeenRow, instead_of: SeenRow | None) -> None:
        self._seen[row.key] = row

    def answered_in_batch(self, shard: int, msisdn: str, id_: int) -> InboxRow | None:
        return next((row for row in self.inbox if row[:3] == (shard, msisdn, id_)), None)

    async def talk_of(self, msisdn: str) -> TalkRow | None:
        if msisdn in self._talks:
            return self._talks[msisdn]
        row = self._run(self.sql.talk.text, (shard_of(msisdn), msisdn)).fetchone()
        return TalkRow(*row) if row is not None else None

    def put_talk(self, row: TalkRow) -> None:
        self._talks[row.msisdn] = row

    def end_talk(self, msisdn: str) -> None:
        self._talks[msisdn] = None

    def cancel_jobs(self, msisdn: str, service: str, key: str) -> None:
        self.jobs = [job for job in self.jobs if (job.msisdn, job.service, job.key) != (msisdn, service, key)]
        self._run(self.sql.cancel_jobs.text, (shard_of(msisdn), msisdn, service, key))

    async def execute(self, text: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._run(text, tuple(params)).fetchall()

    async def execute_together(self, text: str, params: Sequence[object]) -> list[tuple[Any, ...]]:
        return await self.execute(text, params)

    async def execute_many(self, text: str, rows: Sequence[Sequence[object]]) -> None:
        try:
            self._run_many(text, rows)
        except sqlite3.Error as error:
            if result_code(error) in HANDLERS_FAULT:
                raise
            raise EngineFailed(error) from error

    async def handle(self, handler: Coroutine[Any, Any, T]) -> T:
        return drive(handler)

    def savepoint(self) -> SqliteSavepoint:
        return SqliteSavepoint(self._run)

    def write(self) -> None:
        """Everything that was gathered, table by table."""
        many = (
            (self.sql.put_seen, self._seen.values()),
            (self.sql.insert_inbox, self.inbox),
            (self.sql.insert_outbox, self.outbox),
            (self.sql.insert_job, self.jobs),
            (self.sql.insert_dead_letter, self.dead_letters),
            (self.sql.put_talk, [row for row in self._talks.values() if row is not None]),
            (self.sql.put_state, self._changed_documents()),
        )
        for statement, rows in many:
            self._write_rows(statement, list(rows))
        over = [(shard_of(digits), digits) for digits, row in self._talks.items() if row is None]
        if over:
            self._run_many(self.sql.end_talk.text, over)

    def _write_rows(self, statement: Query, rows: list[Sequence[object]]) -> None:
        """Many rows a statement: for every statement sqlite3 lets go of the interpreter lock, and the event loop,
        when it is busy, takes it each time."""
        whole = len(rows) - len(rows) % ROWS_AT_ONCE
        for start in range(0, whole, ROWS_AT_ONCE):
            some = rows[start : start + ROWS_AT_ONCE]
            self._execute(statement.repeated(ROWS_AT_ONCE), tuple(chain.from_iterable(some)))
        if whole < len(rows):
            self._execute(statement.repeated(len(rows) - whole), tuple(chain.from_iterable(rows[whole:])))

    def change(self, key: DocumentKey, document: Document) -> None:
        self._changed[key] = document

    def kept(self) -> None:
        """The batch is committed: what it wrote is what the documents now are."""
        for document in self._changed.values():
            document.version += 1
        for letter in self.dead_letters:
            log.info(
                "dead_letter.made", id=letter.id, kind=letter.kind, cause_id=letter.cause, service=letter.service,
                handler=letter.handler, msisdn=mask(letter.msisdn), error=letter.error.partition(":")[0],
            )  # fmt: skip

    def _changed_documents(self) -> list[tuple[object, ...]]:
        return [
            (shard_of(key.msisdn), key.msisdn, key.service, document.version + 1, document.json)
            for key, document in self._changed.items()
        ]


class SqliteSavepoint:
    """A savepoint of a unit that uses its own tables (vas.unit.Savepoint)."""

    def __init__(self, run: Callable[..., object]) -> None:
        self._run = run
        run("SAVEPOINT unit")

    def release(self) -> None:
        self._run("RELEASE unit")

    def rollback(self) -> None:
        self._run("ROLLBACK TO unit")
        self._run("RELEASE unit")


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never really waits; raises ForeignAwait if it does."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    except RuntimeError as error:
        if "no running event loop" in str(error):
            raise ForeignAwait from error
        raise
    coroutine.close()
    raise ForeignAwait


def result_code(error: sqlite3.Error) -> int:
    """The primary result code: SQLITE_IOERR for all of its kinds."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
