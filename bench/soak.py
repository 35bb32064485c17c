"""The long soak: nobody kills the platform, and everything else goes wrong at once, for as long as it lasts.

Links fall and come back, singly and all together; the SMSC throttles, refuses for now, answers late, twice or never,
delivers twice, loses our answers, spoils PDUs, and sends receipts early, late, twice and by another bind.

The promise is that of bench.check, and one more: what was accepted twice was not answered the first time. A submit_sm
counts as unanswered if no response was written, or if its link ended soon after the response.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.check import SHOWN, Verdict
from bench.crash import TICK_S, Crash, Plan
from bench.histories import Wire
from bench.process import SHORT_CODE
from gateway.simulator import Simulator
from gateway.simulator.faults import Fault

MEMORY_EVERY_S = 2.0
GROWTH_MAX = 0.15
"""By how much resident memory may grow from the middle of a soak to its end."""
WARM_SAMPLES = 200
"""Fewer samples of memory say nothing about its growth: what is kept on purpose is full after some minutes."""
FLAP_EVERY_S = (0.3, 2.0)
ALL_LINKS = 0.2
"""The share of falls that takes every link."""

FAULTS = (
    Fault(kind="throttle", per_second=600),
    Fault(kind="status", status="RSYSERR", every=499),
    Fault(kind="nack", status="RSYSERR", every=607),
    Fault(kind="delay", every=29, seconds=0.02, until=0.4),
    Fault(kind="silence", every=211),
    Fault(kind="lost", every=307),
    Fault(kind="drop_before", every=4_001),
    Fault(kind="drop_after", every=5_003),
    Fault(kind="silence", on="enquire_link", every=3),
    Fault(kind="duplicate", every=41),
    Fault(kind="duplicate", on="receipt_sm", every=43),
    Fault(kind="lost_response", every=101),
    Fault(kind="lost_response", on="receipt_sm", every=103),
    Fault(kind="malformed", every=151),
    Fault(kind="receipt_early", every=5),
    Fault(kind="receipt_twice", every=7),
    Fault(kind="receipt_other_bind", every=3),
    Fault(kind="receipt_data_sm", every=11),
    Fault(kind="receipt_late", every=13, seconds=0.5, until=2.0),
)


class Soak(Crash):
    """One soak: `verdict = await Soak(plan, folder, seconds=600, rate=300).run()`; plan.kills is not used."""

    response_timer = timedelta(seconds=2)
    account = 'response_timer = "2s"\nenquire_every = "1s"\n'

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        told: Callable[[str], None] = lambda what: None,
        *,
        seconds: float,
        rate: float,
        faults: tuple[Fault, ...] = FAULTS,
    ) -> None:
        """`rate` is in commands a second."""
        super().__init__(plan, folder, told)
        self._seconds = seconds
        self._rate = rate
        self._chosen = faults
        self._chance = random.Random(plan.seed)
        self.falls = 0
        """Links that were broken."""
        self.struck = 0
        """PDUs that a fault met."""
        self.resident: list[int] = []
        """Octets of the platform's memory, every MEMORY_EVERY_S."""

    async def _load(self, simulator: Simulator) -> None:
        began, sent = time.monotonic(), 0
        while self._loading:
            now = datetime.now(UTC)
            due = int((time.monotonic() - began) * self._rate) - sent
            free = (each for each in self._subscribers if each.may_repeat(now, [], with_ids=self._plan.with_ids))
            for subscriber, _ in zip(free, range(due), strict=False):
                (subscriber.mo,) = simulator.phone(subscriber.number).text(subscriber.text, SHORT_CODE)
                sent += 1
            self._random.shuffle(self._subscribers)
            await asyncio.sleep(TICK_S)

    async def _kill(self, simulator: Simulator) -> None:
        self._wire = Wire(simulator)
        await self._answering(simulator)
        faults = [simulator.faults.add(fault) for fault in self._chosen]
        watching = asyncio.create_task(self._watch_memory())
        ends_at = time.monotonic() + self._seconds
        while time.monotonic() < ends_at:
            await asyncio.sleep(self._chance.uniform(*FLAP_EVERY_S))
            self._fall(simulator)
            self._told("")
        watching.cancel()
        self.struck = sum(simulator.faults.struck(fault) for fault in faults)
        simulator.faults.clear()
        await self._answering(simulator)

    def _fall(self, simulator: Simulator) -> None:
        sessions = list(simulator.smsc.sessions.values())
        fallen = sessions if self._chance.random() < ALL_LINKS else self._chance.sample(sessions, min(1, len(sessions)))
        for session in fallen:
            session.abort()
        self.falls += len(fallen)

    async def _watch_memory(self) -> None:
        while True:
            self.resident.append(self.platform.rss_octets())
            await asyncio.sleep(MEMORY_EVERY_S)

    async def _judge(self, simulator: Simulator) -> Verdict:
        verdict = await super()._judge(simulator)
        violations = verdict.violations
        known = {id for (ids,) in await self.rows.query("SELECT smsc_ids FROM outbox") for id in ids.split()}
        waiting = await self.rows.query("SELECT id FROM outbox WHERE state = 'sent' AND settle <> ''")
        copies = [mt for mt in simulator.record.mt if str(mt.id) not in known]
        violations += [
            f"accepted twice though it was answered: {mt.id} to {mt.to}"
            for mt in copies
            if self._wire.surely_heard(mt.id)
        ][:SHOWN]
        violations += [f"receipt that settled nothing: {id}" for (id,) in waiting][:SHOWN]
        if self.growth > GROWTH_MAX:
            violations.append(f"memory grew by {self.growth:.0%}")
        return verdict

    @property
    def growth(self) -> float:
        """Of resident memory, as a share of what it was; 0 where the soak is too short to say."""
        tenth = len(self.resident) // 10
        if len(self.resident) < WARM_SAMPLES:
            return 0.0
        before, after = self.resident[5 * tenth : 6 * tenth], self.resident[-tenth:]
        return sum(after) / sum(before) - 1
