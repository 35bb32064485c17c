"""Kill the platform under load, again and again, and check that its promise is kept.

Subscribers ask friends to call back and often repeat themselves, word for word: each time counts. The SMSC delivers
again what was not answered: that does not count. SMPP tells the two apart only where the SMSC gives an id
(`with_ids`); where it does not, a repeat is told by the platform's rule (vas.sessions), which needs SURE_S after an
answer: an answer that a crash followed sooner is doubtful, and the load's subscribers then ask another friend.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from bench.check import Verdict, check, unfinished
from bench.lazyfs import Mount
from bench.process import PASSWORD, PROGRAM, SHORT_CODE, SYSTEM_ID, PlatformProcess
from bench.rows import Rows, SqliteRows
from gateway.simulator import Settings, Simulator
from gateway.simulator.delivery import Mo, Outcome
from vas.messages import RTHROTTLED

SURE_S = 1.5
TICK_S = 0.02
THROTTLED_S = 0.3
DEAF_S = 0.1
RECOVERY_S = 0.5
"""For which a platform that stood still cannot tell when what it reads has come."""
ANSWERING_WITHIN_S = 40.0
MESSAGE_ID_TLV = 0x1400


class Stuck(Exception):
    """The platform runs and takes nothing."""


class Plan(NamedTuple):
    """What is done to the platform, the same for the same seed as far as the machine allows."""

    kills: int
    with_ids: bool
    seed: int = 1
    subscribers: int = 1_200
    outstanding: int = 300
    """Commands that are not acknowledged at one time; past them the subscribers wait their turn."""
    up_s: tuple[float, float] = (0.7, 2.5)
    """How long it runs between two kills."""
    program: Sequence[str] = PROGRAM
    rest_s: float = 60.0
    """How long nothing may be done in the end; past it, what is not done never will be."""
    friends: int = 0
    """Whom all subscribers ask together; 0: each has friends of their own."""


class Trouble:
    """A time in which the SMSC may not have heard what it was answered."""

    def __init__(self) -> None:
        self.began = datetime.now(UTC)
        self.ended = datetime.max.replace(tzinfo=UTC)

    def is_over(self) -> None:
        self.ended = datetime.now(UTC) + timedelta(seconds=RECOVERY_S)


class Subscriber:
    """Sends the same command again and again: as fast as it is answered with ids, after a pause without."""

    def __init__(self, index: int, pause_s: float, friends: int = 0) -> None:
        self.number = f"849{index:08}"
        self._index = index
        self._friends = friends
        self._pause = timedelta(seconds=pause_s)
        self._friend = 0
        self.mo: Mo | None = None

    @property
    def text(self) -> str:
        if self._friends:
            return f"CM 03{(self._index + self._friend) % self._friends:08}"
        return f"CM 03{self._index:05}{self._friend:03}"

    def may_repeat(self, now: datetime, troubles: list[Trouble], *, with_ids: bool) -> bool:
        """Whether the next command is due; without ids, to another friend if the last answer is doubtful."""
        if self.mo is None:
            return True
        if not self.mo.acknowledged:
            return False
        if with_ids:
            return True
        answered = self.mo.attempts[-1].ended_at
        assert answered is not None
        sure = answered + timedelta(seconds=SURE_S)
        if now < answered + self._pause:
            return False
        if any(trouble.began <= sure and self.mo.attempts[0].at <= trouble.ended for trouble in troubles):
            self._friend += 1
        return True


class Crash:
    """One drill: `verdict = await Crash(plan, folder).run()`."""

    response_timer = timedelta(seconds=10)
    """After which the SMSC gives up on an answer and delivers again."""
    throttles = True
    """Whether the SMSC refuses for a moment before every other fault."""
    account = ""
    """More TOML for the platform's account."""

    def __init__(self, plan: Plan, folder: Path, told: Callable[[str], None] = lambda what: None) -> None:
        self._plan = plan
        self._folder = folder
        self._told = told
        self._random = random.Random(plan.seed)
        self._troubles: list[Trouble] = []
        self._subscribers = [
            Subscriber(index, self._random.uniform(SURE_S, 2 * SURE_S), plan.friends)
            for index in range(plan.subscribers)
        ]
        self._loading = True
        self.restart_s: list[float] = []
        """From each kill to the first answer after it."""
        self._database = folder / "vas.db"
        self.platform: PlatformProcess
        self.rows: Rows

    async def run(self) -> Verdict:
        simulator = Simulator(
            Settings(
                port=0, magic=False, accounts={SYSTEM_ID: PASSWORD}, window=50, records=1_000_000,
                retry_delays=(timedelta(milliseconds=200),), receipt_delay=timedelta(milliseconds=50),
                response_timer=self.response_timer,
                message_id_tlv=MESSAGE_ID_TLV if self._plan.with_ids else None,
            )
        )  # fmt: skip
        await simulator.start()
        account = f'{self.account}smsc_response_timer = "{self.response_timer.seconds}s"\n'
        account += f"message_id_tlv = {MESSAGE_ID_TLV}\n" if self._plan.with_ids else ""
        try:
            await self._begin(simulator, account)
            loading = asyncio.create_task(self._load(simulator))
            await self._kill(simulator)
            self._loading = False
            await loading
            await self._rest(simulator)
            await self._stop()
        finally:
            await self._end()
            await simulator.stop()
        return await self._judge(simulator)

    async def _begin(self, simulator: Simulator, account: str) -> None:
        """Start what is to be shown; `account` is TOML for its SMSC account."""
        self.platform = PlatformProcess(
            self._folder, simulator.port, account=account, program=self._plan.program, database=self._database
        )
        self.rows = SqliteRows(self._database)
        await self.platform.start()

    async def _stop(self) -> None:
        """Let it leave in order."""
        await self.platform.stop()

    async def _end(self) -> None:
        """Leave nothing running, however it went."""
        await self.platform.kill()

    async def _judge(self, simulator: Simulator) -> Verdict:
        return await check(simulator.record, self.rows, "CM ")

    async def _load(self, simulator: Simulator) -> None:
        while self._loading:
            now = datetime.now(UTC)
            for subscriber in self._subscribers:
                if simulator.smsc.delivery.owed >= self._plan.outstanding:
                    break
                if subscriber.may_repeat(now, self._troubles, with_ids=self._plan.with_ids):
                    (subscriber.mo,) = simulator.phone(subscriber.number).text(subscriber.text, SHORT_CODE)
            # Those who had no turn come first in the next one.
            self._random.shuffle(self._subscribers)
            await asyncio.sleep(TICK_S)

    async def _kill(self, simulator: Simulator) -> None:
        for number in range(self._plan.kills):
            await self._answering(simulator)
            up_s = self._random.uniform(*self._plan.up_s)
            await asyncio.sleep(up_s / 2)
            with self._trouble():
                await self._lose_answers(simulator)
            await asyncio.sleep(up_s / 2)
            if self.throttles and number % 2 == 0:
                # Replies pile up, so that the kill finds some that were committed and have not left.
                simulator.verdict = lambda pdu: RTHROTTLED
                await asyncio.sleep(THROTTLED_S)
            self._told(f"{number + 1} of {self._plan.kills}")
            began = time.monotonic()
            with self._trouble():
                await self._strike()
            simulator.verdict = lambda pdu: 0
            if not self.platform.running:
                await self.platform.start()
            await self._answering(simulator)
            self.restart_s.append(time.monotonic() - began)
        await asyncio.sleep(0.5 if self._plan.with_ids else 2 * SURE_S)

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        trouble = Trouble()
        self._troubles.append(trouble)
        try:
            yield
        finally:
            trouble.is_over()

    async def _lose_answers(self, simulator: Simulator) -> None:
        """The SMSC hears nothing for a moment, then the line falls: what was answered meanwhile is delivered again."""
        for session in simulator.smsc.sessions.values():
            session.pause_writing()
        await asyncio.sleep(DEAF_S)
        simulator.smsc.drop_links()

    async def _strike(self) -> None:
        """What happens to the platform."""
        await self.platform.kill()

    async def _answering(self, simulator: Simulator) -> None:
        """Return once a command is acknowledged from now on."""
        outcomes = simulator.smsc.delivery.outcomes
        before = outcomes[Outcome.ACKNOWLEDGED]
        deadline = time.monotonic() + ANSWERING_WITHIN_S
        while outcomes[Outcome.ACKNOWLEDGED] == before:
            if time.monotonic() > deadline:
                raise Stuck(f"owed {simulator.smsc.delivery.owed}, {outcomes}, {self._last_words()}")
            await asyncio.sleep(TICK_S)

    def _last_words(self) -> list[dict[str, object]]:
        return self.platform.log[-10:]

    async def _rest(self, simulator: Simulator) -> None:
        """Until nothing is owed by either side, or it is plain that something never will be."""
        least, deadline, quiet = math.inf, math.inf, 0
        while quiet < 3 and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
            left = simulator.smsc.delivery.owed + await unfinished(self.rows)
            quiet = 0 if left else quiet + 1
            if left < least:
                least, deadline = left, time.monotonic() + self._plan.rest_s


class Freeze(Crash):
    """It stands still until the SMSC has lost patience and delivered again, as a machine does that is moved."""

    response_timer = timedelta(seconds=3)
    throttles = False  # one thing at a time

    async def _strike(self) -> None:
        with self.platform.frozen():
            await asyncio.sleep(self._random.uniform(1.2, 2.2) * self.response_timer.total_seconds())


class PowerCut(Crash):
    """As a crash, and the disk forgets what was not synced; half of the cuts leave a part of it, by chance."""

    def __init__(self, plan: Plan, folder: Path, told: Callable[[str], None] = lambda what: None) -> None:
        super().__init__(plan, folder, told)
        self._disk = Mount(folder / "disk", folder / "backing")
        self._database = folder / "disk" / "vas.db"

    async def run(self) -> Verdict:
        await asyncio.to_thread(self._disk.mount)
        try:
            return await super().run()
        finally:
            await asyncio.to_thread(self._disk.cut)

    async def _strike(self) -> None:
        await self.platform.kill()
        await asyncio.to_thread(self._disk.cut, some_survives=self._random.random() < 0.5)
        await asyncio.to_thread(self._disk.mount)
