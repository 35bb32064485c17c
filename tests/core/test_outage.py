"""While the store is not there what comes in is refused at once, and what was sent is written down afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta

import pytest

from tests.core.toys import LAN, MAI_NUMBER, Toy, inbound, noted, offer, purse, rows
from vas import Context, Service
from vas.core import AccountRules
from vas.errors import StoreError
from vas.messages import ROK, RTHROTTLED, RX_T_APPN
from vas.store.protocol import Outage, Work
from vas.submissions import RecordSent
from vas.testing import ACCOUNT, Network
from vas.unit import Batch

BUSY = 0x45


@pytest.fixture
def service(toy: Toy) -> Service:
    made = toy.service()

    @made.sms("NOTE {x}")
    async def note(ctx: Context, x: str) -> None:
        await ctx.change(ctx.sender, noted, x)
        await ctx.send(MAI_NUMBER, "note", x=x)

    return made


class Fails:
    """The store fails when the works before this one have run."""

    async def run(self, batch: Batch) -> None:
        raise StoreError("nowhere to write")


class Door:
    """Before a store: commits fail while it is shut, or wait for it."""

    def __init__(self, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails = False
        self.open = asyncio.Event()
        self.open.set()
        self.tried = 0
        self._commit = network.node.store.commit
        monkeypatch.setattr(network.node.store, "commit", self.commit)

    async def commit(self, works: Sequence[Work]) -> list[Exception | None]:
        self.tried += 1
        await self.open.wait()
        return await self._commit([*works, Fails()] if self.fails else works)


def send(network: Network, *texts: str) -> list[asyncio.Future[int]]:
    session = network.node.dispatch.session_opened(ACCOUNT)
    return [offer(network, inbound(network, text, session=session, ordinal=at)) for at, text in enumerate(texts, 1)]


async def test_what_comes_in_is_refused_before_anything_is_tried(
    toy: Toy, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with toy.network(service, accounts={ACCOUNT: AccountRules(later_status=BUSY)}) as network:
        door = Door(network, monkeypatch)
        network.node.store.outage = Outage(time.monotonic(), "gone")
        (answer,) = send(network, "NOTE a")
        assert (answer.result(), door.tried) == (BUSY, 0)
        network.node.store.outage = None
        assert await asyncio.gather(*send(network, "NOTE a")) == [ROK]
        await network.settled()
        assert (await purse(network)).notes == ("a",)


async def test_what_waits_for_credit_when_the_store_goes_is_refused(
    toy: Toy, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with toy.network(service, credits=1) as network:
        door = Door(network, monkeypatch)
        door.open.clear()
        taken, waits = send(network, "NOTE a", "NOTE b")
        await asyncio.sleep(0.01)
        network.node.store.outage = Outage(time.monotonic(), "gone")
        network.node.dispatch.tick()
        assert (taken.done(), waits.result()) == (False, RX_T_APPN)
        network.node.store.outage = None
        door.open.set()
        assert await taken == ROK
        await network.settled()


async def test_a_command_for_whose_commit_no_time_is_left_is_told_to_slow_down(
    toy: Toy, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = AccountRules(smsc_response_timer=timedelta(seconds=4))
    async with toy.network(
        service, accounts={ACCOUNT: rules}, commit_within=timedelta(seconds=1.98), batch_limit=1
    ) as network:
        door = Door(network, monkeypatch)
        door.open.clear()
        answers = send(network, "NOTE a", "NOTE b")
        await asyncio.sleep(0.03)
        door.open.set()
        assert await asyncio.gather(*answers) == [ROK, RTHROTTLED]
        await network.settled()
        assert (await purse(network)).notes == ("a",)


async def test_while_nothing_can_be_written_it_is_told_to_come_later_instead(toy: Toy, service: Service) -> None:
    async with toy.network(service, commit_within=timedelta(hours=1)) as network:
        network.node.grace.failed(StoreError("gone"))
        assert await asyncio.gather(*send(network, "NOTE a")) == [RX_T_APPN]


async def test_what_was_sent_meanwhile_is_written_down_when_the_store_is_back_and_not_sent_again(
    toy: Toy, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with toy.network(service) as network:
        door = Door(network, monkeypatch)
        (answer,) = send(network, "NOTE a")
        assert await answer == ROK
        door.fails = True
        for _ in range(5):
            network.node.outbox.tick()
            await asyncio.sleep(0.005)
        assert network.node.outbox.busy
        door.fails = False
        await network.settled()
        assert [message.text for message in network.sent] == ["note a"]
        assert await rows(network, "SELECT state, due_ms FROM outbox") == [("sent", None)]
        assert network.phone(LAN).texts == []


async def test_every_work_hears_of_its_end_however_the_engine_fails(
    toy: Toy, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with toy.network(service) as network:

        async def stumbles(works: Sequence[Work]) -> list[Exception | None]:
            raise RuntimeError("a driver's own")

        outbox = network.node.outbox
        with monkeypatch.context() as patched:
            patched.setattr(network.node.store, "commit", stumbles)
            outbox.wake_at(0, 0)
            outbox.tick()
            assert outbox.busy
            assert await asyncio.gather(*send(network, "NOTE a", "NOTE b")) == [RX_T_APPN] * 2
            assert not outbox.busy
            assert network.node.dispatch.unfinished == 0
        assert await asyncio.gather(*send(network, "NOTE c")) == [ROK]
        await network.settled()
        assert (await purse(network)).notes == ("c",)


async def test_results_that_are_too_many_for_the_time_of_a_batch_are_written_down_in_several(
    toy: Toy, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with toy.network(service) as network:
        run = RecordSent.run

        async def takes_too_long(self: RecordSent, batch: Batch) -> None:
            await run(self, batch)
            if len(self._taken) > 10:
                raise StoreError("no answer in time")

        monkeypatch.setattr(RecordSent, "run", takes_too_long)
        texts = [f"NOTE {index}" for index in range(40)]
        assert await asyncio.gather(*send(network, *texts)) == [ROK] * len(texts)
        outbox = network.node.outbox
        for _ in range(40):
            outbox.tick()
            await network.node.dispatch.drained()
        assert not outbox.busy
        assert await rows(network, "SELECT count(*) FROM outbox WHERE state = 'sent'") == [(len(texts),)]
