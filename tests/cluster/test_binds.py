"""Leases and connections: which is first, and what happens when the database is not there in between."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta

import pytest

from tests.cluster.asking import until
from tests.cluster.conftest import Join
from tests.postgres import Databases
from vas.cluster import store
from vas.cluster.binds import Binds
from vas.cluster.membership import Look, Membership

LONG = timedelta(seconds=30)
"""A lease that does not run out while a test looks into the database past the nodes."""


class Gateway:
    """Told what to connect; notes which places of `main` had a lease of this node's at that time."""

    def __init__(self, databases: Databases, database: str, binds: int = 2) -> None:
        self.agreed = {"main": binds}
        self.member: Membership
        self.told: list[tuple[set[int], set[int]]] = []
        self.fails = 0
        self._databases = databases
        self._database = database

    def binds_agreed(self) -> dict[str, int]:
        return self.agreed

    async def share(self, name: str, places: Collection[int]) -> None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("no socket left")
        self.told.append((set(places), await asyncio.to_thread(self._leased)))

    def _leased(self) -> set[int]:
        query = f"SELECT place FROM bind_lease WHERE account = 'main' AND node = {self.member.id}"  # noqa: S608
        return set(map(int, self._databases.sql(query, database=self._database).split()))

    @property
    def last(self) -> set[int] | None:
        return self.told[-1][0] if self.told else None


@pytest.fixture
def gateway(databases: Databases, database: str) -> Gateway:
    return Gateway(databases, database)


async def begun(member: Membership, gateway: Gateway) -> Binds:
    gateway.member = member
    binds = Binds(member, gateway)
    await binds.begin()
    return binds


async def test_a_lease_is_there_before_the_connection_and_after_it(join: Join, gateway: Gateway) -> None:
    one = await join("one", LONG)
    binds = await begun(one, gateway)
    await until(lambda: gateway.last == {0, 1})
    await binds.leave(5.0)
    assert gateway.told == [({0, 1}, {0, 1}), (set(), {0, 1})]
    assert await asyncio.to_thread(gateway._leased) == set()
    await binds.stop()


async def test_what_another_node_has_is_not_connected(join: Join, gateway: Gateway) -> None:
    one, two = await join("one", LONG), await join("two", LONG)
    assert await store.take(two.line, two.id, "main", [0]) == [0]
    binds = await begun(one, gateway)
    await until(lambda: gateway.last == {1})
    await store.release(two.line, two.id, "main", [0])
    await until(lambda: gateway.last == {0, 1})
    await binds.stop()


async def test_what_another_node_took_since_the_last_look_is_not_connected(join: Join, gateway: Gateway) -> None:
    one, two = await join("one", LONG), await join("two", LONG)
    gateway.agreed = {}
    binds = await begun(one, gateway)
    before = Look([node for node in await store.nodes(one.line) if node.id == one.id], {})
    await store.take(two.line, two.id, "main", [0])
    gateway.agreed = {"main": 2}
    binds._looked(before)
    await until(lambda: gateway.told)
    assert gateway.told[0][0] == {1}
    await binds.stop()


async def test_places_that_are_no_longer_wanted_are_given_back(join: Join, gateway: Gateway) -> None:
    one = await join("one", LONG)
    binds = await begun(one, gateway)
    await until(lambda: gateway.last == {0, 1})
    gateway.agreed = {"main": 1}
    one.look_now()
    await until(lambda: gateway._leased() == {0})
    gateway.agreed = {}
    one.look_now()
    await until(lambda: gateway._leased() == set())
    await binds.stop()


async def test_a_lease_that_was_taken_away_is_no_longer_connected(
    join: Join, gateway: Gateway, databases: Databases, database: str
) -> None:
    one, two = await join("one", LONG), await join("two", LONG)
    binds = await begun(one, gateway)
    await until(lambda: gateway.last == {0, 1})
    databases.sql(f"UPDATE bind_lease SET node = {two.id} WHERE place = 0", database=database)  # noqa: S608
    one.look_now()
    await until(lambda: gateway.last == {1})
    await binds.stop()


async def test_a_gateway_that_fails_is_told_again(join: Join, gateway: Gateway) -> None:
    gateway.fails = 2
    binds = await begun(await join("one", LONG), gateway)
    await until(lambda: gateway.last == {0, 1})
    await binds.stop()


async def test_leaving_takes_no_longer_than_it_may(join: Join, gateway: Gateway) -> None:
    one = await join("one", LONG)
    binds = await begun(one, gateway)
    await until(lambda: gateway.last == {0, 1})
    gateway.fails = 1_000
    await asyncio.wait_for(binds.leave(0.2), 5.0)
    await binds.stop()


async def test_what_a_node_has_is_shown(join: Join, gateway: Gateway) -> None:
    one = await join("one", LONG)
    gateway.agreed = {"main": 2, "bulk": 0}
    binds = await begun(one, gateway)
    leased = one.metrics.binds_leased
    await until(lambda: leased.labels("main")._value.get() == 2)
    assert leased.labels("bulk")._value.get() == 0
    assert one.metrics.nodes_alive._value.get() == 1
    await binds.stop()
