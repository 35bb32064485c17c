"""Is the peer of a session alive? Its sign of life says that it has our earlier answers: then a copy is a wish.

A session of this node is asked over its link. Of another node's its own node is told to ask, and what it finds out is
read from the session's row: up to where answers have arrived, or that it has ended. What is told may be lost, so it
is told again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import NamedTuple

import structlog

from vas.core import Core
from vas.errors import StoreError
from vas.saving import SaveSessions
from vas.store.protocol import Store, Submit
from vas.unit import Batch

log = structlog.get_logger()
LOOK_EVERY_S = 0.05
TELL_EVERY_S = 0.3
ASK = "ask "
"""How the hint begins that names a session."""


class Waiter(NamedTuple):
    ordinal: int
    found: asyncio.Future[bool]
    """Cancelled when nobody waits for it any more."""


class Asking:
    """`ask_alive` asks the peer of a session of this node. `submit` puts a work into the next batch."""

    def __init__(self, core: Core, store: Store, submit: Submit, ask_alive: Callable[[int], Awaitable[bool]]) -> None:
        self._core = core
        self._store = store
        self._submit = submit
        self._ask_alive = ask_alive
        self._waiting: dict[int, list[Waiter]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: set[int] = set()

    async def has_arrived(self, session: int, ordinal: int, until_s: float) -> bool | None:
        """Whether the answer to what came as `ordinal` in a session has arrived; False: nobody will ever know.

        None: nobody knew by `until_s`, of time.monotonic(), which only happens with a session of another node.
        """
        if self._core.sessions.knows(session):
            return await self._own(session)
        found: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiters = self._waiting.setdefault(session, [])
        waiters.append(Waiter(ordinal, found))
        if len(waiters) == 1:
            self._begin(self._watch(session, waiters))
        try:
            # A look may take longer: its connection may be one that nothing answers on any more.
            async with asyncio.timeout(until_s - time.monotonic()):
                return await found
        except TimeoutError:
            return None

    def told(self, session: int) -> None:
        """Another node wants to know about a session: find out and write it down, if it is this node's."""
        if self._core.sessions.knows(session) and session not in self._asked:
            self._asked.add(session)
            self._begin(self._answer(session))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Nobody wants to know any more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _own(self, session: int) -> bool:
        try:
            alive = await self._ask_alive(session)
        except Exception:
            log.exception("peer.not_asked")
            alive = False
        if not alive:
            self._core.sessions.closed(session)
        return alive

    async def _answer(self, session: int) -> None:
        if self._core.sessions.alive(session):
            await self._own(session)
        self._asked.discard(session)
        self._core.sessions.tell(session)
        self._submit(SaveSessions(self._core))

    async def _watch(self, session: int, waiters: list[Waiter]) -> None:
        """Tell and look until nobody waits any more."""
        told_s = float("-inf")
        try:
            while waiters:
                now_s = time.monotonic()
                if now_s >= told_s + TELL_EVERY_S:
                    told_s = now_s
                    self._submit(Tell(session))
                await asyncio.sleep(LOOK_EVERY_S)
                confirmed, alive = await self._now(session)
                for waiter in waiters:
                    arrived = waiter.ordinal <= confirmed
                    if (arrived or not alive) and not waiter.found.done():
                        waiter.found.set_result(arrived)
                waiters[:] = [waiter for waiter in waiters if not waiter.found.done()]
        finally:
            del self._waiting[session]

    async def _now(self, session: int) -> tuple[int, bool]:
        """Up to where its answers have arrived, and whether it goes on."""
        query = self._store.sql.session_now
        try:
            rows = await self._store.read(query.text, query.params(given_id=session))
        except StoreError:
            return 0, True
        return rows[0] if rows else (0, False)


class Tell:
    """The work that tells the node that has a session to ask its peer."""

    def __init__(self, session: int) -> None:
        self._session = session

    async def run(self, batch: Batch) -> None:
        batch.hints.add(f"{ASK}{self._session}")

    def committed(self) -> None: ...
    def lost(self, error: Exception) -> None: ...
