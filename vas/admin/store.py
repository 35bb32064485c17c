"""What the operations' listener asks the store, one function a question; all answers are bounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Select, bindparam, func, insert, select, update

from vas.admin.desk import Reader, Writer
from vas.admin.roles import Role
from vas.store import schema
from vas.store.ids import first_id, shard_of
from vas.store.rows import DeadLetterRow
from vas.store.smsc_ids import receipt_ids
from vas.store.sql import Portable

LAST_ID = 2**63 - 1
_KEYS_AT_MOST = 1000
_GROUPS_AT_MOST = 50
_LETTERS_OF_ONE_CAUSE = 20
_FAILS_WITHIN_MS = 60_000
"""A dead letter is made this soon after a command's id, or after the failure of a message."""

_inbox, _outbox, _receipt = schema.inbox.c, schema.outbox.c, schema.receipt.c
_letter, _audit, _key = schema.dead_letter.c, schema.audit.c, schema.api_key.c


class InboxRow(NamedTuple):
    msisdn: str
    id: int
    kind: str
    account: str
    received_ms: int
    sent_to: str
    text: str
    service: str
    handler: str
    why: str
    result: str
    reply: str
    steps: bytes
    copies: int
    parts: int
    node: str


class OutboxRow(NamedTuple):
    msisdn: str
    id: int
    cause: int
    service: str
    kind: str
    source: str
    account: str
    text: str
    key: str
    created_ms: int
    expires_ms: int
    state: str
    attempts: int
    segments: int
    smsc_ids: str
    sent_ms: int | None
    settled_ms: int | None
    status: int
    error: str
    flash: bool
    port: int
    replaced: bytes | None
    node: str

    @property
    def replacements(self) -> list[dict[str, Any]]:
        """Texts that were to take the place of its own, as vas.recalling.Replaced."""
        return json(self.replaced) or []

    @property
    def last_text(self) -> str:
        """What the SMSC has, or had, to deliver."""
        taken = [replaced["text"] for replaced in self.replacements if not replaced["said"]]
        return str(taken[-1]) if taken else self.text


class ReceiptRow(NamedTuple):
    smsc_id: str
    state: str
    error: str
    at_ms: int


class ErrorCount(NamedTuple):
    service: str
    error: str
    letters: int


class AuditRow(NamedTuple):
    id: int
    at_ms: int
    who: str
    role: str
    action: str
    subject: str
    reason: str
    request_id: str
    detail: bytes


class KeyRow(NamedTuple):
    name: str
    role: Role
    hash: bytes
    created_ms: int
    revoked_ms: int | None


def _columns(table: Any, row: type[Any]) -> list[ColumnElement[Any]]:
    return [table.c[name] for name in row._fields]


def _page(statement: Select[Any], id_: ColumnElement[int]) -> Portable:
    """Newest first, from `since_id` to below `below_id`."""
    ranged = statement.where(id_ >= bindparam("since_id"), id_ < bindparam("below_id"))
    return Portable(ranged.order_by(id_.desc()).limit(bindparam("limit")))


def _of_number(table: Any, row: type[Any]) -> Portable:
    of_number = select(*_columns(table, row)).where(
        table.c.shard == bindparam("of_shard"), table.c.msisdn == bindparam("of_msisdn")
    )
    return _page(of_number, table.c.id)


_SELECT_INBOX = select(*_columns(schema.inbox, InboxRow))
_SELECT_OUTBOX = select(*_columns(schema.outbox, OutboxRow))
_SELECT_LETTERS = select(*_columns(schema.dead_letter, DeadLetterRow))
_SELECT_AUDIT = select(*_columns(schema.audit, AuditRow))
_SELECT_KEYS = select(*_columns(schema.api_key, KeyRow)).limit(_KEYS_AT_MOST)

_INBOX_OF = _of_number(schema.inbox, InboxRow)
_OUTBOX_OF = _of_number(schema.outbox, OutboxRow)
_INBOX_BY_ID = Portable(_SELECT_INBOX.where(_inbox.id == bindparam("of_id")))
_OUTBOX_BY_ID = Portable(_SELECT_OUTBOX.where(_outbox.id == bindparam("of_id")))
_OUTBOX_BY_KEY = Portable(
    _SELECT_OUTBOX.where(
        _outbox.shard == bindparam("of_shard"),
        _outbox.msisdn == bindparam("of_msisdn"),
        _outbox.id == bindparam("of_id"),
    )
)
_RECEIPT = Portable(
    select(*_columns(schema.receipt, ReceiptRow)).where(
        _receipt.account == bindparam("of_account"),
        _receipt.smsc_id == bindparam("of_smsc_id"),
        _receipt.msisdn == bindparam("of_msisdn"),
        _receipt.state.is_not(None),
    )
)
_OPEN = _letter.replayed_ms.is_(None)
_LETTERS = _page(_SELECT_LETTERS, _letter.id)
_OPEN_LETTERS = _page(_SELECT_LETTERS.where(_OPEN), _letter.id)
_LETTER = Portable(_SELECT_LETTERS.where(_letter.id == bindparam("of_id")))
_LETTERS_OF_CAUSE = _page(_SELECT_LETTERS.where(_letter.cause == bindparam("of_cause")), _letter.id)
_COUNTS = Portable(
    select(_letter.service, _letter.error, func.count().label("letters"))
    .where(_OPEN)
    .group_by(_letter.service, _letter.error)
    .order_by(func.count().desc(), _letter.service, _letter.error)
    .limit(_GROUPS_AT_MOST)
)
_AUDIT = _page(_SELECT_AUDIT, _audit.id)
_AUDIT_OF = _page(_SELECT_AUDIT.where(_audit.subject == bindparam("of_subject")), _audit.id)
_PUT_AUDIT = Portable(insert(schema.audit), columns=AuditRow._fields)
_KEYS = Portable(_SELECT_KEYS.order_by(_key.name))
_USABLE_KEYS = Portable(_SELECT_KEYS.where(_key.revoked_ms.is_(None)))
_ANY_KEY = Portable(select(func.count()).select_from(schema.api_key))
_PUT_KEY = Portable(insert(schema.api_key), columns=KeyRow._fields)
_REVOKE = Portable(
    update(schema.api_key)
    .where(_key.name == bindparam("of_name"), _key.revoked_ms.is_(None))
    .values(revoked_ms=bindparam("at_ms"))
)


class Span(NamedTuple):
    """A stretch of ids, which is a stretch of time: from `since_ms`, below `below_id`."""

    since_ms: int
    below_id: int
    limit: int

    def params(self) -> dict[str, int]:
        return {"since_id": min(first_id(self.since_ms), LAST_ID), "below_id": self.below_id, "limit": self.limit}


async def received_from(reader: Reader, msisdn: str, span: Span) -> list[InboxRow]:
    found = await _read(reader, _INBOX_OF, of_shard=shard_of(msisdn), of_msisdn=msisdn, **span.params())
    return [InboxRow(*row) for row in found]


async def sent_to(reader: Reader, msisdn: str, span: Span) -> list[OutboxRow]:
    found = await _read(reader, _OUTBOX_OF, of_shard=shard_of(msisdn), of_msisdn=msisdn, **span.params())
    return [OutboxRow(*row) for row in found]


async def received_as(reader: Reader, id_: int) -> InboxRow | None:
    found = await _read(reader, _INBOX_BY_ID, of_id=id_)
    return InboxRow(*found[0]) if found else None


async def sent_as(reader: Reader, id_: int) -> OutboxRow | None:
    found = await _read(reader, _OUTBOX_BY_ID, of_id=id_)
    return OutboxRow(*found[0]) if found else None


async def sent_by(reader: Reader, msisdn: str, id_: int) -> OutboxRow | None:
    """As `sent_as`, by the primary key."""
    found = await _read(reader, _OUTBOX_BY_KEY, of_shard=shard_of(msisdn), of_msisdn=msisdn, of_id=id_)
    return OutboxRow(*found[0]) if found else None


async def receipts_of(reader: Reader, row: OutboxRow) -> list[ReceiptRow]:
    """Of each segment, as far as they have come."""
    found: list[tuple[Any, ...]] = []
    for smsc_id in receipt_ids(row.smsc_ids):
        found += await _read(reader, _RECEIPT, of_account=row.account, of_smsc_id=smsc_id, of_msisdn=row.msisdn)
    return [ReceiptRow(*each) for each in found]


async def dead_letters(reader: Reader, span: Span, *, unresolved: bool) -> list[DeadLetterRow]:
    found = await _read(reader, _OPEN_LETTERS if unresolved else _LETTERS, **span.params())
    return [DeadLetterRow(*row) for row in found]


async def dead_letter(reader: Reader, id_: int) -> DeadLetterRow | None:
    found = await _read(reader, _LETTER, of_id=id_)
    return DeadLetterRow(*found[0]) if found else None


async def dead_letters_of(reader: Reader, cause: int, failed_ms: int) -> list[DeadLetterRow]:
    """Those that a command or a message left when it failed; found by time, since nothing else leads to them."""
    span = Span(failed_ms, first_id(failed_ms + _FAILS_WITHIN_MS), _LETTERS_OF_ONE_CAUSE)
    return [DeadLetterRow(*row) for row in await _read(reader, _LETTERS_OF_CAUSE, of_cause=cause, **span.params())]


async def open_errors(reader: Reader) -> list[ErrorCount]:
    """The errors of dead letters that were not replayed, the most frequent first."""
    return [ErrorCount(*row) for row in await _read(reader, _COUNTS)]


async def audited(reader: Reader, span: Span, subject: str | None) -> list[AuditRow]:
    if subject is None:
        found = await _read(reader, _AUDIT, **span.params())
    else:
        found = await _read(reader, _AUDIT_OF, of_subject=subject, **span.params())
    return [AuditRow(*row) for row in found]


async def put_audit(writer: Writer, rows: Sequence[AuditRow]) -> None:
    if rows:
        await writer.write(_PUT_AUDIT, *(row._asdict() for row in rows))


async def keys(reader: Reader) -> list[KeyRow]:
    """All, revoked ones too, by name."""
    return [KeyRow(*row) for row in await _read(reader, _KEYS)]


async def usable_keys(reader: Reader) -> list[KeyRow]:
    return [KeyRow(*row) for row in await _read(reader, _USABLE_KEYS)]


async def has_keys(reader: Reader) -> bool:
    """Whether there ever was one."""
    [[count]] = await _read(reader, _ANY_KEY)
    return bool(count)


async def put_key(writer: Writer, name: str, role: Role, hash_: bytes, created_ms: int) -> None:
    await writer.write(_PUT_KEY, KeyRow(name, role, hash_, created_ms, None)._asdict())


async def revoke_key(writer: Writer, name: str, at_ms: int) -> None:
    await writer.write(_REVOKE, {"of_name": name, "at_ms": at_ms})


async def _read(reader: Reader, portable: Portable, **values: object) -> Sequence[tuple[Any, ...]]:
    query = portable.on(reader.sql.dialect)
    return await reader.read(query.text, query.params(**values))


def json(column: bytes | None) -> Any:
    """A column that holds JSON, or nothing: None."""
    return orjson.loads(column) if column else None
