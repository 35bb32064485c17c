"""In what company the works of a batch are tried again, when it cannot be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from vas.errors import StoreError
from vas.store.postgres_attempts import Lost, Spoiled, Touched, attempts


class Engine:
    """Keeps numbers in place of works; some of them cannot be written."""

    def __init__(self, spoils: Sequence[int] = (), *, loses: int = 0, down_after: int = 1_000) -> None:
        self._spoils = spoils
        self._loses = loses
        self._down_after = down_after
        self.tried: list[list[int]] = []
        self.kept: list[int] = []

    async def transaction(self, works: Sequence[Any], locked: Touched) -> list[Exception | None]:
        self.tried.append(list(works))
        if len(self.tried) > self._down_after:
            raise StoreError("down")
        if len(works) > 1 and self._loses:
            self._loses -= 1
            raise Lost(Touched())
        if any(work in self._spoils for work in works):
            raise Spoiled from ValueError("too large")
        self.kept += works
        return [None] * len(works)

    async def commit(self, count: int) -> list[Exception | None]:
        return await attempts(list(range(count)), self.transaction)  # type: ignore[arg-type]


@pytest.mark.parametrize("spoils", [[0], [3], [256], [499], [0, 499], [7, 8, 9], range(500), range(0, 500, 2)])
async def test_those_that_spoil_a_batch_fail_and_all_others_are_kept_in_their_order(spoils: Sequence[int]) -> None:
    engine = Engine(spoils)
    outcomes = await engine.commit(500)
    assert [at for at, outcome in enumerate(outcomes) if isinstance(outcome, ValueError)] == list(spoils)
    assert engine.kept == [work for work in range(500) if work not in spoils]
    assert [outcome for outcome in outcomes if outcome is not None and not isinstance(outcome, ValueError)] == []


@pytest.mark.parametrize("at", [0, 250, 499])
async def test_one_that_spoils_a_batch_of_500_costs_few_transactions(at: int) -> None:
    engine = Engine([at])
    await engine.commit(500)
    assert len(engine.tried) <= 1 + 2 * 9


async def test_where_other_nodes_were_quicker_twice_each_work_is_tried_alone() -> None:
    engine = Engine(loses=2)
    assert await engine.commit(4) == [None] * 4
    assert engine.tried == [[0, 1, 2, 3]] * 2 + [[0], [1], [2], [3]]


async def test_an_engine_that_fails_halfway_takes_nothing_back_of_what_is_kept() -> None:
    engine = Engine([3], down_after=2)
    outcomes = await engine.commit(4)
    assert engine.kept == [0, 1]
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), StoreError, StoreError]


async def test_an_engine_that_fails_at_once_says_so_for_the_whole_batch() -> None:
    with pytest.raises(StoreError):
        await Engine(down_after=0).commit(4)
