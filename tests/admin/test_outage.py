"""Operations while the store is not there: what needs none is still told, all else says why it cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from tests.admin.conftest import World
from vas.errors import StoreError

WHY = "the connection is lost: messages wait at the SMSC meanwhile"


async def gone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nothing is read or written."""

    async def read(sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        raise StoreError(WHY)

    overview = structs.replace(world.operations.overview(), store_down=timedelta(seconds=12.4), store_error=WHY)
    monkeypatch.setattr(world.operations, "overview", lambda: overview)
    monkeypatch.setattr(world.books, "read", read)
    world.books.broken, world.operations.writable = True, False


async def test_readiness_says_for_how_long_the_store_has_been_gone_and_why(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await gone(world, monkeypatch)
    response = await world.client.get("/readyz")
    assert response.status == 503
    assert (await response.json())["errors"] == [
        {"where": "store", "message": f"It cannot be written, for 12 s: {WHY}"}
    ]
    assert (await world.client.get("/healthz")).status == 200


async def test_operators_see_what_is_wrong_with_a_key_that_was_good_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await world.get("/admin/v1/accounts")).status == 200
    await gone(world, monkeypatch)
    assert (await world.get("/admin/v1/accounts", "viewer")).status == 200
    overview = await (await world.get("/admin/v1/overview", "viewer")).json()
    assert (overview["store_down_seconds"], overview["store_error"]) == (12.4, WHY)


async def test_what_needs_the_store_says_that_it_is_not_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await world.get("/admin/v1/accounts")).status == 200
    await gone(world, monkeypatch)
    for response in (
        await world.get("/admin/v1/messages?msisdn=0912345678"),
        await world.post("/admin/v1/accounts/main/stop", {"reason": "to see whether it would be kept"}),
    ):
        assert (response.status, response.content_type) == (503, "application/problem+json")
        assert "store cannot be reached" in (await response.json())["detail"]
    assert world.accounts.orders == []


async def test_a_wrong_key_stays_wrong(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await world.get("/admin/v1/accounts")).status == 200
    await gone(world, monkeypatch)
    world.keys["admin"] = "vas_" + "x" * 43
    assert (await world.get("/admin/v1/accounts")).status == 401


@pytest.mark.parametrize("known", [False, True])
async def test_a_key_that_was_not_looked_up_lately_opens_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    if known:
        assert (await world.get("/admin/v1/accounts")).status == 200
    await gone(world, monkeypatch)
    world.clock.step = timedelta(hours=2)
    assert (await world.get("/admin/v1/accounts")).status == 503
