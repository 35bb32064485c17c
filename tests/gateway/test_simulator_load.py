from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from gateway.pdu import BindTransceiver, DeliverSm, DeliverSmResp, SubmitSm, Unbind, UnbindResp, decode, frames
from gateway.segments import plan
from gateway.simulator import Settings
from gateway.simulator.load import Load, Plan, Result
from gateway.style import Style

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


async def test_a_second_segment_is_no_second_reply() -> None:
    def long_reply(pdu: DeliverSm, number: int) -> list[SubmitSm]:
        replies = []
        for part in plan("x" * 200, Style(), 1):
            segment = reply(pdu)
            segment.short_message, segment.esm_class = part.short_message, part.esm_class
            replies.append(segment)
        return replies

    result, _ = await outcome(Plan(linger=SOON, messages=5, phones=5), long_reply)
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
