"""A small service that each test gives its own handlers, and a look at what the platform has written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import msgspec

from tests.engines import Engine
from vas import Context, Msisdn, Outcome, Service
from vas.messages import Inbound, Part
from vas.mounting import Mounted
from vas.store.ids import moment
from vas.testing import ACCOUNT, Network, Phone, identity, mount

TEXTS = {
    "done": "done {x}",
    "note": "note {x}",
    "no": "no {x}",
    "first": "first?",
    "second": "second?",
    "third": "third?",
    "pin": "PIN?",
    "which.title": "which?",
}
LAN, MAI, HOA = "0912345678", "0987654321", "0905000001"
CODE = "9000"
LAN_NUMBER, MAI_NUMBER = Msisdn("84912345678"), Msisdn("84987654321")


class Purse(msgspec.Struct, frozen=True):
    """What the toy remembers of a subscriber."""

    spent: int = 0
    notes: tuple[str, ...] = ()


def spend(purse: Purse, amount: int) -> Purse:
    return msgspec.structs.replace(purse, spent=purse.spent + amount)


def noted(purse: Purse, note: str) -> Purse:
    return msgspec.structs.replace(purse, notes=(*purse.notes, note))


class Toy:
    """Makes services and networks in one folder."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.engine = engine

    def service(self, name: str = "toy", texts: Mapping[str, str] | None = None, **options: Any) -> Service:
        """A service whose texts are the same in both languages."""
        path = self.folder / f"{name}.toml"
        lines = (f"{key} = {{ vi = {_quoted(text)}, en = {_quoted(text)} }}" for key, text in (texts or TEXTS).items())
        path.write_text("\n".join(lines), "utf-8")
        return Service(f"tests.{name}", texts=path, **{"state": Purse, **options})

    def network(
        self,
        *services: Service,
        folder: Path | None = None,
        confirms: bool = True,
        receipts: bool = True,
        **options: Any,
    ) -> Network:
        network = Network(folder or self.folder, *self.mounted(*services), **options)
        network.confirms, network.receipts = confirms, receipts
        return network

    @staticmethod
    def mounted(*services: Service) -> list[Mounted]:
        """The first service at 9000 and *100, the next one at 9001 and *101, and so on."""
        return [mount(each, short_codes=[str(9000 + at)], ussd=f"*{100 + at}") for at, each in enumerate(services)]

    def crashed(self, network: Network, *services: Service, **options: Any) -> Network:
        """Another platform over what a power cut would have left of this one's database now."""
        folder = Path(mkdtemp(dir=self.folder, prefix="crashed"))
        self.engine.copy(network.folder, folder)
        return self.network(*services, folder=folder, **{"now": moment(network.now_ms), **options})


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


async def rows(network: Network, query: str) -> list[tuple[Any, ...]]:
    return await network.node.store.read(query)


async def purse(network: Network, number: str = LAN, service: str = "toy") -> Purse:
    """What is remembered of a subscriber, as it is stored."""
    digits = Msisdn.parse(number).digits
    found = await rows(network, f"SELECT value FROM state WHERE service = '{service}' AND msisdn = '{digits}'")  # noqa: S608
    return msgspec.json.decode(found[0][0], type=Purse) if found else Purse()


def inbound(
    network: Network, text: str, *, session: int, ordinal: int, number: str = LAN, to: str = CODE, message_id: str = "",
    part: Part | None = None,
) -> Inbound:  # fmt: skip
    """A deliver_sm of which the test says on which session it comes and as which."""
    digits = Msisdn.parse(number).digits
    return Inbound(
        ACCOUNT, session, ordinal, moment(network.now_ms), digits, to, text, identity(digits, to, text, part=part),
        message_id=message_id, part=part,
    )  # fmt: skip


def offer(network: Network, command: Inbound) -> asyncio.Future[int]:
    """Hand a command over without waiting; its answer."""
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    network.node.dispatch.receive(command, answered.set_result)
    return answered


async def together(network: Network, phone: Phone, *texts: str, to: str = CODE) -> list[int]:
    """Several texts in one batch; the answers."""
    session = network.node.dispatch.session_opened(ACCOUNT)
    answers = [
        offer(network, inbound(network, text, session=session, ordinal=at, number=str(phone.number), to=to))
        for at, text in enumerate(texts, 1)
    ]
    statuses = await asyncio.gather(*answers)
    await network.settled()
    return statuses


def sending(service: Service) -> None:
    """SEND, ONCE and MANY: messages to Mai, of which the first two note their outcome."""

    @service.outcome
    async def settle(ctx: Context, outcome: Outcome) -> None:
        await ctx.change(ctx.sender, noted, f"{outcome.params['x']} {outcome.result}")

    @service.sms("SEND {x}")
    async def send(ctx: Context, x: str) -> None:
        await ctx.send(MAI_NUMBER, "note", then=settle, valid=timedelta(hours=2), x=x)

    @service.sms("ONCE {x}")
    async def once(ctx: Context, x: str) -> None:
        await ctx.send(MAI_NUMBER, "note", then=settle, once=True, valid=timedelta(hours=2), x=x)

    @service.sms("MANY {count}")
    async def many(ctx: Context, count: int) -> None:
        for number in range(count):
            await ctx.send(MAI_NUMBER, "note", x=number)
