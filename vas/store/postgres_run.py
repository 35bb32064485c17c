"""One work of a batch on the shared engine, on its way: what it waits for, what it was told, how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vas.errors import ForeignAwait
from vas.store.postgres_attempts import Spoiled
from vas.store.postgres_view import Look, Statement, View, Wanted
from vas.store.protocol import Work

if TYPE_CHECKING:
    from vas.store.postgres_batch import PostgresBatch


class Run:
    """One work on its way."""

    def __init__(self, work: Work, batch: PostgresBatch) -> None:
        self._work = work
        self._batch = batch
        self._coroutine: Coroutine[Any, Any, None] | None = None
        self._since_s = 0.0
        self._answered: list[tuple[Statement, list[Any]]] = []
        """What it has been told before its turn."""
        self.begin()

    def begin(self) -> None:
        """From the start, with an empty buffer."""
        self.close()
        self.view = View(self._batch)
        self.wanted: Wanted | None = None
        self.error: Exception | None = None
        self.executed = bool(self._answered)
        self._told_again = 0
        self._coroutine = self._work.run(self.view)

    def proceed(self, answer: object = None, error: Exception | None = None) -> None:
        """Until it waits for something, or ends."""
        if isinstance(self.wanted, Look):
            self.waits_no_more()
        self.wanted = None
        coroutine = self._coroutine
        assert coroutine is not None
        try:
            wanted = coroutine.send(answer) if error is None else coroutine.throw(error)
        except StopIteration:
            return
        except Exception as raised:
            self.error = ForeignAwait() if "no running event loop" in str(raised) else raised
            return
        if isinstance(wanted, Wanted):
            self.wanted, self._since_s = wanted, time.perf_counter()
        else:
            coroutine.close()
            self.error = ForeignAwait()

    @property
    def waits_with_others(self) -> bool:
        return isinstance(self.wanted, Look) or (isinstance(self.wanted, Statement) and self.wanted.together)

    def answered(self, rows: list[Any]) -> None:
        """What it waits for has been done, and cannot be done again."""
        assert isinstance(self.wanted, Statement)
        self.waits_no_more()
        self.executed = True
        self._answered.append((self.wanted, rows))
        self._told_again = len(self._answered)

    def answered_before(self) -> list[Any] | None:
        """What it was told in the run before this one; raises Spoiled if it now asks for something else."""
        if self._told_again == len(self._answered):
            return None
        before, rows = self._answered[self._told_again]
        self._told_again += 1
        assert isinstance(self.wanted, Statement)
        if (self.wanted.text, self.wanted.params) != (before.text, before.params):
            raise Spoiled(f"{type(self._work).__name__} asked for something else when it ran again")
        return rows

    def ended(self) -> None:
        """Raises Spoiled if it has not asked again for all that has been done for it."""
        if self._told_again < len(self._answered):
            raise Spoiled(f"{type(self._work).__name__} asked for less when it ran again")

    def waits_no_more(self) -> None:
        """What follows takes its own time, as a statement of its own does."""
        self.view.waited_s += time.perf_counter() - self._since_s

    def close(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()


@contextmanager
def apart() -> Iterator[None]:
    """Without the event loop, as in a writer thread: what a work must not await it cannot even begin."""
    loop = asyncio.get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)
