"""Life without the database: what comes in is refused, links are kept for a while and then let go, and all comes back.

    there ── a batch fails, or the engine says that it is gone ──▶ away ── db_grace ──▶ links let go
      ▲                                                             │                       │
      └──────────────────── something was committed: a trial, if nothing else ──────────────┘

What comes in meanwhile is refused by the batch that cannot be written, or at once while `Store.outage` says that none
can be (vas.dispatch). What was sent and could not be written down waits in memory (vas.outbox).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import structlog

from vas.errors import Fenced, StoreError
from vas.metrics import Metrics
from vas.store.protocol import Outage, Store, Submit
from vas.unit import Batch

log = structlog.get_logger()
TRY_EVERY_S = 0.5
TRIAL_KEY = "trial"
TRIAL_OCTETS = 64 * 1024
"""More than fits beside what is on its page: on a full disk this cannot be written, as little as a command can."""


class Links(Protocol):
    """All connections to SMSCs."""

    async def let_go(self, why: str) -> None:
        """Unbind everywhere and stay away; `why` is for operations."""

    async def take_up(self) -> None:
        """Bind again."""


class Grace:
    """Watches the store. The batch loop tells it how each batch ended; `tick` is called a few times a second."""

    def __init__(
        self, store: Store, submit: Submit, links: Callable[[], Links], metrics: Metrics, grace: timedelta, *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.away: Outage | None = None
        """Since when nothing can be written, and why; None: the last thing that was tried was committed."""
        self._store = store
        self._submit = submit
        self._links = links
        self._metrics = metrics
        self._grace_s = grace.total_seconds()
        self._clock_s = clock_s
        self._counted_s = 0.0
        self._tried_s = float("-inf")
        self._trying = False
        self._linked = True
        self._moving: asyncio.Task[None] | None = None
        metrics.store_up.set(1)

    @property
    def let_go(self) -> bool:
        """Whether the links are gone, or on their way out."""
        return self.away is not None and self._clock_s() - self.away.since_s >= self._grace_s

    def failed(self, error: StoreError) -> None:
        """A batch was not written."""
        if not isinstance(error, Fenced):
            self._gone(Outage(self._clock_s(), str(error)))

    def _gone(self, outage: Outage) -> None:
        if self.away is None:
            self.away, self._counted_s = outage, outage.since_s
            self._metrics.store_up.set(0)
            self._metrics.store_outages.inc()
            log.error("store.gone", error=outage.why)

    def committed(self) -> None:
        """A batch was written."""
        if self.away is None:
            return
        self._count()
        log.info("store.back", after_s=round(self._clock_s() - self.away.since_s, 3))
        self.away = None
        self._metrics.store_up.set(1)
        self._move()

    def tick(self) -> None:
        """See whether it has gone while nothing was written; try it, while it is away."""
        if self._store.outage is not None:
            self._gone(self._store.outage)
        self._move()
        if self.away is None:
            return
        self._count()
        if self._store.outage is None and not self._trying and self._clock_s() >= self._tried_s + TRY_EVERY_S:
            self._trying, self._tried_s = True, self._clock_s()
            self._submit(Trial(self))

    def tried(self) -> None:
        """The trial has ended, one way or the other."""
        self._trying = False

    def _count(self) -> None:
        now_s = self._clock_s()
        self._metrics.store_down_seconds.inc(now_s - self._counted_s)
        self._counted_s = now_s

    def _move(self) -> None:
        """Let the links go, or take them up, unless it is being done: then the next one to ask goes on from there."""
        if self.let_go == self._linked and self._moving is None:
            self._moving = asyncio.get_running_loop().create_task(self._let_go_or_take_up())

    async def _let_go_or_take_up(self) -> None:
        try:
            while self.let_go == self._linked:
                self._linked = not self._linked
                if self._linked:
                    log.info("links.taken_up")
                    await self._links().take_up()
                else:
                    assert self.away is not None
                    log.warning("links.let_go", after_s=self._grace_s)
                    await self._links().let_go(f"unbound until the store is back: {self.away.why}")
        except Exception:
            log.exception("links.not_moved")
            self._linked = False  # the next tick takes up what should be
        finally:
            self._moving = None

    async def stop(self) -> None:
        """The links are somebody else's from now on."""
        if self._moving is not None:
            self._moving.cancel()
            await asyncio.gather(self._moving, return_exceptions=True)


class Trial:
    """The work that finds out whether the store takes writes again."""

    def __init__(self, grace: Grace) -> None:
        self._grace = grace

    async def run(self, batch: Batch) -> None:
        await batch.execute(batch.sql.put_meta.text, (TRIAL_KEY, secrets.token_bytes(TRIAL_OCTETS)))
        await batch.execute(batch.sql.put_meta.text, (TRIAL_KEY, b""))

    def committed(self) -> None:
        self._grace.tried()

    def lost(self, error: Exception) -> None:
        self._grace.tried()
