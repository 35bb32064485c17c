"""This node among those that share a PostgreSQL: its row, its lease, and what has become of the others.

Its lease is renewed four times before it is over. What others decide by, the database's clock, is written in the row;
what this node decides by is its own monotonic clock, from the moment before it asked for the renewal: so it always
stops before the others go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

import structlog

from vas.cluster import store
from vas.cluster.assignment import Place
from vas.cluster.line import Line
from vas.cluster.store import NodeRow
from vas.errors import StoreError, StoreUnusable
from vas.metrics import NodesMetrics

log = structlog.get_logger()
RENEWALS_IN_A_LEASE = 4
MARGIN = 0.1
"""The part of its lease that a node does not use: what it wrote last is on its way."""
LOOK_S = 1.0
"""How often a node looks at the others if nobody tells it anything."""


class Look(NamedTuple):
    """What was last seen of the nodes and of who has which place."""

    nodes: list[NodeRow]
    leases: dict[Place, int]

    @property
    def taking_part(self) -> list[int]:
        """Ids of the nodes that are to have binds."""
        return [node.id for node in self.nodes if node.left_ms > 0 and not node.draining]


class Membership:
    """One run of a node (vas.cluster.member.Member). `address` is that of its operations' listener.

    `looked` is called in the event loop with each look, `lost` once when the others have given this node up: by then
    all that was its own is theirs, and `holds` says so.
    """

    def __init__(
        self, url: str, name: str, lease: timedelta, *, address: str, version: str,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.name = name
        self.id = 0
        self.number = 0
        self.address = address
        self.looked: Callable[[Look], None] = lambda look: None
        self.lost: Callable[[], None] = lambda: None
        self.metrics = NodesMetrics()
        self.given_up = False
        """Whether the others have taken everything from it; what it does now is in vain."""
        self._version = version
        self._lease_s = lease.total_seconds()
        self._clock_s = clock_s
        self._held_until_s = float("-inf")
        self.metrics.lease_left_seconds.set_function(lambda: max(self._held_until_s - self._clock_s(), 0.0))
        self._in_touch_since_s = float("inf")
        self._look_now = asyncio.Event()
        every_s = self._lease_s / RENEWALS_IN_A_LEASE
        self._renewals = Line(url, f"vas {name}, lease", every_s)
        self.line = Line(url, f"vas {name}, nodes", self._lease_s, self.look_now)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def _lease_ms(self) -> int:
        return int(self._lease_s * 1000)

    async def join(self) -> None:
        """Take a row and a number; waits for the lease of an older run of the same name that did not leave.

        Raises StoreUnusable if a node of this name lives.
        """
        self._hold(await self._entered())
        log.info("node.joined", node=self.name, number=self.number)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._renew()), loop.create_task(self._look())]

    async def _entered(self) -> float:
        """When it asked for the row that it has now."""
        before: NodeRow | None = None
        while True:
            asked_s = self._clock_s()
            entered = await store.enter(self.line, self.name, self.address, self._version, self._lease_ms)
            if not isinstance(entered, NodeRow):
                self.id, self.number = entered
                return asked_s
            if before is None:
                log.warning("node.waits", node=self.name, for_the_lease_of_its_last_run_s=entered.left_ms / 1000)
            elif (entered.id, entered.until_ms) != (before.id, before.until_ms):
                raise StoreUnusable(
                    f"a node of the name {self.name!r} lives, at {entered.address}: stop it, or give this one another "
                    "name: vas run --node NAME"
                )
            before = entered
            await asyncio.sleep(min(entered.left_ms / 1000, self._lease_s / RENEWALS_IN_A_LEASE))

    async def leave(self) -> None:
        """Give everything back, at once; without the database the lease has to run out."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        held, self._held_until_s = self._held_until_s, float("-inf")
        if held > 0:
            try:
                await store.leave(self.line, self.id)
                log.info("node.left", node=self.name)
            except StoreError as error:
                log.warning("node.left", node=self.name, error=str(error))
        await self._renewals.close()
        await self.line.close()

    def holds(self) -> bool:
        return self._clock_s() < self._held_until_s

    def _hold(self, asked_s: float) -> None:
        if not self.holds():
            self._in_touch_since_s = asked_s
        self._held_until_s = asked_s + self._lease_s * (1 - MARGIN)

    # What it does all the time.

    async def _renew(self) -> None:
        """Keep the lease until the row is gone."""
        failed = False
        while True:
            await asyncio.sleep(self._lease_s / RENEWALS_IN_A_LEASE / (4 if failed else 1))
            asked_s = self._clock_s()
            try:
                stands = await store.renew(self._renewals, self.id, self._lease_ms, self.address)
            except Exception as error:  # whatever it is: without renewals nothing would ever leave again
                if not failed:
                    why = str(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
                    log.warning("node.not_renewed", node=self.name, error=why)
                failed, self._in_touch_since_s = True, float("inf")
                continue
            if not stands:
                break
            if failed:
                log.info("node.renewed", node=self.name, still_held=self.holds())
                failed, self._in_touch_since_s = False, asked_s
            self._hold(asked_s)
        self._held_until_s, self.given_up = float("-inf"), True
        log.error("node.lost", node=self.name)
        self.lost()

    def look_now(self) -> None:
        """Do not wait for the next look's time."""
        self._look_now.set()

    async def _look(self) -> None:
        """See who lives, give up who does not, and tell."""
        while True:
            self._look_now.clear()
            try:
                look = await self._seen()
                self.metrics.nodes_alive.set(sum(node.left_ms > 0 for node in look.nodes))
                self.looked(look)
            except StoreError:
                pass  # the renewals tell of it
            except Exception:
                log.exception("node.not_looked", node=self.name)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._look_now.wait()

    async def _seen(self) -> Look:
        look = Look(await store.nodes(self.line), await store.leases(self.line))
        if self._may_give_up and any(node.left_ms < 0 for node in look.nodes):
            for name in await store.give_up(self.line):
                log.warning("node.given_up", other=name)
                self.metrics.given_up.inc()
            look = Look(await store.nodes(self.line), await store.leases(self.line))
        return look

    @property
    def _may_give_up(self) -> bool:
        """Only who has had the database for a whole lease judges others.

        After an outage the first to have it again would else give up all who have it again a moment later.
        """
        return self.holds() and self._clock_s() - self._in_touch_since_s >= self._lease_s
