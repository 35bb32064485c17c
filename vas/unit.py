"""A unit of work: what one command changes, gathered in memory, written with its batch or dropped whole."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from vas.messages import Msisdn
from vas.store.ids import shard_of
from vas.store.rows import DeadLetterRow, Earlier, InboxRow, JobRow, OutboxRow, SeenRow, TalkRow
from vas.store.statements import Statements

T = TypeVar("T")
_JSON = msgspec.json.Encoder().encode


class DocumentKey(NamedTuple):
    service: str
    msisdn: str


class Document:
    """A subscriber's document as it is inside a batch, and the version that was read."""

    __slots__ = ("json", "value", "version")

    def __init__(self, value: Any, version: int) -> None:
        self.value = value
        self.version = version
        self.json = b""
        """The value as it is written, once it has been changed."""


class Batch(Protocol):
    """One open transaction, as an engine shows it to the units that run inside it."""

    now_ms: int
    sql: Statements
    documents: dict[DocumentKey, Document]
    """What units have read or written; the later ones see what the earlier ones wrote."""
    inbox: list[InboxRow]
    outbox: list[OutboxRow]
    jobs: list[JobRow]
    dead_letters: list[DeadLetterRow]
    hints: set[str]
    """What the other nodes are told once it is committed, as Store.on_hint names it; alone, nobody is."""
    waited_s: float
    """How long the work that sees this batch has waited for its neighbours and for what is read for all at once."""

    def new_id(self) -> int: ...
    async def stored_document(self, key: DocumentKey) -> tuple[int, bytes] | None:
        """Its version and JSON, or None."""

    async def seen_before(self, key: bytes, *, lasting: bool) -> Earlier | None:
        """The latest command with this hash of what is the same in a copy, of this batch or of before.

        `lasting`: the SMSC gave an id. Without one, an engine that is alone knows only this batch's own: what came
        before is in `vas.sessions`.
        """

    def mark_seen(self, row: SeenRow, instead_of: SeenRow | None) -> None:
        """Write it with the batch; `instead_of` is what `seen_before` found: another node may have found it too."""

    def answered_in_batch(self, shard: int, msisdn: str, id_: int) -> InboxRow | None:
        """The inbox row of a command that this batch brought."""

    def change(self, key: DocumentKey, document: Document) -> None:
        """Write a document with the batch."""

    async def talk_of(self, msisdn: str) -> TalkRow | None: ...
    def put_talk(self, row: TalkRow) -> None: ...
    def end_talk(self, msisdn: str) -> None: ...
    def cancel_jobs(self, msisdn: str, service: str, key: str) -> None: ...
    async def execute(self, text: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement in the transaction now; all its rows. What is gathered is written at the end."""

    async def execute_together(self, text: str, params: Sequence[object]) -> list[tuple[Any, ...]]:
        """As `execute`; an engine may run it before the work's turn, as one statement for all works that wait for it.

        So it has to leave right whatever earlier works of the batch do after it, and the work has to ask the same
        again if it is run again.
        """

    async def execute_many(self, text: str, rows: Sequence[Sequence[object]]) -> None:
        """Run a statement once a row, now."""

    async def handle(self, handler: Coroutine[Any, Any, T]) -> T:
        """Run a handler; raises ForeignAwait if it awaits anything but its context."""

    def savepoint(self) -> Savepoint:
        """Begin one, so that a unit which uses its own tables can be undone alone."""


class Savepoint(Protocol):
    def release(self) -> None: ...
    def rollback(self) -> None: ...


class Unit:
    """The changes of one command. `keep` hands them to the batch; a unit that is dropped leaves nothing."""

    __slots__ = ("_documents", "_savepoint", "_written", "batch", "cancelled", "id", "jobs", "outbox", "steps")

    def __init__(self, batch: Batch, id: int) -> None:
        self.batch = batch
        self.id = id
        self.outbox: list[OutboxRow] = []
        self.jobs: list[JobRow] = []
        self.cancelled: list[tuple[str, str, str]] = []
        self.steps: list[dict[str, object]] = []
        self._documents: dict[DocumentKey, Any] = {}
        self._written: dict[DocumentKey, bytes] = {}
        self._savepoint: Savepoint | None = None

    async def document(self, service: str, kind: type[T], msisdn: Msisdn) -> T:
        """What a service remembers of a subscriber; its struct's defaults if nothing."""
        key = DocumentKey(service, msisdn.digits)
        if key in self._documents:
            return self._documents[key]  # type: ignore[no-any-return]
        document = self.batch.documents.get(key)
        if document is None:
            stored = await self.batch.stored_document(key)
            if stored is None:
                document = Document(kind(), 0)
            else:
                document = Document(msgspec.json.decode(stored[1], type=kind), stored[0])
            self.batch.documents[key] = document
        return document.value  # type: ignore[no-any-return]

    def put(self, service: str, msisdn: Msisdn, value: object, what: str) -> None:
        """Replace a document that was read before; `what` is the name of the rule, for the journey.

        Raises TypeError if the value cannot be written.
        """
        key = DocumentKey(service, msisdn.digits)
        self._written[key] = _JSON(value)
        self._documents[key] = value
        self.steps.append({"do": "change", "who": msisdn.digits, "what": what, "doc": service})

    def send(self, row: OutboxRow) -> None:
        self.outbox.append(row)
        self.steps.append({"do": "send", "who": row.msisdn, "id": row.id, "what": row.key})

    def later(self, row: JobRow) -> None:
        self.jobs.append(row)
        self.steps.append({"do": "later", "who": row.msisdn, "id": row.id, "what": row.name})

    async def execute(self, text: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """A statement on the service's own tables, undone with the unit."""
        if self._savepoint is None:
            self._savepoint = self.batch.savepoint()
        return await self.batch.execute(text, params)

    def keep(self) -> None:
        """Hand everything to the batch, to be written when it commits."""
        if self._savepoint is not None:
            self._savepoint.release()
        for key, value in self._documents.items():
            document = self.batch.documents[key]
            document.value = value
            document.json = self._written[key]
            self.batch.change(key, document)
        for msisdn, service, name in self.cancelled:
            self.batch.cancel_jobs(msisdn, service, name)
        self.batch.outbox += self.outbox
        self.batch.jobs += self.jobs

    def drop(self) -> Unit:
        """Undo everything; a fresh unit with the same id, for the answer that says no."""
        if self._savepoint is not None:
            self._savepoint.rollback()
        return Unit(self.batch, self.id)

    def steps_json(self) -> bytes:
        return msgspec.json.encode(self.steps) if self.steps else b"[]"


def job_row(
    batch: Batch, *, msisdn: str, due_ms: int, kind: str, service: str, name: str, key: str, cause: int, body: object,
    owner: int | None = None,
) -> JobRow:  # fmt: skip
    """A new row for `job`."""
    return JobRow(
        shard_of(msisdn), msisdn, batch.new_id(), due_ms, kind, service, name, key, cause, msgspec.json.encode(body),
        owner=owner,
    )  # fmt: skip
