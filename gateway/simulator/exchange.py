"""What the parts of the simulated network share: its phones, what is owed to the ESMEs, and the record of it all."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec

from gateway.pdus.pdu import DataSm, DeliverSm
from gateway.simulator.delivery import Bind, Mo, QueueFull
from gateway.simulator.faults import Faults, On, Strike
from gateway.simulator.numbers import international, is_number
from gateway.simulator.phone import Event, Network, Phone, PhoneState
from gateway.simulator.settings import Account, IdForm, Settings
from gateway.simulator.smsc import Smsc
from gateway.simulator.wire import Mt

WATCHERS = 16
HAPPENINGS_WAITING = 10_000
HAPPENINGS_KEPT = 200
"""The latest, for who comes later."""


class Record:
    """What a checker may read afterwards: the latest messages of each direction, oldest first."""

    def __init__(self, limit: int) -> None:
        self.mo: deque[Mo] = deque(maxlen=limit)
        """Everything the SMSC owed: messages, USSD turns, receipts."""
        self.mt: deque[Mt] = deque(maxlen=limit)
        """Everything it accepted."""


class Said(msgspec.Struct, frozen=True, tag_field="kind", tag="said"):
    """What a phone's owner did."""

    what: Literal["text", "dial", "answer", "hang_up"]
    to: str
    text: str
    at: datetime


class Happening(msgspec.Struct, frozen=True):
    """Something on any phone."""

    phone: str
    event: Event | Said


class Exchange:
    """Shared by what carries texts and what carries dialogues."""

    def __init__(self, settings: Settings, smsc: Smsc, faults: Faults, clock: Callable[[], datetime]) -> None:
        self.settings = settings
        self.smsc = smsc
        self.faults = faults
        self.clock = clock
        self.record = Record(settings.records)
        self.phones: dict[str, Phone] = {}
        self._watchers: list[asyncio.Queue[Happening]] = []
        self._happened: deque[Happening] = deque(maxlen=HAPPENINGS_KEPT)

    def phone(self, number: str, network: Network) -> Phone:
        """Made when first asked for: 3 to 15 digits, else ValueError; QueueFull past settings.phones."""
        phone = self.phones.get(number)
        if phone is None:
            if not is_number(number):
                raise ValueError(f"{number!r} is no number of 3 to 15 digits")
            if len(self.phones) >= self.settings.phones:
                raise QueueFull
            phone = self.phones[number] = Phone(number, network, self.settings.records)
        return phone

    def enrol(self, network: Network) -> None:
        """The subscribers that the settings name."""
        for subscriber in self.settings.subscribers:
            phone = self.phone(international(subscriber.number), network)
            phone.balance, phone.language = subscriber.balance, subscriber.language
            phone.state = PhoneState(subscriber.state)

    def serving(self, code: str) -> tuple[str, Account]:
        """The account that a short code's messages go to; its name is empty if there is none."""
        return self.settings.serving(code, self.smsc.delivery.receiving)

    def meet(self, place: On, account: str, *numbers: str) -> tuple[Strike, ...]:
        """What the faults do here."""
        return self.faults.meet(place, account, numbers, asyncio.get_running_loop().time())

    def owe(
        self,
        kind: Literal["sms", "ussd", "receipt"],
        text: str,
        pdu: DeliverSm | DataSm,
        account: str = "",
        bind: Bind | None = None,
    ) -> Mo:
        """Deliver it to the account, or to whoever receives; QueueFull when the SMSC owes too much."""
        id = self.smsc.new_id()
        tag = self.settings.message_id_tlv
        if account and self.settings.account(account).message_id_tlv is not None:
            tag = self.settings.account(account).message_id_tlv
        if tag is not None and kind != "receipt":
            pdu.tlvs += ((tag, b"%d\0" % id),)
        mo = Mo(id, kind, pdu.source_addr.decode(), pdu.destination_addr.decode("latin-1"), text, pdu.encode(), account)
        self.smsc.delivery.owe(mo, bind)
        self.record.mo.append(mo)
        return mo

    # --- for who looks on

    def watch(self) -> asyncio.Queue[Happening]:
        """All that happens on any phone from now on; asyncio.QueueFull past WATCHERS. Who falls behind loses some."""
        if len(self._watchers) >= WATCHERS:
            raise asyncio.QueueFull
        queue: asyncio.Queue[Happening] = asyncio.Queue(HAPPENINGS_WAITING)
        self._watchers.append(queue)
        return queue

    def happened(self, last: int) -> list[Happening]:
        """So many of the latest, HAPPENINGS_KEPT at most, oldest first."""
        return list(self._happened)[-last:] if last else []

    def look_away(self, queue: asyncio.Queue[Happening]) -> None:
        self._watchers.remove(queue)

    def tell(self, phone: Phone, event: Event | Said) -> None:
        happening = Happening(phone.number, event)
        self._happened.append(happening)
        for queue in self._watchers:
            if not queue.full():
                queue.put_nowait(happening)


def spelled(id: int, form: IdForm) -> str:
    """A message id as an SMSC writes it."""
    return _SPELLINGS[form](id)


_SPELLINGS: dict[IdForm, Callable[[int], str]] = {
    "decimal": str,
    "hex": lambda number: f"{number:x}",
    "padded": lambda number: f"{number:020}",
    "padded8": lambda number: f"{number:08}",
    "padded10": lambda number: f"{number:010}",
    "hyphens": lambda number: "-".join(f"{number:016}"[at : at + 4] for at in range(0, 16, 4)),
}
