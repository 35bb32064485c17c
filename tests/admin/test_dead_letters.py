"""Dead letters read and run again, and the audit of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from tests.admin.conftest import ANN, BOB, NOW, SECRET, World

SECOND = timedelta(seconds=1)
ORDER = {"dry_run": False, "reason": "fixed in 1.2.4"}


async def listed(world: World, role: str = "support", query: str = "") -> dict[str, Any]:
    response = await world.get(f"/admin/v1/dead-letters{query}", role)
    assert response.status == 200, await response.text()
    page: dict[str, Any] = await response.json()
    return page


async def test_open_letters_are_listed_newest_first(world: World) -> None:
    old = await world.failed(at=NOW)
    await world.failed(at=NOW + SECOND, replayed_ms=1, replayed_by="ann")
    new = await world.failed(at=NOW + 2 * SECOND)
    assert [item["id"] for item in (await listed(world))["items"]] == [str(new), str(old)]


async def test_replayed_letters_are_listed_when_asked_for(world: World) -> None:
    await world.failed(replayed_ms=1, replayed_by="ann")
    [item] = (await listed(world, query="?replayed=true"))["items"]
    assert (item["replayable"], item["replayed_by"]) == (False, "ann")


async def test_pages_together_hold_every_letter_once(world: World) -> None:
    expected = [str(await world.failed()) for _ in range(5)]
    page = await listed(world, query="?limit=2")
    found = page["items"]
    while page["next"] is not None:
        page = await listed(world, query=f"?limit=2&cursor={page['next']}")
        found += page["items"]
    assert [item["id"] for item in found] == expected[::-1]


async def test_errors_are_counted_the_most_frequent_first(world: World) -> None:
    for error in ("KeyError: 'x'", "KeyError: 'x'", "ValueError: y"):
        await world.failed(error=error)
    await world.failed(error="ValueError: y", service="m2u")
    await world.failed(error="gone", replayed_ms=1)
    assert (await listed(world))["errors"] == [
        {"service": "callme", "error": "KeyError: 'x'", "count": 2},
        {"service": "callme", "error": "ValueError: y", "count": 1},
        {"service": "m2u", "error": "ValueError: y", "count": 1},
    ]


async def test_a_masked_letter_holds_no_number_and_no_text(world: World) -> None:
    await world.failed()
    shown = orjson.dumps(await listed(world)).decode()
    assert [leak for leak in (ANN, SECRET) if leak in shown] == []


async def test_one_letter_is_shown_as_the_list_shows_it(world: World) -> None:
    letter = await world.failed()
    await world.failed()
    response = await world.get(f"/admin/v1/dead-letters/{letter}", "operator")
    shown = await response.json()
    assert (response.status, shown["id"], shown["body"]) == (200, str(letter), None)
    assert shown in (await listed(world))["items"]
    assert [leak for leak in (ANN, SECRET) if leak in await response.text()] == []
    assert await world.audit() == []


async def test_a_letter_that_was_replayed_is_still_shown(world: World) -> None:
    letter = await world.failed(replayed_ms=1, replayed_by="ann")
    shown = await (await world.get(f"/admin/v1/dead-letters/{letter}", "support")).json()
    assert (shown["replayable"], shown["replayed_by"]) == (False, "ann")


async def test_one_letter_is_revealed_to_who_may_and_it_is_written_down(world: World) -> None:
    path = f"/admin/v1/dead-letters/{await world.failed()}?reveal=true&reason=complaint+17"
    assert (await world.get(path, "operator")).status == 403
    assert (await (await world.get(path, "support")).json())["body"] == {"text": SECRET}
    [row] = await world.audit()
    assert (row.action, row.subject, row.reason) == ("dead_letter.read", ANN, "complaint 17")


async def test_a_letter_that_there_is_none_of_is_not_found(world: World) -> None:
    assert (await world.get("/admin/v1/dead-letters/1", "support")).status == 404


async def test_a_revealed_letter_is_written_down_for_each_subscriber(world: World) -> None:
    for number in (ANN, BOB, BOB):
        await world.failed(number)
    shown = await listed(world, query="?reveal=true")
    assert [item["body"] for item in shown["items"]] == [{"text": SECRET}] * 3
    assert sorted(row.subject for row in await world.audit()) == [ANN, BOB]


async def test_an_operator_replays_without_seeing_personal_data(world: World) -> None:
    letter = await world.failed()
    response = await world.post(f"/admin/v1/dead-letters/{letter}/replay", ORDER, "operator")
    assert response.status == 200
    assert await response.json() == {
        "dry_run": False,
        "result": "answered",
        "replies": [{"msisdn": "84987•••321", "key": "please_call"}],
        "changes": [{"msisdn": "84912•••678", "what": "spend"}],
        "warning": "has since succeeded",
    }
    assert world.operations.replayed == [(letter, False, "operator")]


async def test_a_replay_is_dry_unless_told_otherwise(world: World) -> None:
    letter = await world.failed()
    response = await world.post(f"/admin/v1/dead-letters/{letter}/replay", {"reason": "looking"})
    assert (await response.json())["dry_run"] is True
    assert world.operations.replayed == [(letter, True, "admin")]


@pytest.mark.parametrize("dry_run", [0, "false", None])
async def test_only_a_plain_false_makes_a_replay_real(world: World, dry_run: object) -> None:
    letter = await world.failed()
    order = {"dry_run": dry_run, "reason": "fixed in 1.2.4"}
    assert (await world.post(f"/admin/v1/dead-letters/{letter}/replay", order)).status == 422
    assert world.operations.replayed == []


@pytest.mark.parametrize("dry_run, action", [(True, "dead_letter.try"), (False, "dead_letter.replay")])
async def test_a_replay_is_written_down(world: World, dry_run: bool, action: str) -> None:
    letter = await world.failed()
    order = {"dry_run": dry_run, "reason": "fixed in 1.2.4"}
    response = await world.post(f"/admin/v1/dead-letters/{letter}/replay", order, "operator")
    [row] = await world.audit()
    assert (row.who, row.role, row.action, row.subject, row.reason) == (
        "operator", "operator", action, str(letter), "fixed in 1.2.4",
    )  # fmt: skip
    assert row.request_id == response.headers["X-Request-Id"]


async def test_nothing_is_replayed_that_could_not_be_written_down(world: World) -> None:
    letter = await world.failed()
    world.books.broken = True
    assert (await world.post(f"/admin/v1/dead-letters/{letter}/replay", ORDER)).status == 503
    assert world.operations.replayed == []


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"replayed_ms": 1}, id="replayed already"),
        pytest.param({"body": b""}, id="had a secret"),
    ],
)
async def test_a_letter_that_cannot_be_replayed_is_not(world: World, values: dict[str, Any]) -> None:
    letter = await world.failed(**values)
    assert (await world.post(f"/admin/v1/dead-letters/{letter}/replay", ORDER)).status == 409
    assert world.operations.replayed == []


async def test_a_refusal_of_the_platform_is_a_conflict(world: World) -> None:
    letter = await world.failed()
    world.operations.refuses = "replayed_meanwhile"
    response = await world.post(f"/admin/v1/dead-letters/{letter}/replay", ORDER)
    assert (response.status, (await response.json())["detail"]) == (409, "It cannot be replayed: replayed_meanwhile.")


async def test_a_letter_that_does_not_exist_is_not_found(world: World) -> None:
    assert (await world.post("/admin/v1/dead-letters/1/replay", ORDER)).status == 404


@pytest.mark.parametrize("reason", ["", "ok", "two\nlines", "x" * 201, None])
async def test_a_replay_has_a_reason_of_one_line(world: World, reason: str | None) -> None:
    letter = await world.failed()
    response = await world.post(f"/admin/v1/dead-letters/{letter}/replay", {"reason": reason})
    assert response.status == 422
    assert world.operations.replayed == []


async def audited(world: World, query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await (await world.get(f"/admin/v1/audit{query}")).json())["items"]
    return items


async def test_the_audit_is_found_by_number_in_any_spelling(world: World) -> None:
    for number in (ANN, BOB):
        await world.get(f"/admin/v1/messages?msisdn={number}&reveal=true", "support")
    [entry] = await audited(world, "?subject=0912345678")
    assert (entry["who"], entry["action"], entry["subject"]) == ("support", "messages.read", "84912•••678")


async def test_the_audit_shows_the_role_of_a_new_key(world: World) -> None:
    await world.post("/admin/v1/keys", {"name": "console", "role": "viewer"})
    [entry] = await audited(world, "?subject=console")
    assert (entry["action"], entry["detail"]) == ("key.create", {"role": "viewer"})


async def test_the_audit_shows_whole_ids(world: World) -> None:
    letter = await world.failed()
    await world.post(f"/admin/v1/dead-letters/{letter}/replay", ORDER)
    assert [entry["subject"] for entry in await audited(world)] == [str(letter)]


async def test_reading_the_audit_in_full_is_written_down_in_it(world: World) -> None:
    await world.get(f"/admin/v1/messages?msisdn={ANN}&reveal=true", "support")
    [entry] = await audited(world, "?reveal=true&reason=yearly%20check")
    assert entry["subject"] == ANN
    assert [(row.action, row.subject, row.reason) for row in await world.audit()][1:] == [
        ("audit.read", ANN, "yearly check")
    ]


async def test_pages_of_the_audit_hold_every_row_once(world: World) -> None:
    for _ in range(5):
        await world.get(f"/admin/v1/messages?msisdn={ANN}&reveal=true", "support")
    found: list[str] = []
    query = "?limit=2"
    while query:
        page = await (await world.get(f"/admin/v1/audit{query}")).json()
        found += [entry["id"] for entry in page["items"]]
        query = f"?limit=2&cursor={page['next']}" if page["next"] else ""
    assert found == [str(row.id) for row in reversed(await world.audit())]
    assert len(found) == 5
