"""Two nodes on one database: whoever is quicker, nothing of either is lost or done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.engines import Engine
from tests.store.works import (
    LAN,
    MAI,
    PEOPLE,
    Does,
    Ends,
    Member,
    Once,
    Purse,
    Turn,
    execute,
    note,
    purses,
    raises_nothing,
    shared_store,
    waits_for_a_lock,
)
from vas.errors import Fenced
from vas.store.postgres import PostgresStore
from vas.unit import Unit

pytestmark = pytest.mark.only_on("postgres", "nodes that share a database")


@pytest.fixture
def url(engine: Engine, tmp_path: Path) -> str:
    return engine.url(tmp_path)


@pytest.fixture
async def other(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A session past both stores."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.fixture
async def nodes(
    url: str, other: asyncpg.Connection[asyncpg.Record]
) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    members = Member("one", 11, 1), Member("two", 12, 2)
    for member in members:
        await other.execute(
            "INSERT INTO node (id, name, number, address, version, started_ms, until_ms) "
            "VALUES ($1, $2, $3, '', '', 0, $4)",
            member.id, member.name, member.number, 1 << 60,
        )  # fmt: skip
    one, two = (shared_store(url, member) for member in members)
    await one.open()
    await two.open()
    yield one, two
    await one.close()
    await two.close()


Nodes = tuple[PostgresStore, PostgresStore]


async def test_no_update_of_either_is_lost_and_each_is_done_once(nodes: Nodes) -> None:
    rounds, each = 15, 12

    async def load(store: PostgresStore, name: str) -> None:
        for number in range(rounds):
            # In another order at each node, so that they meet in the middle.
            people = PEOPLE if name == "one" else PEOPLE[::-1]
            works = [note(people[(number + index) % 4], f"{name} {number} {index}") for index in range(each)]
            await raises_nothing(store.commit(works))

    await asyncio.gather(load(nodes[0], "one"), load(nodes[1], "two"))
    kept = await purses(nodes[0])
    notes = [note for purse in kept.values() for note in purse.notes]
    assert len(notes) == len(set(notes)) == sum(purse.spent for purse in kept.values()) == 2 * rounds * each


async def test_each_command_runs_where_it_came_in_and_its_node_sees_the_others_work(nodes: Nodes) -> None:
    one, two = nodes
    for number in range(6):
        await raises_nothing((one, two)[number % 2].commit([note(LAN, str(number))]))
    assert (await purses(two))[LAN.digits].notes == tuple(map(str, range(6)))


async def test_who_is_later_runs_again_over_what_the_quicker_one_wrote(
    nodes: Nodes, other: asyncpg.Connection[asyncpg.Record]
) -> None:
    one, two = nodes
    await raises_nothing(one.commit([note(LAN, "0")]))
    work = note(LAN, "late")
    async with other.transaction():
        # The quicker one is in the middle of its COMMIT.
        await other.execute("UPDATE state SET version = version + 1, value = $1", b'{"spent":50}')
        late = asyncio.ensure_future(two.commit([work, note(MAI, "neighbour")]))
        await waits_for_a_lock(other)
    await raises_nothing(late)
    assert (await purses(one), work.runs) == (
        {LAN.digits: Purse(51, ("late",)), MAI.digits: Purse(1, ("neighbour",))},
        2,
    )


async def test_a_document_that_both_make_is_made_once_and_has_both_in_it(nodes: Nodes) -> None:
    for person in PEOPLE:
        await asyncio.gather(*(raises_nothing(store.commit([note(person, "new")])) for store in nodes))
    assert await purses(nodes[0]) == {person.digits: Purse(2, ("new", "new")) for person in PEOPLE}


async def test_copies_of_a_command_at_both_at_once_run_once(nodes: Nodes) -> None:
    for number in range(20):
        key = f"copy {number}".encode()
        copies = [Once(key, session, number, LAN) for session in (1, 2)]
        await asyncio.gather(*(raises_nothing(store.commit([copy])) for store, copy in zip(nodes, copies, strict=True)))
        assert sorted(copy.copies for copy in copies) == [0, 1]
    assert (await purses(nodes[0]))[LAN.digits].spent == 20


async def test_of_two_copies_of_an_answered_command_the_second_is_judged_by_the_first(nodes: Nodes) -> None:
    """Each finds what was there before; only one may put its own answer in that place without having seen the other."""
    for number in range(20):
        key = f"copy {number}".encode()
        await raises_nothing(nodes[0].commit([Once(key, 1, number, LAN)]))
        copies = [Once(key, session, number, LAN) for session in (2, 3)]
        await asyncio.gather(*(raises_nothing(store.commit([copy])) for store, copy in zip(nodes, copies, strict=True)))
        found = {copy.seen.session: copy.found for copy in copies}
        assert sorted(found.values()) in ([1, 2], [1, 3])
        [(last,)] = await nodes[0].read("SELECT session FROM seen WHERE key = ?", (key,))
        assert found[last] != 1 or found[5 - last] != last


async def test_no_turn_of_a_talk_is_lost(nodes: Nodes) -> None:
    async def load(store: PostgresStore, name: str) -> None:
        for _ in range(15):
            await raises_nothing(store.commit([Turn(LAN, name)]))

    await asyncio.gather(load(nodes[0], "1"), load(nodes[1], "2"))
    [(journal,)] = await nodes[0].read("SELECT journal FROM talk")
    assert sorted(journal.decode()) == ["1"] * 15 + ["2"] * 15


async def test_a_talk_that_the_other_node_has_carried_on_is_not_ended_unseen(nodes: Nodes) -> None:
    await raises_nothing(nodes[0].commit([Turn(LAN, "1")]))
    await asyncio.gather(
        raises_nothing(nodes[0].commit([Turn(LAN, "2"), Turn(LAN, "3")])), raises_nothing(nodes[1].commit([Ends(LAN)]))
    )
    # One after the other, in either order: it is over, or it was begun anew.
    assert await nodes[0].read("SELECT journal FROM talk") in ([], [(b"23",)])


async def test_two_that_wait_for_each_other_both_succeed(
    nodes: Nodes, url: str, other: asyncpg.Connection[asyncpg.Record]
) -> None:
    await other.execute("CREATE TABLE toy_place (name text PRIMARY KEY, taken integer)")
    await other.execute("INSERT INTO toy_place VALUES ('a', 0), ('b', 0)")

    def take(name: str) -> Does:
        return execute("UPDATE toy_place SET taken = taken + 1 WHERE name = ?", name)

    for _ in range(3):
        await asyncio.gather(
            raises_nothing(nodes[0].commit([take("a"), pause(), take("b")])),
            raises_nothing(nodes[1].commit([take("b"), pause(), take("a")])),
        )
    assert [tuple(row) for row in await other.fetch("SELECT * FROM toy_place ORDER BY name")] == [("a", 6), ("b", 6)]


def pause() -> Does:
    return execute("SELECT pg_sleep(0.05)")


# -- given up


async def test_a_node_that_was_given_up_writes_nothing(nodes: Nodes, other: asyncpg.Connection[asyncpg.Record]) -> None:
    await raises_nothing(nodes[0].commit([note(LAN, "1")]))
    await other.execute("DELETE FROM node WHERE name = 'one'")
    for works in ([note(LAN, "2")], [note(LAN, "3"), note(MAI, "4")]):
        with pytest.raises(Fenced):
            await nodes[0].commit(works)
    await raises_nothing(nodes[1].commit([note(LAN, "5")]))
    assert await purses(nodes[1]) == {LAN.digits: Purse(2, ("1", "5"))}


async def test_it_is_given_up_only_after_the_batch_that_it_is_in_the_middle_of(
    nodes: Nodes, other: asyncpg.Connection[asyncpg.Record]
) -> None:
    began = asyncio.Event()

    async def slow(unit: Unit) -> None:
        await unit.execute("SELECT 1")
        began.set()

    async def give_up() -> int:
        await began.wait()
        await other.execute("DELETE FROM node WHERE name = 'one'")
        return int(await other.fetchval("SELECT count(*) FROM state"))

    giving_up = asyncio.create_task(give_up())
    await raises_nothing(nodes[0].commit([Does(slow), pause(), note(LAN, "1")]))
    assert await giving_up == 1
    with pytest.raises(Fenced):
        await nodes[0].commit([note(LAN, "2")])


async def test_one_that_has_joined_anew_works_under_its_new_id_and_number(
    nodes: Nodes, other: asyncpg.Connection[asyncpg.Record]
) -> None:
    one = nodes[0]
    await other.execute("DELETE FROM node WHERE name = 'one'")
    with pytest.raises(Fenced):
        await one.commit([note(LAN, "1")])
    before = one.new_id()
    member = one._member
    member.id, member.number = 13, 5
    await other.execute("INSERT INTO node SELECT 13, 'one', 5, '', '', 0, until_ms FROM node")
    await raises_nothing(one.commit([note(LAN, "2")]))
    after = one.new_id()
    assert (before >> 14 & 255, after >> 14 & 255, after > before) == (1, 5, True)


# -- what they tell each other


async def test_hints_reach_the_other_node_once_they_are_committed(nodes: Nodes) -> None:
    one, two = nodes
    heard: tuple[list[str], list[str]] = [], []
    one.on_hint, two.on_hint = heard[0].append, heard[1].append

    class Tells:
        async def run(self, batch: object) -> None:
            batch.hints.add("outbox")  # type: ignore[attr-defined]

    async def fails(unit: Unit) -> None:
        unit.batch.hints.add("jobs")
        raise KeyError

    await one.commit([Tells(), Tells(), Does(fails)])
    await two.commit([Does(fails)])
    async with asyncio.timeout(10):
        while not heard[1]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert heard == ([], ["outbox"])
