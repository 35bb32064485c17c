"""Accounts taken out and back, settings read again, texts that cost, messages recalled: over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.admin.conftest import BOB, FakeAccount, World
from vas.admin import Difference, Reloaded, SegmentState

ACCOUNTS = "/admin/v1/accounts"
RELOAD = "/admin/v1/reload"
WHY: dict[str, Any] = {"reason": "maintenance at the SMSC"}


async def test_an_account_is_shown_with_its_state_its_binds_and_its_pace(world: World) -> None:
    [account] = await (await world.get(ACCOUNTS, "viewer")).json()
    assert account == await (await world.get(f"{ACCOUNTS}/main", "viewer")).json()
    assert {name: account[name] for name in ("name", "state", "up", "binds_up", "binds")} == {
        "name": "main", "state": "running", "up": True, "binds_up": 1, "binds": 2,
    }  # fmt: skip
    assert (account["rate"], account["rate_now"], account["slowed"]) == (100.0, 50.0, True)
    assert (account["waiting_replies"], account["waiting_rest"]) == (1, 2)
    assert account["counters"]["pdus_in"] == 10


@pytest.mark.parametrize("path", [f"{ACCOUNTS}/mian", f"{ACCOUNTS}/mian/drain"])
async def test_an_account_that_there_is_none_of_is_not_found(world: World, path: str) -> None:
    response = await (world.post(path, WHY) if path.endswith("drain") else world.get(path))
    assert response.status == 404
    assert world.accounts.orders == []
    assert await world.audit() == []


@pytest.mark.parametrize(("order", "state"), [("drain", "draining"), ("stop", "stopped"), ("start", "running")])
async def test_an_order_is_audited_carried_out_and_answered_with_the_new_state(
    world: World, order: str, state: str
) -> None:
    response = await world.post(f"{ACCOUNTS}/main/{order}", WHY, "operator")
    assert (response.status, (await response.json())["state"]) == (200, state)
    assert world.accounts.orders == [("main", order)]
    [row] = await world.audit()
    assert (row.who, row.action, row.subject, row.reason) == (
        "operator", f"account.{order}", "main", "maintenance at the SMSC",
    )  # fmt: skip


async def test_an_order_that_could_not_be_audited_is_not_carried_out(world: World) -> None:
    world.books.broken = True
    assert (await world.post(f"{ACCOUNTS}/main/stop", WHY)).status == 503
    assert world.accounts.orders == []


@pytest.mark.parametrize("role", ["viewer", "support", "finance"])
@pytest.mark.parametrize("path", [f"{ACCOUNTS}/main/stop", RELOAD])
async def test_only_operators_steer(world: World, role: str, path: str) -> None:
    assert (await world.post(path, WHY, role)).status == 403
    assert world.accounts.orders == []
    assert world.accounts.reloads == []


async def test_a_reload_only_shows_unless_it_is_told_to_do_it(world: World) -> None:
    shown = await (await world.post(RELOAD, WHY, "operator")).json()
    assert shown == {
        "dry_run": True,
        "changes": [{"key": "accounts.main.window", "before": "50", "after": "7"}],
        "failed": [],
    }
    assert (await world.post(RELOAD, {**WHY, "dry_run": False}, "operator")).status == 200
    assert world.accounts.reloads == [True, False]
    assert [row.action for row in await world.audit()] == ["settings.try", "settings.reload"]


async def test_a_reload_that_cannot_be_says_every_reason(world: World) -> None:
    reasons = ("store.url: cannot change while the platform runs", "config.toml: log.level: wrong")
    world.accounts.reloaded = Reloaded((Difference("store.url", "a", "b"),), refused=reasons)
    response = await world.post(RELOAD, {**WHY, "dry_run": False})
    assert response.status == 409
    assert [flaw["message"] for flaw in (await response.json())["errors"]] == list(reasons)


async def test_a_reload_tells_which_smsc_does_not_have_the_new_settings(world: World) -> None:
    world.accounts.reloaded = Reloaded((), failed=("accounts.main: RINVPASWD",))
    answer = await (await world.post(RELOAD, {**WHY, "dry_run": False})).json()
    assert answer["failed"] == ["accounts.main: RINVPASWD"]


async def test_a_texts_cost_is_told_for_an_account_or_the_first(world: World) -> None:
    world.accounts.all = [FakeAccount(), FakeAccount("other")]
    cost = await (await world.post("/admin/v1/cost", {"text": "hế lô"}, "viewer")).json()
    assert cost == {"account": "main", "encoding": "UCS-2", "segments": 1, "units": 5, "left": 65, "forced": ["ế"]}
    other = await world.post("/admin/v1/cost", {"text": "a", "account": "other"})
    assert (await other.json())["account"] == "other"
    assert (await world.post("/admin/v1/cost", {"text": "a", "account": "gone"})).status == 404


async def test_where_a_message_is_at_the_smsc_is_asked_for_every_segment(world: World) -> None:
    world.accounts.segments = [SegmentState("1A", "delivered", error="12"), SegmentState("1B", "", said="no query_sm")]
    id_ = await world.sent(state="sent")
    found = await (await world.get(f"/admin/v1/messages/{id_}/whereabouts", "viewer")).json()
    assert found["state"] == "sent"
    assert [(segment["state"], segment["error"], segment["said"]) for segment in found["segments"]] == [
        ("delivered", "12", ""),
        ("", "", "no query_sm"),
    ]
    assert world.accounts.recalled == [("whereabouts", BOB, id_)]


@pytest.mark.parametrize(("what", "body"), [("cancel", {}), ("replace", {"text": "later"})])
async def test_a_recall_names_who_wanted_it_and_why(world: World, what: str, body: dict[str, str]) -> None:
    id_ = await world.sent(state="sent")
    response = await world.post(f"/admin/v1/messages/{id_}/{what}", {"reason": "sent by mistake", **body}, "operator")
    assert response.status == 200
    [row] = await world.audit()
    assert (row.action, row.subject, row.reason) == (f"message.{what}", BOB, "sent by mistake")
    assert [asked.split()[0] for asked, *_ in world.accounts.recalled] == [what]
    assert (
        await world.post(f"/admin/v1/messages/{id_}/{what}", {"reason": "why not", **body}, "support")
    ).status == 403


async def test_a_message_counts_as_cancelled_only_if_every_segment_is(world: World) -> None:
    id_ = await world.sent(state="sent")
    path = f"/admin/v1/messages/{id_}/cancel"
    world.accounts.segments = [SegmentState("1A", "deleted"), SegmentState("1B", "", said="Cancel Failed")]
    assert (await (await world.post(path, WHY)).json())["state"] == "sent"
    world.accounts.segments = [SegmentState("1A", "deleted")]
    assert (await (await world.post(path, WHY)).json())["state"] == "cancelled"
    world.accounts.segments = []
    assert (await (await world.post(path, WHY)).json())["state"] == "cancelled"


@pytest.mark.parametrize(
    ("why", "said"),
    [("leaving", "right now"), ("over", "its last state"), ("not_sent", "not got it yet"), ("ussd", "USSD"),
     ("segments", "several segments"), ("often", "too often"), ("coding", "encoding"), ("account_gone", "gone")],
)  # fmt: skip
async def test_what_cannot_be_recalled_is_refused_in_plain_words(world: World, why: str, said: str) -> None:
    world.accounts.refuses = why
    id_ = await world.sent()
    response = await world.post(f"/admin/v1/messages/{id_}/replace", {"text": "later", **WHY})
    assert response.status == 409
    assert said in (await response.json())["detail"]


async def test_a_message_that_nobody_sent_cannot_be_recalled(world: World) -> None:
    for method, path in (("GET", "whereabouts"), ("POST", "cancel")):
        body = {} if method == "GET" else {"json": WHY}
        response = await world.ask(method, f"/admin/v1/messages/7/{path}", "admin", **body)
        assert response.status == 404
    assert await world.audit() == []
