"""A talk that the network opens: `ctx.push` leaves a job, and the job's unit runs the talk up to its first question."""

from __future__ import annotations

import msgspec
import structlog

from vas.calls import put_off
from vas.command import Command
from vas.conversation import begin
from vas.core import Core
from vas.messages import Inbound, Msisdn, UssdTurn
from vas.running import Made
from vas.store.ids import moment
from vas.store.rows import DeadLetterRow, JobRow
from vas.subscribers import DOCUMENT, Subscriber
from vas.unit import Batch, Unit

log = structlog.get_logger()

BUSY_AGAIN_MS = 30_000
BUSY_ATTEMPTS = 10
"""A phone that is in a talk for longer gets no push."""


async def push(core: Core, batch: Batch, made: Made, job: JobRow) -> bool:
    """Open the talk; False if it was put off, since the phone is in another one."""
    unit, sender = Unit(batch, batch.new_id()), Msisdn(job.msisdn)
    command = _command(core, made, batch, job)
    route = core.router.ussd(job.name)
    if route is None or route.mounted.name != job.service:
        _bury(core, batch, job)
        return True
    stored = await batch.talk_of(sender.digits)
    if stored is not None and batch.now_ms - stored.updated_ms <= core.resume_for.total_seconds() * 1000:
        if job.attempts < BUSY_ATTEMPTS:
            await put_off(core, batch, job, BUSY_AGAIN_MS)
            return False
        command.finish(unit, sender, job.name, "ignored", "", route, why="the phone was in another talk")
        return True
    await begin(command, unit, sender, await unit.document(DOCUMENT, Subscriber, sender), route)
    return True


def _command(core: Core, made: Made, batch: Batch, job: JobRow) -> Command:
    """The key press that nobody made."""
    source: str = msgspec.json.decode(job.body)["source"]
    turn = UssdTurn("", begin=True)
    inbound = Inbound("", 0, 0, moment(batch.now_ms), job.msisdn, source, job.name, b"", turn)
    command = Command(core, inbound, lambda status: None, pushed=True)
    command.made = made
    return command


def _bury(core: Core, batch: Batch, job: JobRow) -> None:
    log.error("push.unroutable", service=job.service, dialled=job.name, job=job.id)
    core.metrics.dead_letters.labels(job.service).inc()
    batch.dead_letters.append(
        DeadLetterRow(
            batch.new_id(), "push", job.cause, job.msisdn, job.service, "", f"nothing of it answers {job.name}", "",
            b"", batch.now_ms,
        )
    )  # fmt: skip
