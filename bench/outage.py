"""A platform under load, and its database taken away: `async with Scene(folder) as scene: …`, then `scene.verdict()`.

Every subscriber asks a friend to call back, word for word the same, again as soon as that is answered; the SMSC gives
ids, so each of its second attempts is known for one. `python -m bench.outages` measures how long things take.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from bench.check import Verdict, at_rest, check
from bench.process import PASSWORD, SHORT_CODE, SYSTEM_ID, PlatformProcess
from bench.proxy import Proxy
from bench.rows import PostgresRows
from gateway.simulator import Settings, Simulator
from gateway.simulator.delivery import Attempt, Mo, Outcome
from tests.postgres import Server
from vas.store import migrate_postgres

MESSAGE_ID_TLV = 0x1400
TIMER_S, PATIENCE_S = 6, 4
"""The response timer that the platform is told, and after how long the SMSC really counts an answer as missing. The
platform has half of what it is told; the rest is for a machine that has more to do than it has cores."""
COMMIT_TIMEOUT_S = 2
WITHIN_S = 40.0
LOOK_S = 0.01
DURABLE = {"synchronous_commit": "on"}
"""Commits survive a kill of the server, though not a power cut."""


class Subscriber:
    """Sends one command again and again."""

    def __init__(self, index: int) -> None:
        self.number = f"849{index:08}"
        self.text = f"CM 03{index:08}"
        self.mo: Mo | None = None

    @property
    def waits(self) -> bool:
        return self.mo is not None and not self.mo.acknowledged


class Scene:
    """SMSC, load, platform, a proxy, and a PostgreSQL behind it; all are taken down in the end.

    `server`: instead of one of its own, started, whose caller closes it. `url`: what the platform is given, made from
    the proxy's address. `store`: more TOML for it.
    """

    def __init__(
        self, folder: Path, *, server: Server | None = None, database: str = "postgres", user: str = "postgres",
        url: Callable[[str], str] = lambda address: address, store: str = "", subscribers: int = 100,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._given = server
        self._database = database
        self._user = user
        self._url = url
        self._store = store
        self._subscribers = [Subscriber(index) for index in range(subscribers)]
        self._open = AsyncExitStack()
        self._loading: asyncio.Task[None] | None = None
        self.server: Server
        self.proxy: Proxy
        self.simulator: Simulator
        self.platform: PlatformProcess

    async def __aenter__(self) -> Self:
        try:
            await self._begin()
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def _begin(self) -> None:
        self.simulator = Simulator(
            Settings(
                port=0, magic=False, accounts={SYSTEM_ID: PASSWORD}, window=50, records=1_000_000,
                retry_delays=(timedelta(milliseconds=200),), receipt_delay=timedelta(milliseconds=50),
                response_timer=timedelta(seconds=PATIENCE_S), message_id_tlv=MESSAGE_ID_TLV,
            )
        )  # fmt: skip
        await self.simulator.start()
        self._open.push_async_callback(self.simulator.stop)
        self.server = self._given or Server(options=DURABLE)
        if self._given is None:
            self._open.callback(self.server.close)
            await asyncio.to_thread(self.server.start)
        self.proxy = await self._open.enter_async_context(Proxy("127.0.0.1", self.server.port))
        address = f"postgresql://{self._user}@127.0.0.1:{self.proxy.port}/{self._database}"
        self.platform = PlatformProcess(
            self._folder, self.simulator.port, url=self._url(address), node="n1",
            account=f'smsc_response_timer = "{TIMER_S}s"\nmessage_id_tlv = {MESSAGE_ID_TLV}\n',
            store=f'commit_timeout = "{COMMIT_TIMEOUT_S}s"\nlease = "2s"\n{self._store}',
        )  # fmt: skip
        self._open.push_async_callback(self.platform.kill)
        await migrate_postgres.upgrade(self._url(address))
        await self.platform.start()
        self._loading = asyncio.create_task(self._load())
        self._open.push_async_callback(self._stop_loading)
        await self.more(Outcome.ACKNOWLEDGED, 100)

    async def _load(self) -> None:
        while True:
            for subscriber in self._subscribers:
                if not subscriber.waits:
                    (subscriber.mo,) = self.simulator.phone(subscriber.number).text(subscriber.text, SHORT_CODE)
            await asyncio.sleep(LOOK_S)

    async def _stop_loading(self) -> None:
        if self._loading is not None:
            self._loading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loading
            self._loading = None

    # What the SMSC sees.

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """Its attempts to deliver, by how they ended."""
        return self.simulator.smsc.delivery.outcomes

    async def more(self, outcome: Outcome, count: int = 20) -> None:
        """Until so many more attempts have ended so."""
        wanted = self.outcomes[outcome] + count
        await self.until(lambda: self.outcomes[outcome] >= wanted, f"{count} more {outcome.value}")

    async def until(self, happened: Callable[[], object], what: str) -> None:
        """Raises TimeoutError with the last of the platform's log."""
        deadline = time.monotonic() + WITHIN_S
        while not happened():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not {what} within {WITHIN_S} s: {self.outcomes}, {self.platform.log[-5:]}")
            await asyncio.sleep(LOOK_S)

    def first(self, outcome: Outcome, since: datetime) -> float:
        """Seconds from then to the end of the first attempt that ended so."""
        ended = [attempt.ended_at for attempt in self._attempts() if attempt.outcome is outcome and attempt.ended_at]
        return (min(at for at in ended if at >= since) - since).total_seconds()

    def statuses(self) -> set[int]:
        """Of all refusals."""
        return {attempt.status for attempt in self._attempts() if attempt.outcome is Outcome.TEMPORARY}

    def _attempts(self) -> list[Attempt]:
        return [attempt for mo in self.simulator.record.mo for attempt in mo.attempts]

    @property
    def links(self) -> int:
        """Sessions that are bound."""
        return sum(session.mode is not None for session in self.simulator.smsc.sessions.values())

    # What the platform says.

    def logged(self, event: str) -> list[dict[str, object]]:
        return [line for line in self.platform.log if line.get("event") == event]

    async def ask(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON of an answer of the operations' listener."""
        return await self.platform.ask(path)

    # The end.

    async def verdict(self, server: Server | None = None) -> Verdict:
        """Once the load has ended and all has come to rest; `server`: where the database is now."""
        await self._stop_loading()
        rows = PostgresRows((server or self.server).url(self._database))
        quiet, deadline = 0, time.monotonic() + WITHIN_S
        while quiet < 3 and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            done = not self.simulator.smsc.delivery.owed and await at_rest(rows)
            quiet = quiet + 1 if done else 0
        await self.platform.stop()
        return await check(self.simulator.record, rows, "CM ")


def both_hosts(standby: Server) -> Callable[[str], str]:
    """Adds a standby to a database's address, to be taken when it is the one that writes."""

    def add(address: str) -> str:
        start, _, database = address.rpartition("/")
        return f"{start},127.0.0.1:{standby.port}/{database}?target_session_attrs=read-write"

    return add
