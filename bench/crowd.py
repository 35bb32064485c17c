"""Two nodes, and a few hundred people who ask and block each other all at once: does any update get lost?

Everybody is in everybody's way: each request counts with its sender and with its friend, limits are low, and a block
stands in the friend's document, which somebody else's request changes on the other node at the same time.
`verdict = await Crowd(folder).run()`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench.check import SHOWN, at_rest
from bench.crash import MESSAGE_ID_TLV, TICK_S
from bench.histories import Wire
from bench.process import PASSWORD, PROGRAM, SHORT_CODE, SYSTEM_ID, PlatformProcess
from bench.rows import PostgresRows, Rows
from gateway.simulator import Settings, Simulator
from gateway.simulator.delivery import Mo
from tests.postgres import Server
from vas.store import migrate_postgres

BINDS = 4
BOUND_WITHIN_S = 20.0
REST_WITHIN_S = 30.0
BLOCKS = 0.1
"""The share of commands that block somebody."""


FRIENDS = 10
"""Whom each asks."""


class Size(NamedTuple):
    people: int = 300
    commands: int = 6_000
    outstanding: int = 200
    daily_limit: int = 15
    received_limit: int = 14


FULL = Size()


class Verdict(NamedTuple):
    """What was found; nothing was lost if there are no violations."""

    commands: int
    """Acknowledged."""
    requests: int
    """That were made: the others were refused, for a limit or a block."""
    refused: dict[str, int]
    """By the key of the text that said so."""
    blocked: int
    nodes: dict[str, int]
    """Commands that each took."""
    violations: list[str]


class Crowd:
    """One run: the same commands for the same seed, in whatever order the two nodes take them."""

    def __init__(self, folder: Path, size: Size = FULL, *, seed: int = 1, program: Sequence[str] = PROGRAM) -> None:
        self._folder = folder
        self._size = size
        self._random = random.Random(seed)
        self._program = program
        self._latest: dict[int, Mo] = {}
        self._blocked: set[tuple[int, int]] = set()

    async def run(self) -> Verdict:
        simulator = Simulator(
            Settings(
                port=0, magic=False, accounts={SYSTEM_ID: PASSWORD}, window=50, records=1_000_000,
                receipt_delay=timedelta(milliseconds=20), retry_delays=(timedelta(milliseconds=200),),
                message_id_tlv=MESSAGE_ID_TLV,
            )
        )  # fmt: skip
        wire = Wire(simulator)
        async with AsyncExitStack() as stack:
            await simulator.start()
            stack.push_async_callback(simulator.stop)
            server = Server(options={"synchronous_commit": "on"})
            stack.callback(server.close)
            await asyncio.to_thread(server.start)
            nodes = [self._node(f"n{number}", server, simulator.port) for number in (1, 2)]
            for node in nodes:
                stack.push_async_callback(node.kill)
            await migrate_postgres.upgrade(server.url())
            await asyncio.gather(*(node.start() for node in nodes))
            await self._wait(BOUND_WITHIN_S, lambda: self._bound(wire, len(nodes)))
            await self._load(simulator)
            rows = PostgresRows(server.url())
            await self._wait(REST_WITHIN_S, lambda: self._at_rest(simulator, rows))
            await asyncio.gather(*(node.stop() for node in nodes))
            return await judge(simulator, wire, rows, self._size)

    def _node(self, name: str, server: Server, port: int) -> PlatformProcess:
        account = f"message_id_tlv = {MESSAGE_ID_TLV}\n"
        return PlatformProcess(
            self._folder, port, binds=BINDS, account=account, program=self._program, url=server.url(), node=name,
            daily_limit=self._size.daily_limit, received_daily_limit=self._size.received_limit,
        )  # fmt: skip

    async def _load(self, simulator: Simulator) -> None:
        """Each person waits for the answer to a command before the next."""
        sent = 0
        while sent < self._size.commands:
            free = [one for one in range(self._size.people) if self._is_free(one)]
            self._random.shuffle(free)
            room = self._size.outstanding - simulator.smsc.delivery.owed
            for one in free[: max(0, min(room, self._size.commands - sent))]:
                (self._latest[one],) = simulator.phone(_number(one)).text(self._command(one), SHORT_CODE)
                sent += 1
            await asyncio.sleep(TICK_S)

    def _is_free(self, one: int) -> bool:
        return one not in self._latest or self._latest[one].acknowledged

    def _command(self, one: int) -> str:
        """Each asks a few friends, and blocks some of those by whom they are asked."""
        step = self._random.randint(1, FRIENDS)
        asker = (one - step) % self._size.people
        if self._random.random() < BLOCKS and (one, asker) not in self._blocked:
            self._blocked.add((one, asker))
            return f"BLOCK 0{_number(asker)[2:]}"
        return f"CM 0{_number((one + step) % self._size.people)[2:]}"

    async def _bound(self, wire: Wire, nodes: int) -> bool:
        return len(wire.binds()) == nodes

    async def _at_rest(self, simulator: Simulator, rows: Rows) -> bool:
        return not simulator.smsc.delivery.owed and await at_rest(rows)

    async def _wait(self, within_s: float, what: Callable[[], Awaitable[bool]]) -> None:
        """Until it is so, or never will be: the checker says what is missing then."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if await what():
                return
            await asyncio.sleep(10 * TICK_S)


def _number(one: int) -> str:
    return f"849{one:08}"


class Counts(NamedTuple):
    """By subscriber, recomputed from the logs."""

    asked: Counter[str]
    received: Counter[str]
    blocked: dict[str, set[str]]


class Answered(NamedTuple):
    """A command, and what the platform answered."""

    mo: Mo
    reply: str

    @property
    def other(self) -> str:
        return "84" + self.mo.text.split()[1][1:]

    @property
    def ended_at(self) -> datetime:
        ended = self.mo.attempts[-1].ended_at
        assert ended is not None
        return ended


async def judge(simulator: Simulator, wire: Wire, rows: Rows, size: Size) -> Verdict:
    """What the SMSC and the logs say against the documents."""
    inbox = await rows.query("SELECT msisdn, reply FROM inbox ORDER BY id")
    outbox = await rows.query("SELECT msisdn, origin FROM outbox")
    state = await rows.query("SELECT msisdn, value FROM state WHERE service = 'callme'")
    commands = [mo for mo in simulator.record.mo if mo.kind == "sms" and mo.acknowledged]
    requests = [(friend, asker) for friend, asker in outbox if friend != asker]
    answered = list(_answered(commands, inbox))
    asked = [each for each in answered if each.mo.text.startswith("CM")]
    blocks = [each for each in answered if each.mo.text.startswith("BLOCK")]
    blocked: dict[str, set[str]] = {}
    for each in blocks:
        blocked.setdefault(each.mo.sender, set()).add(each.other)
    counts = Counts(Counter(asker for _, asker in requests), Counter(friend for friend, _ in requests), blocked)
    made = Counter(each.mo.sender for each in asked if each.reply == "sent")
    violations = [
        *_wrong("inbox rows", Counter(mo.sender for mo in commands), Counter(msisdn for msisdn, _ in inbox)),
        *_wrong("requests made of those that were answered so", made, counts.asked),
        *_lost(counts, {msisdn: msgspec.json.decode(value) for msisdn, value in state}),
        *_limits(asked, counts, size),
        *_through_a_block(asked, blocks),
        *(
            []
            if len(simulator.record.mt) == len(outbox)
            else [f"{len(outbox)} messages, {len(simulator.record.mt)} sent"]
        ),
    ]
    refused = Counter(each.reply for each in asked if each.reply != "sent")
    taken = Counter(wire.node_of(mo.attempts[-1].session) for mo in commands)
    return Verdict(len(commands), len(requests), dict(refused), len(blocks), dict(taken), violations)


def _answered(commands: list[Mo], inbox: list[tuple[str, str]]) -> Iterable[Answered]:
    """Each with its reply: a sender waits for the answer before the next command, so both are in one order."""
    replies: dict[str, list[str]] = {}
    for msisdn, reply in inbox:
        replies.setdefault(msisdn, []).append(reply)
    for mo in commands:
        if left := replies.get(mo.sender):
            yield Answered(mo, left.pop(0))


def _lost(counts: Counts, documents: dict[str, dict[str, Any]]) -> Iterable[str]:
    """Updates that the documents do not have."""
    for field in ("day", "week", "month"):
        found = Counter({msisdn: document.get(field, 0) for msisdn, document in documents.items()})
        yield from _wrong(f"the sender's count of the {field}", counts.asked, found)
    found = Counter({msisdn: document.get("received", 0) for msisdn, document in documents.items()})
    yield from _wrong("the friend's count", counts.received, found)
    expected = Counter({msisdn: len(numbers) for msisdn, numbers in counts.blocked.items()})
    found = Counter({msisdn: len(document.get("blocked", [])) for msisdn, document in documents.items()})
    yield from _wrong("numbers blocked", expected, found)


def _limits(asked: list[Answered], counts: Counts, size: Size) -> Iterable[str]:
    """Limits that were passed, and those that somebody was told of before they were reached."""
    both = (("asked", size.daily_limit, counts.asked), ("received", size.received_limit, counts.received))
    for what, limit, each in both:
        yield from [f"over the limit: {who} {what} {number}" for who, number in each.items() if number > limit]
    for mo, reply in asked:
        other = Answered(mo, reply).other
        if reply == "limit_day" and counts.asked[mo.sender] < size.daily_limit:
            yield f"told of a limit at {counts.asked[mo.sender]}: {mo.sender}"
        if reply == "receives_no_more" and counts.received[other] < size.received_limit:
            yield f"told that a friend has had enough at {counts.received[other]}: {other}"


def _through_a_block(asked: list[Answered], blocks: list[Answered]) -> Iterable[str]:
    """Requests that began after their friend's block was answered, and were made nevertheless."""
    since = {(each.mo.sender, each.other): each.ended_at for each in blocks}
    for each in asked:
        at = since.get((each.other, each.mo.sender))
        if at is None:
            continue
        if each.reply == "sent" and each.mo.attempts[0].at > at:
            yield f"{each.mo.sender} asked {each.other}, who had blocked them"


def _once(rows: int, accepted: int) -> list[str]:
    """Nothing goes wrong here, so each message is submitted once."""
    return [] if rows == accepted else [f"{accepted} messages accepted for {rows} rows of the outbox"]


def _wrong(what: str, expected: Counter[str], found: Counter[str]) -> list[str]:
    who = sorted(number for number in {*expected, *found} if expected[number] != found[number])
    return [f"{what}: {number} {found[number]} for {expected[number]}" for number in who][:SHOWN]
