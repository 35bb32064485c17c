"""Messages on their way: asked after at the SMSC, cancelled, replaced."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from aiohttp import web
from pydantic import ConfigDict, Field

from vas.admin import store
from vas.admin.audit import record
from vas.admin.authentication import CALLER, DESK
from vas.admin.desk import SegmentState
from vas.admin.problems import Problem
from vas.admin.values import IdPath, Model, Reason
from vas.errors import Refused

_WHY = {
    "leaving": "It is leaving for the SMSC right now; ask again in a moment.",
    "over": "It has its last state.",
    "not_sent": "The SMSC has not got it yet.",
    "no_id": "The SMSC gave no id for it, so it cannot be asked about it.",
    "ussd": "A USSD screen cannot be recalled.",
    "segments": "It left in several segments, and replace_sm has room for one.",
    "coding": "The new text needs another encoding, and replace_sm cannot change it.",
    "often": "It was given another text too often.",
    "account_gone": "The account that it left by is gone.",
}
"""Why the platform refuses, by the key of Refused."""


class Segment(Model):
    model_config = ConfigDict(from_attributes=True)

    smsc_id: str
    """The SMSC's id, in the form that receipts have."""
    state: str
    """message_state by its name, as `enroute`, `delivered`; empty: the SMSC did not say."""
    final_at: datetime | None
    """When it came into that state, if it is a last one."""
    error: str
    """The network's error code."""
    said: str
    """What the SMSC answered instead: a command_status in words, or that it has no such request."""


class Whereabouts(Model):
    id: str
    account: str
    state: str
    """How far it got, as we know."""
    segments: list[Segment]
    """As the SMSC knows; empty: it has not got the message yet."""


async def get_whereabouts(request: web.Request, *, path: IdPath) -> Whereabouts:
    """Ask the SMSC by query_sm where each segment of a message is."""
    row = await _row(request, path)
    try:
        segments = await request.app[DESK].accounts.whereabouts(row.msisdn, row.id)
    except Refused as refused:
        raise _conflict(refused) from None
    return _whereabouts(row, row.state, segments)


class Recall(Model):
    reason: Reason
    """Kept in the audit."""


async def cancel_message(request: web.Request, *, path: IdPath, body: Recall) -> Whereabouts:
    """Keep a message from being delivered: before it leaves in our own queue, after that by cancel_sm.

    It counts as cancelled, and its service is told so, where it had not left or the SMSC has cancelled every
    segment. Else `segments` says what the SMSC answered.
    """
    row = await _row(request, path)
    await record(request, "message.cancel", [row.msisdn], reason=body.reason, detail={"message": path.id})
    try:
        segments = await request.app[DESK].accounts.cancel(row.msisdn, row.id, who=request[CALLER].name)
    except Refused as refused:
        raise _conflict(refused) from None
    return _whereabouts(row, "cancelled" if not any(segment.said for segment in segments) else row.state, segments)


class Replacement(Recall):
    text: Annotated[str, Field(min_length=1, max_length=160)]
    """What the subscriber is to read instead."""


async def replace_message(request: web.Request, *, path: IdPath, body: Replacement) -> Whereabouts:
    """Give the SMSC another text for a message of one segment that it still holds, by replace_sm.

    The encoding stays, so the new text must fit it. The journey has both texts, and who put the one in the other's
    place.
    """
    row = await _row(request, path)
    await record(request, "message.replace", [row.msisdn], reason=body.reason, detail={"message": path.id})
    try:
        segment = await request.app[DESK].accounts.replace(row.msisdn, row.id, body.text, who=request[CALLER].name)
    except Refused as refused:
        raise _conflict(refused) from None
    return _whereabouts(row, row.state, [segment])


async def _row(request: web.Request, path: IdPath) -> store.OutboxRow:
    row = await store.sent_as(request.app[DESK].reader, int(path.id))
    if row is None:
        raise Problem(HTTPStatus.NOT_FOUND, "No such message to a subscriber is kept.")
    return row


def _conflict(refused: Refused) -> Problem:
    return Problem(HTTPStatus.CONFLICT, _WHY[refused.key])


def _whereabouts(row: store.OutboxRow, state: str, segments: Sequence[SegmentState]) -> Whereabouts:
    return Whereabouts(
        id=str(row.id),
        account=row.account,
        state=state,
        segments=[Segment.model_validate(segment) for segment in segments],
    )
