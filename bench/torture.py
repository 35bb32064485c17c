"""The torture of long messages: parts of many messages, shuffled over three binds, some twice; each comes out whole.

A thousand senders share eight references, so the same reference is on its way in hundreds of messages at a time, and
each sender uses his own again. Messages of one sender that bear the same reference do not overlap: no receiver could
tell those apart.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from bench.check import SHOWN
from bench.process import PASSWORD, PROGRAM, SHORT_CODE, SYSTEM_ID, PlatformProcess
from gateway.pdus.pdu import DeliverSm
from gateway.simulator import Settings, Simulator

BINDS = 3
REFERENCES = 8
AT_A_TIME = 4
"""Messages of one sender whose parts are shuffled together."""
DOUBLED = 0.1
"""The share of parts that come twice."""
PART_CHARACTERS = (1, 153)
UDHI = 0x40
BOUND_WITHIN_S = 30.0
DONE_WITHIN_S = 600.0


class Size(NamedTuple):
    messages: int
    senders: int


FULL = Size(10_000, 1_000)
SHORT = Size(300, 30)


class Long(NamedTuple):
    """One message, cut up."""

    sender: str
    reference: int
    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def pdu(self, number: int) -> DeliverSm:
        """The deliver_sm of a part, counted from 1."""
        header = bytes((5, 0, 3, self.reference, len(self.parts), number))
        return DeliverSm(
            source_addr_ton=1, source_addr_npi=1, source_addr=self.sender.encode(),
            destination_addr=SHORT_CODE.encode(), esm_class=UDHI,
            short_message=header + self.parts[number - 1].encode(),
        )  # fmt: skip


class Outcome(NamedTuple):
    """What came of it."""

    messages: int
    parts: int
    doubled: int
    violations: list[str]


class Torture:
    """`outcome = await Torture(SHORT, folder).run()`; the same messages for the same seed."""

    def __init__(
        self,
        size: Size,
        folder: Path,
        told: Callable[[str], None] = lambda what: None,
        *,
        seed: int = 1,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self._folder = folder
        self._told = told
        self._random = random.Random(seed)
        self._program = program
        self.waves = list(self._waves(size))

    def _waves(self, size: Size) -> Iterator[list[Long]]:
        """Messages that are on their way together; one of them is over before the next begins."""
        each = size.messages // size.senders
        for first in range(0, each, AT_A_TIME):
            yield [
                self._message(f"849{sender:08}", number)
                for sender in range(size.senders)
                for number in range(first, min(first + AT_A_TIME, each))
            ]

    def _message(self, sender: str, number: int) -> Long:
        letters = string.ascii_lowercase
        parts = []
        for part in range(1, self._random.randint(2, 20) + 1):
            filler = "".join(self._random.choices(letters, k=self._random.randint(*PART_CHARACTERS)))
            parts.append(f"{sender}.{number}.{part}.{filler}"[: PART_CHARACTERS[1]])
        return Long(sender, number % REFERENCES, tuple(parts))

    async def run(self) -> Outcome:
        simulator = Simulator(
            Settings(
                port=0, magic=False, accounts={SYSTEM_ID: PASSWORD}, window=50, receipts=False,
                retry_delays=(timedelta(milliseconds=100),),
            )
        )  # fmt: skip
        await simulator.start()
        platform = PlatformProcess(self._folder, simulator.port, binds=BINDS, program=self._program)
        doubled = 0
        try:
            await platform.start()
            async with asyncio.timeout(BOUND_WITHIN_S):
                await simulator.smsc.delivery.receivers(BINDS)
            for wave in self.waves:
                doubled += self._send(wave, simulator)
                async with asyncio.timeout(DONE_WITHIN_S):
                    await simulator.smsc.delivery.quiet()
                self._told("")
            await platform.stop()
        finally:
            await platform.kill()
            await simulator.stop()
        return self._judge(platform.database, doubled)

    def _send(self, wave: list[Long], simulator: Simulator) -> int:
        parts = [(message, number) for message in wave for number in range(1, len(message.parts) + 1)]
        # A message of which every part comes again once it was answered is a second message, and meant.
        may_double = [(message, number) for message, number in parts if number < len(message.parts)]
        again = self._random.sample(may_double, int(len(parts) * DOUBLED))
        parts += again
        self._random.shuffle(parts)
        for message, number in parts:
            simulator.exchange.owe("sms", "", message.pdu(number))
        return len(again)

    def _judge(self, database: Path, doubled: int) -> Outcome:
        sent = [message for wave in self.waves for message in wave]
        expected = Counter((message.sender, message.text) for message in sent)
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT msisdn, text FROM inbox WHERE result <> 'ignored'")
            found = Counter((msisdn, text) for msisdn, text in rows)
        violations = [f"not whole: {text[:30]} of {sender}" for sender, text in expected - found]
        violations += [f"never sent, or twice: {text[:30]} of {sender}" for sender, text in found - expected]
        return Outcome(len(sent), sum(len(message.parts) for message in sent), doubled, violations[:SHOWN])
