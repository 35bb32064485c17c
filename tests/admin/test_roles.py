"""Who may do what, and what happens to those who may not."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete

from tests.admin.conftest import ANN, NOW, World
from vas.admin import make_first_key, store
from vas.admin.app import OPERATIONS
from vas.admin.authentication import Failures, digest, new_key
from vas.errors import ConfigError
from vas.store import schema
from vas.store.sql import Portable

EVERYONE = {"viewer", "support", "operator", "finance", "admin"}
MAY = {
    ("GET", "/admin/v1/overview"): EVERYONE,
    ("GET", "/admin/v1/binds"): EVERYONE,
    ("GET", "/admin/v1/accounts"): EVERYONE,
    ("GET", "/admin/v1/accounts/{name}"): EVERYONE,
    ("POST", "/admin/v1/accounts/{name}/drain"): {"operator", "admin"},
    ("POST", "/admin/v1/accounts/{name}/stop"): {"operator", "admin"},
    ("POST", "/admin/v1/accounts/{name}/start"): {"operator", "admin"},
    ("GET", "/admin/v1/nodes"): EVERYONE,
    ("POST", "/admin/v1/nodes/{name}/drain"): {"operator", "admin"},
    ("POST", "/admin/v1/nodes/{name}/undrain"): {"operator", "admin"},
    ("POST", "/admin/v1/reload"): {"operator", "admin"},
    ("POST", "/admin/v1/cost"): EVERYONE,
    ("GET", "/admin/v1/messages"): EVERYONE,
    ("GET", "/admin/v1/messages/{id}"): EVERYONE,
    ("GET", "/admin/v1/messages/{id}/whereabouts"): EVERYONE,
    ("POST", "/admin/v1/messages/{id}/cancel"): {"operator", "admin"},
    ("POST", "/admin/v1/messages/{id}/replace"): {"operator", "admin"},
    ("GET", "/admin/v1/dead-letters"): {"support", "operator", "admin"},
    ("GET", "/admin/v1/dead-letters/{id}"): {"support", "operator", "admin"},
    ("POST", "/admin/v1/dead-letters/{id}/replay"): {"operator", "admin"},
    ("GET", "/admin/v1/audit"): {"admin"},
    ("GET", "/admin/v1/keys"): {"admin"},
    ("POST", "/admin/v1/keys"): {"admin"},
    ("DELETE", "/admin/v1/keys/{name}"): {"admin"},
}
FREE = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/admin/openapi.json")}
REVEALING = ["/admin/v1/messages?msisdn=0912345678&reveal=true", "/admin/v1/messages/1?reveal=true"]


def filled(route: tuple[str, str]) -> tuple[str, str]:
    return route[0], route[1].replace("{id}", "1").replace("{name}", "nobody")


def test_the_table_names_every_route() -> None:
    described = {(operation.method, operation.path) for operation in OPERATIONS}
    assert described == set(MAY) | {route for route in FREE if route[1] in ("/healthz", "/readyz")}


async def test_no_route_is_served_that_the_table_does_not_name(world: World) -> None:
    served = {(route.method, route.resource.canonical) for route in world.client.server.app.router.routes()}
    assert served == set(MAY) | FREE


@pytest.mark.parametrize("route", MAY, ids=" ".join)
async def test_a_role_may_do_what_the_table_says_and_nothing_else(world: World, route: tuple[str, str]) -> None:
    passed = {role for role in EVERYONE if (await world.ask(*filled(route), role)).status not in (401, 403)}
    assert passed == MAY[route]


@pytest.mark.parametrize("route", MAY, ids=" ".join)
@pytest.mark.parametrize(
    "header",
    [
        pytest.param({}, id="no key"),
        pytest.param({"Authorization": "Bearer vas_short"}, id="no key's form"),
        pytest.param({"Authorization": f"Bearer {new_key()}"}, id="an unknown key"),
        pytest.param({"Authorization": "Basic dXNlcjpwYXNz"}, id="another scheme"),
    ],
)
async def test_without_a_valid_key_nothing_happens(
    world: World, route: tuple[str, str], header: dict[str, str]
) -> None:
    response = await world.client.request(*filled(route), headers=header)
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert await world.audit() == []


@pytest.mark.parametrize("route", sorted(FREE), ids=" ".join)
async def test_health_metrics_and_the_description_need_no_key(world: World, route: tuple[str, str]) -> None:
    assert (await world.client.request(*route)).status == 200


@pytest.mark.parametrize("path", REVEALING)
@pytest.mark.parametrize("role", ["viewer", "operator", "finance"])
async def test_who_may_not_see_personal_data_cannot_reveal_it(world: World, path: str, role: str) -> None:
    response = await world.get(path, role)
    assert response.status == 403
    assert "personal:read" in (await response.json())["detail"]
    assert await world.audit() == []


async def test_a_revoked_key_opens_nothing(world: World) -> None:
    await store.revoke_key(world.books, "viewer", 1)
    assert (await world.get("/admin/v1/overview", "viewer")).status == 401


async def test_the_eleventh_wrong_key_from_an_address_is_told_to_wait(world: World) -> None:
    statuses = [(await world.client.get("/admin/v1/overview")).status for _ in range(10)]
    refused = await world.client.get("/admin/v1/overview")
    assert statuses == [401] * 10
    assert refused.status == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 61


async def test_who_shares_an_address_with_a_guesser_is_not_locked_out(world: World) -> None:
    for _ in range(12):
        await world.client.get("/admin/v1/overview")
    assert (await world.get("/admin/v1/overview")).status == 200


async def test_failed_authentications_are_counted(world: World) -> None:
    await world.client.get("/admin/v1/overview")
    assert "vas_authentications_failed_total 1.0" in await (await world.client.get("/metrics")).text()


@pytest.mark.parametrize(
    "after, waits",
    [
        pytest.param(timedelta(seconds=59), True, id="within the minute"),
        pytest.param(timedelta(seconds=60), False, id="after it"),
    ],
)
def test_failures_are_forgotten_after_a_minute(after: timedelta, waits: bool) -> None:
    failures = Failures()
    for _ in range(10):
        assert failures.count("10.0.0.1", NOW) is None
    assert (failures.count("10.0.0.1", NOW + after) is not None) is waits


def test_failures_are_counted_for_each_address() -> None:
    failures = Failures()
    for _ in range(11):
        failures.count("10.0.0.1", NOW)
    assert failures.count("10.0.0.2", NOW) is None


def test_addresses_remembered_are_bounded() -> None:
    failures = Failures()
    for _ in range(11):
        failures.count("first", NOW)
    for number in range(10_000):
        failures.count(str(number), NOW)
    assert failures.count("first", NOW) is None


async def no_keys(world: World) -> None:
    await world.books.write(Portable(delete(schema.api_key)), {})


async def test_the_first_start_leaves_a_key_that_only_its_owner_can_read(world: World, tmp_path: Path) -> None:
    await no_keys(world)
    file = tmp_path / "var" / "admin.key"
    await make_first_key(world.desk, file)
    world.keys["first"] = file.read_text().strip()
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await world.get("/admin/v1/keys", "first")).status == 200


async def test_the_second_start_makes_no_key(world: World, tmp_path: Path) -> None:
    await make_first_key(world.desk, tmp_path / "admin.key")
    assert not (tmp_path / "admin.key").exists()


async def test_a_first_start_that_was_cut_short_goes_on_with_its_file(world: World, tmp_path: Path) -> None:
    await no_keys(world)
    file = tmp_path / "admin.key"
    file.touch(mode=0o600)
    file.write_text(key := new_key())
    await make_first_key(world.desk, file)
    assert [row.hash for row in await store.keys(world.books)] == [digest(key)]


@pytest.mark.parametrize(
    "content, mode",
    [
        pytest.param("dear diary", 0o600, id="something else"),
        pytest.param(new_key(), 0o644, id="a key that everyone could read"),
    ],
)
async def test_a_file_that_is_not_ours_is_not_used(world: World, tmp_path: Path, content: str, mode: int) -> None:
    await no_keys(world)
    file = tmp_path / "admin.key"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(ConfigError, match=r"admin\.first_key_file"):
        await make_first_key(world.desk, file)
    assert file.read_text() == content
    assert await store.keys(world.books) == []


async def test_a_key_is_shown_once_and_stored_as_a_hash(world: World) -> None:
    made = await (await world.post("/admin/v1/keys", {"name": "console", "role": "viewer"})).json()
    world.keys["console"] = made["key"]
    listed = await (await world.get("/admin/v1/keys")).text()
    stored = {row.name: row.hash for row in await store.keys(world.books)}
    assert (await world.get("/admin/v1/overview", "console")).status == 200
    assert made["key"] not in listed
    assert stored["console"] == digest(made["key"])


async def test_a_name_is_never_given_to_a_second_key(world: World) -> None:
    await world.ask("DELETE", "/admin/v1/keys/viewer", "admin")
    assert (await world.post("/admin/v1/keys", {"name": "viewer", "role": "admin"})).status == 409


async def test_a_key_is_revoked_from_the_next_request_on(world: World) -> None:
    revoked = await world.ask("DELETE", "/admin/v1/keys/support", "admin")
    assert (revoked.status, await revoked.read()) == (204, b"")
    assert (await world.get("/admin/v1/overview", "support")).status == 401
    [support] = [key for key in await (await world.get("/admin/v1/keys")).json() if key["name"] == "support"]
    assert datetime.fromisoformat(support["revoked_at"]) == NOW


async def test_the_last_admin_cannot_lock_everyone_out(world: World) -> None:
    assert (await world.ask("DELETE", "/admin/v1/keys/admin", "admin")).status == 409
    assert (await world.get("/admin/v1/keys")).status == 200


async def test_a_key_that_does_not_exist_cannot_be_revoked(world: World) -> None:
    assert (await world.ask("DELETE", "/admin/v1/keys/nobody", "admin")).status == 404


@pytest.mark.parametrize("name", ["", "Ann", "a b", "a" * 41, ANN, "a\n"])
async def test_a_key_has_a_plain_name(world: World, name: str) -> None:
    assert (await world.post("/admin/v1/keys", {"name": name, "role": "viewer"})).status == 422
