"""Many phones at once: how fast an ESME answers, and whether it answers each command exactly once.

The SMSC of gateway.simulator with a light sink in the place of its phones, so that it can share a machine with what
it measures.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import deque
from contextlib import suppress
from datetime import timedelta

import msgspec

from gateway.simulator import dialects, texting, wire
from gateway.simulator.delivery import Mo, Outcome
from gateway.simulator.dialects import Turn
from gateway.simulator.session import Session
from gateway.simulator.settings import Settings
from gateway.simulator.smsc import Smsc
from gateway.simulator.wire import Mt, State, Submission
from gateway.text import UDHI

FIRST_PHONE = 84_900_000_000
FIRST_FRIEND = 84_380_000_000
TICK_SECONDS = 0.005


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent. Each phone waits for its reply before it sends again; phones take turns."""

    messages: int
    text: str = "CM {friend}"
    """Sent by SMS, or dialled if it starts with `*` or `#`; `{friend}` becomes a number, another for each phone."""
    to: str = "9105"
    """The short code of an SMS."""
    phones: int = 10_000
    outstanding: int = 100
    """Closed loop: commands without a reply at one time; at most `phones`."""
    rate: float | None = None
    """Open loop: commands a second while a phone without a command is left; None keeps `outstanding`."""
    binds: int = 1
    """Receivers to wait for before the first command."""
    receipts: bool = False
    """Whether a message that asks for a delivery receipt gets one, delivered at once."""
    patience: timedelta = timedelta(seconds=10)
    """Silence after which what has no reply is missing."""
    linger: timedelta = timedelta(milliseconds=500)
    """After the last reply, for those that come once too often."""


class Result(msgspec.Struct, frozen=True):
    """What came back; latency is from a command's turn, the wait for room in a window included, to the submit_sm."""

    sent: int
    answered: int
    missing: int
    extra: int
    """Replies to a phone that waited for none; further segments of a reply are not counted."""
    others: int
    """Messages to numbers that are not this load's phones: the friends."""
    seconds: float
    """From the first command to the last reply."""
    cpu_seconds: float
    """What this process used in that time, the simulator's own part of it."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    redelivered: int
    """Attempts that ended in anything but an acknowledgement."""
    outcomes: dict[str, int]

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds if self.seconds else 0.0


class Load:
    """`await start()`, let an ESME bind to `port`, `await run()` once, `await stop()`."""

    def __init__(self, settings: Settings, plan: Plan) -> None:
        self._plan = plan
        self._smsc = Smsc(settings, self._accept)
        self._idle: deque[bytes] = deque(str(FIRST_PHONE + index).encode() for index in range(plan.phones))
        self._commands = {phone: _command(plan, phone, index) for index, phone in enumerate(self._idle)}
        self._awaited: dict[bytes, float] = {}
        self._latencies = array("f")
        self._sent = 0
        self._extra = 0
        self._others = 0
        self._replied_at = 0.0
        self._closed_loop = False
        self._finished = asyncio.Event()

    async def start(self) -> None:
        await self._smsc.start()

    async def stop(self) -> None:
        await self._smsc.stop()

    @property
    def port(self) -> int:
        """The SMPP port that is listened on."""
        return self._smsc.port

    async def bound(self) -> None:
        """Return once the plan's receivers are there."""
        await self._smsc.delivery.receivers(self._plan.binds)

    async def run(self) -> Result:
        """Wait for the binds, send all, wait for the replies."""
        await self.bound()
        started, cpu = time.perf_counter(), time.process_time()
        self._replied_at = started
        if self._plan.rate is None:
            self._closed_loop = True
            self._send(self._plan.outstanding)
        else:
            await self._pace(self._plan.rate, started)
        await self._replies()
        cpu = time.process_time() - cpu
        missing = len(self._awaited)
        await asyncio.sleep(self._plan.linger.total_seconds())
        return self._result(missing, self._replied_at - started, cpu)

    async def _pace(self, rate: float, started: float) -> None:
        while self._sent < self._plan.messages and self._patience() > 0:
            self._send(int((time.perf_counter() - started) * rate) - self._sent)
            await asyncio.sleep(TICK_SECONDS)

    async def _replies(self) -> None:
        """Until every command has its reply, or nothing has come for `patience`."""
        while (left := self._patience()) > 0 and self._awaited:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._finished.wait(), left)

    def _patience(self) -> float:
        """Seconds left; none are lost while no reply is awaited."""
        silence = time.perf_counter() - self._replied_at if self._awaited else 0.0
        return self._plan.patience.total_seconds() - silence

    def _send(self, number: int) -> None:
        number = min(number, self._plan.messages - self._sent, len(self._idle))
        now = time.perf_counter()
        for _ in range(number):
            phone = self._idle.popleft()
            self._awaited[phone] = now
            self._smsc.delivery.owe(Mo(self._sent, "sms", "", "", "", self._commands[phone]))
            self._sent += 1

    def _accept(self, session: Session, pdu: Submission) -> tuple[int, bytes]:
        phone = pdu.destination_addr
        sent_at = self._awaited.pop(phone, None)
        if sent_at is not None:
            self._replied_at = time.perf_counter()
            self._latencies.append(self._replied_at - sent_at)
            self._idle.append(phone)
            if self._closed_loop and self._sent < self._plan.messages:
                self._send(1)
            elif self._sent == self._plan.messages and not self._awaited:
                self._finished.set()
        elif phone not in self._commands:
            self._others += 1
        elif not _further_segment(pdu):
            self._extra += 1
        id = self._smsc.new_id()
        if self._plan.receipts and pdu.registered_delivery:
            asyncio.get_running_loop().call_soon(self._report, id, session, pdu)
        return 0, b"%d" % id

    def _report(self, id: int, session: Session, pdu: Submission) -> None:
        now = self._smsc.clock()
        source, to = pdu.source_addr.decode("latin-1"), pdu.destination_addr.decode("latin-1")
        mt = Mt(
            id, session.account, session.id, now, source, to, "", None, pdu.registered_delivery, State.DELIVERED, now
        )
        octets = wire.receipt(mt, str(id), str(id)).encode()
        self._smsc.delivery.owe(Mo(id, "receipt", to, source, "", octets))

    def _result(self, missing: int, seconds: float, cpu_seconds: float) -> Result:
        outcomes = self._smsc.delivery.outcomes
        latencies = sorted(self._latencies)
        p50, p95, p99 = (_percentile_ms(latencies, share) for share in (0.50, 0.95, 0.99))
        return Result(
            sent=self._sent,
            answered=len(latencies),
            missing=missing,
            extra=self._extra,
            others=self._others,
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            p50_ms=p50,
            p95_ms=p95,
            p99_ms=p99,
            redelivered=sum(outcomes.values()) - outcomes[Outcome.ACKNOWLEDGED],
            outcomes={str(outcome): number for outcome, number in outcomes.items()},
        )


def _command(plan: Plan, phone: bytes, index: int) -> bytes:
    """The deliver_sm of one phone; it is the same each time, as a subscriber's favourite command is."""
    sender, text = phone.decode(), plan.text.format(friend=FIRST_FRIEND + index)
    if text.startswith(("*", "#")):
        code = text.strip("*#").partition("*")[0]
        return dialects.deliver(Turn("dial", sender, code, text, index % 256), "spec").encode()
    ((_, pdu),) = texting.sms(sender, plan.to, text, 0)
    return pdu.encode()


def _further_segment(pdu: Submission) -> bool:
    return bool(pdu.esm_class & UDHI) and wire.segment_of(pdu, *wire.body(pdu)).number > 1


def _percentile_ms(latencies: list[float], share: float) -> float:
    """Of sorted seconds, in milliseconds to the microsecond; 0 if there are none."""
    return round(latencies[min(int(len(latencies) * share), len(latencies) - 1)] * 1000, 3) if latencies else 0.0
