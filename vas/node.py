"""One running platform: store, dispatch, outbox, schedule and gateway, put together and taken apart.

Start: the store opens, what was left by the last run is loaded, then the gateway binds. Stop: nothing new
is taken, what was taken is committed and answered, what was sent is waited for, then the store closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog
from prometheus_client import CollectorRegistry

from vas.calls import Calls
from vas.cluster.asking import ASK, Asking
from vas.cluster.grace import Grace, Links
from vas.cluster.member import Alone, Member
from vas.core import AccountRules, Core, PartLimits, WaitingParts
from vas.dispatch import Dispatch
from vas.errors import StoreError
from vas.housekeeping import Housekeeping
from vas.messages import Gateway, Msisdn, Receiver
from vas.metrics import Metrics
from vas.mounting import Mounted, Platform
from vas.outbox import Outbox
from vas.parts import PartsWatch
from vas.routing import Router
from vas.running import Made
from vas.schedule import Schedule
from vas.sessions import Sessions
from vas.store.own_tables import MakeTables
from vas.store.protocol import Store, Work
from vas.store.rows import SeenRow, SessionRow
from vas.unit import Batch

log = structlog.get_logger()
TICK_S = 0.1
PARTS_EVERY_MS = 10_000
"""How often the parts of long messages are counted where other nodes may bring some."""


class RunningGateway(Gateway, Links, Protocol):
    """A gateway that can be started and stopped."""

    async def start(self) -> None: ...
    async def stop(self) -> None:
        """Send nothing more, wait for the answers to what was sent, then let the links go."""


@dataclass(frozen=True)
class Setup:
    """All that a node is made from, apart from its store and its gateway."""

    mounted: Sequence[Mounted]
    everywhere: Mounted
    platform: Platform
    accounts: Mapping[str, AccountRules] = field(default_factory=dict)
    own_numbers: frozenset[str] = frozenset()
    trial_numbers: frozenset[Msisdn] = frozenset()
    help_per_hour: int = 3
    credits: int = 2_000
    batch_limit: int = 500
    commit_within: timedelta = timedelta(0)
    """How long the store may take for a batch; zero: it knows no limit."""
    db_grace: timedelta = timedelta(seconds=60)
    keep: timedelta = timedelta(days=90)
    seen_for: timedelta = timedelta(hours=72)
    parts: PartLimits = field(default_factory=PartLimits)
    clock_ms: Callable[[], int] = lambda: int(time.time() * 1000)
    tick_s: float = TICK_S


class Node:
    """The platform in one process. `gateway` makes the gateway around the receiver that it is to serve."""

    def __init__(
        self,
        setup: Setup,
        store: Store,
        gateway: Callable[[Receiver], RunningGateway],
        member: Member | None = None,
    ) -> None:
        self.setup = setup
        self.store = store
        self.member = member or Alone()
        self.router = Router(setup.mounted, setup.everywhere)
        self.metrics = Metrics(CollectorRegistry())
        self._make_gateway = gateway
        self._ticker: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._parts_ms = 0
        self.started_ms = 0

    async def start(self) -> None:
        """Raises StoreUnusable or ConfigError with what a person must do."""
        await self.open()
        await self.connect()

    async def open(self) -> None:
        """All but the links: the store, and what the last run has left."""
        setup = self.setup
        await self.store.open()
        await self.member.join()
        self.core = Core(
            self.router, setup.platform, setup.accounts, self.metrics, setup.clock_ms, self.store.hash_key,
            Sessions(), setup.own_numbers, setup.trial_numbers, setup.help_per_hour,
            parts=WaitingParts(setup.parts), member=self.member, takes=lambda row: self.outbox.takes(row),
            text_of=lambda account, parts: self.gateway.text_of(account, parts),
        )  # fmt: skip
        self.grace = Grace(
            self.store, lambda task: self.dispatch.submit(task), lambda: self.gateway, self.metrics, setup.db_grace
        )
        self.asking = Asking(
            self.core, self.store, lambda task: self.dispatch.submit(task),
            lambda session: self.gateway.ask_alive(session),
        )  # fmt: skip
        self.dispatch = Dispatch(
            self.core, self.store, self, self.asking, self.grace, new_session=self.store.new_id,
            batch_limit=setup.batch_limit, credits=setup.credits, commit_within=setup.commit_within,
        )  # fmt: skip
        self.gateway = self._make_gateway(self.dispatch)
        self.outbox = Outbox(self.core, self.gateway, self.dispatch.submit, self._follow)
        self.calls = Calls(self.core, self.dispatch.submit, self._follow)
        self.schedule = Schedule(self.core, self.calls, self.dispatch.submit, self._follow)
        self.parts = PartsWatch(self.core, self.dispatch.submit, self._follow)
        self.housekeeping = Housekeeping(
            self.core, self.dispatch.submit, self.store, keep=setup.keep, seen_for=setup.seen_for
        )
        await self._create_tables()
        await self._restore()
        self.store.on_hint = self._told
        self.started_ms = setup.clock_ms()

    async def connect(self) -> None:
        """Begin to work, and to bind."""
        self._ticker = asyncio.create_task(self._tick())
        await self.gateway.start()

    async def _create_tables(self) -> None:
        for mounted in self.router.mounted.values():
            if mounted.service.tables is not None:
                await self.run(MakeTables(mounted.name, mounted.service.tables, self.store.sql))

    async def _restore(self) -> None:
        sql, now_ms = self.store.sql, self.setup.clock_ms()
        if not self.core.shared:
            await self._remember()
        await self.look_at_parts()
        fired: list[tuple[str, int]] = await self.store.read(sql.all_fired.text)
        begin = self.schedule.restore(dict(fired))
        resume = Statement(sql.resume_calls.text, sql.resume_calls.params(now_ms=now_ms))
        await self.run(resume, *(Statement(sql.begin_firing.text, (name, now_ms)) for name in begin))

    async def _remember(self) -> None:
        """Which answers of the last run may not have arrived; shared, a store is asked when a copy comes."""
        sql = self.store.sql
        self.core.sessions.restore(SessionRow(*row) for row in await self.store.read(sql.sessions.text))
        for row in await self.store.read(sql.doubtful.text):
            self.core.sessions.remember(SeenRow(*row))
        for late in self.core.sessions.late():
            for row in await self.store.read(sql.seen_as.text, late):
                self.core.sessions.remember(SeenRow(*row))

    async def look_at_parts(self) -> None:
        """How many wait, and until when: other nodes may have brought some, or given them up."""
        sql, parts = self.store.sql, self.core.parts
        [(parts.count,)] = await self.store.read(sql.count_parts.text)
        [(parts.due_ms,)] = await self.store.read(sql.next_long_message.text)

    # -- the other nodes

    def _told(self, hint: str) -> None:
        """By another node."""
        if hint == "outbox":
            self.outbox.look()
        elif hint == "jobs":
            self.schedule.added(0)
        elif hint.startswith(ASK):
            self.asking.told(int(hint.removeprefix(ASK)))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.setup.tick_s)
            for part in (self.grace, self.dispatch, self.outbox, self.schedule, self.parts, self.housekeeping):
                try:
                    part.tick()
                except Exception as error:
                    log.error("tick.failed", part=type(part).__name__, error=f"{type(error).__name__}: {error}")
            self._look_at_parts_now_and_then()
            self.metrics.outbox_queued.set(self.outbox.backlog)
            self.metrics.unfinished_commands.set(self.dispatch.unfinished)
            self.metrics.parts_waiting.set(self.core.parts.count)

    def _look_at_parts_now_and_then(self) -> None:
        now_ms = self.setup.clock_ms()
        if self.core.shared and now_ms >= self._parts_ms and (self._looking is None or self._looking.done()):
            self._parts_ms = now_ms + PARTS_EVERY_MS
            self._looking = asyncio.create_task(self._try_to_look_at_parts())

    async def _try_to_look_at_parts(self) -> None:
        with contextlib.suppress(StoreError):
            await self.look_at_parts()

    # -- where what was committed goes (vas.dispatch.Effects)

    @property
    def backlog(self) -> int:
        return self.outbox.backlog

    def follow(self, made: Made, received_ms: int) -> None:
        if made.screen is not None:
            self.outbox.show(made.screen, received_ms)
        for row in made.messages:
            self.outbox.send(row, received_ms)
        for call in made.calls:
            self.calls.start(call)
        if made.job_due_ms:
            self.schedule.added(made.job_due_ms)

    async def load_revived(self) -> None:
        """The SMSC was told "later" of these: what it delivers again must be known, and their replies go out."""
        assert self.store.revived is not None
        first, last = self.store.revived
        sql = self.store.sql
        for fields in await self.store.read(sql.seen_between.text, (first, last)):
            row = SeenRow(*fields)
            if not row.lasting:
                self.core.sessions.never_confirmed(row)
        if self.core.shared:
            revived = sql.outbox_revived
            params = revived.params(first_id=first, last_id=last, of_owner=self.core.me)
            self.outbox.give_back(id_ for (id_,) in await self.store.read(revived.text, params))
        await self.look_at_parts()
        self.store.revived = None
        self.outbox.wake_at(0, 0)
        self.schedule.added(0)

    def _follow(self, made: Made) -> None:
        self.follow(made, 0)

    async def run(self, *works: Work) -> None:
        """Run works of the caller's in the order of all others; raises what they raised."""
        for outcome in await self.store.commit(works):
            if outcome is not None:
                raise outcome

    async def stop(self) -> None:
        """Finish what was taken and leave; safe to call after a start that failed."""
        if self._ticker is not None:
            self.dispatch.closing = True
            await self.dispatch.drained()
            self.outbox.stopped = True
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
            if self._looking is not None:
                await asyncio.gather(self._looking, return_exceptions=True)
            await self.grace.stop()
            await self.gateway.stop()
            await self.asking.stop()
            await self.calls.stop()
            await self.housekeeping.stop()
            self.dispatch.tick()
            await self.dispatch.drained()
            await self.member.leave()
        await self.store.close()


@dataclass
class Statement:
    """A work that is one statement, with one row of parameters or several."""

    text: str
    params: Sequence[object] = ()

    async def run(self, batch: Batch) -> None:
        await batch.execute(self.text, self.params)
