"""What nodes tell each other through the database: hints that may be lost, so a connection of its own listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg

from vas.store import reaching
from vas.store.postgres_flush import HINTS
from vas.store.postgres_session import CONNECT_S, common_settings

_PING_S = 2.0
"""How often it asks whether the database is still there, and how long that may take."""
_AGAIN_S = 1.0


class Listener:
    """Hears what other sessions notify; `lost` is called when its connection is."""

    def __init__(self, url: str, name: str, heard: Callable[[int, str], None], lost: Callable[[], None]) -> None:
        """`heard` is given the process id of the session that told it, and the hint."""
        self._url = url
        self._name = name
        self._heard = heard
        self._lost = lost
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """It listens when this returns."""
        self._connection = await self._connect()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        # Not for the task to do, which may have been cancelled before it began.
        self._let_go()

    async def _run(self) -> None:
        while True:
            try:
                connection = self._connection = self._connection or await self._connect()
                while True:
                    await asyncio.sleep(_PING_S)
                    await connection.execute("SELECT 1", timeout=_PING_S)
            except Exception:  # whatever it is: it would never listen again
                self._let_go()
                self._lost()
            await asyncio.sleep(_AGAIN_S)

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        settings = common_settings(f"{self._name} listener")
        connection = await reaching.connect(self._url, timeout=CONNECT_S, server_settings=settings)
        try:
            async with asyncio.timeout(CONNECT_S):
                await connection.add_listener(HINTS, self._notified)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _notified(self, _: object, pid: int, __: str, hint: object) -> None:
        self._heard(pid, str(hint))
