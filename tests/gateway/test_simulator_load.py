from __future__ import annotations

import asyncio
import io
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from gateway.pdus.pdu import BindTransceiver, DeliverSm, DeliverSmResp, SubmitSm, Unbind, UnbindResp, decode, frames
from gateway.simulator import Settings
from gateway.simulator.load import Load, Plan, Result
from gateway.simulator.load_command import plan_of, run, settings_of, table
from gateway.simulator.load_plan import Command, read_mix
from gateway.sms.segments import plan
from gateway.sms.style import Style
from vas.errors import ConfigError

SOON = timedelta(milliseconds=50)
Replies = Callable[[DeliverSm, int], list[SubmitSm]]
"""What a platform submits for a command; the second argument counts its deliveries from 1."""


class Platform(asyncio.Protocol):
    def __init__(self, replies: Replies, refused: int = 0) -> None:
        self.buffer = bytearray()
        self.replies = replies
        self.refused = refused
        self.seen: Counter[bytes] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(BindTransceiver(sequence=1, system_id=b"vas", password=b"secret").encode())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        for frame in frames(self.buffer):
            pdu = decode(frame)
            if isinstance(pdu, DeliverSm):
                self.take(pdu)
            elif isinstance(pdu, Unbind):
                self.transport.write(UnbindResp(sequence=pdu.sequence).encode())

    def take(self, pdu: DeliverSm) -> None:
        if self.refused:
            self.refused -= 1
            self.transport.write(DeliverSmResp(sequence=pdu.sequence, status=0x58).encode())
            return
        self.seen[pdu.source_addr] += 1
        self.transport.write(DeliverSmResp(sequence=pdu.sequence).encode())
        for reply in self.replies(pdu, self.seen.total()):
            self.transport.write(reply.encode())


def reply(pdu: DeliverSm, destination: bytes = b"") -> SubmitSm:
    return SubmitSm(
        sequence=pdu.sequence,
        source_addr=b"9105",
        destination_addr=destination or pdu.source_addr,
        short_message=b"Sent.",
    )


async def outcome(plan: Plan, replies: Replies, binds: int = 1, refused: int = 0) -> tuple[Result, list[Platform]]:
    retry = (timedelta(milliseconds=10),)
    load = Load(Settings(port=0, accounts={"vas": "secret"}, retry_delays=retry), plan)
    await load.start()
    platforms = [Platform(replies, refused) for _ in range(binds)]
    for platform in platforms:
        await asyncio.get_running_loop().create_connection(lambda it=platform: it, "127.0.0.1", load.port)
    result = await asyncio.wait_for(load.run(), 20)
    await load.stop()
    return result, platforms


@pytest.mark.parametrize("rate", [pytest.param(None, id="closed loop"), pytest.param(2000.0, id="open loop")])
async def test_every_command_is_sent_and_its_reply_counted_once(rate: float | None) -> None:
    plan = Plan(linger=SOON, messages=200, phones=20, outstanding=5, rate=rate)
    result, (platform,) = await outcome(plan, lambda pdu, _: [reply(pdu)])
    assert (result.sent, result.answered, result.missing, result.extra, result.others) == (200, 200, 0, 0, 0)
    assert platform.seen.total() == 200 and set(platform.seen.values()) == {10}
    assert 0 < result.p50_ms <= result.p95_ms <= result.p99_ms


async def test_a_paced_load_is_no_faster_than_its_rate() -> None:
    result, _ = await outcome(Plan(linger=SOON, messages=100, phones=100, rate=500), lambda pdu, _: [reply(pdu)])
    assert result.seconds > 0.19


async def test_a_reply_that_never_comes_is_missing() -> None:
    plan = Plan(linger=SOON, messages=10, phones=20, patience=timedelta(milliseconds=100))
    result, _ = await outcome(plan, lambda pdu, number: [] if number == 3 else [reply(pdu)])
    assert (result.sent, result.answered, result.missing) == (10, 9, 1)


@pytest.mark.parametrize("rate", [None, 2000.0])
async def test_a_platform_that_never_replies_does_not_hold_the_load_for_ever(rate: float | None) -> None:
    plan = Plan(linger=SOON, messages=100, phones=10, rate=rate, patience=timedelta(milliseconds=100))
    result, _ = await outcome(plan, lambda pdu, _: [])
    assert (result.sent, result.answered, result.missing) == (10, 0, 10)


async def test_a_second_reply_to_one_command_is_extra() -> None:
    plan = Plan(linger=SOON, messages=10, phones=20)
    result, _ = await outcome(plan, lambda pdu, number: [reply(pdu)] * (2 if number == 10 else 1))
    assert (result.answered, result.extra) == (10, 1)


@pytest.mark.parametrize("phones", [pytest.param(5, id="phones take turns"), pytest.param(1, id="the same phone next")])
async def test_a_second_segment_is_no_second_reply(phones: int) -> None:
    def long_reply(pdu: DeliverSm, number: int) -> list[SubmitSm]:
        replies = []
        for part in plan("x" * 200, Style(), 1):
            segment = reply(pdu)
            segment.short_message, segment.esm_class = part.short_message, part.esm_class
            replies.append(segment)
        return replies

    result, _ = await outcome(Plan(linger=SOON, messages=5, phones=phones), long_reply)
    assert (result.answered, result.extra) == (5, 0)


async def test_what_goes_to_friends_is_counted_apart() -> None:
    plan = Plan(linger=SOON, messages=10, phones=20)
    result, _ = await outcome(plan, lambda pdu, _: [reply(pdu), reply(pdu, pdu.short_message.split()[1])])
    assert (result.answered, result.extra, result.others) == (10, 0, 10)


async def test_a_refused_command_is_delivered_again() -> None:
    result, _ = await outcome(Plan(linger=SOON, messages=10, phones=20), lambda pdu, _: [reply(pdu)], refused=3)
    assert (result.answered, result.missing, result.redelivered) == (10, 0, 3)


async def test_several_binds_share_the_load() -> None:
    plan = Plan(linger=SOON, messages=200, phones=20, outstanding=20, binds=2)
    result, platforms = await outcome(plan, lambda pdu, _: [reply(pdu)], binds=2)
    assert result.answered == 200
    assert all(platform.seen.total() > 20 for platform in platforms)


async def test_a_code_is_dialled_and_its_screen_is_the_reply() -> None:
    dialled: list[tuple[bytes, bytes, bytes | None]] = []

    def answer(pdu: DeliverSm, number: int) -> list[SubmitSm]:
        dialled.append((pdu.destination_addr, pdu.short_message, pdu.tlv(0x0501)))
        return [reply(pdu)]

    result, _ = await outcome(Plan(linger=SOON, messages=1, phones=1, text="*105*{friend}#"), answer)
    assert result.answered == 1
    assert dialled == [(b"105", b"*105*84380000000#", b"\x01")]


def dialogue(pdu: DeliverSm, more: bool) -> SubmitSm:
    screen = reply(pdu)
    screen.tlvs = ((0x0501, b"\x02" if more else b"\x11"), (0x1383, pdu.tlv(0x1383) or b""))
    return screen


async def test_a_conversation_is_one_command_with_a_latency_for_each_turn() -> None:
    said: list[bytes] = []

    def menu(pdu: DeliverSm, number: int) -> list[SubmitSm]:
        said.append(pdu.short_message)
        return [dialogue(pdu, more=pdu.short_message != b"84380000000")]

    command = Command(text="*105#", answers=("1", "{friend}"))
    result, _ = await outcome(Plan(linger=SOON, messages=2, phones=1, commands=(command,)), menu)
    assert said == [b"*105#", b"1", b"84380000000"] * 2
    assert (result.sent, result.answered, result.missing, result.extra, result.cut_short) == (2, 2, 0, 0, 0)
    assert result.max_ms >= result.p99_ms > 0


async def test_a_conversation_that_ends_early_is_told_and_goes_no_further() -> None:
    command = Command(text="*105#", answers=("1", "2"))
    result, (platform,) = await outcome(
        Plan(linger=SOON, messages=3, phones=1, commands=(command,)), lambda pdu, _: [dialogue(pdu, more=False)]
    )
    assert (result.answered, result.cut_short, platform.seen.total()) == (3, 3, 3)


async def test_an_sms_in_the_midst_of_a_conversation_is_not_its_screen() -> None:
    command = Command(text="*105#", answers=("1",))

    def chatty(pdu: DeliverSm, number: int) -> list[SubmitSm]:
        return [reply(pdu), dialogue(pdu, more=pdu.short_message == b"*105#")]

    result, _ = await outcome(Plan(linger=SOON, messages=1, phones=1, commands=(command,)), chatty)
    assert (result.answered, result.others, result.extra, result.cut_short) == (1, 2, 0, 0)


async def test_a_conversation_that_stops_in_the_middle_is_missing() -> None:
    command = Command(text="*105#", answers=("1",))
    plan = Plan(linger=SOON, messages=1, phones=1, commands=(command,), patience=timedelta(milliseconds=100))
    result, _ = await outcome(plan, lambda pdu, _: [dialogue(pdu, more=True)] if pdu.short_message == b"*105#" else [])
    assert (result.sent, result.answered, result.missing) == (1, 0, 1)


async def test_commands_are_sent_by_their_weights() -> None:
    texts: Counter[bytes] = Counter()

    def count(pdu: DeliverSm, number: int) -> list[SubmitSm]:
        texts[pdu.short_message] += 1
        return [reply(pdu)]

    commands = (Command(text="HD", weight=3), Command(text="INFO"))
    await outcome(Plan(linger=SOON, messages=40, phones=40, commands=commands), count)
    assert texts == {b"HD": 30, b"INFO": 10}


async def test_a_share_of_the_messages_gets_a_receipt() -> None:
    receipts = 0

    def answer(pdu: DeliverSm, number: int) -> list[SubmitSm]:
        nonlocal receipts
        if pdu.esm_class == 4:
            receipts += 1
            return []
        asking = reply(pdu)
        asking.registered_delivery = 1
        return [asking]

    await outcome(Plan(linger=SOON * 4, messages=40, phones=40, receipts=0.25), answer)
    assert receipts == 10


async def test_what_a_command_was_refused_with_is_told_by_status() -> None:
    result, _ = await outcome(Plan(linger=SOON, messages=10, phones=20), lambda pdu, _: [reply(pdu)], refused=3)
    assert result.statuses == {0x58: 3}


async def test_a_load_told_that_it_is_enough_waits_for_what_was_sent() -> None:
    load = Load(Settings(port=0, accounts={"vas": "secret"}), Plan(messages=10**9, linger=SOON, phones=20))
    await load.start()
    platform = Platform(lambda pdu, _: [reply(pdu)])
    await asyncio.get_running_loop().create_connection(lambda: platform, "127.0.0.1", load.port)
    asyncio.get_running_loop().call_later(0.1, load.enough)
    result = await asyncio.wait_for(load.run(), 20)
    await load.stop()
    assert result.complete and 0 < result.sent == result.answered < 10**9
    assert load.progress.answered == result.answered and load.progress.outstanding == 0


async def test_faults_of_a_mix_meet_the_platform(tmp_path: Path) -> None:
    (tmp_path / "mix.toml").write_text(
        '[[commands]]\ntext = "HD"\n[[faults]]\nkind = "status"\non = "submit_sm"\nstatus = "RTHROTTLED"\nevery = 2\n'
    )
    mix = read_mix(tmp_path / "mix.toml")
    plan = plan_of(mix, rate=0, binds=1, messages=10, outstanding=10)
    plan = msgspec.structs.replace(plan, linger=SOON, patience=timedelta(milliseconds=200))
    load = Load(settings_of(mix, 0, "vas", "secret", seed=1), plan)
    await load.start()
    platform = Platform(lambda pdu, _: [reply(pdu)])
    await asyncio.get_running_loop().create_connection(lambda: platform, "127.0.0.1", load.port)
    result = await asyncio.wait_for(load.run(), 20)
    await load.stop()
    assert (result.answered, result.missing) == (5, 5)


def test_a_mix_says_all_that_a_load_may_be(tmp_path: Path) -> None:
    (tmp_path / "mix.toml").write_text(
        'receipts = 0.5\n[senders]\nfirst = "84910000000"\ncount = 7\n'
        '[[commands]]\ntext = "CM {friend}"\nto = "9106"\nweight = 2\n[[commands]]\ntext = "*105#"\nanswers = ["1"]\n'
    )
    plan = plan_of(read_mix(tmp_path / "mix.toml"), rate=50, binds=4, messages=100, outstanding=10)
    assert (plan.rate, plan.binds, plan.messages, plan.receipts) == (50, 4, 100, 0.5)
    scripts = plan.scripts()
    assert list(scripts) == [b"%d" % number for number in range(84910000000, 84910000007)]
    assert [len(script) for script in scripts.values()] == [1, 1, 2, 1, 1, 2, 1]
    assert decode(scripts[b"84910000001"][0]).destination_addr == b"9106"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        pytest.param(
            '[[commands]]\ntext = "HD"\nwieght = 2\n',
            "commands 1: there is no setting `wieght`; did you mean `weight`[?]",
            id="unknown key",
        ),
        pytest.param('[[commands]]\ntext = "HD"\nanswers = ["1"]\n', "no screens", id="answers to an SMS"),
        pytest.param(f'[[commands]]\ntext = "{"x" * 161}"\n', "one SMS", id="too long"),
        pytest.param("commands = []\n", "commands", id="no commands"),
        pytest.param("receipts = 2\n", "receipts", id="more than all"),
        pytest.param("[[commands]\n", "mix.toml", id="no TOML"),
        pytest.param('[[faults]]\nkind = "status"\nstatus = "RBAD"\n', "RBAD", id="no such status"),
        pytest.param(
            '[[faults]]\nkind = "statsu"\n', "there is no 'statsu'; did you mean `status`[?]$", id="fault kind"
        ),
    ],
)
def test_a_mix_that_cannot_be_is_refused_in_plain_words(tmp_path: Path, toml: str, told: str) -> None:
    (tmp_path / "mix.toml").write_text(toml)
    with pytest.raises(ConfigError, match=told):
        read_mix(tmp_path / "mix.toml")


def test_a_mix_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml"):
        read_mix(tmp_path / "none.toml")


async def test_the_table_tells_what_came_back() -> None:
    result, _ = await outcome(Plan(linger=SOON, messages=10, phones=20), lambda pdu, _: [reply(pdu)], refused=3)
    console = Console(width=80, file=io.StringIO())
    console.print(table(result))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert re.search(r"answered +│ +10 ", shown) and re.search(r"answered RTHROTTLED +│ +3 ", shown)


@pytest.fixture
async def under_way(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[asyncio.Task[Result], Load, io.StringIO]]:
    """A load without end, its output not a terminal, that has had replies."""
    monkeypatch.setattr("gateway.simulator.load_command.LINE_EVERY_SECONDS", 0.02)
    load, shown = Load(Settings(port=0, accounts={"vas": "secret"}), Plan(messages=10**9, phones=20)), io.StringIO()
    running = asyncio.create_task(run(load, timedelta(hours=1), Console(width=120, file=shown)))
    await asyncio.sleep(0.05)
    platform = Platform(lambda pdu, _: [reply(pdu)])
    await asyncio.get_running_loop().create_connection(lambda: platform, "127.0.0.1", load.port)
    async with asyncio.timeout(10):
        while load.progress.answered < 20:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    yield running, load, shown
    running.cancel()


async def test_a_load_that_is_interrupted_keeps_what_was_measured(
    under_way: tuple[asyncio.Task[Result], Load, io.StringIO],
) -> None:
    running, *_ = under_way
    signal.raise_signal(signal.SIGINT)
    result = await asyncio.wait_for(running, 10)
    assert result.interrupted and result.answered >= 20 and result.p50_ms > 0 and result.seconds > 0
    console = Console(width=80, file=io.StringIO())
    console.print(table(result))
    assert isinstance(console.file, io.StringIO) and "still without a reply" in console.file.getvalue()


async def test_a_load_written_to_a_file_has_a_line_now_and_then(
    under_way: tuple[asyncio.Task[Result], Load, io.StringIO],
) -> None:
    _, load, shown = under_way
    async with asyncio.timeout(10):
        while shown.getvalue().count("\n") < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    first, second, third, *_ = shown.getvalue().splitlines()
    assert first == f"SMPP on port {load.port}; waiting for 1 binds …"
    assert all(
        re.match(r"0 of 3,600 s, [0-9,]+ answered, [0-9,]+/s, .* outstanding, p99 ", it) for it in (second, third)
    )


async def test_a_load_in_the_terminal_waits_shows_and_comes_to_its_end() -> None:
    load = Load(Settings(port=0, accounts={"vas": "secret"}), Plan(messages=10**9, linger=SOON, phones=20))
    console = Console(width=120, file=io.StringIO(), force_terminal=True)
    running = asyncio.create_task(run(load, timedelta(milliseconds=400), console))
    await asyncio.sleep(0.1)
    platform = Platform(lambda pdu, _: [reply(pdu)])
    await asyncio.get_running_loop().create_connection(lambda: platform, "127.0.0.1", load.port)
    result = await asyncio.wait_for(running, 20)
    assert result.complete and result.answered > 0
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "waiting for 1 binds" in shown and "of 0 s" in shown and "outstanding" in shown and "000,000" not in shown
