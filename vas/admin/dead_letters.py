"""What a fault left behind: to be read, understood, and run again."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any

from aiohttp import web

from vas.admin import store
from vas.admin.audit import MASKED, Sight, record, sight
from vas.admin.authentication import CALLER, DESK
from vas.admin.desk import ReplayResult
from vas.admin.problems import Problem
from vas.admin.values import IdPath, Model, Page, Reason, Reveal
from vas.errors import Refused
from vas.logs import mask_digits
from vas.store.ids import moment
from vas.store.rows import DeadLetterRow


class DeadLettersQuery(Page, Reveal):
    replayed: bool = False
    """Show those that were replayed, too."""


class DeadLetter(Model):
    id: str
    at: datetime
    kind: str
    """command, job, outcome, call, push, or message: one that the SMSC refused for good."""
    cause: str
    """The message or job that failed."""
    msisdn: str
    service: str
    handler: str
    error: str
    trace: str
    """Where in the code."""
    body: Any
    """What a replay needs; null: not revealed, or not kept, as when there was a secret."""
    replayable: bool
    replayed_at: datetime | None
    replayed_by: str


class ErrorCount(Model):
    service: str
    error: str
    count: int


class DeadLettersPage(Model):
    items: list[DeadLetter]
    errors: list[ErrorCount]
    """The most frequent errors among all that were not replayed."""
    next: str | None
    """Cursor of the following page; null on the last one."""


async def list_dead_letters(request: web.Request, *, query: DeadLettersQuery) -> DeadLettersPage:
    """What failed by a fault of ours, and messages that were refused, newest first; and their errors, counted."""
    shown = sight(request, query)
    reader = request.app[DESK].reader
    items, following = query.cut(await store.dead_letters(reader, query.span(), unresolved=not query.replayed))
    if shown.full:
        await record(request, "dead_letters.read", {row.msisdn for row in items}, reason=query.reason)
    errors = [
        ErrorCount(service=row.service, error=mask_digits(row.error), count=row.letters)
        for row in await store.open_errors(reader)
    ]
    return DeadLettersPage(items=[_letter(row, shown) for row in items], errors=errors, next=following)


async def get_dead_letter(request: web.Request, *, path: IdPath, query: Reveal) -> DeadLetter:
    """One dead letter, also one that was replayed."""
    shown = sight(request, query)
    row = await _found(request, path)
    if shown.full:
        await record(request, "dead_letter.read", [row.msisdn], reason=query.reason, detail={"dead_letter": path.id})
    return _letter(row, shown)


async def _found(request: web.Request, path: IdPath) -> DeadLetterRow:
    row = await store.dead_letter(request.app[DESK].reader, int(path.id))
    if row is None:
        raise Problem(HTTPStatus.NOT_FOUND, "There is no such dead letter.")
    return row


def _letter(row: DeadLetterRow, shown: Sight) -> DeadLetter:
    return DeadLetter(
        id=str(row.id),
        at=moment(row.at_ms),
        kind=row.kind,
        cause=str(row.cause),
        msisdn=shown.number(row.msisdn),
        service=row.service,
        handler=row.handler,
        error=shown.dialled(row.error),
        trace=row.trace,
        body=store.json(row.body) if shown.full else None,
        replayable=_replayable(row),
        replayed_at=None if row.replayed_ms is None else moment(row.replayed_ms),
        replayed_by=row.replayed_by,
    )


def _replayable(row: DeadLetterRow) -> bool:
    return bool(row.body) and row.replayed_ms is None


class ReplayOrder(Model):
    dry_run: bool = True
    """Only show what would happen."""
    reason: Reason
    """Kept in the audit."""


class Reply(Model):
    msisdn: str
    key: str
    """Its text's key."""


class Change(Model):
    msisdn: str
    what: str
    """Name of the rule."""


class Replayed(Model):
    dry_run: bool
    result: str
    replies: list[Reply]
    changes: list[Change]
    warning: str
    """Why a replay may be wrong, such as: the subscriber has since succeeded. Empty: nothing known."""


async def replay_dead_letter(request: web.Request, *, path: IdPath, body: ReplayOrder) -> Replayed:
    """Run a dead letter again with the present clock, or send the message again; unless told otherwise, a dry run.

    It runs at most once: when it was replayed, another try is refused.
    """
    desk = request.app[DESK]
    row = await _found(request, path)
    if not _replayable(row):
        why = (
            "It was replayed already."
            if row.replayed_ms is not None
            else "What it would need was not kept, as when it had a secret."
        )
        raise Problem(HTTPStatus.CONFLICT, why)
    action = "dead_letter.try" if body.dry_run else "dead_letter.replay"
    await record(request, action, [path.id], reason=body.reason)
    try:
        result = await desk.operations.replay(row.id, dry_run=body.dry_run, who=request[CALLER].name)
    except Refused as refused:
        raise Problem(HTTPStatus.CONFLICT, f"It cannot be replayed: {refused.key}.") from None
    return _replayed(result, dry_run=body.dry_run)


def _replayed(result: ReplayResult, *, dry_run: bool) -> Replayed:
    return Replayed(
        dry_run=dry_run,
        result=result.result,
        replies=[Reply(msisdn=MASKED.number(reply.msisdn), key=reply.key) for reply in result.replies],
        changes=[Change(msisdn=MASKED.number(change.msisdn), what=change.what) for change in result.changes],
        warning=result.warning,
    )
