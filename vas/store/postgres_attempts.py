"""How often a batch is tried, and in what company.

Together; where other nodes were quicker, together with locks, then each work alone. Where one work spoils it, its two
halves, one after the other, and so on down to that work: the others are done in a few transactions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple

from vas.errors import StoreError
from vas.store.protocol import Work
from vas.unit import DocumentKey

ALONE = 8
"""Tries of one work, of which all but the first have its rows locked."""


class Touched(NamedTuple):
    """What a batch has looked at or made: other nodes are kept from it while the batch runs again."""

    documents: Collection[DocumentKey] = ()
    talks: Collection[str] = ()
    """Whose."""


Transaction = Callable[[Sequence[Work], Touched], Awaitable[list[Exception | None]]]
"""Runs works in one transaction that locks these rows first; raises Lost, Spoiled or StoreError."""


class Lost(Exception):
    """Another node has written what a batch has read, or each waited for the other."""

    def __init__(self, touched: Touched) -> None:
        super().__init__("other nodes were quicker")
        self.touched = touched


class Spoiled(Exception):
    """Something of a work cannot be written; its cause says what. It can be undone only with the whole batch."""


async def attempts(works: Sequence[Work], transaction: Transaction) -> list[Exception | None]:
    """What each work raised, if it did; raises StoreError if nothing was committed."""
    if len(works) < 2:
        return [await _alone(work, transaction) for work in works]
    try:
        return await _twice(works, transaction)
    except Lost:
        parts = [[work] for work in works]
    except Spoiled:
        middle = len(works) // 2
        parts = [[*works[:middle]], [*works[middle:]]]
    return [outcome for part in parts for outcome in await _outcomes(part, transaction)]


async def _twice(works: Sequence[Work], transaction: Transaction) -> list[Exception | None]:
    try:
        return await transaction(works, Touched())
    except Lost as lost:
        return await transaction(works, lost.touched)


async def _outcomes(works: Sequence[Work], transaction: Transaction) -> list[Exception | None]:
    """That the engine fails now says nothing of the works before these."""
    try:
        return await attempts(works, transaction)
    except StoreError as error:
        return [error] * len(works)


async def _alone(work: Work, transaction: Transaction) -> Exception | None:
    touched = Touched()
    for _ in range(ALONE):
        try:
            return (await transaction([work], touched))[0]
        except Lost as lost:
            touched = lost.touched
        except Spoiled as spoiled:
            return spoiled.__cause__ if isinstance(spoiled.__cause__, Exception) else spoiled
    return StoreError(f"other nodes were quicker {ALONE} times")
