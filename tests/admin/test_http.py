"""Health, problems, the description, and what stays out of sight."""

from __future__ import annotations

import io
import socket
from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.admin.conftest import ANN, SECRET, FakeAccount, FakeBind, World
from vas import logs
from vas.admin import serve
from vas.admin.app import BODY_OCTETS
from vas.errors import ConfigError

PROBLEM = "application/problem+json"
KEYS = "/admin/v1/keys"
AS_JSON = {"headers": {"Content-Type": "application/json"}}


async def test_a_platform_that_works_is_ready(world: World) -> None:
    response = await world.client.get("/readyz")
    assert (response.status, await response.json()) == (200, {"status": "ready", "degraded": []})


@pytest.mark.parametrize(
    "accounts, writable, reasons",
    [
        pytest.param([], True, ["accounts"], id="no account at all"),
        pytest.param([FakeAccount(binds_up=0)], True, ["accounts.main"], id="no bind up"),
        pytest.param([FakeAccount(), FakeAccount("other", binds_up=0)], True, ["accounts.other"], id="an account down"),
        pytest.param([FakeAccount()], False, ["store"], id="store not writable"),
        pytest.param([], False, ["accounts", "store"], id="nothing works"),
    ],
)
async def test_what_keeps_it_from_being_ready_is_said(
    world: World, accounts: list[FakeAccount], writable: bool, reasons: list[str]
) -> None:
    world.accounts.all, world.operations.writable = accounts, writable
    response = await world.client.get("/readyz")
    assert (response.status, response.content_type) == (503, PROBLEM)
    assert [flaw["where"] for flaw in (await response.json())["errors"]] == reasons


@pytest.mark.parametrize("state", ["draining", "stopped"])
async def test_an_account_that_was_taken_out_on_purpose_leaves_it_ready(world: World, state: str) -> None:
    world.accounts.all = [FakeAccount(), FakeAccount("other", state=state, up=False, binds_up=0)]
    assert (await world.client.get("/readyz")).status == 200


@pytest.mark.parametrize(
    "down, reasons",
    [
        pytest.param({"main", "spare", "bulk"}, ["routes[0]", "routes[1]", "accounts.alone"], id="all"),
        pytest.param({"main", "spare"}, ["routes[0]", "accounts.alone"], id="all of one route"),
        pytest.param(set(), ["accounts.alone"], id="one in no route"),
    ],
)
async def test_a_route_without_an_account_and_an_account_that_stands_alone_keep_it_from_being_ready(
    world: World, down: set[str], reasons: list[str]
) -> None:
    names, dead = ("main", "spare", "bulk", "alone"), down | {"alone"}
    world.accounts.all = [FakeAccount(name, binds_up=0 if name in dead else 1) for name in names]
    world.accounts.routed = [("main", "spare"), ("bulk",)]
    response = await world.client.get("/readyz")
    assert response.status == 503
    assert [flaw["where"] for flaw in (await response.json(content_type=PROBLEM))["errors"]] == reasons


async def test_an_account_for_which_another_of_its_route_stands_in_leaves_it_ready_and_is_named(world: World) -> None:
    world.accounts.all = [FakeAccount(), FakeAccount("spare", binds_up=0)]
    world.accounts.routed = [("main",), ("spare", "main")]
    response = await world.client.get("/readyz")
    assert response.status == 200
    assert [flaw["where"] for flaw in (await response.json())["degraded"]] == ["accounts.spare"]


async def test_an_account_that_was_stopped_stands_in_for_nobody(world: World) -> None:
    world.accounts.all = [FakeAccount(binds_up=0), FakeAccount("spare", state="draining")]
    world.accounts.routed = [("main", "spare")]
    assert (await world.client.get("/readyz")).status == 503


async def test_the_process_is_alive_when_nothing_else_is(world: World) -> None:
    world.accounts.all, world.operations.writable = [], False
    assert (await world.client.get("/healthz")).status == 200


async def test_the_overview_has_units_that_people_read(world: World) -> None:
    assert await (await world.get("/admin/v1/overview", "viewer")).json() == {
        "version": "1.2.3", "uptime_seconds": 3600.0, "binds_up": 1, "binds": 2, "received_per_second": 10.5,
        "sent_per_second": 9.5, "queued": 7, "oldest_queued_seconds": 2.0, "unfinished": 4, "latency_p50_ms": 3.0,
        "latency_p95_ms": 9.0, "latency_p99_ms": None, "store_down_seconds": None, "store_error": "",
    }  # fmt: skip


async def test_binds_are_shown_as_they_are(world: World) -> None:
    first, second = await (await world.get("/admin/v1/binds", "viewer")).json()
    assert (first["state"], second["state"]) == ("bound", "connecting")
    assert (first["since"], first["window_used"], first["last_out"]) == ("2026-11-22T12:00:00Z", 3, None)
    assert (first["session"], first["counters"]["pdus_in"]) == ("912345678901234567", 10)


async def test_metrics_show_what_is_now(world: World) -> None:
    await world.client.get("/metrics")
    world.operations.all_binds = [FakeBind()]
    lines = (await (await world.client.get("/metrics")).text()).splitlines()
    assert 'vas_binds{account="main",state="bound"} 1.0' in lines
    assert [line for line in lines if 'state="connecting"' in line] == []
    assert "vas_outbox_queued 7.0" in lines
    assert "vas_unfinished_commands 4.0" in lines
    assert [line for line in lines if "_created" in line] == []


async def test_requests_are_counted_by_route_and_not_by_what_was_asked(world: World) -> None:
    await world.get("/admin/v1/messages/123")
    await world.client.get(f"/wp-login/{ANN}")
    await world.client.request("PROPFIND", "/healthz")
    shown = await (await world.client.get("/metrics")).text()
    for labels in (
        'listener="admin",method="GET",route="/admin/v1/messages/{id}",status="404"',
        'listener="admin",method="GET",route="unknown",status="404"',
        'listener="admin",method="other",route="unknown",status="405"',
    ):
        assert f"vas_http_requests_total{{{labels}}} 1.0" in shown
    assert ANN not in shown


@pytest.mark.parametrize(
    "method, path, sent, status",
    [
        pytest.param("GET", "/nothing", {}, 404, id="no such page"),
        pytest.param("PUT", KEYS, {}, 405, id="method not allowed"),
        pytest.param("POST", KEYS, {"data": b"name=x"}, 415, id="no JSON"),
        pytest.param("POST", KEYS, {"json": {"name": "x" * BODY_OCTETS}}, 413, id="body too long"),
        pytest.param("POST", KEYS, {"data": io.BytesIO(b"{"), **AS_JSON}, 422, id="half JSON"),
        pytest.param("POST", KEYS, {"json": {"name": "x"}}, 422, id="member missing"),
        pytest.param("POST", KEYS, {"json": {"name": "x", "role": "viewer", "extra": 1}}, 422, id="member unknown"),
        pytest.param("POST", KEYS, {"json": {"name": "x", "role": "god"}}, 422, id="role unknown"),
        pytest.param("GET", "/admin/v1/messages", {}, 422, id="parameter missing"),
        pytest.param("GET", "/admin/v1/messages?msisdn=105", {}, 422, id="a short code"),
        pytest.param("GET", f"/admin/v1/messages?msisdn={ANN}&limt=5", {}, 422, id="parameter unknown"),
        pytest.param("GET", f"/admin/v1/messages?msisdn={ANN}&msisdn={ANN}", {}, 422, id="parameter twice"),
        pytest.param("GET", f"/admin/v1/messages?msisdn={ANN}&limit=0", {}, 422, id="limit too low"),
        pytest.param("GET", f"/admin/v1/messages?msisdn={ANN}&limit=201", {}, 422, id="limit too high"),
        pytest.param("GET", f"/admin/v1/messages?msisdn={ANN}&since=0", {}, 422, id="no time"),
        pytest.param("GET", f"/admin/v1/messages?msisdn={ANN}&since=2026-11-22T12:00:00", {}, 422, id="no zone"),
        pytest.param("GET", f"/admin/v1/messages?msisdn={ANN}&cursor=x", {}, 422, id="no cursor"),
        pytest.param("GET", "/admin/v1/messages/x", {}, 422, id="no id"),
        pytest.param("GET", "/admin/v1/messages/-1", {}, 422, id="negative id"),
    ],
)
async def test_what_is_wrong_is_a_problem(
    world: World, method: str, path: str, sent: dict[str, Any], status: int
) -> None:
    response = await world.ask(method, path, "admin", **sent)
    problem = await response.json(content_type=PROBLEM)
    assert (response.status, problem["status"]) == (status, status)
    assert problem["title"]
    assert bool(problem.get("errors")) is (status == 422)


@pytest.mark.parametrize(
    "path, where, said",
    [
        pytest.param("?msisdn=91234", "query.msisdn", "a subscriber's number, such as 0912345678", id="too short"),
        pytest.param("?msisdn=x", "query.msisdn", "a subscriber's number, such as 0912345678", id="no number"),
        pytest.param(f"?msisdn={ANN}&limt=5", "query.limt", 'is not known here; did you mean "limit"?', id="unknown"),
        pytest.param(f"?msisdn={ANN}&limit=0", "query.limit", "must be greater than or equal to 1", id="too low"),
        pytest.param(f"?msisdn={ANN}&since=0", "query.since", "must be a time with its zone", id="no time"),
        pytest.param("", "query.msisdn", "is needed", id="missing"),
        pytest.param("/x", "path.id", "must be an id, of digits only", id="no id"),
    ],
)
async def test_what_is_wrong_with_a_request_is_told_in_plain_words(
    world: World, path: str, where: str, said: str
) -> None:
    [flaw] = (await (await world.get(f"/admin/v1/messages{path}")).json(content_type=PROBLEM))["errors"]
    assert flaw["where"] == where
    assert said in flaw["message"]
    assert "Value error" not in flaw["message"]


async def test_an_error_says_which_methods_there_are(world: World) -> None:
    assert (await world.client.put(KEYS)).headers["Allow"] == "GET,POST"


async def test_a_problem_does_not_repeat_what_was_sent(world: World) -> None:
    response = await world.post(KEYS, {"name": f"Number {ANN}", "role": SECRET})
    shown = await response.text()
    assert response.status == 422
    assert [leak for leak in (ANN, SECRET) if leak in shown] == []


async def test_a_fault_shows_nothing_of_the_inside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[FakeBind]:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(world.operations, "binds", broken)
    response = await world.get("/admin/v1/binds")
    assert (response.status, await response.json(content_type=PROBLEM)) == (
        500,
        {"title": "Internal Server Error", "status": 500},
    )


@pytest.mark.parametrize(
    "given, kept",
    [
        pytest.param("trace-17", True, id="a plain one"),
        pytest.param("a b", False, id="with a space"),
        pytest.param("x" * 65, False, id="too long"),
    ],
)
async def test_a_request_keeps_the_id_that_it_came_with(world: World, given: str, kept: bool) -> None:
    response = await world.client.get("/healthz", headers={"X-Request-Id": given})
    assert (response.headers["X-Request-Id"] == given) is kept
    assert response.headers["X-Request-Id"]


@pytest.mark.parametrize("path", ["/admin/v1/overview", "/nothing", "/healthz"])
async def test_no_answer_is_kept_in_a_cache(world: World, path: str) -> None:
    assert (await world.get(path)).headers["Cache-Control"] == "no-store"


@pytest.fixture
def log_lines() -> io.BytesIO:
    out = io.BytesIO()
    logs.configure(level="debug", json=True, bodies=False, stream=out)
    return out


async def test_keys_are_in_no_log_line_and_no_metric(world: World, log_lines: io.BytesIO) -> None:
    made = await (await world.post(KEYS, {"name": "console", "role": "viewer"})).json()
    world.keys["console"] = made["key"]
    await world.get("/admin/v1/overview", "console")
    await world.ask("DELETE", f"{KEYS}/console", "admin")
    await world.get("/admin/v1/overview", "console")
    shown = log_lines.getvalue() + await (await world.client.get("/metrics")).read()
    assert b"admin.authentication_failed" in shown
    assert [role for role, key in world.keys.items() if key[4:].encode() in shown] == []


async def test_the_description_is_valid_openapi(world: World) -> None:
    described = await (await world.client.get("/admin/openapi.json")).json()
    validate(described)
    assert described["openapi"].startswith("3.1")


async def test_the_description_names_the_scope_of_each_operation(world: World) -> None:
    paths = (await (await world.client.get("/admin/openapi.json")).json())["paths"]
    assert paths["/admin/v1/keys"]["post"]["security"] == [{"key": ["keys:write"]}]
    assert "security" not in paths["/healthz"]["get"]
    assert "401" in paths["/admin/v1/binds"]["get"]["responses"]


async def test_the_description_has_the_bounds_of_a_parameter(world: World) -> None:
    paths = (await (await world.client.get("/admin/openapi.json")).json())["paths"]
    [limit] = [each for each in paths["/admin/v1/audit"]["get"]["parameters"] if each["name"] == "limit"]
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"], limit["required"]) == (1, 200, False)
    assert limit["description"] == "Items on a page."


async def test_it_listens_until_it_is_cleaned_up(world: World) -> None:
    runner = await serve(world.desk, "127.0.0.1", 0)
    [(host, port, *_)] = runner.addresses
    response = await world.client.session.get(f"http://{host}:{port}/healthz")
    assert response.status == 200
    response.close()
    await runner.cleanup()
    with socket.socket() as probe:
        assert probe.connect_ex((host, port)) != 0


async def test_an_address_that_is_taken_is_named(world: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"admin\.listen: 127\.0\.0\.1:{port} "):
            await serve(world.desk, "127.0.0.1", port)
