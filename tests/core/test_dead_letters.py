"""A message whose handler failed is kept, and can be run again when the fault is mended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.core.toys import CODE, LAN, MAI, MAI_NUMBER, Purse, Toy, purse, rows, spend
from vas import Context, Outcome, Refused, Reply, Secret, Service, Talk
from vas.messages import SendOutcome
from vas.operations import NodeOperations
from vas.refused import refusal
from vas.submissions import RETRY_AFTER_S
from vas.testing import Network

BROKEN: set[str] = set()


@pytest.fixture(autouse=True)
def broken() -> AsyncIterator[None]:
    BROKEN.clear()
    BROKEN.update({"pay", "job", "settle"})
    yield  # type: ignore[misc]


def fail(where: str) -> None:
    if where in BROKEN:
        raise ValueError("a bug")


def failing(service: Service) -> None:
    @service.outcome
    async def settle(ctx: Context, outcome: Outcome) -> None:
        await ctx.change(ctx.sender, spend, 100)
        fail("settle")
        await ctx.send(ctx.sender, "note", x=f"{outcome.result} {outcome.params['x']}")

    @service.job
    async def remind(ctx: Context, x: str) -> None:
        await ctx.change(ctx.sender, spend, 10)
        fail("job")
        await ctx.send(ctx.sender, "note", x=x)

    @service.sms("PAY {amount}")
    async def pay(ctx: Context, amount: int) -> Reply:
        mine = await ctx.change(ctx.sender, spend, amount)
        await ctx.send(MAI_NUMBER, "note", x=amount)
        fail("pay")
        return ctx.reply("done", x=mine.spent)

    @service.sms("LATER {x}")
    async def later(ctx: Context, x: str) -> None:
        await ctx.later(remind, x=x)

    @service.sms("ASK {x}")
    async def ask(ctx: Context, x: str) -> None:
        await ctx.send(MAI_NUMBER, "note", then=settle, x=x)

    @service.sms("SEND {x}")
    async def send(ctx: Context, x: str) -> None:
        await ctx.send(MAI_NUMBER, "note", x=x)

    @service.sms("FLASH {x}")
    async def flash(ctx: Context, x: str) -> None:
        await ctx.send(MAI_NUMBER, "note", flash=True, x=x)

    @service.sms("BINARY")
    async def binary(ctx: Context) -> None:
        await ctx.send_binary(MAI_NUMBER, bytes(range(256)), port=2948)

    @service.sms("SECRET {pin:secret}")
    async def secret(ctx: Context, pin: Secret) -> None:
        fail("pay")

    @service.ussd("#")
    async def menu(talk: Talk) -> Reply:
        fail("pay")
        return talk.reply("done", x="")


@pytest.fixture
async def network(toy: Toy) -> AsyncIterator[Network]:
    service = toy.service()
    failing(service)
    async with toy.network(service) as network:
        yield network


async def letter(network: Network) -> int:
    return int((await rows(network, "SELECT id FROM dead_letter ORDER BY id DESC LIMIT 1"))[0][0])


async def replay(network: Network, *, dry_run: bool = False) -> object:
    operations = NodeOperations(network.node, list, list)
    result = await operations.replay(await letter(network), dry_run=dry_run, who="lan")
    await network.settled()
    return result


async def test_a_command_is_run_again_when_the_fault_is_mended(network: Network) -> None:
    lan, mai = network.phone(LAN), network.phone(MAI)
    await lan.text("PAY 5", CODE)
    assert await purse(network) == Purse()
    BROKEN.clear()
    result = await replay(network)
    assert result.result == "answered"  # type: ignore[attr-defined]
    assert result.warning == ""  # type: ignore[attr-defined]
    assert lan.texts[1:] == ["done 5"]
    assert mai.texts == ["note 5"]
    assert await purse(network) == Purse(5)
    assert await rows(network, "SELECT replayed_by, replayed_ms FROM dead_letter") == [("lan", network.now_ms)]


async def test_a_dry_run_says_what_would_happen_and_changes_nothing(network: Network) -> None:
    await network.phone(LAN).text("PAY 5", CODE)
    BROKEN.clear()
    before = [await rows(network, f"SELECT * FROM {table}") for table in ("inbox", "outbox", "state", "dead_letter")]  # noqa: S608
    result = await replay(network, dry_run=True)
    assert result.result == "answered"  # type: ignore[attr-defined]
    assert [reply.key for reply in result.replies] == ["note", "done"]  # type: ignore[attr-defined]
    assert [change.what for change in result.changes] == ["spend"]  # type: ignore[attr-defined]
    assert before == [
        await rows(network, f"SELECT * FROM {table}")  # noqa: S608
        for table in ("inbox", "outbox", "state", "dead_letter")
    ]
    assert network.phone(MAI).texts == []


async def test_a_dead_letter_is_replayed_only_once(network: Network) -> None:
    await network.phone(LAN).text("PAY 5", CODE)
    BROKEN.clear()
    await replay(network)
    with pytest.raises(Refused, match="dead_letter_replayed"):
        await replay(network)
    assert await purse(network) == Purse(5)


async def test_a_replay_that_fails_again_says_so_and_undoes_what_it_did(network: Network) -> None:
    await network.phone(LAN).text("PAY 5", CODE)
    result = await replay(network, dry_run=True)
    assert result.result == "failed"  # type: ignore[attr-defined]
    assert await purse(network) == Purse()


async def test_a_replay_warns_when_the_subscriber_has_since_succeeded(network: Network) -> None:
    await network.phone(LAN).text("PAY 5", CODE)
    failed = await letter(network)
    BROKEN.clear()
    await network.phone(LAN).text("PAY 5", CODE)
    assert await letter(network) == failed
    result = await replay(network, dry_run=True)
    assert "since succeeded" in result.warning  # type: ignore[attr-defined]


async def test_what_the_subscriber_succeeded_in_elsewhere_is_no_warning(toy: Toy) -> None:
    service, other = toy.service(), toy.service("other")
    failing(service)
    failing(other)
    async with toy.network(service, other) as network:
        await network.phone(LAN).text("PAY 5", CODE)
        BROKEN.clear()
        assert await network.phone(LAN).text("PAY 5", "9001") == "done 5"
        result = await replay(network, dry_run=True)
        assert result.warning == ""  # type: ignore[attr-defined]


async def test_what_others_succeeded_in_is_no_warning(network: Network) -> None:
    await network.phone(LAN).text("PAY 5", CODE)
    BROKEN.clear()
    await network.phone(MAI).text("PAY 5", CODE)
    result = await replay(network, dry_run=True)
    assert result.warning == ""  # type: ignore[attr-defined]


async def test_a_job_is_run_again(network: Network) -> None:
    await network.phone(LAN).text("LATER tea", CODE)
    assert network.phone(LAN).texts == []
    BROKEN.clear()
    await replay(network)
    assert network.phone(LAN).texts == ["note tea"]
    assert await purse(network) == Purse(10)


async def test_an_outcome_is_told_again(network: Network) -> None:
    await network.phone(LAN).text("ASK tea", CODE)
    assert network.phone(LAN).texts == []
    BROKEN.clear()
    await replay(network)
    assert network.phone(LAN).texts == ["note delivered tea"]
    assert await purse(network) == Purse(100)


@pytest.mark.parametrize("failed", ["a secret", "a talk"])
async def test_what_cannot_be_run_again_is_refused(network: Network, failed: str) -> None:
    lan = network.phone(LAN)
    await (lan.text("SECRET 1234", CODE) if failed == "a secret" else lan.dial("*100#"))
    with pytest.raises(Refused, match="dead_letter_cannot_be_replayed"):
        await replay(network)


async def test_a_dead_letter_that_is_gone_is_refused(network: Network) -> None:
    with pytest.raises(Refused, match="dead_letter_gone"):
        await NodeOperations(network.node, list, list).replay(1, dry_run=True, who="lan")


async def test_a_dead_letter_says_where_it_failed_without_any_value(network: Network) -> None:
    await network.phone(LAN).text("PAY 987", CODE)
    [(trace, error, msisdn, service, handler)] = await rows(
        network, "SELECT trace, error, msisdn, service, handler FROM dead_letter"
    )
    assert trace.startswith("test_dead_letters.py:")
    assert "987" not in trace
    assert (error, msisdn, service, handler) == ("ValueError: a bug", "84912345678", "toy", "pay")


# -- messages that the SMSC refuses for good


async def refused(network: Network, text: str = "SEND tea") -> None:
    network.outcome = lambda message: SendOutcome.PERMANENT if message.to == MAI_NUMBER else SendOutcome.SENT
    await network.phone(LAN).text(text, CODE)
    network.outcome = lambda message: SendOutcome.SENT


async def test_a_message_that_was_refused_for_good_is_a_dead_letter_that_says_why(network: Network) -> None:
    await refused(network)
    why = "refused by the SMSC: Invalid Destination Address (RINVDSTADR, 0x0B)"
    assert await rows(network, "SELECT kind, msisdn, service, error FROM dead_letter") == [
        ("message", MAI_NUMBER.digits, "toy", why)
    ]
    assert await rows(network, "SELECT state, status, error FROM outbox WHERE key = 'note'") == [("failed", 0x0B, why)]


async def test_a_refused_message_and_its_dead_letter_are_in_the_log_without_number_and_text(network: Network) -> None:
    with capture_logs() as logged:
        await refused(network)
    [(message, letter)] = await rows(network, "SELECT cause, id FROM dead_letter")
    events = {entry["event"]: entry for entry in logged}
    assert events["message.refused"] == {
        "event": "message.refused", "log_level": "info", "id": message, "to": "84987•••321", "service": "toy",
        "account": "test", "status": "RINVDSTADR", "attempts": 1,
    }  # fmt: skip
    made = events["dead_letter.made"]
    assert (made["log_level"], made["id"], made["kind"], made["cause_id"]) == ("info", letter, "message", message)
    assert "tea" not in str(logged) and MAI_NUMBER.digits not in str(logged)


async def test_the_dead_letter_of_a_handler_is_in_the_log_without_what_its_error_says(network: Network) -> None:
    with capture_logs() as logged:
        await network.phone(LAN).text("PAY 987", CODE)
    [made] = [entry for entry in logged if entry["event"] == "dead_letter.made"]
    assert (made["kind"], made["handler"], made["error"], made["msisdn"]) == (
        "command", "pay", "ValueError", "84912•••678",
    )  # fmt: skip


async def test_a_message_that_was_refused_too_often_is_a_dead_letter(network: Network) -> None:
    network.outcome = lambda message: SendOutcome.TEMPORARY if message.to == MAI_NUMBER else SendOutcome.SENT
    await network.phone(LAN).text("SEND tea", CODE)
    for seconds in RETRY_AFTER_S:
        assert await rows(network, "SELECT * FROM dead_letter") == []
        await network.pass_time(timedelta(seconds=seconds))
    assert await rows(network, "SELECT error FROM dead_letter") == [
        ("too often refused by the SMSC: System Error (RSYSERR, 0x08)",)
    ]


async def test_a_refused_message_is_sent_again_as_a_new_one(network: Network) -> None:
    await refused(network, "FLASH tea")
    result = await replay(network)
    assert (result.result, [reply.key for reply in result.replies]) == ("answered", ["note"])  # type: ignore[attr-defined]
    assert result.warning == ""  # type: ignore[attr-defined]
    first, second = [message for message in network.sent if message.to == MAI_NUMBER]
    assert second.id != first.id
    assert (second.text, second.source, second.flash) == ("note tea", CODE, True)
    assert network.phone(MAI).texts == ["note tea"]
    with pytest.raises(Refused, match="dead_letter_replayed"):
        await replay(network)


async def test_a_refused_binary_message_is_sent_again_as_it_was(network: Network) -> None:
    await refused(network, "BINARY")
    await replay(network)
    [_, again] = [message for message in network.sent if message.to == MAI_NUMBER]
    assert (again.data, again.port) == (bytes(range(256)), 2948)


async def test_a_dry_run_of_a_refused_message_sends_nothing(network: Network) -> None:
    await refused(network)
    await replay(network, dry_run=True)
    assert network.phone(MAI).texts == []
    assert await rows(network, "SELECT replayed_ms FROM dead_letter") == [(None,)]


async def test_who_was_told_that_a_message_failed_is_not_told_again_and_the_replay_warns(network: Network) -> None:
    BROKEN.clear()
    await refused(network, "ASK tea")
    assert network.phone(LAN).texts == ["note failed tea"]
    result = await replay(network)
    assert "is not told" in result.warning  # type: ignore[attr-defined]
    assert network.phone(MAI).texts == ["note tea"]
    assert not network.phone(MAI).received[-1].receipt
    assert network.phone(LAN).texts == ["note failed tea"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0x0B, "refused by the SMSC: Invalid Destination Address (RINVDSTADR, 0x0B)"),
        (0x443, "refused by the SMSC: Service or charging error of the SMSC vendor's own (0x443)"),
    ],
)
def test_a_refusal_has_number_name_and_meaning(status: int, words: str) -> None:
    assert refusal(status) == words
