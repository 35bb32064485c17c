"""A phone: what it shows, what its owner does with it."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

import msgspec

from gateway.simulator.delivery import Mo
from gateway.simulator.dialects import Dialect
from gateway.simulator.letters import Alphabet
from gateway.simulator.wire import Segment

PATIENCE = timedelta(seconds=5)
PARTIAL_MESSAGES = 20
"""Long messages that a phone puts together at one time; past them the oldest is forgotten."""
LISTENERS = 16
EVENTS_WAITING = 1_000
NO_ANSWER = "Connection problem or invalid MMI code."


class PhoneState(StrEnum):
    REACHABLE = "reachable"
    SWITCHED_OFF = "switched_off"
    OUT_OF_SERVICE = "out_of_service"
    FULL = "full"


WITHOUT_NETWORK = (PhoneState.SWITCHED_OFF, PhoneState.OUT_OF_SERVICE)


class Received(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="message"):
    """An SMS as the phone shows it: segments already put together."""

    source: str
    text: str
    at: datetime
    flash: bool = False
    """Shown at once, and not stored."""
    port: int | None = None
    """The application that it is for, if it is for one."""
    octets: bytes = b""
    """What is no text; in JSON Base64."""


class Screen(msgspec.Struct, frozen=True, tag_field="kind", tag="screen"):
    """A USSD screen; with `more` it waits for an answer."""

    text: str
    more: bool
    at: datetime
    turn: int = 0
    """Mo.id of the dialled code or the answer that it follows."""


Event = Received | Screen


class Dialogue(msgspec.Struct):
    """An open USSD dialogue as the network counts it."""

    number: int
    """As its dialect counts them; recurs."""
    code: str
    """The digits after the first `*` or `#`: where the dialogue's messages go."""
    account: str = ""
    """Whose it is; empty: whoever receives."""
    dialect: Dialect = "spec"
    alphabet: Alphabet = "gsm"
    sequence: int = 0
    turn: int = 0
    """Mo.id of the latest turn of the phone; a screen for it has come if Screen.turn is the same."""


class Network(Protocol):
    """What a phone needs of its network; all raise QueueFull when the SMSC owes too much."""

    def text(self, phone: Phone, text: str, to: str) -> tuple[Mo, ...]: ...

    def dial(self, phone: Phone, code: str) -> Mo: ...

    def answer(self, phone: Phone, text: str) -> Mo: ...

    def hang_up(self, phone: Phone) -> Mo: ...

    def switched(self, phone: Phone) -> None: ...

    def saw(self, phone: Phone, event: Event) -> None: ...


class NoDialogue(Exception):
    """No screen of this phone waits for an answer."""


class NoNetwork(Exception):
    """A phone that is switched off or out of service can neither dial, nor answer, nor text."""


class Phone:
    """Made by Simulator.phone; everything it did and saw stays until the simulator ends."""

    def __init__(self, number: str, network: Network, remembered: int) -> None:
        self._network = network
        self._unread: deque[Received] = deque(maxlen=remembered)
        self._changed = asyncio.Event()
        self._listeners: list[asyncio.Queue[Event]] = []
        self.number = number
        self.state = PhoneState.REACHABLE
        self.balance = 0
        """In đồng."""
        self.language = "vi"
        """ISO 639-1."""
        self.inbox: deque[Received] = deque(maxlen=remembered)
        self.screen: Screen | None = None
        """The latest one, also after its dialogue ended."""
        self.dialogue: Dialogue | None = None
        self.over: deque[int] = deque(maxlen=4)
        """The numbers of the latest dialogues that ended: a screen that comes for one of them is late."""
        self.segments: dict[tuple[bytes, int, int], dict[int, Segment]] = {}

    # --- what its owner does

    def text(self, text: str, to: str) -> tuple[Mo, ...]:
        """Send an SMS; one Mo for each segment. NoNetwork where there is none."""
        self._need_network()
        return self._network.text(self, text, to)

    def dial(self, code: str) -> Mo:
        """Dial `*105#`; an open dialogue is hung up first. NoNetwork where there is none."""
        self._need_network()
        if self.dialogue is not None:
            self.hang_up()
        return self._network.dial(self, code)

    def answer(self, text: str) -> Mo:
        """Answer the screen; NoDialogue unless one is waiting, NoNetwork where there is none."""
        self._need_network()
        if self.dialogue is None or self.screen is None or self.screen.turn != self.dialogue.turn:
            raise NoDialogue
        return self._network.answer(self, text)

    def hang_up(self) -> Mo:
        """End the dialogue; NoDialogue if none is open."""
        if self.dialogue is None:
            raise NoDialogue
        return self._network.hang_up(self)

    def switch_off(self) -> None:
        """From now on messages wait in the SMSC; an open dialogue ends."""
        self._switch(PhoneState.SWITCHED_OFF)

    def fill(self) -> None:
        """Its memory is full: from now on messages wait in the SMSC."""
        self._switch(PhoneState.FULL)

    def switch_on(self) -> None:
        """It is reachable and has room; what waited arrives now."""
        self._switch(PhoneState.REACHABLE)

    def out_of_service(self) -> None:
        """From now on messages to it cannot be delivered at all."""
        self._switch(PhoneState.OUT_OF_SERVICE)

    def _need_network(self) -> None:
        if self.state in WITHOUT_NETWORK:
            raise NoNetwork(f"The phone is {self.state.replace('_', ' ')}")

    def _switch(self, state: PhoneState) -> None:
        if self.dialogue is not None and state in WITHOUT_NETWORK:
            self.hang_up()
        self.state = state
        self._network.switched(self)

    # --- what it shows

    async def next_message(self, within: timedelta = PATIENCE) -> Received:
        """The oldest message not yet returned here, once there is one; TimeoutError if none comes."""
        async with asyncio.timeout(within.total_seconds()):
            while not self._unread:
                await self._change()
        return self._unread.popleft()

    async def screen_after(self, turn: Mo, within: timedelta = PATIENCE) -> Screen:
        """The screen that answers `turn`, made by dial or answer; TimeoutError if none comes."""
        async with asyncio.timeout(within.total_seconds()):
            while self.screen is None or self.screen.turn < turn.id:
                await self._change()
        return self.screen

    def listen(self) -> asyncio.Queue[Event]:
        """All that arrives from now on; asyncio.QueueFull past LISTENERS. Who falls behind loses what does not fit."""
        if len(self._listeners) >= LISTENERS:
            raise asyncio.QueueFull
        queue: asyncio.Queue[Event] = asyncio.Queue(EVENTS_WAITING)
        self._listeners.append(queue)
        return queue

    def ignore(self, queue: asyncio.Queue[Event]) -> None:
        self._listeners.remove(queue)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    # --- what its network brings

    def awaits(self, turn: Mo) -> bool:
        """Whether `turn` is the dialogue's latest and no screen has answered it."""
        return (
            self.dialogue is not None
            and self.dialogue.turn == turn.id
            and (self.screen is None or self.screen.turn != turn.id)
        )

    def receive(self, message: Received) -> None:
        if not message.flash:
            self.inbox.append(message)
        self._unread.append(message)
        self._tell(message)

    def show(self, screen: Screen) -> None:
        """Replace the screen; one without `more` ends the dialogue."""
        self.screen = screen
        if not screen.more:
            self.end()
        self._tell(screen)

    def end(self) -> None:
        """No dialogue is open any more."""
        if self.dialogue is not None:
            self.over.append(self.dialogue.number)
            self.dialogue = None

    def put_together(self, segment: Segment) -> list[Segment] | None:
        """Keep a part; all parts in order once the last of them is here. A part that comes twice counts once."""
        parts = self.segments.setdefault(segment.reference, {})
        parts[segment.number] = segment
        if len(parts) < segment.reference[2]:
            if len(self.segments) > PARTIAL_MESSAGES:
                del self.segments[next(iter(self.segments))]
            return None
        del self.segments[segment.reference]
        return [parts[number] for number in sorted(parts)]

    def _tell(self, event: Event) -> None:
        self._changed.set()
        self._network.saw(self, event)
        for queue in self._listeners:
            if not queue.full():
                queue.put_nowait(event)
