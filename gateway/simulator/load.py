"""Many phones at once: how fast an ESME answers, and whether it answers each command exactly once.

The SMSC of gateway.simulator with a light sink in the place of its phones, so that it can share a machine with what
it measures.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter, deque
from contextlib import suppress
from typing import NamedTuple

import msgspec

from gateway.simulator import dialects, wire
from gateway.simulator.delivery import Mo, Outcome
from gateway.simulator.faults import Faults
from gateway.simulator.load_plan import FIRST_FRIEND as FIRST_FRIEND
from gateway.simulator.load_plan import FIRST_PHONE as FIRST_PHONE
from gateway.simulator.load_plan import Plan as Plan
from gateway.simulator.session import Session
from gateway.simulator.settings import Settings
from gateway.simulator.smsc import Smsc
from gateway.simulator.wire import UDHI, Mt, State, Submission

TICK_SECONDS = 0.005
LATEST = 10_000
"""Replies that the progress' p99 looks back on."""


class Result(msgspec.Struct, frozen=True):
    """What came back; latency is from a turn of a command, the wait for room in a window included, to the submit_sm."""

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
    max_ms: float = 0.0
    cut_short: int = 0
    """USSD dialogues that ended before all answers were given; their commands count as answered."""
    statuses: dict[int, int] = {}
    """The command_status, where it was not 0, of what answered a deliver_sm, and how often."""
    interrupted: bool = False
    """Whether it was ended before its time: `missing` are then those that still waited."""

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def complete(self) -> bool:
        """Whether each command had its reply, and none had two."""
        return not self.missing and not self.extra


class Progress(NamedTuple):
    """How far a load has come."""

    sent: int
    answered: int
    outstanding: int
    p99_ms: float
    """Of the latest replies."""


class Load:
    """`await start()`, let an ESME bind to `port`, `await run()` once, `await stop()`."""

    def __init__(self, settings: Settings, plan: Plan) -> None:
        self.plan = plan
        self._smsc = Smsc(settings, self._accept, settled=self._settled)
        self._smsc.faults = Faults(settings.seed, settings.faults, magic=False) if settings.faults else None
        self._scripts = plan.scripts()
        self._idle = deque(self._scripts)
        self._awaited: dict[bytes, float] = {}
        self._turns: dict[bytes, int] = {}
        """Of the phones in the midst of a dialogue, how many turns it has had."""
        self._latencies = array("f")
        self._statuses: Counter[int] = Counter()
        self._messages = plan.messages
        self._sent = 0
        self._answered = 0
        self._extra = 0
        self._others = 0
        self._cut_short = 0
        self._owed_receipts = 0.0
        self._began = self._cpu_began = self._replied_at = 0.0
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

    @property
    def progress(self) -> Progress:
        latest = sorted(self._latencies[-LATEST:])
        return Progress(self._sent, self._answered, len(self._awaited), _percentile_ms(latest, 0.99))

    async def bound(self) -> None:
        """Return once the plan's receivers are there."""
        await self._smsc.delivery.receivers(self.plan.binds)

    def enough(self) -> None:
        """Send no more commands; run() returns when those that were sent have their replies."""
        self._messages = self._sent
        if not self._awaited:
            self._finished.set()

    async def run(self) -> Result:
        """Wait for the binds, send all, wait for the replies."""
        await self.bound()
        self._began, self._cpu_began = time.perf_counter(), time.process_time()
        self._replied_at = self._began
        if self.plan.rate is None:
            self._closed_loop = True
            self._send(self.plan.outstanding)
        else:
            await self._pace(self.plan.rate)
        await self._replies()
        cpu = time.process_time() - self._cpu_began
        missing = len(self._awaited)
        await asyncio.sleep(self.plan.linger.total_seconds())
        return self._result(missing, self._replied_at - self._began, cpu)

    def so_far(self) -> Result:
        """What has come back by now, of a run() that is ended before its time."""
        seconds, cpu = time.perf_counter() - self._began, time.process_time() - self._cpu_began
        return msgspec.structs.replace(self._result(len(self._awaited), seconds, cpu), interrupted=True)

    async def _pace(self, rate: float) -> None:
        while self._sent < self._messages and self._patience() > 0:
            self._send(int((time.perf_counter() - self._began) * rate) - self._sent)
            await asyncio.sleep(TICK_SECONDS)

    async def _replies(self) -> None:
        """Until every command has its reply, or nothing has come for `patience`."""
        while (left := self._patience()) > 0 and self._awaited:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._finished.wait(), left)

    def _patience(self) -> float:
        """Seconds left; none are lost while no reply is awaited."""
        silence = time.perf_counter() - self._replied_at if self._awaited else 0.0
        return self.plan.patience.total_seconds() - silence

    def _send(self, number: int) -> None:
        number = min(number, self._messages - self._sent, len(self._idle))
        now = time.perf_counter()
        for _ in range(number):
            phone = self._idle.popleft()
            self._awaited[phone] = now
            self._smsc.delivery.owe(Mo(self._sent, "sms", "", "", "", self._scripts[phone][0]))
            self._sent += 1

    def _accept(self, session: Session, pdu: Submission) -> tuple[int, bytes]:
        phone = pdu.destination_addr
        sent_at = self._awaited.get(phone)
        if sent_at is not None and not _further_segment(pdu):
            self._reply(phone, sent_at, pdu)
        elif phone not in self._scripts:
            self._others += 1
        elif not _further_segment(pdu):
            self._extra += 1
        id = self._smsc.new_id()
        if self.plan.receipts and pdu.registered_delivery:
            self._owe_receipt(id, session, pdu)
        return 0, b"%d" % id

    def _reply(self, phone: bytes, sent_at: float, pdu: Submission) -> None:
        now = self._replied_at = time.perf_counter()
        script = self._scripts[phone]
        if len(script) > 1:
            shown = dialects.read(pdu.tlvs, pdu.source_addr, "spec")
            if shown is None:  # an SMS on the side, which nobody waits for
                self._others += 1
                return
            self._latencies.append(now - sent_at)
            if self._answer(phone, script, shown.ends):
                return
        else:
            self._latencies.append(now - sent_at)
        del self._awaited[phone]
        self._answered += 1
        self._idle.append(phone)
        if self._closed_loop and self._sent < self._messages:
            self._send(1)
        elif self._sent >= self._messages and not self._awaited:
            self._finished.set()

    def _answer(self, phone: bytes, script: tuple[bytes, ...], ended: bool) -> bool:
        """Go on with a dialogue; False if it is over."""
        turn = self._turns.pop(phone, 0) + 1
        if ended or turn == len(script):
            self._cut_short += turn < len(script)
            return False
        self._turns[phone] = turn
        self._awaited[phone] = time.perf_counter()
        self._smsc.delivery.owe(Mo(self._sent, "ussd", "", "", "", script[turn]))
        return True

    def _owe_receipt(self, id: int, session: Session, pdu: Submission) -> None:
        self._owed_receipts += self.plan.receipts
        if self._owed_receipts >= 1:
            self._owed_receipts -= 1
            asyncio.get_running_loop().call_soon(self._report, id, session, pdu)

    def _report(self, id: int, session: Session, pdu: Submission) -> None:
        now = self._smsc.clock()
        source, to = pdu.source_addr.decode("latin-1"), pdu.destination_addr.decode("latin-1")
        mt = Mt(
            id, session.account, session.id, now, source, to, "", None, pdu.registered_delivery, State.DELIVERED, now
        )
        octets = wire.receipt(mt, str(id), str(id)).encode()
        self._smsc.delivery.owe(Mo(id, "receipt", to, source, "", octets))

    def _settled(self, mo: Mo) -> None:
        if len(mo.attempts) > 1 or mo.attempts[0].status:
            self._statuses.update(attempt.status for attempt in mo.attempts if attempt.status)

    def _result(self, missing: int, seconds: float, cpu_seconds: float) -> Result:
        outcomes = self._smsc.delivery.outcomes
        latencies = sorted(self._latencies)
        p50, p95, p99, longest = (_percentile_ms(latencies, share) for share in (0.50, 0.95, 0.99, 1.0))
        return Result(
            sent=self._sent,
            answered=self._answered,
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
            max_ms=longest,
            cut_short=self._cut_short,
            statuses=dict(self._statuses),
        )


def _further_segment(pdu: Submission) -> bool:
    return bool(pdu.esm_class & UDHI) and wire.segment_of(pdu, *wire.body(pdu)).number > 1


def _percentile_ms(latencies: list[float], share: float) -> float:
    """Of sorted seconds, in milliseconds to the microsecond; 0 if there are none."""
    return round(latencies[min(int(len(latencies) * share), len(latencies) - 1)] * 1000, 3) if latencies else 0.0
