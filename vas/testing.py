"""The phone that tests dial with: a whole platform behind it, without SMPP.

    async def test_lan_asks_mai(tmp_path):
        async with Network(tmp_path, mount(callme, short_codes=["9105"], ussd="*105")) as network:
            lan, mai = network.phone("0912345678"), network.phone("0987654321")
            assert "0987654321" in await lan.dial("*105*0987654321#")
            assert "0912345678" in mai.texts[-1]

With `fresh=True` every key press and every text reaches a brand-new platform over the same store, as if on
another node or after a restart: what a service keeps outside its documents is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

from vas.cluster.member import Member
from vas.core import AccountRules
from vas.loopback import Loopback
from vas.messages import Inbound, Msisdn, Outbound, Part, Receipt, ReceiptState, SendOutcome, UssdTurn
from vas.mounting import Mounted, Platform
from vas.node import Node, Setup
from vas.selfcare import selfcare
from vas.service import Service
from vas.store.ids import moment
from vas.store.protocol import Store
from vas.store.sqlite import SqliteStore

ACCOUNT = "test"
MORNING = datetime(2026, 3, 2, 9, 0, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))
"""A Monday, when a test's clock begins unless the test says otherwise."""


def sqlite_in(folder: Path, clock_ms: Callable[[], int]) -> Store:
    """A network's store, in a file of its folder."""
    return SqliteStore(folder / "vas.db", clock_ms=clock_ms)


make_store: Callable[[Path, Callable[[], int]], Store] = sqlite_in
"""How a network makes its store: what runs a suite on another engine puts another one here."""


def mount(
    service: Service, config: Any = None, *, short_codes: Sequence[str] = (), ussd: str = "", accents: bool = True
) -> Mounted:  # fmt: skip
    """A service as config.toml would switch it on; `config` its config struct, by default as it comes."""
    return Mounted(service, service.config_type() if config is None else config, tuple(short_codes), ussd, accents)


@dataclass
class Phone:
    """A subscriber's handset."""

    network: Network
    number: Msisdn
    texts: list[str] = field(default_factory=list)
    """SMS received, the oldest first."""
    received: list[Outbound] = field(default_factory=list)
    screen: str = ""
    """What the last USSD turn, or the network, left on the screen."""
    open: bool = False
    """Whether the dialogue waits for an answer."""
    reachable: bool = True
    """Switched off: what is sent gets no delivery receipt until `network.receipt` gives one."""
    dialogues: int = 0
    references: int = 0
    """Long messages sent."""

    async def dial(self, code: str) -> str:
        """Dial a USSD code; the first screen."""
        self.dialogues += 1
        return await self._turn(code, begin=True)

    async def answer(self, text: str) -> str:
        """Type an answer to the screen; the next one."""
        assert self.open, f"nothing waits for an answer; the screen says {self.screen!r}"
        return await self._turn(text, begin=False)

    async def hang_up(self) -> None:
        """End the dialogue from the phone's side."""
        turn = UssdTurn(str(self.dialogues), begin=False, ended=True)
        await self.network.deliver(self, "", "", turn)
        self.open = False

    async def _turn(self, text: str, *, begin: bool) -> str:
        self.screen, self.open = "", False
        await self.network.deliver(self, text, "105", UssdTurn(str(self.dialogues), begin, token=b"t"))
        return self.screen

    async def text(self, text: str, to: str, *, parts: int = 1, order: Sequence[int] = (), reference: str = "") -> str:
        """Send an SMS; the last text that came back to this phone on account of it, or an empty string.

        `parts`: cut into so many; `order`: the numbers of those that arrive, one after the other, from 1;
        `reference`: instead of the phone's next one.
        """
        before = len(self.texts)
        if parts == 1:
            await self.network.deliver(self, text, to, None)
        else:
            self.references += 1
            cut = cut_into(text, parts, reference or f"8-bit {self.references}")
            for number in order or range(1, parts + 1):
                await self.network.deliver(self, "", to, None, part=cut[number - 1])
        return self.texts[-1] if len(self.texts) > before else ""


def cut_into(text: str, parts: int, reference: str) -> list[Part]:
    """The text as a long message in parts of about the same length; the cuts may fall inside a character."""
    octets = text.encode()
    size = -(-len(octets) // parts)
    return [
        Part(reference, parts, number, octets[(number - 1) * size : number * size], "utf-8")
        for number in range(1, parts + 1)
    ]


class Network:
    """Phones, a clock, and the platform between them."""

    def __init__(
        self,
        folder: Path,
        *mounted: Mounted,
        fresh: bool = False,
        now: datetime = MORNING,
        language: str = "vi",
        accounts: Mapping[str, AccountRules] | None = None,
        member: Member | None = None,
        store: Callable[[Callable[[], int]], Store] | None = None,
        **setup: Any,
    ) -> None:
        """`member`: this platform among those that share a database, which is what `store` makes with a clock."""
        self.folder = folder
        self._member = member
        self._make_store = store or (lambda clock_ms: make_store(folder, clock_ms))
        self.fresh = fresh
        self.now_ms = int(now.timestamp() * 1000)
        self.sent: list[Outbound] = []
        """Everything the platform handed over, screens included."""
        self.outcome: Callable[[Outbound], SendOutcome] = lambda message: SendOutcome.SENT
        """What the SMSC makes of a submission; replace it to refuse some."""
        self.carries: Callable[[Outbound], bool] = lambda message: True
        """What could leave from here; the rest waits for another node of the same database."""
        self.segments: Callable[[Outbound], int] = lambda message: 1
        """Into how many segments a message is cut; each has an id, the first one the message's own."""
        self.receipts = True
        """Whether reachable phones' delivery receipts come by themselves."""
        self.confirms = True
        """Whether the SMSC is seen to have got our answers."""
        self._phones: dict[str, Phone] = {}
        platform = Platform(ZoneInfo("Asia/Ho_Chi_Minh"), language)
        self._setup = Setup(
            mounted,
            mount(selfcare),
            platform,
            {ACCOUNT: AccountRules(), **(accounts or {})},
            clock_ms=lambda: self.now_ms,
            tick_s=3600,
            **setup,
        )
        self._session = 0
        self._ordinal = 0
        self.statuses: list[int] = []
        """command_status of every answer, in order."""

    def phone(self, number: str) -> Phone:
        """The phone with this number; the same one each time."""
        msisdn = Msisdn.parse(number)
        return self._phones.setdefault(msisdn.digits, Phone(self, msisdn))

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.node.stop()

    async def _start(self) -> None:
        store = self._make_store(lambda: self.now_ms)
        self.node = Node(self._setup, store, lambda receiver: Loopback(self, receiver, ACCOUNT), self._member)
        await self.node.start()
        self._session, self._ordinal = self.node.dispatch.session_opened(ACCOUNT), 0

    async def restart(self, *mounted: Mounted) -> None:
        """Stop the platform and start it anew; with other services, if any are given."""
        await self.node.stop()
        if mounted:
            self._setup = replace(self._setup, mounted=mounted)
        await self._start()

    async def deliver(
        self, phone: Phone, text: str, to: str, turn: UssdTurn | None, *, sender: str = "", part: Part | None = None
    ) -> int:
        """Hand a deliver_sm over and wait until nothing is left to do; the command_status of its answer."""
        if self.fresh:
            await self.restart()
        self._ordinal += 1
        sender = sender or phone.number.digits
        inbound = Inbound(
            ACCOUNT, self._session, self._ordinal, moment(self.now_ms), sender, to, text,
            identity(sender, to, text, turn, part), turn, part=part,
        )  # fmt: skip
        return await self.redeliver(inbound)

    async def redeliver(self, inbound: Inbound) -> int:
        """Hand over a deliver_sm exactly as given."""
        answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.node.dispatch.receive(inbound, answered.set_result)
        status = await answered
        self.statuses.append(status)
        if self.confirms:
            self.node.dispatch.session_confirmed(inbound.session, inbound.ordinal)
        await self.settled()
        return status

    async def settled(self) -> None:
        """Until nothing is under way: commands, submissions, jobs that are due, calls that can be answered."""
        node = self.node
        for _ in range(10_000):
            await node.dispatch.drained()
            node.schedule.tick()
            node.outbox.tick()
            node.parts.tick()
            await asyncio.sleep(0)
            if not (node.dispatch.busy or node.outbox.busy or node.calls.busy or node.parts.looking):
                return
            if node.calls.busy:
                await asyncio.sleep(0.001)
        raise AssertionError("the platform does not come to rest")

    async def pass_time(self, duration: timedelta) -> None:
        """Let time go by, and what was due in it happen."""
        self.now_ms += int(duration.total_seconds() * 1000)
        self.node.outbox.tick()
        await self.settled()

    async def receipt(self, message: Outbound, state: ReceiptState, error: str = "") -> None:
        """The SMSC's delivery receipt of a message."""
        self._ordinal += 1
        answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        receipt = Receipt(
            ACCOUNT, self._session, self._ordinal, moment(self.now_ms), str(message.id), message.to.digits, state, error
        )
        self.node.dispatch.receive_receipt(receipt, answered.set_result)
        await answered
        await self.settled()


def identity(sender: str, to: str, text: str, turn: UssdTurn | None = None, part: Part | None = None) -> bytes:
    """What is the same in a copy."""
    header = f"{part.reference} {part.total} {part.number}".encode() + part.octets if part else b""
    return b"\0".join((sender.encode(), to.encode(), text.encode(), (turn.dialogue if turn else "").encode(), header))
