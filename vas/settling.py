"""How a message ends: its state for good, and the one run of the handler that wanted to know."""

from __future__ import annotations

from typing import Any

import msgspec

from vas.context import Context
from vas.core import Core
from vas.errors import ServiceError
from vas.messages import Msisdn
from vas.replies import Outcome
from vas.running import Call, Made, Ran, bury, run_handler
from vas.store.ids import moment
from vas.store.rows import OutboxRow
from vas.subscribers import DOCUMENT, Subscriber
from vas.unit import Batch, Unit, job_row

CALL_PATIENCE_MS = 900_000
"""A call that is not known to be in progress by then is begun again, with the same key."""


async def settle(
    core: Core, batch: Batch, made: Made, row: OutboxRow, state: str, *, status: int = 0, error: str = ""
) -> bool:
    """Give the message its last state, and tell `then=` once.

    False for one that has its last state, and keeps it, or that another node has taken since it was read.
    """
    query = batch.sql.outbox_settled
    changed = await batch.execute_together(
        query.text,
        query.params(
            new_state=state, new_due_ms=None, new_settled_ms=batch.now_ms, new_status=status or row.status,
            new_error=error, of_owner=row.owner, **row.given,
        ),
    )  # fmt: skip
    if changed and row.settle:
        params: dict[str, Any] = msgspec.json.decode(row.params) if row.params else {}
        outcome = Outcome(state, Msisdn(row.msisdn), row.key, params, moment(row.created_ms), error)
        await tell(core, batch, made, row.service, row.settle, Msisdn(row.origin), outcome, row.id)
    return bool(changed)


async def tell(
    core: Core, batch: Batch, made: Made, service: str, name: str, origin: Msisdn, outcome: Outcome, cause: int
) -> None:
    """Run the `then=` of a message, as a unit of its own inside this batch; a dead letter where it cannot be told."""
    try:
        target = core.router.outcome(service, name)
    except ServiceError:
        # The service was switched off; there is nobody left to tell.
        return
    unit = Unit(batch, batch.new_id())
    body = {"outcome": outcome, "origin": origin.digits}
    try:
        subscriber = await unit.document(DOCUMENT, Subscriber, origin)
    except msgspec.MsgspecError as error:
        # What is kept of its subscriber cannot be read; the messages of all others go on.
        bury(core, "outcome", cause, origin.digits, target, Ran("failed", unit, error=error), body)
        return
    context: Context = Context(unit, target.mounted, core.platform, origin, subscriber, waited_for=False)
    ran = await run_handler(
        core, target, context, lambda: target.handler.run(context, outcome), by_sms=True, apology=""
    )
    if ran.suspended is not None:
        wait_for_outside(core, context, ran, made, "outcome", name, body)
    if ran.error is not None:
        bury(core, "outcome", cause, origin.digits, target, ran, body)
    made.take(core, ran.unit)


def wait_for_outside(
    core: Core, context: Context, ran: Ran, made: Made, kind: str, name: str, body: dict[str, Any]
) -> None:
    """Write down that a handler waits for the outside world, so that it goes on whatever happens."""
    assert ran.suspended is not None
    unit = ran.unit
    body = {**body, "kind": kind, "journal": context.journal_json().decode()}
    job = job_row(
        unit.batch, msisdn=context.sender.digits, due_ms=unit.batch.now_ms + CALL_PATIENCE_MS, kind="call",
        service=context.service_name, name=name, key="", cause=context.id, body=body, owner=core.me,
    )  # fmt: skip
    unit.later(job)
    made.calls.append(Call(job, ran.suspended))
