"""Due jobs, each run once as a unit of its own; and what runs at set times.

APScheduler's triggers say when; a row in `job` says that. `fired` keeps the last time of each recurring
job, so that neither a restart nor another node doubles or forgets one: what was missed is made up once.
Nodes that share a database all look; a job is run by the one that gets to its row first.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import structlog
from apscheduler.triggers.cron import CronTrigger

from vas.calls import Calls, go_on, put_off
from vas.context import Context
from vas.core import Core
from vas.due import LOOK_EVERY_MS, NEVER_MS
from vas.errors import ServiceError
from vas.messages import Msisdn
from vas.pushing import push
from vas.routing import Target
from vas.running import Made, bury, run_handler
from vas.settling import wait_for_outside
from vas.store.ids import milliseconds, moment
from vas.store.protocol import Submit
from vas.store.rows import JobRow
from vas.subscribers import DOCUMENT, Subscriber
from vas.unit import Batch, Unit, job_row

log = structlog.get_logger()
AT_ONCE = 100
"""Jobs run in one batch, so that commands do not wait behind a crowd of them."""


class Schedule:
    """Watches for jobs that are due. `submit` puts a work into the next batch."""

    def __init__(self, core: Core, calls: Calls, submit: Submit, follow: Callable[[Made], None]) -> None:
        self._core = core
        self._calls = calls
        self._submit = submit
        self._follow = follow
        self._due_ms = 0
        self._looking = False
        self._recurring = {
            f"{mounted.name}.{handler.name}": (
                CronTrigger.from_crontab(cron, core.platform.timezone),
                Target(mounted, handler),
            )
            for mounted in core.router.mounted.values()
            for cron, handler in mounted.service.recurring
        }
        self._next: dict[str, int] = {}

    def restore(self, fired: dict[str, int]) -> list[str]:
        """When each recurring job ran last; those that never did, which begin now."""
        for name in self._recurring:
            self._next[name] = self._after(name, fired.get(name, self._core.clock_ms()))
        return [name for name in self._recurring if name not in fired]

    def _after(self, name: str, last_ms: int) -> int:
        trigger, _ = self._recurring[name]
        last = moment(last_ms).astimezone(self._core.platform.timezone)
        following: datetime | None = trigger.get_next_fire_time(last, last)
        return milliseconds(following) if following is not None else NEVER_MS

    def added(self, due_ms: int) -> None:
        self._due_ms = min(self._due_ms, due_ms)

    def tick(self) -> None:
        """Called a few times a second."""
        now_ms = self._core.clock_ms()
        for name, at_ms in self._next.items():
            if at_ms <= now_ms:
                self._next[name] = self._after(name, now_ms)
                self._submit(Fire(self._core, self, name, self._recurring[name][1], at_ms))
        if not self._looking and self._due_ms <= now_ms:
            self._looking = True
            self._due_ms = NEVER_MS
            self._submit(DueJobs(self._core, self, self._calls))

    def looked(self, next_ms: int, made: Made) -> None:
        self._looking = False
        self.added(next_ms)
        self._follow(made)

    def fire_again(self, name: str, at_ms: int) -> None:
        """It could not be written down; `tick` tries again."""
        self._next[name] = at_ms

    def not_looked(self) -> None:
        self._looking = False
        self._due_ms = 0


class DueJobs:
    """The work that runs what is due; each job a unit, its row gone with it."""

    def __init__(self, core: Core, schedule: Schedule, calls: Calls) -> None:
        self._core = core
        self._schedule = schedule
        self._calls = calls
        self._made = Made()
        self._next_ms = NEVER_MS

    async def run(self, batch: Batch) -> None:
        self._made = Made()
        due = batch.sql.jobs_due
        if self._core.shared:
            resume = batch.sql.resume_calls
            await batch.execute(resume.text, resume.params(now_ms=batch.now_ms))
        params = due.params(now_ms=batch.now_ms, most=AT_ONCE, of_owner=self._core.me)
        rows = await batch.execute(due.text, params)
        for fields in rows:
            job = JobRow(*fields)
            try:
                await self._one(batch, job)
            except msgspec.MsgspecError as error:
                # What is kept of its subscriber cannot be read; the jobs of all others go on.
                log.error("job.unreadable", service=job.service, name=job.name, job=job.id, error=type(error).__name__)
                await put_off(self._core, batch, job)
        self._next_ms = await self._next(batch)
        if len(rows) == AT_ONCE:
            self._next_ms = batch.now_ms
            batch.hints.add("jobs")

    async def _next(self, batch: Batch) -> int:
        if self._core.shared:
            # What is due sooner is another node's: a call that it makes, or what it has just looked at.
            return batch.now_ms + LOOK_EVERY_MS
        [(next_ms,)] = await batch.execute(batch.sql.next_job.text)
        return next_ms if next_ms is not None else NEVER_MS

    async def _one(self, batch: Batch, job: JobRow) -> None:
        if job.kind == "push":
            await self._push(batch, job)
        elif job.kind != "call":
            await self._job(batch, job)
        elif self._calls.in_progress(job.id):
            await put_off(self._core, batch, job)
        else:
            await go_on(self._core, batch, self._made, job, None)

    async def _push(self, batch: Batch, job: JobRow) -> None:
        if await push(self._core, batch, self._made, job):
            await batch.execute(batch.sql.delete_job.text, batch.sql.delete_job.params(**job.given))

    async def _job(self, batch: Batch, job: JobRow) -> None:
        if not await batch.execute(batch.sql.job_row.text, batch.sql.job_row.params(**job.given)):
            # One that ran just before has cancelled it.
            return
        try:
            await run_job(self._core, batch, self._made, job)
        except ServiceError as error:
            log.error("job.orphan", service=job.service, name=job.name, job=job.id, error=str(error))
            await put_off(self._core, batch, job)
            return
        await batch.execute(batch.sql.delete_job.text, batch.sql.delete_job.params(**job.given))

    def committed(self) -> None:
        self._schedule.looked(self._next_ms, self._made)

    def lost(self, error: Exception) -> None:
        self._schedule.not_looked()


async def run_job(core: Core, batch: Batch, made: Made, job: JobRow) -> None:
    """Run one job as a unit of its own; raises ServiceError if its service is not there (any more)."""
    target = core.router.job(job.service, job.name)
    args: dict[str, Any] = msgspec.json.decode(job.body)
    unit = Unit(batch, batch.new_id())
    sender = Msisdn(job.msisdn)
    subscriber = await unit.document(DOCUMENT, Subscriber, sender)
    context: Context = Context(unit, target.mounted, core.platform, sender, subscriber, waited_for=False)
    ran = await run_handler(
        core, target, context, lambda: target.handler.run(context, **target.handler.arguments(args)),
        by_sms=True, apology="",
    )  # fmt: skip
    if ran.suspended is not None:
        wait_for_outside(core, context, ran, made, "job", job.name, {"args": args})
    if ran.error is not None:
        bury(core, "job", job.id, job.msisdn, target, ran, {"args": args})
    made.take(core, ran.unit)


class Fire:
    """The work that turns one time of a recurring job into a job row, once."""

    def __init__(self, core: Core, schedule: Schedule, name: str, target: Target, at_ms: int) -> None:
        self._core = core
        self._schedule = schedule
        self._name = name
        self._target = target
        self._at_ms = at_ms
        self._fired = False

    async def run(self, batch: Batch) -> None:
        fire = batch.sql.fire
        # Later times that were missed as well are made up by the same.
        params = fire.params(job=self._name, at_ms=max(self._at_ms, batch.now_ms), due_ms=self._at_ms)
        self._fired = bool(await batch.execute(fire.text, params))
        if self._fired:
            batch.jobs.append(
                job_row(
                    batch, msisdn="", due_ms=batch.now_ms, kind="job", service=self._target.mounted.name,
                    name=self._target.handler.name, key="", cause=0, body={},
                )
            )  # fmt: skip

    def committed(self) -> None:
        if self._fired:
            self._schedule.added(0)

    def lost(self, error: Exception) -> None:
        self._schedule.fire_again(self._name, self._at_ms)
