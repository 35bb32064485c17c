"""Messages by number, and the journey of one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from tests.admin.conftest import ANN, BOB, NOW, SECRET, World
from vas.store import schema
from vas.store.ids import milliseconds, shard_of

SECOND = timedelta(seconds=1)


async def listed(world: World, role: str = "viewer", /, **query: str | int) -> dict[str, Any]:
    asked = "&".join(f"{name}={value}" for name, value in ({"msisdn": ANN} | query).items())
    response = await world.get(f"/admin/v1/messages?{asked}", role)
    assert response.status == 200, await response.text()
    page: dict[str, Any] = await response.json()
    return page


async def ids_listed(world: World, **query: str | int) -> list[int]:
    return [int(item["id"]) for item in (await listed(world, "viewer", **query))["items"]]


async def test_both_directions_are_listed_newest_first(world: World) -> None:
    came = await world.received(at=NOW)
    went = await world.sent(ANN, at=NOW + SECOND)
    later = await world.received(at=NOW + 2 * SECOND)
    page = await listed(world)
    assert [(int(item["id"]), item["direction"]) for item in page["items"]] == [
        (later, "in"),
        (went, "out"),
        (came, "in"),
    ]
    assert page["next"] is None


async def test_a_long_message_that_is_not_whole_is_shown_with_the_parts_that_came(world: World) -> None:
    due_ms = milliseconds(NOW + 10 * SECOND)
    for msisdn, reference, numbers in ((ANN, "8-bit 1", (1, 3)), (ANN, "8-bit 2", (2,)), (BOB, "8-bit 1", (1,))):
        key = {
            "shard": shard_of(msisdn), "msisdn": msisdn, "account": "main", "receiver": "9105",
            "reference": reference, "total": 3,
        }  # fmt: skip
        await world.put(schema.long_message, {**key, "due_ms": due_ms, "ended": b"{}"})
        for number in numbers:
            await world.put(schema.part, {**key, "number": number, "octets": SECRET.encode(), "coding": "gsm"})
        due_ms += 1000
    page = await listed(world)
    of_all = {"account": "main", "to": "9105", "parts": 3}
    assert page["waiting"] == [
        {**of_all, "came": [1, 3], "until": "2026-11-22T12:00:10Z"},
        {**of_all, "came": [2], "until": "2026-11-22T12:00:11Z"},
    ]


async def test_messages_of_another_number_are_not_listed(world: World) -> None:
    await world.received(BOB)
    await world.sent(BOB)
    assert await ids_listed(world) == []


@pytest.mark.parametrize("spelling", ["0912345678", "84912345678", "%2B84912345678", "0912.345.678"])
async def test_a_number_is_found_in_any_spelling(world: World, spelling: str) -> None:
    came = await world.received()
    assert await ids_listed(world, msisdn=spelling) == [came]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
async def test_pages_together_hold_every_message_once(world: World, limit: int) -> None:
    expected = []
    for tick in range(7):
        expected.append(await world.received(at=NOW + tick // 3 * SECOND))
        expected.append(await world.sent(ANN, at=NOW + tick // 2 * SECOND))
    page = await listed(world, limit=limit)
    found = page["items"]
    while page["next"] is not None:
        assert len(page["items"]) == limit
        page = await listed(world, limit=limit, cursor=page["next"])
        found += page["items"]
    assert [int(item["id"]) for item in found] == sorted(expected, reverse=True)


async def test_a_message_that_comes_between_two_pages_moves_nothing(world: World) -> None:
    first, second = await world.received(), await world.received()
    page = await listed(world, limit=1)
    await world.received()
    assert [int(item["id"]) for item in page["items"]] == [second]
    assert await ids_listed(world, limit=1, cursor=page["next"]) == [first]


async def test_a_span_of_time_has_its_beginning_and_not_its_end(world: World) -> None:
    ids = [await world.received(at=NOW + tick * SECOND) for tick in range(3)]
    assert await ids_listed(world, since="2026-11-22T12:00:01Z") == [ids[2], ids[1]]
    assert await ids_listed(world, until="2026-11-22T12:00:01Z") == [ids[0]]
    assert await ids_listed(world, since="2026-11-22T19:00:01%2B07:00", until="2026-11-22T12:00:02Z") == [ids[1]]


async def test_a_cursor_leads_no_further_than_the_end_of_the_span(world: World) -> None:
    ids = [await world.received(at=NOW + tick * SECOND) for tick in range(3)]
    assert await ids_listed(world, until="2026-11-22T12:00:01Z", cursor=ids[2]) == [ids[0]]


async def test_numbers_are_masked_and_texts_hidden(world: World) -> None:
    await world.received(kind="ussd", sent_to=f"*105*{BOB}#")
    [item] = (await listed(world))["items"]
    assert (item["msisdn"], item["code"], item["text"]) == ("84912•••678", "*105*84987•••321#", None)


async def test_support_reveals_both_and_it_is_written_down(world: World) -> None:
    await world.received()
    [item] = (await listed(world, "support", reveal="true", reason="complaint 17"))["items"]
    [row] = await world.audit()
    assert (item["msisdn"], item["text"]) == (ANN, SECRET)
    assert (row.who, row.role, row.action, row.subject, row.reason) == (
        "support", "support", "messages.read", ANN, "complaint 17",
    )  # fmt: skip


async def test_a_search_that_finds_nothing_is_written_down_too(world: World) -> None:
    await listed(world, "support", reveal="true")
    assert [row.subject for row in await world.audit()] == [ANN]


async def test_a_masked_reading_is_not_audited(world: World) -> None:
    await world.received()
    await listed(world, "support")
    assert await world.audit() == []


async def test_nothing_is_revealed_that_could_not_be_written_down(world: World) -> None:
    await world.received()
    world.books.broken = True
    response = await world.get(f"/admin/v1/messages?msisdn={ANN}&reveal=true", "support")
    assert response.status == 503
    assert SECRET not in await response.text()


async def a_call(world: World) -> tuple[int, int]:
    """Ann asks Bob to ring back: the ids of her message and of the one that he got, in two segments."""
    cause, reply = world.new_id(), world.new_id()
    steps = [
        {"do": "change", "who": ANN, "what": "spend", "doc": "callme"},
        {"do": "send", "who": BOB, "id": reply, "what": "please_call"},
        {"do": "later", "who": ANN, "id": 77, "what": "remind"},
    ]
    at_ms = milliseconds(NOW)
    await world.received(id=cause, steps=orjson.dumps(steps), copies=2)
    await world.sent(
        id=reply, cause=cause, state="delivered", attempts=1, segments=2, smsc_ids="a1 a2",
        sent_ms=at_ms + 5, settled_ms=at_ms + 9000,
    )  # fmt: skip
    await world.put_receipt("a1", reply, state="delivered", at_ms=at_ms + 8000)
    await world.put_receipt("a2", reply, state=None, at_ms=at_ms + 6)
    return cause, reply


async def journey(world: World, id_: int, role: str = "viewer", query: str = "") -> dict[str, Any]:
    response = await world.get(f"/admin/v1/messages/{id_}{query}", role)
    assert response.status == 200, await response.text()
    found: dict[str, Any] = await response.json()
    return found


async def test_a_journey_tells_what_happened_in_order(world: World) -> None:
    cause, reply = await a_call(world)
    events = (await journey(world, cause))["events"]
    assert [(event["at"], event["what"], event["id"], event["msisdn"]) for event in events] == [
        ("2026-11-22T12:00:00Z", "received", str(cause), "84912•••678"),
        ("2026-11-22T12:00:00Z", "routed", str(cause), "84912•••678"),
        ("2026-11-22T12:00:00Z", "changed", str(cause), "84912•••678"),
        ("2026-11-22T12:00:00Z", "scheduled", "77", "84912•••678"),
        ("2026-11-22T12:00:00Z", "answered", str(cause), "84912•••678"),
        ("2026-11-22T12:00:00Z", "queued", str(reply), "84987•••321"),
        ("2026-11-22T12:00:00.005000Z", "sent", str(reply), "84987•••321"),
        ("2026-11-22T12:00:08Z", "receipt", str(reply), "84987•••321"),
        ("2026-11-22T12:00:09Z", "settled", str(reply), "84987•••321"),
    ]
    assert {event["what"]: event["detail"] for event in events} == {
        "received": {"account": "main", "to": "9105", "copies": 2, "parts": 1},
        "routed": {"service": "callme", "handler": "call_back", "why": "CM {friend}"},
        "changed": {"what": "spend"},
        "scheduled": {"what": "remind"},
        "answered": {"result": "answered", "reply": "sent"},
        "queued": {"from": "9105", "key": "please_call"},
        "sent": {
            "account": "main",
            "smsc_ids": "a1 a2",
            "segments": 2,
            "attempts": 1,
            "status": 0,
            "status_name": "ROK",
            "meaning": "No Error (ROK)",
        },
        "receipt": {"smsc_id": "a1", "state": "delivered", "error": "000"},
        "settled": {"state": "delivered", "error": ""},
    }


async def test_a_refused_message_tells_by_which_account_it_left_and_how_often(world: World) -> None:
    at_ms = milliseconds(NOW)
    reply = await world.sent(
        state="failed", attempts=1, segments=2, sent_ms=at_ms + 9, settled_ms=at_ms + 10, status=0x442, error="refused"
    )
    events = {event["what"]: event["detail"] for event in (await journey(world, reply))["events"]}
    assert "sent" not in events
    refused = events["refused"]
    assert (refused["account"], refused["segments"], refused["attempts"]) == ("main", 2, 1)
    assert (refused["status"], refused["status_name"]) == (0x442, "0x00000442")


async def test_a_refused_message_tells_the_status_by_number_name_and_meaning(world: World) -> None:
    at_ms = milliseconds(NOW)
    reply = await world.sent(state="failed", settled_ms=at_ms + 10, status=0x0B, error="refused by the SMSC: …")
    letter = await world.failed(BOB, NOW + SECOND / 100, cause=reply, kind="message", error="refused")
    found = await journey(world, reply)
    events = {event["what"]: event for event in found["events"]}
    detail = events["settled"]["detail"]
    assert (detail["status"], detail["status_name"]) == (0x0B, "RINVDSTADR")
    assert detail["meaning"] == "Invalid Destination Address (RINVDSTADR)"
    assert (found["sent"][0]["status_name"], found["sent"][0]["status"]) == ("RINVDSTADR", 0x0B)
    assert events["failed"]["id"] == str(letter)


async def test_a_long_message_tells_of_how_many_parts_it_came(world: World) -> None:
    cause = await world.received(parts=3)
    found = await journey(world, cause)
    assert (found["received"]["parts"], found["events"][0]["detail"]["parts"]) == (3, 3)


async def test_a_journey_names_the_nodes_by_which_it_went(world: World) -> None:
    cause = await world.received(node="north")
    reply = await world.sent(cause=cause, node="south", state="sent", sent_ms=milliseconds(NOW))
    found = await journey(world, reply)
    assert (found["received"]["node"], found["sent"][0]["node"]) == ("north", "south")
    nodes = {event["what"]: event["detail"].get("node") for event in found["events"]}
    assert (nodes["received"], nodes["sent"], nodes["queued"]) == ("north", "south", None)


async def test_a_journey_shows_the_rows_behind_it(world: World) -> None:
    cause, reply = await a_call(world)
    found = await journey(world, cause)
    assert (found["received"]["id"], found["received"]["why"]) == (str(cause), "CM {friend}")
    assert [(row["id"], row["state"], row["smsc_ids"]) for row in found["sent"]] == [
        (str(reply), "delivered", ["a1", "a2"])
    ]


async def test_a_reply_leads_to_the_same_journey(world: World) -> None:
    cause, reply = await a_call(world)
    assert await journey(world, reply) == await journey(world, cause)


@pytest.mark.parametrize("result", ["failed", "calling"])
async def test_a_failed_command_leads_to_its_dead_letter(world: World, result: str) -> None:
    cause = await world.received(result=result, reply="")
    other = await world.received(result="failed", reply="")
    await world.failed(cause=other)
    letter = await world.failed(cause=cause)
    [failed] = [event for event in (await journey(world, cause))["events"] if event["what"] == "failed"]
    assert (failed["id"], failed["detail"]) == (str(letter), {"error": "ValueError: 84912•••678"})


async def test_what_a_job_sent_has_a_journey_of_its_own(world: World) -> None:
    sent = await world.sent(cause=77)
    found = await journey(world, sent)
    assert found["received"] is None
    assert [row["id"] for row in found["sent"]] == [str(sent)]


async def test_a_reply_that_is_no_longer_kept_is_left_out(world: World) -> None:
    steps = [{"do": "send", "who": BOB, "id": 5, "what": "please_call"}]
    cause = await world.received(steps=orjson.dumps(steps))
    assert (await journey(world, cause))["sent"] == []


@pytest.mark.parametrize("id_", [1, 2**63 - 1, 2**63, 10**18])
async def test_a_message_that_is_not_kept_is_not_found(world: World, id_: int) -> None:
    assert (await world.get(f"/admin/v1/messages/{id_}")).status == 404


async def test_a_masked_journey_holds_no_number_and_no_text(world: World) -> None:
    cause, _ = await a_call(world)
    shown = orjson.dumps(await journey(world, cause)).decode()
    assert [leak for leak in (ANN, BOB, SECRET) if leak in shown] == []


async def test_a_masked_journey_holds_no_number_that_was_pushed(world: World) -> None:
    pushed = {"do": "later", "who": BOB, "id": 77, "what": f"*105*9*{ANN}#"}
    cause = await world.received(steps=orjson.dumps([pushed]))
    assert ANN not in orjson.dumps(await journey(world, cause)).decode()
    shown = await journey(world, cause, "support", "?reveal=true")
    assert f"*105*9*{ANN}#" in orjson.dumps(shown).decode()


async def test_a_screen_is_hidden_and_the_key_of_a_text_is_not(world: World) -> None:
    screen = await world.received(kind="ussd", reply="1 Call Bob\n2 Block Bob")
    key = await world.received(kind="ussd", reply="menu.first")
    assert (await journey(world, screen))["received"]["reply"] is None
    assert (await journey(world, key))["received"]["reply"] == "menu.first"
    assert (await journey(world, screen, "support", "?reveal=true"))["received"]["reply"] == "1 Call Bob\n2 Block Bob"


async def test_a_revealed_journey_is_written_down_for_everyone_in_it(world: World) -> None:
    cause, _ = await a_call(world)
    shown = await journey(world, cause, "support", "?reveal=true&reason=why%20not")
    rows = await world.audit()
    assert (shown["received"]["msisdn"], shown["sent"][0]["msisdn"], shown["sent"][0]["text"]) == (ANN, BOB, SECRET)
    assert {(row.subject, row.action, row.reason, row.detail) for row in rows} == {
        (number, "message.read", "why not", orjson.dumps({"message": str(cause)})) for number in (ANN, BOB)
    }
