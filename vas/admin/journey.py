"""The journey of a message: what came, what was decided and why, and what became of each reply. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from vas.admin import store
from vas.statuses import status_name, status_words
from vas.store.rows import DeadLetterRow
from vas.store.smsc_ids import submitted_ids

What = Literal[
    "received", "routed", "changed", "scheduled", "answered", "failed", "queued", "sent", "refused", "replaced",
    "receipt", "settled",
]  # fmt: skip


class Event(NamedTuple):
    """Something that happened to `msisdn`; `id` is that of the message, job or dead letter it happened to."""

    at_ms: int
    what: What
    id: int
    msisdn: str
    detail: dict[str, str | int]


class Rows(NamedTuple):
    """Everything that belongs to one message, as the store has it."""

    received: store.InboxRow | None
    """What began it; None for what a job sent, or when it is no longer kept."""
    sent: Sequence[tuple[store.OutboxRow, Sequence[store.ReceiptRow]]]
    dead_letters: Sequence[DeadLetterRow]

    @property
    def numbers(self) -> set[str]:
        """Every subscriber in it."""
        found = {row.msisdn for row, _ in self.sent} | {row.msisdn for row in self.dead_letters}
        if self.received is not None:
            found |= {self.received.msisdn, *(step["who"] for step in store.json(self.received.steps))}
        return found


def timeline(rows: Rows) -> list[Event]:
    """All events by time; what one unit did has the time at which its command came."""
    events = list(_of_command(rows.received)) if rows.received is not None else []
    for letter in rows.dead_letters:
        events.append(Event(letter.at_ms, "failed", letter.id, letter.msisdn, {"error": letter.error}))
    for row, receipts in rows.sent:
        events += _of_reply(row, receipts)
    return sorted(events, key=lambda event: event.at_ms)


def _of_command(row: store.InboxRow) -> Iterator[Event]:
    at_ms, id_, msisdn = row.received_ms, row.id, row.msisdn
    came: dict[str, str | int] = {"account": row.account, "to": row.sent_to, "copies": row.copies}
    yield Event(at_ms, "received", id_, msisdn, {**came, "parts": row.parts, **_at(row.node)})
    yield Event(at_ms, "routed", id_, msisdn, {"service": row.service, "handler": row.handler, "why": row.why})
    for step in store.json(row.steps):
        yield from _of_step(at_ms, id_, step)
    yield Event(at_ms, "answered", id_, msisdn, {"result": row.result, "reply": row.reply})


def _of_step(at_ms: int, id_: int, step: dict[str, Any]) -> Iterator[Event]:
    """A reply tells of itself from its own row."""
    match step["do"]:
        case "change":
            yield Event(at_ms, "changed", id_, step["who"], {"what": step["what"]})
        case "later":
            yield Event(at_ms, "scheduled", step["id"], step["who"], {"what": step["what"]})


def _of_reply(row: store.OutboxRow, receipts: Sequence[store.ReceiptRow]) -> Iterator[Event]:
    id_, msisdn = row.id, row.msisdn
    yield Event(row.created_ms, "queued", id_, msisdn, {"from": row.source, "key": row.key})
    if row.sent_ms is not None:
        ids = " ".join(submitted_ids(row.smsc_ids))
        sent: dict[str, str | int] = {
            "account": row.account, "smsc_ids": ids, "segments": row.segments, **_at(row.node)
        }  # fmt: skip
        what: What = "refused" if row.status else "sent"
        yield Event(row.sent_ms, what, id_, msisdn, {**sent, "attempts": row.attempts, **_status(row.status)})
    for each in row.replacements:
        new: dict[str, str | int] = {"by": each["who"], "text": each["text"], "said": each["said"]}
        yield Event(each["at_ms"], "replaced", id_, msisdn, new)
    for receipt in receipts:
        detail: dict[str, str | int] = {"smsc_id": receipt.smsc_id, "state": receipt.state, "error": receipt.error}
        yield Event(receipt.at_ms, "receipt", id_, msisdn, detail)
    if row.settled_ms is not None:
        ended: dict[str, str | int] = {"state": row.state, "error": row.error}
        refused = _status(row.status) if row.status else {}
        yield Event(row.settled_ms, "settled", id_, msisdn, {**ended, **refused})


def _at(node: str) -> dict[str, str | int]:
    """The node that did it, where there are several."""
    return {"node": node} if node else {}


def _status(status: int) -> dict[str, str | int]:
    """A command_status by number, name and meaning."""
    return {"status": status, "status_name": status_name(status), "meaning": status_words(status)}
