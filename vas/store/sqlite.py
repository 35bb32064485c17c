"""The embedded engine: one writer thread, group commit with `synchronous=FULL`, reads beside it.

A commit that fails has an unknown outcome: an fsync that reported EIO may have reached the disk all the
same. So each batch writes a token of its own, and after a failure the file is opened anew and asked.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import aiosqlite
import structlog

from vas.errors import CommitUnknown, StoreError, StoreUnusable
from vas.store import migrate
from vas.store.backup import backup, create_private
from vas.store.checkpoint import Checkpointer
from vas.store.ids import Ids
from vas.store.protocol import Outage, Work
from vas.store.sqlite_batch import HANDLERS_FAULT, EngineFailed, SqliteBatch, drive, result_code
from vas.store.statements import Statements
from vas.unit import Document, DocumentKey

log = structlog.get_logger()
T = TypeVar("T")
DOCUMENTS_KEPT = 50_000
"""Documents remembered between batches: this process alone writes them. Past it all are forgotten."""

PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-65536",
    "PRAGMA wal_autocheckpoint=32000",
    "PRAGMA busy_timeout=2000",
    "PRAGMA temp_store=MEMORY",
)
_BATCH_TOKEN, _HASH_KEY = "batch", "hash_key"
_NONCE_BYTES = 8
"""Of a batch's token; the last id that was made follows it."""

_WHAT_TO_DO = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space; messages wait at the SMSC meanwhile",
    sqlite3.SQLITE_READONLY: "it cannot be written: check its owner and mode, and those of its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: check that its folder exists and may be written",
    sqlite3.SQLITE_BUSY: "another program holds a lock on it: end that program",
    sqlite3.SQLITE_LOCKED: "another program holds a lock on it: end that program",
    sqlite3.SQLITE_CORRUPT: "it is damaged: restore the last `vas db backup`, keep the damaged file for a look",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database, or damaged: check store.url, or restore a backup",
    sqlite3.SQLITE_IOERR: "the disk reported an error: look at the system's log",
    sqlite3.SQLITE_PERM: "access was denied: check its owner and mode",
}
_LASTING = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Unknown(NamedTuple):
    """A batch of which nobody knows whether it is in the file, and the ids that were made for it."""

    token: bytes
    first_id: int
    last_id: int


class SqliteStore:
    """The Store in one file. One process may have it open for writing; a second one is refused."""

    shared = False
    outage: Outage | None = None
    """A file is tried anew with every batch."""

    def __init__(self, path: Path, *, clock_ms: Callable[[], int], node: int = 0) -> None:
        self.path = path
        self.hash_key = b""
        self.on_hint: Callable[[str], None] = lambda hint: None
        self.sql = Statements()
        self._clock_ms = clock_ms
        self._ids = Ids(node)
        self._documents: dict[DocumentKey, Document] = {}
        self._connection: sqlite3.Connection | None = None
        self._reader: aiosqlite.Connection | None = None
        self._lock: int | None = None
        self._unknown: Unknown | None = None
        self.revived: tuple[int, int] | None = None
        """First and last id of a batch that was given up and is there after all; whoever loads it sets None."""
        self._checkpointer: Checkpointer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")

    def new_id(self) -> int:
        return self._ids.next(self._clock_ms())

    async def open(self) -> None:
        await self._in_thread(self._open)
        self._reader = await aiosqlite.connect(f"file:{self.path}?mode=ro", uri=True, isolation_level=None)

    async def close(self) -> None:
        if self._reader is not None:
            await self._reader.close()
        await self._in_thread(self._close)
        self._thread.shutdown()

    async def commit(self, works: Sequence[Work]) -> list[Exception | None]:
        return await self._in_thread(self._commit, works)

    async def read(self, text: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        if self._reader is None:
            raise StoreError("the store is not open")
        try:
            return [tuple(row) for row in await self._reader.execute_fetchall(text, tuple(params))]
        except sqlite3.Error as error:
            raise self._explained(error) from error

    async def tend(self, keep: timedelta) -> None:
        """They need nothing."""

    async def backup(self, path: Path) -> None:
        await asyncio.to_thread(backup, self.path, path)

    # -- in the writer thread

    def _in_thread(self, run: Callable[..., T], *args: object) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, run, *args)

    def _open(self) -> None:
        try:
            self._take_lock()
            if not self.path.exists():
                create_private(self.path)
            migrate.upgrade(self.path)
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            self.hash_key = self._meta(connection, _HASH_KEY) or secrets.token_bytes(32)
            self._ids.resume_after(int.from_bytes(self._meta(connection, _BATCH_TOKEN)[_NONCE_BYTES:]))
            connection.execute(self.sql.put_meta.text, (_HASH_KEY, self.hash_key))
            connection.execute("COMMIT")
            self._checkpointer = Checkpointer(self.path)
            self._checkpointer.start()
        except sqlite3.Error as error:
            self._close()
            raise StoreUnusable(str(self._explained(error))) from error
        except OSError as error:
            self._close()
            raise StoreUnusable(f"{self.path}: {error.strerror}: check its folder's owner and mode") from error
        except StoreUnusable:
            self._close()
            raise

    def _take_lock(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.path.with_name(self.path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreUnusable(
                f"{self.path}: another platform runs on this database: stop it, or give this one a store.url of its own"
            ) from None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, cached_statements=1024, check_same_thread=False)
        for pragma in PRAGMAS:
            connection.execute(pragma)
        self._connection = connection
        return connection

    def _close(self) -> None:
        if self._checkpointer is not None:
            self._checkpointer.stop()
            self._checkpointer = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _meta(self, connection: sqlite3.Connection, key: str) -> bytes:
        row = connection.execute(self.sql.meta_value.text, (key,)).fetchone()
        return bytes(row[0]) if row else b""

    def _commit(self, works: Sequence[Work]) -> list[Exception | None]:
        connection = self._connection
        if connection is None:
            connection = self._reconnect()
        try:
            self._transaction(connection, works)
        except StoreError:
            raise
        except Exception as error:
            if len(works) == 1:
                return [error]
            # One work spoils its batch only once: run apart, it alone fails.
            return [self._alone(work) for work in works]
        return [None] * len(works)

    def _reconnect(self) -> sqlite3.Connection:
        """Open the file anew; raises StoreError if a batch is found in it that nobody was told of."""
        try:
            connection = self._connect()
            unknown, self._unknown = self._unknown, None
            there = unknown is not None and self._meta(connection, _BATCH_TOKEN) == unknown.token
        except sqlite3.Error as error:
            raise self._explained(error) from error
        if unknown is not None and there:
            self.revived = unknown.first_id, unknown.last_id
            raise StoreError(f"{self.path}: a batch whose COMMIT failed is there after all; what it did is loaded")
        return connection

    def _alone(self, work: Work) -> Exception | None:
        """What came of it; that the engine fails now says nothing of those before it."""
        try:
            return self._commit([work])[0]
        except StoreError as error:
            return error

    def _transaction(self, connection: sqlite3.Connection, works: Sequence[Work]) -> None:
        token = secrets.token_bytes(_NONCE_BYTES)
        first_id = self._ids.last + 1
        try:
            connection.execute("BEGIN IMMEDIATE")
            batch = SqliteBatch(connection, self.sql, self._ids, self._clock_ms(), self._documents)
            for work in works:
                drive(work.run(batch))
            batch.write()
            token += self._ids.last.to_bytes(8)
            connection.execute(self.sql.put_meta.text, (_BATCH_TOKEN, token))
        except EngineFailed as failed:
            self._abandon(connection)
            raise self._explained(failed.error) from failed.error
        except sqlite3.Error as error:
            self._abandon(connection)
            if result_code(error) in HANDLERS_FAULT:
                raise
            raise self._explained(error) from error
        except BaseException:
            self._abandon(connection)
            raise
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._look(Unknown(token, first_id, self._ids.last), error)
        batch.kept()
        if len(self._documents) > DOCUMENTS_KEPT:
            self._documents.clear()

    def _abandon(self, connection: sqlite3.Connection) -> None:
        self._documents.clear()
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            connection.close()
            self._connection = None

    def _look(self, batch: Unknown, error: sqlite3.Error) -> None:
        """After a COMMIT that failed: raises unless the file, opened anew, has the batch."""
        log.error("store.commit_failed", error=str(error))
        self._documents.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        try:
            committed = self._meta(self._connect(), _BATCH_TOKEN) == batch.token
        except sqlite3.Error as again:
            self._unknown = batch
            self._connection = None
            raise CommitUnknown(str(self._explained(again))) from error
        if not committed:
            raise self._explained(error) from error

    def _explained(self, error: sqlite3.Error) -> StoreError:
        code = result_code(error)
        advice = _WHAT_TO_DO.get(code, "")
        message = f"{self.path}: {error}" + (f": {advice}" if advice else "")
        return StoreUnusable(message) if code in _LASTING else StoreError(message)
