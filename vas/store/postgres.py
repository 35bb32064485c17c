"""The shared engine: many nodes on one PostgreSQL, each with one connection that writes.

A batch is one transaction, READ COMMITTED: what it read is compared when it writes, and if another node was
quicker it runs again. It begins with a look at this node's row in `node`: who has been given up writes nothing.

A COMMIT without an answer has an unknown outcome. So each batch keeps a row of `meta` locked and writes a token of
its own there; a new connection that asks for the row waits until the old transaction has ended, one way or the other.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import asyncpg
import structlog

from vas.cluster.member import Alone, Member
from vas.config_problems import without_password
from vas.errors import CommitUnknown, Fenced, StoreError, StoreUnusable
from vas.store import migrate_postgres, partitions, reaching
from vas.store.partitions import Tended
from vas.store.postgres_attempts import Lost, Spoiled, Touched, attempts
from vas.store.postgres_batch import PostgresBatch
from vas.store.postgres_errors import DRIVER_ERRORS, Fault, explained, fault_of, keeps_session
from vas.store.postgres_hints import Listener
from vas.store.postgres_session import CONNECT_S, Session, common_settings, connect, storable
from vas.store.postgres_statements import PostgresStatements
from vas.store.postgres_tokens import Tokens, Unknown
from vas.store.protocol import Outage, Work
from vas.store.sql import numbered

log = structlog.get_logger()
_HASH_KEY = "hash_key"
_FORGETFUL = """
    SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND setting = 'off'
"""
_READERS = 4
_READ_S = 30.0
"""How long a report may take."""
_PAUSE_S, _PAUSE_MAX_S = 0.2, 2.0
"""Between two tries to reach the database."""


class PostgresStore:
    """The Store on a database that other nodes may share; `member` is this node among them."""

    shared = True

    def __init__(
        self, url: str, *, clock_ms: Callable[[], int], member: Member | None = None,
        commit_timeout: timedelta = timedelta(seconds=4),
    ) -> None:  # fmt: skip
        self._url = url
        self._where = without_password(url)
        self._clock_ms = clock_ms
        self._member = member or Alone()
        self._commit_timeout = commit_timeout
        self.hash_key = b""
        self.on_hint: Callable[[str], None] = lambda hint: None
        self.sql = PostgresStatements()
        self.outage: Outage | None = None
        self.revived: tuple[int, int] | None = None
        self._tokens = Tokens(self._member, self.sql)
        self._writing = asyncio.Lock()
        self._session: Session | None = None
        self._unknown: Unknown | None = None
        self._failing_since_s: float | None = None
        self._reaching: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[None] | None = None
        self._readers: asyncpg.Pool[asyncpg.Record] | None = None
        self._listener = Listener(url, self._name, self._heard, self._listener_lost)

    @property
    def _name(self) -> str:
        return f"vas {self._member.name}".strip()

    def new_id(self) -> int:
        return self._tokens.ids.next(self._clock_ms())

    # -- open and close

    async def open(self) -> None:
        try:
            self._session, _ = await self._connect()
            await self._warn(self._session)
            await self._listener.start()
            self._readers = await asyncpg.create_pool(
                self._url, connect=reaching.connect, min_size=0, max_size=_READERS, timeout=CONNECT_S,
                command_timeout=_READ_S,
                target_session_attrs="primary",  # read-write would refuse what is read-only by our own setting
                server_settings=common_settings(f"{self._name} reader") | {"default_transaction_read_only": "on"},
            )  # fmt: skip
        except DRIVER_ERRORS as error:
            await self.close()
            raise StoreUnusable(str(explained(error, self._where))) from error
        except StoreUnusable:
            await self.close()
            raise

    async def _connect(self) -> tuple[Session, bool]:
        """A session that is ready for batches, and whether the one whose outcome was unknown is there."""
        session = await connect(self._url, self._name, self._commit_timeout)
        try:
            await migrate_postgres.accept(session.connection, self._where)
            await session.fetch(self.sql.make_meta.text, (_HASH_KEY, secrets.token_bytes(32)))
            [(self.hash_key,)] = await session.fetch(self.sql.meta_value.text, (_HASH_KEY,))
            there = self._unknown is not None and await self._is_there(session, self._unknown)
            await self._tokens.load(session)
        except BaseException:
            session.terminate()
            raise
        self._unknown = None
        return session, there

    async def _warn(self, session: Session) -> None:
        """A database that forgets what it said is committed makes no promise come true."""
        off = await session.fetch(_FORGETFUL)
        if off:
            log.warning("store.not_durable", off=[name for (name,) in off], database=self._where)

    async def close(self) -> None:
        await self._listener.stop()
        async with self._writing:  # the last batch may yet find that the database is gone
            tasks = [task for task in (self._reaching, self._probing) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._session is not None:
                await self._session.close()
                self._session = None
        if self._readers is not None:
            self._readers.terminate()
            self._readers = None

    # -- read

    async def read(self, text: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        if self.outage is not None:
            raise StoreError(self.outage.why)
        if self._readers is None:
            raise StoreError("the store is not open")
        try:
            async with self._readers.acquire(timeout=CONNECT_S) as connection:
                return [tuple(row) for row in await connection.fetch(numbered(text), *map(storable, params))]
        except DRIVER_ERRORS as error:
            raise explained(error, self._where) from error

    async def tend(self, keep: timedelta) -> Tended:
        try:
            connection = await reaching.connect(
                self._url, timeout=CONNECT_S, server_settings=common_settings(self._name)
            )
            try:
                return await partitions.tend(connection, self._clock_ms(), keep)
            finally:
                connection.terminate()
        except DRIVER_ERRORS as error:
            raise explained(error, self._where) from error

    async def backup(self, path: Path) -> None:
        raise StoreError(
            f"{self._where}: the platform does not copy a PostgreSQL: "
            "run `pg_basebackup` for the whole server, or `pg_dump` for this database"
        )

    # -- commit

    async def commit(self, works: Sequence[Work]) -> list[Exception | None]:
        # Who waits for it may give up, a transaction that has begun does not, and fails unheard.
        committing = asyncio.ensure_future(self._commit(works))
        committing.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(committing)

    async def _commit(self, works: Sequence[Work]) -> list[Exception | None]:
        async with self._writing:
            until_s = asyncio.get_running_loop().time() + self._commit_timeout.total_seconds()

            async def transaction(some: Sequence[Work], locked: Touched) -> list[Exception | None]:
                return await self._transaction(some, locked, until_s)

            return await attempts(works, transaction)

    async def _transaction(self, works: Sequence[Work], locked: Touched, until_s: float) -> list[Exception | None]:
        session = self._ready()
        batch = PostgresBatch(session, self.sql, self._tokens.ids, self._clock_ms())
        last_id = self._tokens.ids.last
        try:
            async with asyncio.timeout_at(until_s):
                await self._begin(session)
                await batch.lock(locked)
                outcomes = await batch.run(works)
                await batch.write()
        except BaseException as error:
            await self._undone(session, error, batch.touched)
        await self._end(session, self._tokens.after(last_id), until_s)
        self._failing_since_s = None
        batch.kept()
        return outcomes

    def _ready(self) -> Session:
        if self.outage is not None:
            raise StoreError(self.outage.why)
        if self._session is None:
            raise StoreError(f"{self._where}: the store is not open")
        return self._session

    async def _begin(self, session: Session) -> None:
        """Raises Fenced. The row of the token stays locked, so that who asks for it waits for this transaction."""
        await self._tokens.make(session)
        if await session.script(self.sql.begin(self._tokens.key, self._member.id)) != "SELECT 1":
            raise Fenced

    async def _end(self, session: Session, batch: Unknown, until_s: float) -> None:
        """COMMIT; raises unless the batch is there."""
        try:
            done = await session.commit(self.sql.commit(batch.key, batch.token), until_s)
        except Exception as error:
            if not session.closed and getattr(error, "severity", "") == "ERROR":
                await self._undone(session, error, Touched())
            await self._look(batch, error)
        else:
            if done != "COMMIT":
                raise Spoiled("a statement failed, and the work went on all the same")

    async def _undone(self, session: Session, error: BaseException, touched: Touched) -> NoReturn:
        """Roll back, or let go of the connection; raises what the error is to those who decide how it goes on."""
        if not isinstance(error, DRIVER_ERRORS):
            await self._roll_back(session)
            if isinstance(error, Lost | Spoiled | StoreError) or not isinstance(error, Exception):
                raise error
            raise Spoiled from error
        fault = fault_of(error, broken=session.closed)
        if fault is not Fault.ENGINE or keeps_session(error):
            await self._roll_back(session)
        else:
            self._gone(session, error)
        match fault:
            case Fault.OTHERS:
                raise Lost(touched) from error
            case Fault.HANDLER:
                raise Spoiled from error
            case Fault.ENGINE:
                raise explained(error, self._where) from error

    async def _roll_back(self, session: Session) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                await session.script(["ROLLBACK"])
        except Exception as error:
            self._gone(session, error)

    async def _look(self, batch: Unknown, error: BaseException) -> None:
        """After a COMMIT without an answer: raises unless a new connection finds the batch."""
        log.error("store.commit_failed", error=str(error) or type(error).__name__)
        self._unknown = batch
        if self._session is not None:
            self._session.terminate()
            self._session = None
        try:
            async with asyncio.timeout(CONNECT_S):
                self._session, there = await self._connect()
        except Exception as again:
            self._down(again)
            raise CommitUnknown(str(explained(error, self._where))) from error
        if not there:
            raise explained(error, self._where) from error

    async def _is_there(self, session: Session, batch: Unknown) -> bool:
        """Waits until its transaction has ended; it may still be under way."""
        [(token,)] = await session.fetch(self.sql.locked_token.text, (batch.key, b""))
        return bool(token == batch.token)

    # -- without the database

    def _gone(self, session: Session, error: BaseException) -> None:
        if self._session is session:
            self._session = None
            self._down(error)
        session.terminate()

    def _down(self, error: BaseException) -> None:
        """Refuse everything at once, and try to reach the database until it is there."""
        now_s = time.monotonic()
        self._failing_since_s = self._failing_since_s or now_s
        self.outage = Outage(self._failing_since_s, str(explained(error, self._where)))
        self._reaching = asyncio.create_task(self._reach())

    async def _reach(self) -> None:
        pause_s = _PAUSE_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)
            try:
                async with asyncio.timeout(self._commit_timeout.total_seconds() + CONNECT_S):
                    unknown = self._unknown
                    self._session, there = await self._connect()
            except Exception as error:  # whatever it is: nobody else would ever reach it
                assert self.outage is not None
                self.outage = self.outage._replace(why=str(explained(error, self._where)))
            else:
                if there and unknown is not None:
                    self._revive(unknown)
                if self._readers is not None:
                    # On those that there were nothing may ever answer.
                    await self._readers.expire_connections()
                self.outage = None
                return

    def _revive(self, batch: Unknown) -> None:
        first, last = self.revived or (batch.first_id, batch.last_id)
        self.revived = min(first, batch.first_id), max(last, batch.last_id)

    def _listener_lost(self) -> None:
        """A node without commands notices in this way that the database is gone."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        async with self._writing:
            session = self._session
            if session is None:
                return
            try:
                async with asyncio.timeout(CONNECT_S):
                    await session.script(["SELECT 1"])
            except Exception as error:
                self._gone(session, error)

    def _heard(self, pid: int, hint: str) -> None:
        if self._session is None or pid != self._session.pid:
            self.on_hint(hint)
