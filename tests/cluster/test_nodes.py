"""Whole platforms that share a database: who has which binds, and what the SMSC sees of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.cluster.asking import until
from tests.cluster.field import ANYWHERE, Field
from tests.postgres import Databases
from vas.assembly import Installation
from vas.config import load
from vas.errors import ConfigError, StoreError, StoreUnusable
from vas.node import Node

Sown = Callable[..., Awaitable[Field]]
TEN_SECONDS = 10.0


@pytest.fixture
async def field(url: str, tmp_path: Path) -> AsyncIterator[Sown]:
    """Starts an SMSC, and nodes of these names; `binds` by account."""
    fields: list[Field] = []

    async def sown(*names: str, binds: dict[str, int] | None = None, rate: float = 0) -> Field:
        fields.append(Field(url, tmp_path, binds or {"main": 4}, rate))
        await fields[-1].start(*names)
        return fields[-1]

    yield sown
    for field in fields:
        await field.stop()


@asynccontextmanager
async def watching(field: Field, look: Callable[[], object]) -> AsyncIterator[None]:
    """Look all the time."""
    task = asyncio.create_task(field.watched(look))
    try:
        yield
        assert not task.done() or task.exception() is None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_nodes_share_the_binds_and_serve_everybody(field: Sown) -> None:
    together = await field("one", "two")
    await together.settled({"one": 2, "two": 2})
    for _ in range(6):
        await together.call_me()


async def test_all_accounts_together_are_shared_evenly(field: Sown) -> None:
    together = await field("one", "two", binds={"main": 1, "bulk": 3})
    await until(lambda: together.bound_of_all() == {"one": 2, "two": 2})
    assert sum(together.bound().values()) == 1


async def test_what_a_dead_node_had_is_taken_over_within_ten_seconds(field: Sown) -> None:
    together = await field("one", "two")
    await together.settled({"one": 2, "two": 2})
    await together.kill("two")
    await together.settled({"one": 4}, within_s=TEN_SECONDS)
    await together.call_me()


async def test_a_node_that_joins_gets_its_part_within_ten_seconds(field: Sown) -> None:
    together = await field("one")
    await together.settled({"one": 4})
    await together.join("two")
    await together.settled({"one": 2, "two": 2}, within_s=TEN_SECONDS)
    await together.call_me()


async def test_a_node_that_drains_keeps_nothing_and_gets_its_part_again(field: Sown) -> None:
    together = await field("one", "two")
    await together.settled({"one": 2, "two": 2})
    nodes = together.nodes["one"]._desk().nodes
    assert await nodes.drain("two", True)
    await together.settled({"one": 4, "two": 0}, within_s=TEN_SECONDS)
    await together.call_me()
    assert [(node.name, node.draining, node.binds) for node in await nodes.all()] == [
        ("one", False, {"main": 4}), ("two", True, {}),
    ]  # fmt: skip
    await nodes.drain("two", False)
    await together.settled({"one": 2, "two": 2})


async def test_a_node_that_stops_hands_over_before_it_goes(field: Sown) -> None:
    together = await field("one", "two")
    await together.settled({"one": 2, "two": 2})
    await together.leave("two")
    assert [node.name for node in await together.nodes["one"]._desk().nodes.all()] == ["one"]
    await together.settled({"one": 4})


async def test_an_smsc_that_takes_one_bind_never_sees_two(field: Sown) -> None:
    together = await field("one", "two", "three", binds={"main": 1})
    sessions = together.simulator.smsc.sessions
    most = 0

    def look() -> None:
        nonlocal most
        most = max(most, len(sessions))

    async with watching(together, look):
        for _ in range(2):
            await until(lambda: sum(together.bound().values()) == 1)
            await together.call_me()
            [holder] = [name for name, bound in together.bound().items() if bound]
            await together.leave(holder)
        await until(lambda: sum(together.bound().values()) == 1)
    assert most == 1


async def test_all_nodes_together_never_send_faster_than_agreed(field: Sown) -> None:
    together = await field("one", rate=100)
    used: list[float] = []
    async with watching(together, lambda: used.append(together.rate_used())):
        await together.settled({"one": 4})
        await together.join("two")
        await together.join("three")
        await until(lambda: sorted(together.bound().values()) == [1, 1, 2])
        await together.leave("one")
        await together.settled({"two": 2, "three": 2})
    assert max(used) == 100
    assert together.rate_used() == 100


async def test_a_node_that_was_given_up_comes_back_as_another(field: Sown, databases: Databases, database: str) -> None:
    together = await field("one", "two")
    await together.settled({"one": 2, "two": 2})
    lost = together.nodes["two"]
    assert lost.member is not None
    before, address = lost.member.id, lost.admin_address
    # In a thread: it waits for the batch that the node is committing.
    await asyncio.to_thread(databases.sql, "DELETE FROM node WHERE name = 'two'", database=database)
    await until(lambda: lost.member is not None and lost.member.id not in (0, before) and lost.member.holds())
    await together.settled({"one": 2, "two": 2})
    assert lost.admin_address == address
    await together.call_me()


async def test_nodes_follow_settings_that_are_read_again(field: Sown) -> None:
    together = await field("one", "two", binds={"main": 4})
    await together.settled({"one": 2, "two": 2})
    together.binds = {"main": 2, "bulk": 2}
    together.write()
    for node in together.nodes.values():
        assert (await node.accounts.reload(dry_run=False)).failed == ()
    await until(lambda: together.bound_of_all() == {"one": 2, "two": 2})
    assert sum(together.bound().values()) == 2


async def test_an_order_to_an_account_is_that_nodes_own(field: Sown) -> None:
    together = await field("one", "two")
    await together.settled({"one": 2, "two": 2})
    await together.nodes["two"].accounts.order("main", "stop")
    assert together.bound() == {"one": 2, "two": 0}
    await together.call_me()
    await together.nodes["two"].accounts.order("main", "start")
    await together.settled({"one": 2, "two": 2})


async def test_a_second_node_of_a_name_does_not_start(field: Sown) -> None:
    together = await field("one")
    again = Installation(together.nodes["one"].settings, node="one", listen=ANYWHERE)
    with pytest.raises(StoreUnusable, match="'one' lives"):
        await again.start()
    await together.settled({"one": 4})


async def test_what_nodes_record_in_the_audit_has_ids_of_their_own(field: Sown) -> None:
    together = await field("one", "two")
    numbers = {node._desk().ids._node for node in together.nodes.values()} | {
        node.node.store.new_id() & (0xFF << 14) for node in together.nodes.values()
    }
    assert len(numbers) == 4


def test_a_name_for_the_only_node_of_a_sqlite_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("", "utf-8")
    with pytest.raises(ConfigError, match="--node one: a SQLite file has one node"):
        Installation(load(path, {}), node="one")


async def test_what_operations_ordered_holds_when_a_node_comes_back_as_another(
    field: Sown, databases: Databases, database: str
) -> None:
    together = await field("one")
    await together.settled({"one": 4})
    node = together.nodes["one"]
    await node.accounts.order("main", "stop")
    before = node.node
    await asyncio.to_thread(databases.sql, "DELETE FROM node", database=database)
    await until(lambda: node.node is not before and node.binds is not None and node._again and node._again.done())
    assert [account.state for account in node.accounts.now()] == ["stopped"]


async def test_a_start_that_fails_leaves_no_connection_to_the_database(
    field: Sown, databases: Databases, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = await field()

    async def fails(self: Node) -> None:
        raise StoreError("gone again")

    monkeypatch.setattr(Node, "_restore", fails)
    with pytest.raises(StoreError, match="gone again"):
        await together.join("one")
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'vas%'"
    await until(lambda: databases.sql(query, database=database) == "0")
    assert databases.sql("SELECT count(*) FROM node", database=database) == "0"
