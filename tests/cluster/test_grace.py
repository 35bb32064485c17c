"""When links are let go and taken up again, by a store of a few lines and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from vas.cluster.grace import TRY_EVERY_S, Grace, Trial
from vas.errors import Fenced, StoreError
from vas.metrics import Metrics
from vas.store.protocol import Outage, Store, Task

GRACE_S = 60.0
FULL = StoreError("the disk is full")


class Links:
    """What was done to the links, in order; `moved` holds up each step."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.moved: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)

    async def let_go(self, why: str) -> None:
        self.done.append(why)
        await self.moved()

    async def take_up(self) -> None:
        self.done.append("taken up")
        await self.moved()


class World:
    """A grace, and all that it touches."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.outage: Outage | None = None
        self.works: list[Task] = []
        self.links = Links()
        self.metrics = Metrics(CollectorRegistry())
        self.grace = Grace(
            cast(Store, self), self.works.append, lambda: self.links, self.metrics, timedelta(seconds=GRACE_S),
            clock_s=lambda: self.now_s,
        )  # fmt: skip

    def passes(self, seconds: float) -> None:
        """Time, and a tick at the end of it."""
        self.now_s += seconds
        self.grace.tick()

    def trial(self) -> Task:
        """The one trial that is under way."""
        (work,) = self.works
        assert isinstance(work, Trial)
        self.works.clear()
        return work

    def trial_fails(self) -> None:
        self.grace.failed(FULL)
        self.trial().lost(FULL)

    def value(self, name: str) -> float:
        found = self.metrics.registry.get_sample_value(name)
        assert found is not None
        return found


@pytest.fixture
def world() -> World:
    return World()


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_links_stay_for_as_long_as_is_agreed_and_are_then_let_go_with_the_reason(world: World) -> None:
    world.grace.failed(FULL)
    world.passes(GRACE_S - 0.1)
    await settled()
    assert world.links.done == []
    world.passes(0.1)
    await settled()
    assert world.links.done == ["unbound until the store is back: the disk is full"]


async def test_the_time_begins_when_the_engine_found_that_the_store_was_gone(world: World) -> None:
    world.outage = Outage(world.now_s, "connection refused")
    world.passes(GRACE_S)
    await settled()
    assert world.links.done == ["unbound until the store is back: connection refused"]


async def test_links_come_back_with_the_first_batch_that_is_written(world: World) -> None:
    world.grace.failed(FULL)
    world.passes(GRACE_S)
    await settled()
    world.grace.committed()
    await settled()
    assert world.links.done[1:] == ["taken up"]
    world.passes(GRACE_S)
    await settled()
    assert len(world.links.done) == 2


async def test_links_that_were_not_let_go_are_left_alone(world: World) -> None:
    world.grace.failed(FULL)
    world.passes(GRACE_S / 2)
    world.grace.committed()
    world.passes(GRACE_S)
    await settled()
    assert world.links.done == []


async def test_a_store_that_is_back_while_links_leave_takes_them_up_when_they_have_left(world: World) -> None:
    left = asyncio.Event()
    world.links.moved = lambda: cast(Any, left.wait())
    world.grace.failed(FULL)
    world.passes(GRACE_S)
    await settled()
    world.grace.committed()
    await settled()
    assert len(world.links.done) == 1
    left.set()
    await settled()
    assert world.links.done[1:] == ["taken up"]


async def test_the_store_is_tried_again_while_nothing_else_is_written(world: World) -> None:
    world.grace.failed(FULL)
    world.passes(0.1)
    first = world.trial()
    world.passes(10)
    assert world.works == []
    first.lost(FULL)
    world.passes(TRY_EVERY_S)
    world.trial_fails()
    world.passes(TRY_EVERY_S / 2)
    assert world.works == []
    world.passes(TRY_EVERY_S / 2)
    world.trial()


async def test_a_store_that_is_known_not_to_be_there_is_not_tried(world: World) -> None:
    world.outage = Outage(world.now_s, "connection refused")
    world.passes(10)
    assert world.works == []
    world.outage = None
    world.passes(0.1)
    world.trial()


async def test_nothing_is_tried_while_all_is_well(world: World) -> None:
    world.passes(10)
    assert world.works == []


async def test_a_node_that_the_others_gave_up_has_a_store_all_the_same(world: World) -> None:
    world.grace.failed(Fenced())
    assert world.grace.away is None


async def test_the_log_says_once_that_it_has_gone_and_once_that_it_is_back_and_for_how_long(world: World) -> None:
    with capture_logs() as logs:
        for _ in range(5):
            world.grace.failed(FULL)
            world.passes(1)
        world.grace.committed()
        world.grace.committed()
    assert [(line["event"], line.get("error"), line.get("after_s")) for line in logs] == [
        ("store.gone", "the disk is full", None),
        ("store.back", None, 5.0),
    ]


async def test_metrics_tell_how_often_and_for_how_long(world: World) -> None:
    assert world.value("vas_store_up") == 1
    world.grace.failed(FULL)
    world.passes(2)
    assert (world.value("vas_store_up"), world.value("vas_store_down_seconds_total")) == (0, 2)
    world.now_s += 1
    world.grace.committed()
    world.passes(5)
    assert (world.value("vas_store_up"), world.value("vas_store_down_seconds_total")) == (1, 3)
    assert world.value("vas_store_outages_total") == 1


async def test_links_that_could_not_be_moved_are_taken_up_all_the_same(world: World) -> None:
    async def fails() -> None:
        raise RuntimeError

    world.links.moved = fails
    world.grace.failed(FULL)
    world.passes(GRACE_S)
    await settled()
    world.grace.committed()
    await settled()
    world.links.moved = lambda: asyncio.sleep(0)
    world.passes(0.1)
    await settled()
    world.passes(0.1)
    await settled()
    assert world.links.done[1:] == ["taken up", "taken up"]
