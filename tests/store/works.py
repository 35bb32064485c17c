"""Works for tests of an engine: small, made of functions, and nodes to run them as."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec

from vas.messages import Msisdn
from vas.store.ids import shard_of
from vas.store.postgres import PostgresStore
from vas.store.rows import SeenRow, TalkRow
from vas.unit import Batch, Unit, job_row

SERVICE = "toy"
PEOPLE = tuple(Msisdn(f"8491234567{digit}") for digit in range(10))
LAN, MAI = PEOPLE[:2]


class Purse(msgspec.Struct, frozen=True):
    spent: int = 0
    notes: tuple[str, ...] = ()


@dataclass
class Member:
    """A node among others (vas.cluster.member.Member)."""

    name: str
    id: int
    number: int

    async def join(self) -> None: ...
    async def leave(self) -> None: ...
    def holds(self) -> bool:
        return True


class Does:
    """A work of one unit, which a handler fills."""

    def __init__(self, handler: Callable[[Unit], Coroutine[Any, Any, None]]) -> None:
        self._handler = handler
        self.ids: list[int] = []
        """Of its unit, one for each run."""

    @property
    def runs(self) -> int:
        return len(self.ids)

    async def run(self, batch: Batch) -> None:
        self.ids.append(batch.new_id())
        unit = Unit(batch, self.ids[-1])
        await batch.handle(self._handler(unit))
        unit.keep()


def note(who: Msisdn, what: str, spent: int = 1) -> Does:
    """Adds to what is remembered of someone."""

    async def handler(unit: Unit) -> None:
        purse = await unit.document(SERVICE, Purse, who)
        unit.put(SERVICE, who, Purse(purse.spent + spent, (*purse.notes, what)), "note")

    return Does(handler)


def execute(text: str, *params: object) -> Does:
    async def handler(unit: Unit) -> None:
        await unit.execute(text, params)

    return Does(handler)


class Once:
    """A command that is told from its copies by a key, and whose first one counts."""

    def __init__(self, key: bytes, session: int, ordinal: int, who: Msisdn, *, lasting: bool = False) -> None:
        self.seen = SeenRow(session, ordinal, key, 0, who.digits, 0, lasting)
        self._who = who
        self.copies = 0
        self.found = 0
        """The session of what it is a copy of."""

    async def run(self, batch: Batch) -> None:
        earlier = await batch.seen_before(self.seen.key, lasting=self.seen.lasting)
        self.copies = int(earlier is not None)
        self.found = earlier.row.session if earlier else 0
        if earlier is None:
            await note(self._who, "once").run(batch)
        batch.mark_seen(self.seen, earlier.row if earlier else None)


class Turn:
    """A turn of a talk: adds to its journal."""

    def __init__(self, who: Msisdn, what: str) -> None:
        self._who = who
        self._what = what

    async def run(self, batch: Batch) -> None:
        digits = self._who.digits
        talk = await batch.talk_of(digits)
        journal = (talk.journal if talk else b"") + self._what.encode()
        batch.put_talk(TalkRow(shard_of(digits), digits, 1, "a", "1", "*105#", SERVICE, journal, batch.now_ms))


class Ends:
    """The end of a talk."""

    def __init__(self, who: Msisdn) -> None:
        self._who = who

    async def run(self, batch: Batch) -> None:
        if await batch.talk_of(self._who.digits) is not None:
            batch.end_talk(self._who.digits)


class Later:
    """Puts a job off under a key, or cancels it."""

    def __init__(self, key: str, who: Msisdn = LAN, *, cancel: bool = False) -> None:
        self._key = key
        self._who = who.digits
        self._cancel = cancel

    async def run(self, batch: Batch) -> None:
        if self._cancel:
            batch.cancel_jobs(self._who, SERVICE, self._key)
            return
        row = job_row(
            batch, msisdn=self._who, due_ms=1, kind="job", service=SERVICE, name="n", key=self._key, cause=0, body={}
        )
        batch.jobs.append(row)


def shared_store(url: str, member: Member | None = None, **settings: Any) -> PostgresStore:
    now_ms = int(time.time() * 1000)
    clock = itertools.count(now_ms)
    return PostgresStore(
        url,
        clock_ms=lambda: next(clock),
        member=member,
        commit_timeout=settings.pop("commit_timeout", timedelta(seconds=20)),
    )


async def purses(store: Any) -> dict[str, Purse]:
    rows = await store.read("SELECT msisdn, value FROM state")
    return {msisdn: msgspec.json.decode(value, type=Purse) for msisdn, value in rows}


async def raises_nothing(outcomes: Awaitable[Iterable[Exception | None]]) -> None:
    assert [outcome for outcome in await outcomes if outcome is not None] == []


async def waits_for_a_lock(connection: asyncpg.Connection[asyncpg.Record], *, sessions: int = 1) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(20):
        while await connection.fetchval(waiting) < sessions:
            await asyncio.sleep(0.01)
            # In a transaction it would go on seeing what it saw first.
            await connection.execute("SELECT pg_stat_clear_snapshot()")
