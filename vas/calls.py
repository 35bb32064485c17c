"""The outside world: asked outside any transaction, with a key, until it gives a value or says no."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import msgspec
import structlog

from vas.context import Context, call_key
from vas.core import Core
from vas.errors import Refused, ServiceError
from vas.journal import Journal
from vas.messages import Msisdn
from vas.replies import Outcome, Reply
from vas.routing import Target
from vas.running import Call, Made, Ran, bury, run_handler, where
from vas.settling import CALL_PATIENCE_MS
from vas.store.protocol import Submit
from vas.store.rows import InboxRow, JobRow
from vas.subscribers import DOCUMENT, Subscriber
from vas.talk import Talk, Waiting
from vas.unit import Batch, Unit

log = structlog.get_logger()

AT_ONCE = 100
"""Calls in progress at a time."""
COMMANDS = ("command", "talk")
"""The kinds of handlers for whose answer a subscriber waits."""
AGAIN_AFTER_S = (1, 5, 15, 60, 300, 900)
"""Waits between attempts of one call; the last one repeats."""


class Answer(msgspec.Struct):
    """What came of one call: a value, or the key of the text that says no, or why it cannot be made."""

    key: str
    """Of the call that it answers."""
    value: Any = None
    refused: str = ""
    fault: str = ""


class Calls:
    """Calls in progress. `submit` puts a work into the next batch; `follow` takes what a work has made."""

    def __init__(self, core: Core, submit: Submit, follow: Callable[[Made], None]) -> None:
        self._core = core
        self._submit = submit
        self._follow = follow
        self._in_progress: dict[int, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    def start(self, call: Call) -> None:
        """Ask, unless this is being asked already."""
        if call.job.id not in self._in_progress:
            self._begin(call.job.id, self._ask(call))

    def go_on_later(self, job: JobRow, answer: Answer) -> None:
        """The store failed: try again to write the answer down."""
        if job.id not in self._in_progress:
            self._begin(job.id, self._wait(job, answer))

    def _begin(self, job_id: int, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._in_progress[job_id] = task
        task.add_done_callback(lambda _: self._in_progress.pop(job_id, None))

    def in_progress(self, job_id: int) -> bool:
        return job_id in self._in_progress

    @property
    def busy(self) -> bool:
        return bool(self._in_progress)

    async def _ask(self, call: Call) -> None:
        job, suspended = call
        for attempt in range(1_000_000):
            async with self._room:
                try:
                    answer = Answer(suspended.key, await suspended.run(*suspended.args_, key=suspended.key))
                    break
                except Refused as refused:
                    answer = Answer(suspended.key, refused.params, refused.key)
                    break
                except ServiceError as error:
                    # Only its class and place: its message may repeat a secret.
                    answer = Answer(suspended.key, fault=f"{type(error).__name__} in the call: {where(error)}")
                    break
                except Exception as error:
                    log.warning("call.failed", service=job.service, name=job.name, job=job.id, attempt=attempt + 1,
                                error=type(error).__name__)  # fmt: skip
            await asyncio.sleep(AGAIN_AFTER_S[min(attempt, len(AGAIN_AFTER_S) - 1)])
        self._submit(GoOn(self._core, self, job, answer))

    async def _wait(self, job: JobRow, answer: Answer) -> None:
        await asyncio.sleep(AGAIN_AFTER_S[0])
        self._submit(GoOn(self._core, self, job, answer))

    def followed(self, made: Made) -> None:
        self._follow(made)

    async def stop(self) -> None:
        """Leave the calls; their jobs resume them after the next start or on another node, with the same keys."""
        tasks = list(self._in_progress.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class GoOn:
    """The work that runs a handler on from its journal, with the answer it waited for."""

    def __init__(self, core: Core, calls: Calls, job: JobRow, answer: Answer) -> None:
        self._core = core
        self._calls = calls
        self._job = job
        self._answer = answer
        self._made = Made()

    async def run(self, batch: Batch) -> None:
        self._made = Made()
        job = self._job
        found = await batch.execute(batch.sql.job_row.text, batch.sql.job_row.params(**job.given))
        if found:
            await go_on(self._core, batch, self._made, JobRow(*found[0]), self._answer)

    def committed(self) -> None:
        self._calls.followed(self._made)

    def lost(self, error: Exception) -> None:
        self._calls.go_on_later(self._job, self._answer)


async def go_on(core: Core, batch: Batch, made: Made, job: JobRow, answer: Answer | None) -> None:
    """Run a waiting handler from its journal; without an answer, only as far as the question, to ask it again."""
    body = msgspec.json.decode(job.body)
    journal = Journal.decode(body["journal"].encode())
    if answer is not None:
        if answer.key != call_key(job.cause, len(journal.entries) - 1):
            # It was asked twice, and the handler has gone on to another call since.
            return
        entry = journal.entries[-1]
        entry.done, entry.value, entry.refused, entry.fault = True, answer.value, answer.refused, answer.fault
    unit = Unit(batch, job.cause)
    try:
        target, context, start = await _again(core, unit, job, body, journal)
    except ServiceError as error:
        log.error("call.orphan", service=job.service, name=job.name, job=job.id, error=str(error))
        await put_off(core, batch, job)
        return
    apology = "apology_halfway" if body["kind"] in COMMANDS else ""
    ran = await run_handler(core, target, context, partial(_no_questions, start), by_sms=True, apology=apology)
    if ran.suspended is not None:
        body["journal"] = context.journal_json().decode()
        await put_off(core, batch, job._replace(body=msgspec.json.encode(body)))
        made.calls.append(Call(job, ran.suspended))
    else:
        await batch.execute(batch.sql.delete_job.text, batch.sql.delete_job.params(**job.given))
    if ran.error is not None:
        bury(core, "call", job.cause, job.msisdn, target, ran, None)
    if body["kind"] in COMMANDS:
        await _write_on(batch, job, ran, body["kind"])
    made.take(core, ran.unit)


async def _write_on(batch: Batch, job: JobRow, ran: Ran, kind: str) -> None:
    """Add to the command's inbox row what it has done since the call, and how it ended.

    The reply of a talk stays: it is the screen that a redelivered key press is shown again.
    """
    key = {"given_shard": job.shard, "given_msisdn": job.msisdn, "given_id": job.cause}
    found = await batch.execute(batch.sql.inbox_row.text, batch.sql.inbox_row.params(**key))
    if not found:
        return
    row = InboxRow(*found[0])
    steps = [*msgspec.json.decode(row.steps), *ran.unit.steps]
    reply = ran.reply.key if ran.reply is not None and kind == "command" else row.reply
    query = batch.sql.inbox_went_on
    await batch.execute(
        query.text,
        query.params(new_result=ran.result, new_reply=reply, new_steps=msgspec.json.encode(steps), **key),
    )


async def put_off(core: Core, batch: Batch, job: JobRow, after_ms: int = CALL_PATIENCE_MS) -> None:
    """Look at a job again after this time, by default the patience for a call; a call is this node's until then."""
    query = batch.sql.put_off_job
    await batch.execute(
        query.text,
        query.params(
            new_due_ms=batch.now_ms + after_ms, new_body=job.body, new_attempts=job.attempts + 1,
            new_owner=core.me if job.kind == "call" else None, **job.given,
        ),
    )  # fmt: skip


async def _no_questions(start: Callable[[], Coroutine[Any, Any, Reply | None]]) -> Reply | None:
    try:
        return await start()
    except Waiting:
        raise ServiceError("a talk that has asked the outside world cannot ask the subscriber any more") from None


async def _again(
    core: Core, unit: Unit, job: JobRow, body: dict[str, Any], journal: Journal
) -> tuple[Target, Context, Callable[[], Coroutine[Any, Any, Reply | None]]]:
    mounted = core.router.mounted.get(job.service)
    handler = mounted.service.handlers.get(job.name) if mounted is not None else None
    if mounted is None or handler is None:
        raise ServiceError(f"{job.service}.{job.name} is not there (any more)")
    sender = Msisdn(job.msisdn)
    subscriber = await unit.document(DOCUMENT, Subscriber, sender)
    kind = Talk if body["kind"] == "talk" else Context
    context = kind(
        unit,
        mounted,
        core.platform,
        sender,
        subscriber,
        journal,
        body.get("source", ""),
        body.get("account", ""),
        waited_for=body["kind"] in COMMANDS,
    )
    if isinstance(context, Talk):
        context.answers = []
    if body["kind"] == "outcome":
        outcome = msgspec.convert(body["outcome"], Outcome)
        return Target(mounted, handler), context, lambda: handler.run(context, outcome)
    arguments = handler.arguments(body["args"]) if body["kind"] == "job" else handler.parse(body["values"])
    return Target(mounted, handler), context, lambda: handler.run(context, **arguments)
