"""Run a handler as a unit of work, and turn however it ends into what is written and answered."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from vas.context import Context, Reply, Suspended
from vas.core import Core
from vas.errors import Refused
from vas.routing import Target
from vas.store.rows import DeadLetterRow, OutboxRow
from vas.unit import Unit

log = structlog.get_logger()
SLOW_UNIT_S = 0.020
"""A unit that takes longer holds up its neighbours; it is counted, and wants cutting into jobs."""


@dataclass
class Ran:
    """How a handler ended."""

    result: str
    """answered, refused, failed, or calling: it waits for the outside world."""
    unit: Unit
    reply: Reply | None = None
    row: OutboxRow | None = None
    """The reply as a message, if it goes by SMS."""
    suspended: Suspended | None = None
    error: Exception | None = None


async def run_handler(
    core: Core, target: Target, context: Context, start: Callable[[], Coroutine[Any, Any, Reply | None]], *, by_sms: bool
) -> Ran:
    """Run to the end; what it did is in `unit`, not yet kept. A fault leaves nothing but the apology.

    `start` makes the handler's coroutine; parsing its arguments may raise Refused as well.
    """
    began = time.perf_counter()
    try:
        return await _outcome(target, context, start, by_sms)
    finally:
        took_s = time.perf_counter() - began
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
        return _answered("answered", context, reply, by_sms)
    except Suspended as suspended:
        return Ran("calling", context.unit, suspended=suspended)
    except Refused as refused:
        context.unit = context.unit.drop()
        try:
            return _answered("refused", context, Reply(refused.key, refused.params), by_sms)
        except Exception as error:
            return _failed(target, context, error, by_sms)
    except Exception as error:
        return _failed(target, context, error, by_sms)


def _answered(result: str, context: Context, reply: Reply | None, by_sms: bool) -> Ran:
    row = None
    if reply is not None and by_sms:
        row = context.answer(reply)
        context.unit.send(row)
    return Ran(result, context.unit, reply, row)


def _failed(target: Target, context: Context, error: Exception, by_sms: bool) -> Ran:
    log.error(
        "handler.failed", service=target.mounted.name, handler=target.handler.name, unit=context.unit.id,
        error=type(error).__name__, where=where(error),
    )  # fmt: skip
    context.unit = context.unit.drop()
    ran = _answered("failed", context, Reply("apology"), by_sms)
    ran.error = error
    return ran


def where(error: Exception) -> str:
    """The lines of code that an error passed through, without any value."""
    return " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(traceback.extract_tb(error.__traceback__)))


def dead_letter(kind: str, cause: int, msisdn: str, target: Target, error: Exception, unit: Unit, body: object) -> DeadLetterRow:
    """What is kept of a failure; `body` None: it held a secret and can never be replayed."""
    return DeadLetterRow(
        unit.batch.new_id(), kind, cause, msisdn, target.mounted.name, target.handler.name,
        f"{type(error).__name__}: {error}"[:500].replace("\n", " "), where(error)[:1000],
        msgspec.json.encode(body) if body is not None else b"", unit.batch.now_ms,
    )  # fmt: skip
