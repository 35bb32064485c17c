"""Three nodes on one PostgreSQL, under load, and all that goes wrong: `verdict = await Nodes(plan, folder).run()`.

The promise is that of bench.crash, over all nodes together: what one of them answered and another was brought again is
done once. And one more, of the SMSC's and the database's histories: nothing is submitted by a node that has lost its
lease (bench.histories).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, nullcontext
from datetime import timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from bench.check import SHOWN, Verdict
from bench.crash import ANSWERING_WITHIN_S, SURE_S, THROTTLED_S, TICK_S, Crash, Plan
from bench.histories import KEEP_LEASES, RECORDED_WITHIN, Lease, Wire, leases, without_lease
from bench.process import Died, PlatformProcess
from bench.proxy import Proxy
from bench.rows import PostgresRows
from gateway.simulator import Simulator
from tests.postgres import Server
from vas.messages import RTHROTTLED
from vas.store import migrate_postgres

BINDS = 6
"""Of the account, over all nodes."""
TEMPTED_S = 1.0
"""For which a node that woke may do wrong before anybody looks."""
TAKEN_OVER_WITHIN_S = 10.0
"""In which the binds of a node that died, or of one that joined, are where they should be."""


class Kind(StrEnum):
    """What goes wrong."""

    KILL = "kill -9 of a node"
    SLEEP = "a node stopped past its lease"
    NAP = "a node stopped for less than its lease"
    CUT = "a node cut off from the database"
    DATABASE = "kill -9 of PostgreSQL"
    HANG = "PostgreSQL stopped"


class Fault(NamedTuple):
    """One fault of a plan; it says all that is left to chance."""

    kind: Kind
    node: int
    seconds: float
    """How long it lasts; of a killed node: until it is started again, if that is not awaited."""
    hard: bool
    """Connections are broken rather than silent; a killed node is started again at once; one that wakes is cut off."""

    def __str__(self) -> str:
        where = f" {self.node + 1}" if self.kind not in (Kind.DATABASE, Kind.HANG) else ""
        return f"{self.kind}{where}, {self.seconds:.1f} s{', hard' * self.hard}"


SECONDS = {
    Kind.KILL: (0.0, 0.5),
    Kind.SLEEP: (2.0, 3.0),
    Kind.NAP: (0.3, 0.8),
    Kind.CUT: (2.0, 3.0),
    Kind.DATABASE: (0.0, 1.0),
    Kind.HANG: (0.3, 1.5),
}
"""At least and at most, in leases."""


class Nodes(Crash):
    """Each kind of fault comes in its turn, in an order of the seed's."""

    response_timer = timedelta(seconds=3)
    lease_s = 2.0
    account = 'response_timer = "3s"\n'

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        told: Callable[[str], None] = lambda what: None,
        *,
        kinds: Sequence[Kind] = tuple(Kind),
        count: int = 3,
    ) -> None:
        super().__init__(plan, folder, told)
        self.faults = list(islice(self._deck(kinds, count), plan.kills))
        self._count = count
        self._open = AsyncExitStack()
        self.nodes: list[PlatformProcess] = []
        self._proxies: list[Proxy] = []
        self._late: list[str] = []
        self.moved_s: list[float] = []
        """From each death of a node until the others had its binds."""

    def _deck(self, kinds: Sequence[Kind], count: int) -> Iterator[Fault]:
        while True:
            for kind in self._random.sample(kinds, len(kinds)):
                seconds = self.lease_s * self._random.uniform(*SECONDS[kind])
                yield Fault(kind, self._random.randrange(count), seconds, self._random.random() < 0.5)

    async def _begin(self, simulator: Simulator, account: str) -> None:
        self._wire = Wire(simulator)
        # Commits have to survive a kill of the server, not a power cut.
        self._server = Server(options={"synchronous_commit": "on"})
        self._open.callback(self._server.close)
        await asyncio.to_thread(self._server.start)
        self.rows = database = PostgresRows(self._server.url())
        for number in range(self._count):
            proxy = await self._open.enter_async_context(Proxy("127.0.0.1", self._server.port))
            self._proxies.append(proxy)
            self.nodes.append(
                PlatformProcess(
                    self._folder, simulator.port, binds=BINDS, account=account, program=self._plan.program,
                    url=f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres", node=f"n{number + 1}",
                    store=f'lease = "{self.lease_s:g}s"\ncommit_timeout = "1s"\n',
                )
            )  # fmt: skip
        self.platform = self.nodes[0]
        await migrate_postgres.upgrade(self._server.url())
        await database.run(*KEEP_LEASES)
        await asyncio.gather(*(node.start() for node in self.nodes))
        await self._spread(range(self._count))

    async def _kill(self, simulator: Simulator) -> None:
        for number, fault in enumerate(self.faults):
            await self._answering(simulator)
            up_s = self._random.uniform(*self._plan.up_s)
            await asyncio.sleep(up_s / 2)
            with self._trouble():
                await self._lose_answers(simulator)
            await asyncio.sleep(up_s / 2)
            self._told(f"{number + 1} of {len(self.faults)}: {fault}")
            with self._trouble():
                simulator.verdict = lambda pdu: RTHROTTLED
                await asyncio.sleep(THROTTLED_S)
                await self._suffer(fault, simulator)
                began = time.monotonic()
                await self._answering(simulator)
                self.restart_s.append(time.monotonic() - began)
                await self._spread(range(self._count))
        await asyncio.sleep(0.5 if self._plan.with_ids else 2 * SURE_S)

    async def _suffer(self, fault: Fault, simulator: Simulator) -> None:
        """Let it happen and be over. The SMSC throttles still: what piles up goes when it no longer does."""
        with self._throttled_at_first(simulator, fault):
            match fault.kind:
                case Kind.KILL:
                    await self._die(fault)
                case Kind.NAP:
                    with self.nodes[fault.node].frozen():
                        await asyncio.sleep(fault.seconds)
                case Kind.SLEEP:
                    await self._sleep(fault)
                case Kind.CUT:
                    with self._cut_off(fault):
                        await asyncio.sleep(fault.seconds)
                case Kind.DATABASE:
                    await asyncio.to_thread(self._server.kill)
                    await asyncio.sleep(fault.seconds)
                    await asyncio.to_thread(self._server.start)
                case Kind.HANG:
                    await asyncio.to_thread(self._server.freeze)
                    await asyncio.sleep(fault.seconds)
                    await asyncio.to_thread(self._server.thaw)

    async def _sleep(self, fault: Fault) -> None:
        """A node that finds the database gone when it wakes has only its own clock to say that its lease is over."""
        with self._cut_off(fault) if fault.hard else nullcontext():
            with self.nodes[fault.node].frozen():
                await asyncio.sleep(fault.seconds)
            await asyncio.sleep(TEMPTED_S)

    @contextmanager
    def _cut_off(self, fault: Fault) -> Iterator[None]:
        proxy = self._proxies[fault.node]
        (proxy.cut if fault.hard else proxy.stall)()
        try:
            yield
        finally:
            proxy.heal()

    @contextmanager
    def _throttled_at_first(self, simulator: Simulator, fault: Fault) -> Iterator[None]:
        """A node that is cut off is tempted to submit when its lease is over, not before."""
        tempted_s = self.lease_s * 1.2 if fault.kind is Kind.CUT else 0.0

        def accept() -> None:
            simulator.verdict = lambda pdu: 0

        timer = asyncio.get_running_loop().call_later(tempted_s, accept)
        try:
            yield
        finally:
            timer.cancel()
            accept()

    async def _die(self, fault: Fault) -> None:
        node = self.nodes[fault.node]
        await node.kill()
        began = time.monotonic()
        if not fault.hard:
            await self._spread(other for other in range(self._count) if other != fault.node)
            self.moved_s.append(time.monotonic() - began)
            await asyncio.sleep(fault.seconds)
        await self._restart(node)

    async def _restart(self, node: PlatformProcess) -> None:
        """As systemd does: again, as long as the row of its former life stands."""
        deadline = time.monotonic() + ANSWERING_WITHIN_S
        while True:
            try:
                return await node.start()
            except Died:
                if time.monotonic() > deadline:
                    raise

    async def _spread(self, nodes: Iterator[int] | range) -> None:
        """Until these nodes, and no others, have the account's binds, evenly."""
        names = sorted(f"n{number + 1}" for number in nodes)
        fair = {name: BINDS // len(names) for name in names}
        deadline = time.monotonic() + TAKEN_OVER_WITHIN_S
        while dict(self._wire.binds()) != fair:
            if time.monotonic() > deadline:
                self._late.append(f"{dict(self._wire.binds())} for {fair}")
                return
            await asyncio.sleep(TICK_S)

    def _last_words(self) -> list[dict[str, object]]:
        return [event for node in self.nodes for event in node.log[-5:]]

    async def _stop(self) -> None:
        await asyncio.gather(*(node.stop() for node in self.nodes))

    async def _end(self) -> None:
        for node in self.nodes:
            await node.kill()

    async def run(self) -> Verdict:
        async with self._open:
            return await super().run()

    async def _judge(self, simulator: Simulator) -> Verdict:
        verdict = await super()._judge(simulator)
        given = await leases(self.rows)
        stays = await self.rows.query("SELECT name FROM node UNION ALL SELECT account FROM bind_lease")
        verdict.violations.extend(
            [
                *without_lease(self._wire, given)[:SHOWN],
                *[f"left behind in the database: {name}" for (name,) in stays],
                *[f"binds not spread within {TAKEN_OVER_WITHIN_S:.0f} s: {what}" for what in self._late],
                *await self._doubled(simulator, given),
            ]
        )
        commands = [mo for mo in simulator.record.mo if mo.kind == "sms"]
        return verdict._replace(moved=self._wire.moved(commands))

    async def _doubled(self, simulator: Simulator, given: list[Lease]) -> list[str]:
        """Copies of messages whose acceptance was heard and, since no fault was near, written down."""
        rows = await self.rows.query("SELECT smsc_ids FROM outbox")
        known = {id for (ids,) in rows for id in ids.split()}
        doubled = []
        for mt in simulator.record.mt:
            if str(mt.id) in known or (at := self._wire.surely_heard(mt.id)) is None:
                continue
            over = self._wire.over(mt.session, given)
            if over < at + RECORDED_WITHIN:
                continue
            if not any(each.began <= at + RECORDED_WITHIN and at <= each.ended for each in self._troubles):
                doubled.append(f"accepted twice though it was answered: {mt.id} to {mt.to}")
        return doubled[:SHOWN]


class Naps(Nodes):
    """A lease that outlasts the SMSC's patience: a node wakes with commands that others were brought meanwhile."""

    lease_s = 8.0


class Backlog(Nodes):
    """A rate far below the load: a node always has messages that wait, and is tempted to send them."""

    rate = "rate = 100\n"
    account = Nodes.account + rate

    async def _rest(self, simulator: Simulator) -> None:
        """What waits by then may leave at once: at that rate it would take minutes."""
        for node in self.nodes:
            await node.change(self.rate, "")
        await super()._rest(simulator)
