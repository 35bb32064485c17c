"""Who did what, and who has seen whose data: rows that are only ever added."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple

import orjson
from aiohttp import web

from vas.admin import store
from vas.admin.authentication import CALLER, DESK, require
from vas.admin.roles import PERSONAL
from vas.admin.values import Line, Model, Page, Reveal
from vas.errors import Invalid
from vas.logs import mask_digits
from vas.messages import Msisdn, mask
from vas.store.ids import milliseconds, moment

REQUEST_ID = web.RequestKey("request_id", str)
_LONGEST_MSISDN = 15
_TEXT_KEY = re.compile(r"[a-z][a-z0-9_.]*").fullmatch


class Sight(NamedTuple):
    """How much of personal data an answer shows."""

    full: bool

    def number(self, digits: str) -> str:
        return digits if self.full else mask(digits)

    def dialled(self, text: str) -> str:
        """A short code, or what was dialled: its long numbers may be subscribers."""
        return text if self.full else mask_digits(text)

    def text(self, text: str) -> str | None:
        return text if self.full else None

    def reply(self, reply: str) -> str | None:
        """The key of a text says nothing of anybody; a screen may."""
        return reply if self.full or not reply or _TEXT_KEY(reply) else None


MASKED = Sight(full=False)


def sight(request: web.Request, asked: Reveal) -> Sight:
    """What the caller asked for; raises Problem with 403 if the role may not see it."""
    if asked.reveal:
        require(request, PERSONAL)
    return Sight(asked.reveal)


async def record(
    request: web.Request,
    action: str,
    subjects: Collection[str],
    *,
    reason: str = "",
    detail: Mapping[str, object] | None = None,
) -> None:
    """One row for each subject, durable on return. Called before the deed, so that none goes unrecorded."""
    desk, caller = request.app[DESK], request[CALLER]
    at_ms = milliseconds(desk.now())
    rows = [
        store.AuditRow(
            id=desk.ids.next(at_ms),
            at_ms=at_ms,
            who=caller.name,
            role=caller.role,
            action=action,
            subject=subject,
            reason=reason,
            request_id=request[REQUEST_ID],
            detail=orjson.dumps(detail or {}),
        )
        for subject in subjects
    ]
    await store.put_audit(desk.writer, rows)


class AuditQuery(Page, Reveal):
    subject: Line | None = None
    """A subscriber's number in any spelling, a dead letter's id, or a key's name."""


class AuditEntry(Model):
    id: str
    at: datetime
    who: str
    """Name of the key."""
    role: str
    action: str
    subject: str
    reason: str
    request_id: str
    detail: dict[str, str | int | bool]


class AuditPage(Model):
    items: list[AuditEntry]
    next: str | None
    """Cursor of the following page; null on the last one."""


async def list_audit(request: web.Request, *, query: AuditQuery) -> AuditPage:
    """Who did what, newest first."""
    shown = sight(request, query)
    found = await store.audited(request.app[DESK].reader, query.span(), _subject(query.subject))
    items, following = query.cut(found)
    if shown.full:
        await record(request, "audit.read", {row.subject for row in items}, reason=query.reason)
    return AuditPage(items=[_entry(row, shown) for row in items], next=following)


def _subject(spelled: str | None) -> str | None:
    """A number as the rows hold it; everything else as it is."""
    try:
        return spelled and Msisdn.parse(spelled).digits
    except Invalid:
        return spelled


def _entry(row: store.AuditRow, shown: Sight) -> AuditEntry:
    is_number = row.subject.isdigit() and len(row.subject) <= _LONGEST_MSISDN
    return AuditEntry(
        id=str(row.id),
        at=moment(row.at_ms),
        who=row.who,
        role=row.role,
        action=row.action,
        subject=shown.number(row.subject) if is_number else row.subject,
        reason=shown.dialled(row.reason),
        request_id=row.request_id,
        detail=orjson.loads(row.detail),
    )
