"""Run a handler as a unit of work, and turn however it ends into what is written and answered."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

from vas.context import Context
from vas.core import Core
from vas.errors import Refused
from vas.messages import Inbound
from vas.replies import Reply, Suspended
from vas.routing import Target
from vas.store.rows import DeadLetterRow, JobRow, OutboxRow
from vas.unit import Batch, Unit

log = structlog.get_logger()
SLOW_UNIT_S = 0.020
"""A unit that takes longer holds up its neighbours; it is counted, and wants cutting into jobs."""


class Made:
    """What a work has made that goes its way after the commit."""

    __slots__ = ("calls", "job_due_ms", "messages", "screen")

    def __init__(self) -> None:
        self.messages: list[OutboxRow] = []
        self.screen: Screen | None = None
        self.calls: list[Call] = []
        self.job_due_ms = 0
        """When the first new job is due; 0: there is none."""

    def take(self, core: Core, unit: Unit) -> None:
        """Keep the unit, and note what it sends and schedules."""
        if core.shared:
            unit.outbox = [owned(core, unit.batch, row) for row in unit.outbox]
        unit.keep()
        self.messages += [row for row in unit.outbox if row.kind != "ussd"]
        for job in unit.jobs:
            self.job_due_ms = min(self.job_due_ms or job.due_ms, job.due_ms)


def owned(core: Core, batch: Batch, row: OutboxRow) -> OutboxRow:
    """A new message with its owner: this node if it can send it now, else whoever can, when it is due."""
    if row.owner is not None or not core.shared or row.due_ms is None or row.due_ms > batch.now_ms:
        return row
    if core.takes(row):
        return row._replace(owner=core.me)
    batch.hints.add("outbox")
    return row


class Screen(NamedTuple):
    """A USSD screen on its way to the phone, by the session its turn came in on."""

    row: OutboxRow | None
    """None when it is shown again to a redelivered key press."""
    text: str
    more: bool
    inbound: Inbound


class Call(NamedTuple):
    """A handler that waits for the outside world: what to ask, and the job that resumes it."""

    job: JobRow
    suspended: Suspended


class Effects(Protocol):
    """Where what was committed goes."""

    def follow(self, made: Made, received_ms: int) -> None: ...
    @property
    def backlog(self) -> int: ...
    async def load_revived(self) -> None:
        """A batch that was refused is in the store after all: take it for what it is."""


@dataclass
class Ran:
    """How a handler ended."""

    result: str
    """answered, refused, failed, or calling: it waits for the outside world."""
    unit: Unit
    reply: Reply | None = None
    text: str = ""
    """The reply as the sender reads it, if it does not go by SMS."""
    suspended: Suspended | None = None
    error: Exception | None = None


async def run_handler(
    core: Core, target: Target, context: Context, start: Callable[[], Coroutine[Any, Any, Reply | None]], *,
    by_sms: bool, apology: str = "apology",
) -> Ran:  # fmt: skip
    """Run to the end; what it did is in `unit`, not yet kept. A fault leaves nothing but the apology.

    `start` makes the handler's coroutine; parsing its arguments may raise Refused as well. `by_sms`: the
    answer goes by SMS, else it is in `text`. `apology`: what a fault is answered with; empty: nobody waits.
    """
    batch = context.unit.batch
    began = time.perf_counter() - batch.waited_s
    try:
        ran = await _outcome(target, context, start, by_sms)
        if ran.error is not None and apology:
            _answered(context, ran, Reply(apology), by_sms)
        return ran
    finally:
        took_s = time.perf_counter() - batch.waited_s - began
        service = target.mounted.name
        core.metrics.unit_seconds.labels(service).observe(took_s)
        if took_s > SLOW_UNIT_S:
            core.metrics.slow_units.labels(service).inc()
            log.warning("unit.slow", service=service, handler=target.handler.name, took_ms=round(took_s * 1000))


async def _outcome(
    target: Target, context: Context, start: Callable[[], Coroutine[Any, Any, Reply | None]], by_sms: bool
) -> Ran:
    try:
        reply = await context.unit.batch.handle(start())
        return _answered(context, Ran("answered", context.unit), reply, by_sms)
    except Suspended as suspended:
        return Ran("calling", context.unit, suspended=suspended)
    except Refused as refused:
        context.unit = context.unit.drop()
        try:
            return _answered(context, Ran("refused", context.unit), Reply(refused.key, refused.params), by_sms)
        except Exception as error:
            return _failed(target, context, error)
    except Exception as error:
        return _failed(target, context, error)


def _answered(context: Context, ran: Ran, reply: Reply | None, by_sms: bool) -> Ran:
    ran.reply = reply
    if reply is not None and by_sms:
        context.unit.send(context.answer(reply))
    elif reply is not None:
        ran.text = context.say(reply.key, **reply.params)
    return ran


def _failed(target: Target, context: Context, error: Exception) -> Ran:
    log.error(
        "handler.failed", service=target.mounted.name, handler=target.handler.name, unit_id=context.unit.id,
        error=type(error).__name__, where=where(error),
    )  # fmt: skip
    context.unit = context.unit.drop()
    return Ran("failed", context.unit, error=error)


def where(error: Exception) -> str:
    """The lines of code that an error passed through, without any value."""
    return " < ".join(
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
        for frame in reversed(traceback.extract_tb(error.__traceback__))
    )


def bury(
    core: Core, kind: str, cause: int, msisdn: str, target: Target, ran: Ran, body: object, *, secret: bool = False
) -> None:  # fmt: skip
    """Put a failure among the dead letters; `body` None: it can never be replayed.

    `secret`: there was one, which the error's message may repeat, so only the error's class is kept.
    """
    assert ran.error is not None
    name = type(ran.error).__name__
    core.metrics.dead_letters.labels(target.mounted.name).inc()
    batch = ran.unit.batch
    batch.dead_letters.append(
        DeadLetterRow(
            batch.new_id(), kind, cause, msisdn, target.mounted.name, target.handler.name,
            name if secret else f"{name}: {ran.error}"[:500].replace("\n", " "), where(ran.error)[:1000],
            msgspec.json.encode(body) if body is not None else b"", batch.now_ms,
        )
    )  # fmt: skip
