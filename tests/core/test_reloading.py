"""The whole platform with SMSCs: accounts steered and settings read again while messages leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from gateway.simulator import Settings, Simulator
from gateway.simulator.faults import Fault
from tests.engines import Engine
from tests.gateway.peer import until
from vas import accounts, recalling
from vas.__main__ import app
from vas.assembly import Installation
from vas.config import load
from vas.errors import Refused
from vas.messages import ROK, Inbound, Part
from vas.store.ids import moment

ANN, BOB = "84912345678", "84987654321"
WHY = {"reason": "under test"}
CONFIG = """
[store]
url = "{url}"
[admin]
listen = "127.0.0.1:0"
first_key_file = "admin.key"
[log]
level = "error"
[services.callme]
enabled = true
short_codes = ["9105"]
ussd = "*105"
"""
ACCOUNT = """
[accounts.{name}]
host = "127.0.0.1"
port = {port}
system_id = "vas"
password = "{password}"
"""


class World:
    """A platform with the account `main` at one simulator, and a second simulator that it does not know yet."""

    def __init__(self, folder: Path, engine: Engine, main: Simulator, other: Simulator) -> None:
        self.file, self.url = folder / "config.toml", engine.url(folder)
        self.main, self.other = main, other
        self.installation: Installation

    def write(self, more: str = "", password: str = "secret", **other: Any) -> None:  # noqa: S107
        text = CONFIG.format(url=self.url) + ACCOUNT.format(name="main", port=self.main.port, password=password)
        if other:
            text += ACCOUNT.format(name="other", port=self.other.port, password="secret")
        self.file.write_text(text + more)

    async def start(self) -> None:
        self.installation = Installation(load(self.file, {}))
        await self.installation.start()
        await until(lambda: self.installation.gateway.account("main").up)
        self.key = (self.file.parent / "admin.key").read_text().strip()

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        url = self.installation.admin_address + path
        headers = {"Authorization": f"Bearer {self.key}"}
        async with aiohttp.request(method, url, headers=headers, json=body) as response:
            return response.status, await response.json()

    async def reload(self, *, dry_run: bool = False) -> tuple[int, Any]:
        return await self.ask("POST", "/admin/v1/reload", {**WHY, "dry_run": dry_run})

    async def vas(self, *words: str) -> tuple[int, str]:
        """A command in a terminal of its own: its exit status, and what it printed."""
        where = ["--url", self.installation.admin_address, "--config", str(self.file)]
        result = await asyncio.to_thread(CliRunner(env={"COLUMNS": "200"}).invoke, app, [*words, *where])
        return result.exit_code, result.output

    async def state(self, row: int) -> str:
        status, journey = await self.ask("GET", f"/admin/v1/messages/{row}")
        assert status == 200
        return next(str(sent["state"]) for sent in journey["sent"] if sent["id"] == str(row))


@pytest.fixture
async def world(folder: Path, engine: Engine, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """The parameter, if there is one, are further settings of the simulators."""
    fields = {"port": 0, "http_port": 0, "accounts": {"vas": "secret"}, **getattr(request, "param", {})}
    simulators = [Simulator(Settings(**fields)) for _ in range(2)]
    for simulator in simulators:
        await simulator.start()
    made = World(folder, engine, *simulators)
    made.write()
    await made.start()
    yield made
    await made.installation.stop()
    for simulator in simulators:
        await simulator.stop()


def window(world: World) -> int:
    return world.installation.gateway.account("main").settings.window


async def test_a_dry_run_shows_every_difference_and_changes_nothing(world: World) -> None:
    world.write("window = 7\n", password="secret")
    world.file.write_text(world.file.read_text().replace('level = "error"', 'level = "warning"'))

    assert await world.reload(dry_run=True) == (200, {
        "dry_run": True,
        "changes": [
            {"key": "log.level", "before": '"error"', "after": '"warning"'},
            {"key": "accounts.main.window", "before": "50", "after": "7"},
        ],
        "failed": [],
    })  # fmt: skip
    assert window(world) == 50


async def test_a_change_holds_at_once_and_is_no_difference_any_more(world: World) -> None:
    world.write('window = 7\nlater_status = 0x14\nregistered_delivery = "all"\n')
    assert (await world.reload())[0] == 200
    assert window(world) == 7
    rules = world.installation.node.core.rules("main")
    assert (rules.later_status, rules.all_receipts) == (0x14, True)
    assert (await world.reload())[1]["changes"] == []


async def test_what_needs_a_restart_is_named_and_nothing_else_is_changed_either(world: World) -> None:
    world.write('window = 7\n[platform]\nlanguage = "en"\n')
    status, problem = await world.reload()
    assert status == 409
    [flaw] = problem["errors"]
    assert flaw["message"].startswith("platform.language: cannot change while the platform runs: restart it")
    assert window(world) == 50


async def test_a_file_that_is_wrong_changes_nothing_and_is_told_with_its_key(world: World) -> None:
    world.write("windwo = 7\n")
    status, problem = await world.reload()
    assert status == 409
    assert 'did you mean "window"?' in problem["errors"][0]["message"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        pytest.param("daily_limt = 6\n", 'daily_limt = 6: no such setting; did you mean "daily_limit"?', id="misspelt"),
        pytest.param('pair_pause = "soon"\n', "must be a whole number and its unit", id="no value of it"),
    ],
)
async def test_a_service_that_would_not_start_is_told_as_at_a_start(world: World, written: str, said: str) -> None:
    world.file.write_text(world.file.read_text().replace('ussd = "*105"\n', 'ussd = "*105"\n' + written))
    status, problem = await world.reload()
    assert status == 409
    [flaw] = problem["errors"]
    assert said in flaw["message"]
    assert "while the platform runs" not in flaw["message"]


@pytest.mark.parametrize("before", ["", 'statuses = { 0x0001 = "permanent" }\n'], ids=["first", "in place of another"])
async def test_a_status_is_shown_as_it_is_written(world: World, before: str) -> None:
    world.write(before)
    assert (await world.reload())[0] == 200
    world.write('statuses = { 0x0442 = "transient" }\n')
    changes = (await world.reload(dry_run=True))[1]["changes"]
    assert changes[0] == {"key": "accounts.main.statuses.0x0442", "before": "", "after": '"transient"'}
    gone = {"key": "accounts.main.statuses.0x0001", "before": '"permanent"', "after": ""}
    assert changes[1:] == ([gone] if before else [])


async def test_the_numbers_of_a_dialect_are_shown_as_they_are_written(world: World) -> None:
    world.write('[ussd_dialects.ours]\ncodings = { 0x0F = "gsm_packed" }\nadd = { 0x4901 = "01" }\n')
    shown = [change["key"] for change in (await world.reload(dry_run=True))[1]["changes"]]
    assert "ussd_dialects.ours.codings.0x0F" in shown
    assert "ussd_dialects.ours.add.0x4901" in shown


async def test_the_last_entry_of_a_table_that_goes_is_one_difference(world: World) -> None:
    world.write('statuses = { 0x0442 = "transient" }\n')
    assert (await world.reload())[0] == 200
    world.write()
    gone = {"key": "accounts.main.statuses.0x0442", "before": '"transient"', "after": ""}
    assert (await world.reload(dry_run=True))[1]["changes"] == [gone]


async def test_no_answer_shows_a_secret(world: World) -> None:
    world.write(password="hunter22")
    for dry_run in (True, False):
        status, answer = await world.reload(dry_run=dry_run)
        assert status == 200
        assert answer["changes"] == [{"key": "accounts.main.password", "before": '"•••"', "after": '"•••"'}]
        assert "hunter" not in str(answer)
    assert answer["failed"][0].startswith("accounts.main: ")
    assert world.installation.gateway.account("main").up, "the old password still holds"
    assert len((await world.reload(dry_run=True))[1]["changes"]) == 1, "what failed is still to be done"


async def test_an_account_that_is_added_carries_commands_and_one_that_is_removed_leaves(world: World) -> None:
    world.write(other=True)
    assert (await world.reload())[0] == 200
    await until(lambda: world.installation.gateway.account("other").up)
    world.other.phone(ANN).text("CM 0987654321", "9105")
    assert "0912345678" in (await world.other.phone(BOB).next_message()).text

    world.write()
    assert (await world.reload())[0] == 200
    accounts = (await world.ask("GET", "/admin/v1/accounts"))[1]
    assert [account["name"] for account in accounts] == ["main"]
    assert set(world.installation.node.core.accounts) == {"main"}


async def test_a_route_that_is_added_leads_replies_to_another_account(world: World) -> None:
    world.write(other=True, more='\n[[routes]]\naccounts = ["other"]\n')
    assert (await world.reload())[0] == 200
    await until(lambda: world.installation.gateway.account("other").up)
    world.main.phone(ANN).text("CM 0987654321", "9105")
    assert "0912345678" in (await world.other.phone(BOB).next_message()).text


async def test_a_platform_whose_routes_all_have_an_account_that_is_up_is_ready(world: World) -> None:
    world.write(more='\n[[routes]]\naccounts = ["main", "other"]\n', other=True)
    assert (await world.reload())[0] == 200
    await until(lambda: world.installation.gateway.account("other").up)
    await world.other.stop()
    await until(lambda: not world.installation.gateway.account("other").up)
    status, answer = await world.ask("GET", "/readyz")
    assert (status, [flaw["where"] for flaw in answer["degraded"]]) == (200, ["accounts.other"])
    await world.main.stop()
    await until(lambda: not world.installation.gateway.account("main").up)
    status, answer = await world.ask("GET", "/readyz")
    assert (status, [flaw["where"] for flaw in answer["errors"]]) == (503, ["routes[0]"])


async def queued(world: World) -> int:
    """A message that waits in the queue, since its account is drained; its id."""
    await world.ask("POST", "/admin/v1/accounts/main/drain", WHY)
    world.main.phone(ANN).text("CM 0987654321", "9105")
    return await message(world, "queued")


async def message(world: World, state: str, to: str = BOB) -> int:
    """What was sent to that number, once it is in that state; its id."""
    async with asyncio.timeout(5):
        while True:
            _, page = await world.ask("GET", f"/admin/v1/messages?msisdn={to}")
            found = [each for each in page["items"] if each["direction"] == "out" and each["state"] == state]
            if found:
                return int(found[0]["id"])
            await asyncio.sleep(0.01)


async def eventually(ask: Callable[[], Any]) -> Any:
    """The first answer that is no 409: a message may be on its way just now."""
    async with asyncio.timeout(5):
        while True:
            status, answer = await ask()
            if status != 409:
                assert status == 200
                return answer
            await asyncio.sleep(0.01)


async def test_a_message_that_is_cancelled_in_the_queue_never_leaves(world: World) -> None:
    row = await queued(world)
    answer = await eventually(lambda: world.ask("POST", f"/admin/v1/messages/{row}/cancel", WHY))
    assert (answer["state"], answer["segments"]) == ("cancelled", [])
    await world.ask("POST", "/admin/v1/accounts/main/start", WHY)
    world.main.phone(ANN).text("CM 0987654322", "9105")
    await world.main.phone("84987654322").next_message()
    assert await world.state(row) == "cancelled"
    assert list(world.main.phone(BOB).inbox) == []


async def test_a_message_that_is_withheld_is_not_sent_when_it_is_due(world: World) -> None:
    row = await queued(world)
    outbox = world.installation.node.outbox
    await until(lambda: outbox.withhold(row))
    await world.ask("POST", "/admin/v1/accounts/main/start", WHY)
    due = await recalling.sent_row(world.installation.node, BOB, row)
    outbox.send(due._replace(due_ms=0))
    world.main.phone(ANN).text("CM 0987654322", "9105")
    await world.main.phone("84987654322").next_message()
    assert list(world.main.phone(BOB).inbox) == []
    outbox.release(row)
    assert (await world.main.phone(BOB).next_message()).text


async def test_the_smsc_is_asked_where_a_message_is(world: World) -> None:
    world.main.phone(ANN).text("CM 0987654321", "9105")
    await world.main.phone(BOB).next_message()
    row = await message(world, "delivered")
    answer = (await world.ask("GET", f"/admin/v1/messages/{row}/whereabouts"))[1]
    assert [segment["state"] for segment in answer["segments"]] == ["delivered"]


@pytest.mark.parametrize("world", [{"message_ids": "hyphens"}], indirect=True)
async def test_the_smsc_is_asked_by_the_id_that_it_gave_though_its_receipts_spell_it_otherwise(world: World) -> None:
    world.write('receipt_id = "strip0"\n')
    assert (await world.reload())[1]["failed"] == []
    world.main.phone(ANN).text("CM 0987654321", "9105")
    row = await message(world, "delivered")
    [segment] = (await world.ask("GET", f"/admin/v1/messages/{row}/whereabouts"))[1]["segments"]
    assert (segment["state"], segment["smsc_id"].count("-")) == ("delivered", 3)


async def test_a_message_that_the_smsc_still_has_is_replaced_and_cancelled_there(world: World) -> None:
    world.main.phone(BOB).switch_off()
    world.main.phone(ANN).text("CM 0987654321", "9105")
    row = await message(world, "sent")
    path = f"/admin/v1/messages/{row}"
    status, refused = await world.ask("POST", f"{path}/replace", {**WHY, "text": "gọi lại sau"})
    assert (status, "encoding" in refused["detail"]) == (409, True), "the request has no accents"
    status, answer = await world.ask("POST", f"{path}/replace", {**WHY, "text": "later"})
    assert (status, answer["segments"][0]["said"]) == (200, "")
    status, answer = await world.ask("POST", f"{path}/cancel", WHY)
    assert (status, answer["state"]) == (200, "cancelled")
    assert await world.state(row) == "cancelled"
    assert (await world.ask("POST", f"{path}/cancel", WHY))[0] == 409
    world.main.phone(BOB).switch_on()
    assert list(world.main.phone(BOB).inbox) == []


@pytest.mark.parametrize(("friend", "status"), [("0912900004", "RINVDSTADR"), ("0912900006", "0x00000442")])
async def test_a_message_that_the_smsc_refuses_tells_so_in_its_journey(world: World, friend: str, status: str) -> None:
    world.main.phone(ANN).text(f"CM {friend}", "9105")
    row = await message(world, "failed", friend)
    _, journey = await world.ask("GET", f"/admin/v1/messages/{row}")
    [refused] = [event["detail"] for event in journey["events"] if event["what"] == "refused"]
    assert (refused["account"], refused["attempts"], refused["segments"]) == ("main", 1, 1)
    assert refused["status_name"] == status
    status_code, answer = await world.ask("GET", f"/admin/v1/messages/{row}/whereabouts")
    assert (status_code, answer["state"], answer["segments"]) == (200, "failed", [])


async def test_a_replaced_message_keeps_both_texts_and_who_replaced_it(world: World) -> None:
    world.main.phone(BOB).switch_off()
    world.main.phone(ANN).text("CM 0987654321", "9105")
    row = await message(world, "sent")
    for text in ("at nine", "at ten"):
        status, _ = await world.ask("POST", f"/admin/v1/messages/{row}/replace", {**WHY, "text": text})
        assert status == 200
    _, journey = await world.ask("GET", f"/admin/v1/messages/{row}?reveal=true")
    assert [event["detail"] for event in journey["events"] if event["what"] == "replaced"] == [
        {"by": "first", "text": "at nine", "said": ""},
        {"by": "first", "text": "at ten", "said": ""},
    ]
    [sent] = [each for each in journey["sent"] if each["id"] == str(row)]
    assert "nho ban goi lai" in sent["text"]
    world.main.phone(BOB).switch_on()
    assert (await world.main.phone(BOB).next_message()).text == "at ten"
    _, page = await world.ask("GET", f"/admin/v1/messages?msisdn={BOB}&reveal=true")
    assert [each["text"] for each in page["items"] if each["id"] == str(row)] == ["at ten"]


async def test_a_text_that_the_smsc_did_not_take_is_told_with_what_it_said(world: World) -> None:
    world.main.phone(BOB).switch_off()
    world.main.phone(ANN).text("CM 0987654321", "9105")
    row = await message(world, "sent")
    world.main.faults.add(Fault(kind="status", on="replace_sm", status="RREPLACEFAIL"))
    await world.ask("POST", f"/admin/v1/messages/{row}/replace", {**WHY, "text": "at nine"})
    _, journey = await world.ask("GET", f"/admin/v1/messages/{row}")
    [event] = [event for event in journey["events"] if event["what"] == "replaced"]
    assert (event["detail"]["text"], "RREPLACEFAIL" in event["detail"]["said"]) == (None, True)
    _, page = await world.ask("GET", f"/admin/v1/messages?msisdn={BOB}&reveal=true")
    assert ["nho ban goi lai" in each["text"] for each in page["items"]] == [True]


async def test_a_message_is_given_another_text_only_so_often(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recalling, "REPLACED_AT_MOST", 1)
    world.main.phone(BOB).switch_off()
    world.main.phone(ANN).text("CM 0987654321", "9105")
    path = f"/admin/v1/messages/{await message(world, 'sent')}/replace"
    assert (await world.ask("POST", path, {**WHY, "text": "at nine"}))[0] == 200
    status, refused = await world.ask("POST", path, {**WHY, "text": "at ten"})
    assert (status, "too often" in refused["detail"]) == (409, True)


async def test_a_message_that_ended_meanwhile_is_not_said_to_be_cancelled(world: World) -> None:
    world.main.phone(ANN).text("CM 0987654321", "9105")
    row = await recalling.sent_row(world.installation.node, BOB, await message(world, "delivered"))
    with pytest.raises(Refused, match="over"):
        await recalling.settle_cancelled(world.installation.node, row, "linh", "sent")
    assert await world.state(row.id) == "delivered"


async def test_the_commands_show_and_steer_the_accounts(world: World) -> None:
    status, shown = await world.vas("accounts")
    assert (status, "main" in shown, "running" in shown, "1/1" in shown) == (0, True, True, True)
    assert "draining" in (await world.vas("accounts", "drain", "main"))[1]
    assert world.installation.gateway.account("main").state.value == "draining"
    assert "running" in (await world.vas("accounts", "start", "main"))[1]
    assert "bound" in (await world.vas("binds"))[1]
    assert "stopped" in (await world.vas("accounts", "stop", "main"))[1]


async def test_an_account_that_is_started_is_shown_with_its_binds(world: World) -> None:
    await world.vas("accounts", "stop", "main")
    shown = (await world.vas("accounts", "start", "main"))[1]
    assert ("running" in shown, "1/1" in shown) == (True, True)


async def test_an_account_whose_smsc_is_away_is_shown_as_it_is_after_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "CONNECTED_WITHIN_S", 0.05)
    await world.vas("accounts", "stop", "main")
    await world.main.stop()
    shown = (await world.vas("accounts", "start", "main"))[1]
    assert ("down" in shown, "0/1" in shown) == (True, True)


async def test_the_messages_of_a_number_are_listed_without_their_texts(world: World) -> None:
    world.main.phone(ANN).text("CM 0987654321", "9105")
    row = await message(world, "delivered")
    status, shown = await world.vas("messages", "0987654321")
    assert (status, str(row) in shown, "delivered" in shown) == (0, True, True)
    assert "0912345678" not in shown
    assert "nothing is kept" in (await world.vas("messages", "0999999999"))[1]
    assert (await world.vas("messages", "x"))[0] == 2


async def test_the_messages_of_a_number_tell_of_a_long_one_whose_parts_are_awaited(world: World) -> None:
    first = Part("8-bit 1", 3, 1, b"CM", "gsm")
    came = Inbound("main", 1, 1, moment(0), ANN, "9105", "CM", b"CM", part=first)
    dispatch, answered = world.installation.node.dispatch, asyncio.get_running_loop().create_future()
    dispatch.receive(came, answered.set_result)
    assert await answered == ROK
    status, shown = await world.vas("messages", ANN)
    assert (status, "of 3 parts came 1;" in shown, "nothing is kept" in shown) == (0, True, False)


async def test_the_reload_command_shows_and_then_does(world: World) -> None:
    world.write("window = 7\n")
    status, shown = await world.vas("reload", "--dry-run")
    assert (status, window(world)) == (0, 50)
    assert "accounts.main.window: 50 → 7" in shown
    assert (await world.vas("reload"))[0] == 0
    assert window(world) == 7


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["accounts", "drain", "mian"], "There is no such account."),
        (["accounts", "drain", "../x"], "no name of an account"),
        (["accounts", "start", "main", "--reason", "x"], "vas: --reason must be one line, of 3 to 200 characters\n"),
        (["messages", "91234"], "vas: the number must be a subscriber's number, such as 0912345678"),
        (["accounts", "--url", "http://127.0.0.1:1", "drain", "main"], "options go behind the order"),
        (["accounts", "--key-file", "nowhere.key"], "nowhere.key: no key"),
        (["reload"], 'did you mean "window"?'),
    ],
)
async def test_what_goes_wrong_is_told_in_plain_words(world: World, words: list[str], said: str) -> None:
    where = ["--key-file", str(world.file.parent / "admin.key")]
    if words == ["reload"]:
        world.write("windwo = 7\n")
        status, shown = await world.vas("reload", *where)
    else:
        status, shown = await world.vas(*words)
    assert status == 2
    assert said in shown
    assert "Traceback" not in shown


async def test_a_platform_that_does_not_run_is_told_with_what_to_do(world: World) -> None:
    key = str(world.file.parent / "admin.key")
    runner = CliRunner()
    result = await asyncio.to_thread(runner.invoke, app, ["accounts", "--url", "http://127.0.0.1:1", "--key-file", key])
    assert result.exit_code == 2
    assert "start `vas run`" in result.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("hello", "1 SMS in GSM 7-bit, 5 septets, room for 155 more"), ("chào ế", "not in its plain alphabet: ế")],
)
async def test_a_texts_cost_is_told_before_it_is_sent(world: World, text: str, shown: str) -> None:
    result = CliRunner().invoke(app, ["text", text, "--config", str(world.file)])
    assert (result.exit_code, shown in result.output.replace("\n", " ")) == (0, True)
