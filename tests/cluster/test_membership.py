"""Who lives: joining, leases, giving up, coming back."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import bindparam, select

from tests.cluster.asking import die, until
from tests.cluster.conftest import LEASE, Join
from tests.postgres import Databases
from vas.cluster import store
from vas.cluster.line import Line
from vas.cluster.membership import Look, Membership
from vas.errors import StoreError, StoreUnusable
from vas.store import schema
from vas.store.sql import POSTGRES, compiled

_ID = schema.node.c.id
FENCE = compiled(select(_ID).where(bindparam("given_id") == _ID).with_for_update(read=True, key_share=True), POSTGRES)
"""As every batch begins."""


def _looks(member: Membership) -> list[Look]:
    looks: list[Look] = []
    member.looked = looks.append
    member.look_now()
    return looks


def _seen_by(looks: list[Look]) -> set[str]:
    return {node.name for node in looks[-1].nodes} if looks else set()


async def test_nodes_see_one_another_come_and_go(join: Join) -> None:
    one = await join("one")
    looks = _looks(one)
    two = await join("two")
    await until(lambda: _seen_by(looks) == {"one", "two"})
    await two.leave()
    await until(lambda: _seen_by(looks) == {"one"}, 5.0)


async def test_each_node_has_a_number_of_its_own_and_one_that_was_freed_is_the_last_to_be_used_again(
    join: Join,
) -> None:
    members = [await join(name) for name in ("one", "two", "three")]
    assert [member.number for member in members] == [0, 1, 2]
    await members[1].leave()
    assert (await join("four")).number == 3
    assert len({member.id for member in members}) == 3


async def test_a_living_node_of_the_same_name_keeps_a_second_one_from_joining(join: Join) -> None:
    await join("one")
    with pytest.raises(StoreUnusable, match=r"'one' lives, at 127\.0\.0\.1:8080: stop it, or .* vas run --node NAME"):
        await join("one")


async def test_the_lease_of_a_run_that_did_not_leave_is_waited_out(join: Join) -> None:
    dead = await join("one")
    await die(dead)
    began = time.monotonic()
    again = await join("one")
    assert again.holds()
    assert again.id != dead.id
    assert LEASE.total_seconds() / 4 < time.monotonic() - began < LEASE.total_seconds() + 1.5


async def test_a_node_that_is_no_longer_renewed_is_given_up_by_the_others(join: Join) -> None:
    one, two = await join("one"), await join("two")
    looks = _looks(one)
    await store.take(two.line, two.id, "main", [0])
    await until(lambda: looks and looks[-1].leases)
    await die(two)
    await until(lambda: _seen_by(looks) == {"one"}, LEASE.total_seconds() + 3.5)
    assert looks[-1].leases == {}
    assert one.metrics.given_up._value.get() == 1
    assert not two.holds()


async def test_who_is_given_up_learns_of_it_and_holds_nothing(join: Join, databases: Databases, database: str) -> None:
    one, lost = await join("one"), asyncio.Event()
    one.lost = lost.set
    databases.sql("DELETE FROM node", database=database)
    await asyncio.wait_for(lost.wait(), LEASE.total_seconds())
    assert not one.holds()


async def test_nobody_holds_anything_before_joining_and_after_leaving(url: str) -> None:
    member = Membership(url, "one", LEASE, address="", version="")
    assert not member.holds()
    await member.join()
    assert member.holds()
    await member.leave()
    assert not member.holds()


async def test_a_node_stops_before_the_others_may_go_on(join: Join, databases: Databases, database: str) -> None:
    one = await join("one", timedelta(minutes=1))
    [(until_ms, now_ms)] = [
        tuple(map(float, row.split("|")))
        for row in databases.sql(
            "SELECT until_ms, extract(epoch from clock_timestamp()) * 1000 FROM node", database=database
        ).splitlines()
    ]
    assert one._held_until_s - time.monotonic() < (until_ms - now_ms) / 1000 - 5


async def test_a_node_that_was_stopped_and_woke_up_holds_nothing_before_it_was_renewed(url: str) -> None:
    now_s = 0.0
    member = Membership(url, "one", LEASE, address="", version="", clock_s=lambda: now_s)
    await member.join()
    assert member.holds()
    now_s = LEASE.total_seconds()
    assert not member.holds()
    await until(member.holds)
    await member.leave()


async def test_a_node_whose_row_still_stands_after_an_outage_goes_on(
    join: Join, databases: Databases, database: str
) -> None:
    one = await join("one")
    id_, lost = one.id, asyncio.Event()
    one.lost = lost.set
    databases.sql(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
    databases.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")  # noqa: S608
    await until(lambda: not one.holds())
    databases.sql(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')
    await until(one.holds)
    assert (one.id, lost.is_set()) == (id_, False)


async def test_who_has_the_database_again_first_does_not_give_up_the_others(join: Join) -> None:
    one, two = await join("one"), await join("two")
    looks = _looks(one)
    for name in ("one", "two"):
        await store.drain(one.line, name, False)
    await die(two)
    one._in_touch_since_s = float("inf")
    await until(lambda: looks and any(node.left_ms < 0 for node in looks[-1].nodes))
    assert _seen_by(looks) == {"one", "two"}
    assert looks[-1].taking_part == [one.id]
    one._in_touch_since_s = 0.0
    await until(lambda: _seen_by(looks) == {"one"})


async def test_what_a_node_is_committing_is_waited_for_before_it_is_given_up(
    join: Join, databases: Databases, database: str
) -> None:
    one, two = await join("one"), await join("two")
    looks = _looks(one)
    await die(two)
    batch = Line(databases.url(database), "a batch", 30.0)
    async with batch.transaction() as ask:
        await ask(FENCE, given_id=two.id)
        await asyncio.sleep(2 * LEASE.total_seconds())
        assert await asyncio.to_thread(databases.sql, "SELECT count(*) FROM node", database=database) == "2"
        assert one.holds()
    await batch.close()
    await until(lambda: _seen_by(looks) == {"one"})


async def test_a_node_takes_no_part_before_it_says_so_and_none_while_it_drains(join: Join) -> None:
    one = await join("one")
    looks = _looks(one)
    await until(lambda: looks)
    assert looks[-1].taking_part == []
    for draining, part in ((False, [one.id]), (True, [])):
        assert await store.drain(one.line, "one", draining)
        await until(lambda part=part: looks[-1].taking_part == part)
    assert not await store.drain(one.line, "two", True)


async def test_a_place_is_had_by_one_node_alone(join: Join) -> None:
    one, two = await join("one"), await join("two")
    taken = await asyncio.gather(*(store.take(it.line, it.id, "main", [0, 1]) for it in (one, two)))
    assert sorted(taken[0] + taken[1]) == [0, 1]
    await store.release(one.line, one.id, "main", [0, 1])
    await store.release(two.line, one.id, "main", [0, 1])
    held = await store.leases(one.line)
    assert set(held.values()) <= {two.id}
    assert len(held) == len(taken[1])


async def test_who_was_given_up_takes_nothing(join: Join, databases: Databases, database: str) -> None:
    one = await join("one", timedelta(minutes=1))
    databases.sql("DELETE FROM node", database=database)
    assert await store.take(one.line, one.id, "main", [0]) == []


FAREWELL = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
"""The fields of an ErrorResponse, as pg_terminate_backend has the server send it."""


async def test_a_lease_is_renewed_again_after_a_farewell_whose_end_of_the_connection_was_not_read_yet(
    join: Join,
) -> None:
    one = await join("one")
    await until(lambda: one._renewals._connection is not None)
    connection, held_until_s = one._renewals._connection, one._held_until_s
    assert connection is not None
    connection._protocol.data_received(b"E" + (len(FAREWELL) + 4).to_bytes(4) + FAREWELL)
    assert not connection.is_closed()
    await until(lambda: one._renewals._connection not in (None, connection))
    await until(lambda: one._held_until_s > held_until_s)
    assert connection.is_closed()


async def test_a_connection_that_ends_between_two_answers_is_broken_like_any_other(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = asyncpg.Connection._get_statement

    async def terminated(self: asyncpg.Connection[Any], *args: Any, **options: Any) -> Any:
        statement = await prepared(self, *args, **options)
        self.terminate()
        return statement

    line = Line(url, "vas", LEASE.total_seconds())
    with monkeypatch.context() as patched:
        patched.setattr(asyncpg.Connection, "_get_statement", terminated)
        with pytest.raises(StoreError):
            await store.nodes(line)
    assert await store.nodes(line) == []
    await line.close()
