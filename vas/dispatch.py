"""Commands gather while the last batch commits; one transaction a batch; the answers follow it.

    receive ─▶ waiting ─▶ batch ─▶ COMMIT ─▶ deliver_sm_resp, outbox, calls

Order is the order of arrival. A bounded number of commands is unfinished at any time (`credits`): past
it a command's answer waits, up to half the SMSC's response timer, and then says throttled. So it does where the store
is slow; where it is known not to be there, what comes in is refused for now, at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from vas.batch_size import BatchSize
from vas.cluster.asking import Asking
from vas.cluster.grace import Grace
from vas.command import Command
from vas.core import Core
from vas.errors import StoreError
from vas.messages import Answer, Inbound, Receipt
from vas.receiving import ReceiptWork
from vas.running import Effects
from vas.saving import SaveSessions
from vas.store.protocol import Store, Task

log = structlog.get_logger()


class Dispatch:
    """The batch loop. A `vas.messages.Receiver` for what comes in; `submit` for all other works."""

    def __init__(
        self, core: Core, store: Store, effects: Effects, asking: Asking, grace: Grace, *,
        new_session: Callable[[], int], batch_limit: int = 500, credits: int = 2_000, backlog_limit: int = 20_000,
        commit_within: timedelta = timedelta(0),
    ) -> None:  # fmt: skip
        """`commit_within`: how long the store may take for a batch, for which a command must have time left."""
        self._core = core
        self._store = store
        self._effects = effects
        self._peers = asking
        self._grace = grace
        self._new_session = new_session
        self._size = BatchSize(batch_limit, commit_within.total_seconds())
        self._credits = credits
        self._backlog_limit = backlog_limit
        self._commit_s = commit_within.total_seconds()
        self._queue: deque[Task] = deque()
        self._held: deque[Command] = deque()
        self._inside = 0
        self._running: asyncio.Task[None] | None = None
        self._saving = SaveSessions(core)
        self._asking: set[asyncio.Task[None]] = set()
        self.closing = False
        self.received = 0
        """Commands that came in since the start."""

    # -- the gateway's side

    def session_opened(self, account: str) -> int:
        id_ = self._new_session()
        self._core.sessions.opened(id_, account)
        if self._core.shared:
            self._core.sessions.tell(id_)
        return id_

    def session_closed(self, session: int) -> None:
        self._core.sessions.closed(session)
        if self._core.shared:
            self._core.sessions.tell(session)
        # Nobody hears our answer to these any more; the SMSC delivers them again.
        self._held = deque(held for held in self._held if held.inbound.session != session)

    def session_confirmed(self, session: int, ordinal: int) -> None:
        self._core.sessions.confirm(session, ordinal)

    def answered_late(self, session: int, ordinal: int) -> None:
        self._core.sessions.answered_late(session, ordinal)

    def receive(self, inbound: Inbound, answer: Answer) -> None:
        command = Command(self._core, inbound, answer)
        self.received += 1
        if self.closing or self._store.outage:
            command.refuse("later")
        elif self._held or self._full:
            self._held.append(command)
            if len(self._held) > self._credits:
                self._held.popleft().refuse("throttled")
        else:
            self._enter(command)

    def receive_receipt(self, receipt: Receipt, answer: Answer) -> None:
        self.submit(ReceiptWork(self._core, self._effects, receipt, answer))

    # -- the loop

    @property
    def unfinished(self) -> int:
        """Commands that came in and are not yet answered."""
        return self._inside + len(self._held)

    @property
    def busy(self) -> bool:
        """Whether a batch is under way or about to be."""
        return self._running is not None or bool(self._asking)

    @property
    def _full(self) -> bool:
        return self._inside >= self._credits or self._effects.backlog >= self._backlog_limit

    def submit(self, task: Task) -> None:
        """Put a work into the next batch."""
        self._queue.append(task)
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    def _enter(self, command: Command) -> None:
        self._inside += 1
        self.submit(command)

    async def _run(self) -> None:
        try:
            # What this turn of the event loop has still to read belongs into the same batch.
            await asyncio.sleep(0)
            while self._queue:
                tasks = [self._queue.popleft() for _ in range(min(len(self._queue), self._size.now))]
                if self._core.sessions.unsaved:
                    tasks.append(self._saving)
                for together in self._apart(tasks):
                    if in_time := self._in_time(together):
                        await self._commit(in_time)
                self._admit()
        finally:
            self._running = None
            if self._queue:
                self._running = asyncio.get_running_loop().create_task(self._run())

    def _in_time(self, tasks: list[Task]) -> list[Task]:
        """Without the commands and receipts for whose commit no time is left: these are refused."""
        latest_s = time.monotonic() + self._commit_s
        in_time: list[Task] = []
        for task in tasks:
            if isinstance(task, Command | ReceiptWork) and task.answer_by_s < latest_s:
                self._inside -= isinstance(task, Command)
                task.refuse("later" if self._grace.away else "throttled")
            else:
                in_time.append(task)
        return in_time

    def _apart(self, tasks: list[Task]) -> list[list[Task]]:
        """Receipts in a batch of their own where nodes share the database, in the order of their keys.

        A batch then either expects receipts or has them, in one order, and two nodes cannot each wait for the other.
        """
        if not self._core.shared:
            return [tasks] if tasks else []
        receipts = sorted((task for task in tasks if isinstance(task, ReceiptWork)), key=lambda receipt: receipt.key)
        others = [task for task in tasks if not isinstance(task, ReceiptWork)]
        return [part for part in (others, list[Task](receipts)) if part]

    async def _commit(self, tasks: list[Task]) -> None:
        began = time.perf_counter()
        try:
            # What was refused and is there after all is taken for what it is before anything more is written.
            if self._store.revived is not None:
                await self._effects.load_revived()
            outcomes = await self._store.commit(tasks)
            if None in outcomes:
                self._grace.committed()
        except StoreError as error:
            self._grace.failed(error)
            outcomes = [error] * len(tasks)
        except Exception as error:  # a work that never hears how it ended is waited for for ever
            log.exception("batch.failed")
            outcomes = [error] * len(tasks)
        took_s = time.perf_counter() - began
        self._size.took(took_s, len(tasks))
        self._core.metrics.commit_seconds.observe(took_s)
        self._core.metrics.batch_units.observe(len(tasks))
        for task, outcome in zip(tasks, outcomes, strict=True):
            self._end(task, outcome)

    def _end(self, task: Task, error: Exception | None) -> None:
        try:
            self._tell(task, error)
        except Exception:
            # What is committed is committed; the neighbours still have to be answered.
            log.exception("work.not_ended", work=type(task).__name__)

    def _tell(self, task: Task, error: Exception | None) -> None:
        if isinstance(task, Command):
            self._end_command(task, error)
        elif error is None:
            task.committed()
        else:
            if not isinstance(error, StoreError):
                log.error("work.failed", work=type(task).__name__, error=f"{type(error).__name__}: {error}")
            task.lost(error)

    def _end_command(self, command: Command, error: Exception | None) -> None:
        if error is None and command.doubtful is not None:
            asking = asyncio.get_running_loop().create_task(self._ask(command))
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
            return
        self._inside -= 1
        if error is not None:
            if not isinstance(error, StoreError):
                log.error("command.failed", error=f"{type(error).__name__}: {error}")
            command.refuse("later")
            return
        command.committed()
        inbound = command.inbound
        self._count(command.service, inbound.account, command.result)
        self._effects.follow(command.made, command.received_ms)

    async def _ask(self, command: Command) -> None:
        """A copy of what another live session brought: that peer's sign of life says which of the two it is."""
        assert command.doubtful is not None
        arrived = await self._peers.has_arrived(
            command.doubtful.row.session, command.doubtful.row.ordinal, command.answer_by_s - self._commit_s
        )
        if arrived is None:
            self._inside -= 1
            command.refuse("later")
            return
        command.learned(arrived)
        self.submit(command)

    def _admit(self) -> None:
        """Let in what was held, as far as there is room; refuse what has waited too long."""
        now_s = time.monotonic()
        while self._held and self._store.outage:
            self._held.popleft().refuse("later")
        while self._held and not self._full:
            self._enter(self._held.popleft())
        while self._held and self._held[0].answer_by_s <= now_s + self._commit_s:
            self._held.popleft().refuse("throttled")

    def tick(self) -> None:
        """Called a few times a second: what must not wait for the next command."""
        self._admit()
        if self._core.sessions.unsaved and self._running is None:
            self.submit(self._saving)

    def _count(self, service: str, account: str, result: str) -> None:
        if result == "redelivered":
            self._core.metrics.redelivered.labels(account).inc()
        self._core.metrics.received.labels(service, account, result).inc()

    async def drained(self) -> None:
        """Until everything that came in is committed or refused. Nothing new is taken after `closing`."""
        while self._running is not None or self._asking:
            waiting: Sequence[asyncio.Task[None]] = [*self._asking, *([self._running] if self._running else [])]
            await asyncio.wait(waiting)
