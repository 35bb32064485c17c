"""What one work of a batch on the shared engine sees and changes, and what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast

from vas.errors import ForeignAwait
from vas.store.postgres_session import storable
from vas.store.rows import DeadLetterRow, Earlier, InboxRow, JobRow, OutboxRow, SeenRow, TalkRow
from vas.store.statements import Statements
from vas.unit import Document, DocumentKey

if TYPE_CHECKING:
    from vas.store.postgres_batch import PostgresBatch

T = TypeVar("T")
Meeting = DocumentKey | bytes | str
"""What two works of a batch can meet in: a document, the key of a copy, the MSISDN of a talk."""


class Kind(Enum):
    """What is read for all works of a batch at once."""

    DOCUMENTS = auto()
    TALKS = auto()
    SEEN = auto()


@dataclass(slots=True)
class Wanted:
    """What a work waits for; all that a coroutine driven here may yield."""

    def __await__(self) -> Generator[Wanted, Any, Any]:
        return (yield self)


@dataclass(slots=True)
class Look(Wanted):
    """Read; once it is, the work finds it in the batch."""

    kind: Kind
    key: str | bytes


@dataclass(slots=True)
class Statement(Wanted):
    """Run it in the transaction, when all earlier works have ended; the answer is its rows."""

    text: str
    params: Sequence[Any]
    many: bool = False
    together: bool = False
    """It need not wait for the works before this one, if others wait for the same."""


class View:
    """A buffer over what the batch has read and earlier works have written (vas.unit.Batch)."""

    __slots__ = (
        "batch", "before", "cancelled", "changed", "dead_letters", "documents", "hints", "inbox", "jobs", "new_id",
        "now_ms", "outbox", "seen", "sql", "talks", "touched", "undoable",
        "waited_s",
    )  # fmt: skip

    def __init__(self, batch: PostgresBatch) -> None:
        self.batch = batch
        self.now_ms = batch.now_ms
        self.sql: Statements = batch.sql
        self.new_id = batch.new_id
        self.documents: dict[DocumentKey, Document] = {}
        self.changed: dict[DocumentKey, Document] = {}
        self.seen: dict[bytes, SeenRow] = {}
        self.talks: dict[str, TalkRow | None] = {}
        self.inbox: list[InboxRow] = []
        self.outbox: list[OutboxRow] = []
        self.jobs: list[JobRow] = []
        self.dead_letters: list[DeadLetterRow] = []
        self.cancelled: list[tuple[str, str, str]] = []
        self.hints: set[str] = set()
        self.touched: set[Meeting] = set()
        """What it has read or written."""
        self.waited_s = 0.0
        self.before: list[str] = []
        """Savepoints to be set, released or gone back to before the next statement."""
        self.undoable = False
        """Whether it has a savepoint of its own, so that a statement may fail and the unit go on."""

    async def stored_document(self, key: DocumentKey) -> tuple[int, bytes] | None:
        self.touched.add(key)
        if key.msisdn not in self.batch.documents_of:
            await Look(Kind.DOCUMENTS, key.msisdn)
        return self.batch.documents.get(key)

    async def seen_before(self, key: bytes, *, lasting: bool) -> Earlier | None:
        self.touched.add(key)
        if key in self.seen:
            return Earlier(self.seen[key])
        if key not in self.batch.seen:
            await Look(Kind.SEEN, key)
        return self.batch.seen[key]

    def mark_seen(self, row: SeenRow, instead_of: SeenRow | None) -> None:
        self.touched.add(row.key)
        self.seen[row.key] = row

    def answered_in_batch(self, shard: int, msisdn: str, id_: int) -> InboxRow | None:
        return next((row for row in (*self.batch.inbox, *self.inbox) if row[:3] == (shard, msisdn, id_)), None)

    def change(self, key: DocumentKey, document: Document) -> None:
        self.changed[key] = document

    async def talk_of(self, msisdn: str) -> TalkRow | None:
        self.touched.add(msisdn)
        if msisdn in self.talks:
            return self.talks[msisdn]
        if msisdn not in self.batch.talks:
            await Look(Kind.TALKS, msisdn)
        return self.batch.talks[msisdn]

    def put_talk(self, row: TalkRow) -> None:
        self.touched.add(row.msisdn)
        self.talks[row.msisdn] = row

    def end_talk(self, msisdn: str) -> None:
        self.touched.add(msisdn)
        self.talks[msisdn] = None

    def cancel_jobs(self, msisdn: str, service: str, key: str) -> None:
        self.jobs = [job for job in self.jobs if (job.msisdn, job.service, job.key) != (msisdn, service, key)]
        self.cancelled.append((msisdn, service, key))

    async def execute(self, text: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return cast("list[tuple[Any, ...]]", await Statement(text, params))

    async def execute_together(self, text: str, params: Sequence[object]) -> list[tuple[Any, ...]]:
        return cast(
            "list[tuple[Any, ...]]", await Statement(text, tuple(map(storable, params)), together=not self.unsettled)
        )

    @property
    def unsettled(self) -> bool:
        """Whether something has to be done in the database before a statement of its own."""
        return bool(self.before or self.undoable or self.cancelled)

    async def execute_many(self, text: str, rows: Sequence[Sequence[object]]) -> None:
        if rows:
            await Statement(text, rows, many=True)

    async def handle(self, handler: Coroutine[Any, Any, T]) -> T:
        return cast(T, await _handled(handler))

    def savepoint(self) -> PostgresSavepoint:
        return PostgresSavepoint(self)


class PostgresSavepoint:
    """A savepoint of a unit that uses its own tables (vas.unit.Savepoint)."""

    def __init__(self, view: View) -> None:
        self._view = view
        view.before.append("SAVEPOINT unit")
        view.undoable = True

    def release(self) -> None:
        self._view.before.append("RELEASE unit")
        self._view.undoable = False

    def rollback(self) -> None:
        self._view.before += ["ROLLBACK TO unit", "RELEASE unit"]
        self._view.undoable = False


@coroutine
def _handled(handler: Coroutine[Any, Any, object]) -> Generator[Wanted, Any, object]:
    """A handler's result; raises ForeignAwait in the place where it was called if it awaits anything else."""
    proceed = _sending(handler, None)
    while True:
        try:
            wanted = proceed()
        except StopIteration as stop:
            return stop.value
        except RuntimeError as error:
            if "no running event loop" in str(error):
                raise ForeignAwait from error
            raise
        if not isinstance(wanted, Wanted):
            handler.close()
            raise ForeignAwait
        try:
            answer = yield wanted
        except GeneratorExit:
            handler.close()
            raise
        except BaseException as error:
            proceed = _throwing(handler, error)
        else:
            proceed = _sending(handler, answer)


def _sending(handler: Coroutine[Any, Any, object], answer: object) -> Callable[[], object]:
    return lambda: handler.send(answer)


def _throwing(handler: Coroutine[Any, Any, object], error: BaseException) -> Callable[[], object]:
    return lambda: handler.throw(error)
