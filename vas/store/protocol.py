"""What an engine is to the rest: batches of work, each one transaction.

The units that run in a batch see it as `vas.unit.Batch`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from vas.store.partitions import Tended
from vas.store.statements import Statements
from vas.unit import Batch


class Work(Protocol):
    """Something that runs inside a batch's transaction and is told how the batch ended."""

    def run(self, batch: Batch) -> Coroutine[Any, Any, None]:
        """Awaits only the batch, directly or through a context. May be run again if the batch failed.

        If it raises StoreError, nothing of the whole batch is written.
        """


class Task(Work, Protocol):
    """A work that is told in the event loop how its batch ended."""

    def committed(self) -> None:
        """What it wrote is durable."""

    def lost(self, error: Exception) -> None:
        """Nothing was written: the engine failed, or the work itself raised."""


Submit = Callable[[Task], None]
"""Puts a work into the next batch."""


class Outage(NamedTuple):
    """The store is known not to be there."""

    since_s: float
    """When that was found, by time.monotonic()."""
    why: str
    """For people: what is wrong, and what to do about it if anything."""


class Store(Protocol):
    """An engine. All writes go through `commit`."""

    outage: Outage | None
    """None: as far as is known it is there. Else `commit` and `read` raise StoreError at once, and the engine tries to
    reach it again by itself until it has succeeded."""
    revived: tuple[int, int] | None
    """First and last id of a batch that was refused and is there after all; whoever loads it, before the next batch,
    sets None."""
    hash_key: bytes
    """With which the hashes of `seen` are keyed; made with the database."""
    shared: bool
    """Whether other nodes may work on the same database."""
    on_hint: Callable[[str], None]
    """Called in the event loop with what a node that shares the database has told: it may be lost, doubled or late.

    `outbox`: messages wait that are nobody's; `jobs`: some are due; `ask ID`: is session ID's peer alive, and what is
    confirmed.
    """

    @property
    def sql(self) -> Statements:
        """In the engine's dialect."""

    def new_id(self) -> int:
        """Rising, and nobody else's."""

    async def open(self) -> None:
        """Raises StoreUnusable with what a person must do."""

    async def close(self) -> None: ...

    async def commit(self, works: Sequence[Work]) -> list[Exception | None]:
        """Run them in order in one transaction, durable when this returns; what each raised, if it did.

        A work that raises leaves nothing. Raises StoreError if nothing at all was committed.
        """

    async def read(self, text: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """A query on a connection of its own, which never delays a command."""

    async def tend(self, keep: timedelta) -> Tended | None:
        """What its logs need each hour, so that they never fill up; nothing in them that is younger than this goes.

        None: this engine's need nothing, and what is old is deleted from them row by row.
        """

    async def backup(self, path: Path) -> None:
        """A consistent copy while running."""
