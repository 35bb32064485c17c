"""What a subscriber sent and was sent: by number, and one message with all that came of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus
from typing import Literal

from aiohttp import web

from vas.admin import store
from vas.admin.audit import Sight, record, sight
from vas.admin.authentication import DESK
from vas.admin.desk import Reader
from vas.admin.journey import Event, Rows, What, timeline
from vas.admin.problems import Problem
from vas.admin.values import IdPath, Model, Number, Page, Reveal
from vas.admin.waiting import Waiting, waiting_from
from vas.statuses import status_name, status_words
from vas.store.ids import id_ms, moment
from vas.store.rows import DeadLetterRow
from vas.store.smsc_ids import submitted_ids

_MAY_FAIL = ("failed", "calling")
"""Results of a command that may have left a dead letter."""
_SENDS_AT_MOST = 200
"""Replies of one command that are looked up."""


class MessagesQuery(Page, Reveal):
    msisdn: Number
    """A subscriber's number, in any spelling."""


class Message(Model):
    id: str
    direction: Literal["in", "out"]
    at: datetime
    """When it was received, or queued."""
    kind: str
    """sms, ussd, push (a talk or a question that the network begins), or notice (a screen without an answer)."""
    msisdn: str
    code: str
    """The short code, or what was dialled."""
    service: str
    """Empty: nothing matched."""
    state: str
    """Of what came in, the unit's result; of what goes out, how far it got."""
    text: str | None
    """Null: not revealed."""


class MessagesPage(Model):
    items: list[Message]
    next: str | None
    """Cursor of the following page; null on the last one."""
    waiting: list[Waiting]
    """Long messages of the number that have not come whole yet: they are no items until they do, or are given up."""


async def list_messages(request: web.Request, *, query: MessagesQuery) -> MessagesPage:
    """What a number sent and was sent, newest first."""
    shown = sight(request, query)
    reader, span = request.app[DESK].reader, query.span()
    received = await store.received_from(reader, query.msisdn, span)
    sent = await store.sent_to(reader, query.msisdn, span)
    both: list[store.InboxRow | store.OutboxRow] = [*received, *sent]
    # Ids are unique over both tables, so together they are one list, and one id is its cursor.
    items, following = query.cut(sorted(both, key=lambda row: row.id, reverse=True)[: span.limit])
    if shown.full:
        await record(request, "messages.read", [query.msisdn], reason=query.reason)
    waiting = await waiting_from(reader, query.msisdn)
    return MessagesPage(items=[_message(row, shown) for row in items], next=following, waiting=waiting)


def _message(row: store.InboxRow | store.OutboxRow, shown: Sight) -> Message:
    if isinstance(row, store.InboxRow):
        return Message(
            id=str(row.id),
            direction="in",
            at=moment(row.received_ms),
            kind=row.kind,
            msisdn=shown.number(row.msisdn),
            code=shown.dialled(row.sent_to),
            service=row.service,
            state=row.result,
            text=shown.text(row.text),
        )
    return Message(
        id=str(row.id),
        direction="out",
        at=moment(row.created_ms),
        kind=row.kind,
        msisdn=shown.number(row.msisdn),
        code=row.source,
        service=row.service,
        state=row.state,
        text=shown.text(row.last_text),
    )


class Received(Model):
    id: str
    kind: str
    account: str
    at: datetime
    msisdn: str
    to: str
    """The short code, or what was dialled."""
    text: str | None
    """Null: not revealed."""
    service: str
    handler: str
    why: str
    """The pattern or the rule that chose the handler."""
    result: str
    reply: str | None
    """Key of the answer's text, or the screen that was shown; null: not revealed."""
    copies: int
    """Redeliveries recognised."""
    parts: int
    """That the message came in; 1: it was not a long one."""
    node: str
    """The node that took it; empty where the platform runs alone."""


class Sent(Model):
    id: str
    cause: str
    """The received message or the job that it comes from."""
    kind: str
    account: str
    """Empty: any."""
    msisdn: str
    source: str
    service: str
    key: str
    text: str | None
    """As it was submitted; an event `replaced` has what took its place. Null: not revealed."""
    created_at: datetime
    expires_at: datetime
    state: str
    attempts: int
    segments: int
    smsc_ids: list[str]
    sent_at: datetime | None
    settled_at: datetime | None
    status: int
    """The last command_status."""
    status_name: str
    """As the standard calls it, such as RINVDSTADR."""
    status_meaning: str
    error: str
    flash: bool
    """Shown at once, and not kept by the handset."""
    port: int
    """The application port that the handset gave it to; 0: none."""
    node: str
    """The node that it last left from; empty: it has not left, or the platform runs alone."""


class JourneyEvent(Model):
    at: datetime
    what: What
    id: str
    """Of the message, job or dead letter that it happened to."""
    msisdn: str
    detail: dict[str, str | int | None]


class Journey(Model):
    events: list[JourneyEvent]
    """What happened, by time."""
    received: Received | None
    """Null for what a job sent."""
    sent: list[Sent]


async def get_message(request: web.Request, *, path: IdPath, query: Reveal) -> Journey:
    """The journey of a message, received or sent: what came, who answered and why, what became of it.

    Both ends lead to the same journey: a reply's begins with the message that it answers.
    """
    shown = sight(request, query)
    rows = await _rows(request.app[DESK].reader, int(path.id))
    if rows is None:
        raise Problem(HTTPStatus.NOT_FOUND, "No such message is kept.")
    if shown.full:
        await record(request, "message.read", rows.numbers, reason=query.reason, detail={"message": path.id})
    return Journey(
        events=[_event(event, shown) for event in timeline(rows)],
        received=None if rows.received is None else _received(rows.received, shown),
        sent=[_sent(row, shown) for row, _ in rows.sent],
    )


async def _rows(reader: Reader, id_: int) -> Rows | None:
    received, asked = await store.received_as(reader, id_), None
    if received is None:
        asked = await store.sent_as(reader, id_)
        if asked is None:
            return None
        received = await store.received_as(reader, asked.cause)
    sent = {} if asked is None else {asked.id: asked}
    if received is not None:
        steps = [step for step in store.json(received.steps) if step["do"] == "send"]
        for step in steps[:_SENDS_AT_MOST]:
            row = await store.sent_by(reader, step["who"], step["id"])
            if row is not None:
                sent[row.id] = row
    letters = await _letters(reader, received, sent.values())
    return Rows(received, [(row, await store.receipts_of(reader, row)) for row in sent.values()], letters)


async def _letters(
    reader: Reader, received: store.InboxRow | None, sent: Iterable[store.OutboxRow]
) -> list[DeadLetterRow]:  # fmt: skip
    found: list[DeadLetterRow] = []
    if received is not None and received.result in _MAY_FAIL:
        found += await store.dead_letters_of(reader, received.id, id_ms(received.id))
    for row in sent:
        if row.state == "failed" and row.settled_ms is not None:
            found += await store.dead_letters_of(reader, row.id, row.settled_ms)
    return found


def _event(event: Event, shown: Sight) -> JourneyEvent:
    detail: dict[str, str | int | None] = {}
    for name, value in event.detail.items():
        match name:
            case "reply":
                detail[name] = shown.reply(str(value))
            case "text":
                detail[name] = shown.text(str(value))
            case "to" | "error" | "what":
                detail[name] = shown.dialled(str(value))
            case _:
                detail[name] = value
    return JourneyEvent(
        at=moment(event.at_ms), what=event.what, id=str(event.id), msisdn=shown.number(event.msisdn), detail=detail
    )


def _received(row: store.InboxRow, shown: Sight) -> Received:
    return Received(
        id=str(row.id),
        kind=row.kind,
        account=row.account,
        at=moment(row.received_ms),
        msisdn=shown.number(row.msisdn),
        to=shown.dialled(row.sent_to),
        text=shown.text(row.text),
        service=row.service,
        handler=row.handler,
        why=row.why,
        result=row.result,
        reply=shown.reply(row.reply),
        copies=row.copies,
        parts=row.parts,
        node=row.node,
    )


def _sent(row: store.OutboxRow, shown: Sight) -> Sent:
    return Sent(
        id=str(row.id),
        cause=str(row.cause),
        kind=row.kind,
        account=row.account,
        msisdn=shown.number(row.msisdn),
        source=row.source,
        service=row.service,
        key=row.key,
        text=shown.text(row.text),
        created_at=moment(row.created_ms),
        expires_at=moment(row.expires_ms),
        state=row.state,
        attempts=row.attempts,
        segments=row.segments,
        smsc_ids=submitted_ids(row.smsc_ids),
        sent_at=None if row.sent_ms is None else moment(row.sent_ms),
        settled_at=None if row.settled_ms is None else moment(row.settled_ms),
        status=row.status,
        status_name=status_name(row.status),
        status_meaning=status_words(row.status),
        error=row.error,
        flash=row.flash,
        port=row.port,
        node=row.node,
    )
