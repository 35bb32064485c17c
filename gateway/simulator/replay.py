"""A recording of a real link played against the platform: the SMSC's side of it, and what came otherwise."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from datetime import timedelta
from typing import NamedTuple

import msgspec

from gateway.dialects.status import status_name
from gateway.simulator.anonymous import numbers_in
from gateway.simulator.decoded import text_in
from gateway.simulator.delivery import Mo, Outcome
from gateway.simulator.recording import Delivered, Recording, Submitted, Waited, given, is_ussd, screen
from gateway.simulator.session import Session
from gateway.simulator.settings import Settings
from gateway.simulator.smsc import Smsc
from gateway.simulator.wire import Submission
from vas.messages import mask

NEVER = timedelta(days=365)
TICK_SECONDS = 0.05
SAME_DIGITS = 9
"""The last digits of a number, by which `0912…` and `84912…` are one subscriber."""
SHOWN = 20
"""Differences of each kind that a summary names; all are counted."""


class Difference(NamedTuple):
    """Something that went otherwise than in the recording; the number is masked."""

    what: str
    number: str
    recorded: str
    now: str


class Summary(msgspec.Struct):
    """What came of a replay."""

    delivered: int = 0
    """Messages that were delivered to the platform and answered as recorded."""
    delivered_otherwise: int = 0
    not_delivered: int = 0
    """Receipts and key presses that wait for something which the platform never sent."""
    submitted: int = 0
    """Messages that the platform sent word for word as recorded."""
    renumbered: int = 0
    """Those that differ only in numbers that are no subscriber's of the recording: a service's own, as an example."""
    reworded: int = 0
    missing: int = 0
    """Those that the recording has and the platform never sent."""
    extra: int = 0
    differences: list[Difference] = []

    @property
    def same(self) -> bool:
        others = (self.delivered_otherwise, self.not_delivered, self.reworded, self.missing, self.extra)
        return not any(others)

    def add(self, kind: str, number: bytes, recorded: str, now: str) -> None:
        """Count one difference; `kind` is the field that counts it."""
        setattr(self, kind, getattr(self, kind) + 1)
        if getattr(self, kind) <= SHOWN:
            what = kind.replace("_", " ")
            self.differences.append(Difference(what, mask(number.decode("latin-1")), recorded, now))


class Replay:
    """`await start()`, let the platform bind to `port`, `await run()` once, `await stop()`.

    Message ids are handed out as recorded, so that the receipts fit whatever their dialect; a second replay therefore
    wants a platform that does not remember the first.
    """

    def __init__(self, recording: Recording, settings: Settings, speed: float = 1.0, patience_seconds: float = 10.0):
        """`speed` 2 plays in half the time; after `patience_seconds` of silence what has not come is missing."""
        settings = msgspec.structs.replace(settings, retry_delays=(NEVER,))
        self._recording = recording
        self._speed = speed
        self._patience_seconds = patience_seconds
        self._smsc = Smsc(settings, self._accept)
        self._played: list[tuple[Delivered, Mo]] = []
        self._waiting: defaultdict[Waited, list[Delivered]] = defaultdict(list)
        self._reached: set[Waited] = set()
        self._dialogues: defaultdict[bytes, int] = defaultdict(int)
        self._screens: defaultdict[bytes, int] = defaultdict(int)
        self._expected: defaultdict[bytes, list[Submitted]] = defaultdict(list)
        for sent in recording.submitted:
            self._expected[sent.destination].append(sent)
        self._known = _subscribers(recording)
        self._heard_at = 0.0
        self._summary = Summary()

    async def start(self) -> None:
        await self._smsc.start()

    async def stop(self) -> None:
        await self._smsc.stop()

    @property
    def port(self) -> int:
        """The SMPP port that is listened on."""
        return self._smsc.port

    @property
    def progress(self) -> float:
        """The part of the deliveries that were made, 0 to 1."""
        return len(self._played) / max(len(self._recording.delivered), 1)

    async def bound(self, binds: int = 1) -> None:
        """Return once so many receivers are there."""
        await self._smsc.delivery.receivers(binds)

    async def run(self, binds: int = 1) -> Summary:
        """Wait for so many receivers, play, and wait for what the platform has to say to it."""
        await self.bound(binds)
        started = self._heard_at = time.perf_counter()
        begun = self._recording.delivered[0].at if self._recording.delivered else None
        for step in self._recording.delivered:
            assert begun is not None
            due = started + (step.at - begun).total_seconds() / self._speed
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            if step.after is None or step.after in self._reached:
                self._deliver(step)
            else:
                self._waiting[step.after].append(step)
        self._heard_at = time.perf_counter()
        while not self._all_came() and time.perf_counter() - self._heard_at < self._patience_seconds:  # noqa: ASYNC110
            await asyncio.sleep(TICK_SECONDS)
        return self._summed_up()

    def _all_came(self) -> bool:
        answered = sum(self._smsc.delivery.outcomes.values())
        return answered >= len(self._played) and not any(self._expected.values()) and not any(self._waiting.values())

    def _deliver(self, step: Delivered) -> None:
        if step.begins:
            self._dialogues[step.pdu.source_addr] += 1
            self._screens[step.pdu.source_addr] = 0
        step.pdu.sequence = 0
        mo = Mo(self._smsc.new_id(), "sms", "", "", "", step.pdu.encode())
        self._played.append((step, mo))
        self._smsc.delivery.owe(mo)

    def _reach(self, what: Waited) -> None:
        self._reached.add(what)
        for step in self._waiting.pop(what, ()):
            asyncio.get_running_loop().call_soon(self._deliver, step)

    # --- what the platform submits

    def _accept(self, session: Session, pdu: Submission) -> tuple[int, bytes]:
        self._heard_at = time.perf_counter()
        sent = self._recorded(pdu)
        if is_ussd(pdu):
            number = pdu.destination_addr
            self._screens[number] += 1
            self._reach(screen(number, self._dialogues[number], self._screens[number]))
        if sent is None:
            return 0, b"%d" % self._smsc.new_id()
        if sent.message_id:
            self._reach(given(sent.message_id))
        return sent.status, sent.message_id or (b"" if sent.status else b"%d" % self._smsc.new_id())

    def _recorded(self, pdu: Submission) -> Submitted | None:
        """The earliest of the recording that this is: word for word, else to the same number from the same one."""
        expected, text = self._expected[pdu.destination_addr], text_in(pdu)
        alike = [sent for sent in expected if sent.source == pdu.source_addr and sent.ussd == is_ussd(pdu)]
        same = next((sent for sent in alike if sent.text == text), None)
        renumbered = None if same else next((sent for sent in alike if self._differs_in_numbers(sent.text, text)), None)
        if same is not None:
            self._summary.submitted += 1
        elif renumbered is not None:
            same = renumbered
            self._summary.renumbered += 1
        elif alike:
            same = alike[0]
            self._summary.add("reworded", pdu.destination_addr, same.text, text)
        else:
            self._summary.add("extra", pdu.destination_addr, "", text)
            return None
        expected.remove(same)
        return same

    def _differs_in_numbers(self, recorded: str, now: str) -> bool:
        """Whether only numbers differ, and none of them is a subscriber of the recording: an anonymised one has another
        in the place of a number that a service's text gives as an example, as it has for everybody's."""
        (words, before), (words_now, after) = numbers_in(recorded), numbers_in(now)
        differing = [number for number, other in zip(after, before, strict=False) if number != other]
        return words == words_now and not any(number[-SAME_DIGITS:] in self._known for number in differing)

    def _summed_up(self) -> Summary:
        for step, mo in self._played:
            now = mo.attempts[0] if mo.attempts else None
            heard = now is not None and now.outcome not in (None, Outcome.SILENCE, Outcome.LINK_LOST)
            status = now.status if now is not None and heard else None
            if status == step.status:
                self._summary.delivered += 1
            else:
                self._summary.add(
                    "delivered_otherwise", step.pdu.source_addr, _status(step.status), f"{_status(status)}: {step.text}"
                )
        for steps in self._waiting.values():
            for step in steps:
                self._summary.add("not_delivered", step.pdu.source_addr, step.text, "")
        for expected in self._expected.values():
            for sent in expected:
                self._summary.add("missing", sent.destination, sent.text, "")
        return self._summary


def _subscribers(recording: Recording) -> set[str]:
    """The last digits of every number that its messages came from, went to, or were about."""
    said = [(step.pdu.source_addr, step.text) for step in recording.delivered]
    said += [(sent.destination, "") for sent in recording.submitted]
    numbers = [number for address, text in said for number in (address.decode("latin-1"), *numbers_in(text)[1])]
    return {number[-SAME_DIGITS:] for number in numbers}


def _status(status: int | None) -> str:
    return "no answer" if status is None else status_name(status)
