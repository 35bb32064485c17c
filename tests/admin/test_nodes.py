"""The nodes that share a database: shown, drained and taken back over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.admin.conftest import FakeAccount, World

NODES = "/admin/v1/nodes"
WHY: dict[str, Any] = {"reason": "a newer version"}


async def test_every_node_is_shown_with_its_lease_and_its_binds(world: World) -> None:
    one, two = await (await world.get(NODES, "viewer")).json()
    assert one == {
        "name": "one", "number": 0, "version": "1.0", "address": "10.0.0.1:8080", "started_at": "2026-11-22T12:00:00Z",
        "lease_seconds": 4.0, "draining": False, "here": True, "binds": {"main": 2},
    }  # fmt: skip
    assert (two["lease_seconds"], two["draining"], two["here"], two["binds"]) == (0, True, False, {})


async def test_a_platform_that_runs_alone_shows_no_nodes(world: World) -> None:
    world.nodes.rows = []
    assert await (await world.get(NODES)).json() == []


@pytest.mark.parametrize(("order", "draining"), [("drain", True), ("undrain", False)])
async def test_an_order_to_a_node_is_audited_carried_out_and_answered(world: World, order: str, draining: bool) -> None:
    response = await world.post(f"{NODES}/one/{order}", WHY, "operator")
    assert (response.status, (await response.json())["draining"]) == (200, draining)
    assert world.nodes.drained == [("one", draining)]
    [row] = await world.audit()
    assert (row.who, row.action, row.subject, row.reason) == ("operator", f"node.{order}", "one", "a newer version")


async def test_a_node_that_there_is_none_of_is_not_found(world: World) -> None:
    assert (await world.post(f"{NODES}/three/drain", WHY)).status == 404
    assert (world.nodes.drained, await world.audit()) == ([], [])


@pytest.mark.parametrize("role", ["viewer", "support", "finance"])
async def test_only_operators_drain_a_node(world: World, role: str) -> None:
    assert (await world.post(f"{NODES}/one/drain", WHY, role)).status == 403
    assert world.nodes.drained == []


async def test_a_node_is_ready_though_all_binds_of_an_account_are_at_others(world: World) -> None:
    world.accounts.all = [FakeAccount(), FakeAccount("other", binds=0, binds_up=0, up=False)]
    assert (await world.get("/readyz")).status == 200
