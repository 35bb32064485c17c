"""What each kind of rudeness costs: the messages that it hits, and no others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from gateway import AccountSettings, SmppGateway
from tests.gateway import rude
from tests.gateway.peer import Core, Sender, until
from tests.gateway.rude import COUNT, RINVBNDSTS, RINVCMDID, WINDOW, Connection, Polite
from vas.messages import SendOutcome

SENT, TEMPORARY, UNANSWERED = SendOutcome.SENT, SendOutcome.TEMPORARY, SendOutcome.UNANSWERED
HIT = COUNT // WINDOW
"""How many of the messages an SMSC of the kind `Every` is rude to."""
QUICK: dict[str, Any] = {
    "system_id": "vas",
    "window": WINDOW,
    "response_timer": timedelta(seconds=10),
    "reconnect_first": timedelta(milliseconds=20),
}
IMPATIENT: dict[str, Any] = {
    "response_timer": timedelta(milliseconds=700),
    "enquire_every": timedelta(milliseconds=200),
}
"""For those who never answer; longer than a loaded machine may stand still."""
Visit = Callable[..., Awaitable[Sender]]


@pytest.fixture
async def visit(core: Core) -> AsyncIterator[Visit]:
    """Bind to an SMSC, and exchange COUNT messages with it in either direction; the keywords are AccountSettings."""
    running: list[tuple[SmppGateway, asyncio.Server, Polite]] = []

    async def exchanged(smsc: Polite, **fields: Any) -> Sender:
        server = await asyncio.get_running_loop().create_server(lambda: Connection(smsc), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        gateway = SmppGateway([AccountSettings("main", "127.0.0.1", port, **QUICK | fields)], core)
        running.append((gateway, server, smsc))
        await gateway.start()
        send = Sender(gateway)
        for number in range(1, COUNT + 1):
            send(f"message {number}")
        await until(lambda: len(send.results) == COUNT and not smsc.undelivered)
        return send

    yield exchanged
    for gateway, server, smsc in running:
        server.close()
        for connection in smsc.connections:
            connection.transport.abort()
        await gateway.stop()


class Rudeness(NamedTuple):
    smsc: type[Polite]
    links: int = 1
    """How many connections it took."""
    costs: SendOutcome = SENT
    """What becomes of the messages that it is rude to."""
    answers: tuple[tuple[int, int, int], ...] = ()
    """What we say to it: command_id, sequence_number, command_status."""
    settings: dict[str, Any] = {}  # noqa: RUF012
    asked: int = 0
    """For how many enquire_link it is watched."""


RUDE = [
    Rudeness(rude.Polite),
    Rudeness(rude.OutOfOrder),
    Rudeness(rude.ByteByByte),
    Rudeness(rude.InOnePiece),
    Rudeness(rude.Nack, costs=TEMPORARY),
    Rudeness(rude.ErrorWithBody, costs=TEMPORARY),
    Rudeness(rude.WrongSequence, costs=UNANSWERED, settings=IMPATIENT),
    Rudeness(rude.WrongKind, costs=UNANSWERED, settings=IMPATIENT),
    Rudeness(rude.Silent, costs=UNANSWERED, settings=IMPATIENT),
    Rudeness(rude.Late, costs=UNANSWERED, settings=IMPATIENT),
    Rudeness(rude.Twice),
    Rudeness(rude.TlvGarbage),
    Rudeness(rude.Unknown, answers=((rude.NACK, 77, RINVCMDID), (rude.NACK, 78, RINVCMDID))),
    Rudeness(rude.Version5, answers=((0x8000_0111, 80, RINVCMDID), (0x8000_0113, 82, RINVCMDID))),
    Rudeness(rude.OursToHim, answers=((0x8000_0004, 83, RINVCMDID), (0x8000_0009, 84, RINVCMDID))),
    Rudeness(
        rude.StrangeSequences,
        answers=((0x8000_0015, 0, 0), (0x8000_0015, 0x806A_179B, 0), (0x8000_0015, 0xFFFF_FFFF, 0)),
    ),
    Rudeness(rude.BareBind),
    Rudeness(rude.UnterminatedBind),
    Rudeness(rude.BindTwice),
    Rudeness(rude.NackedLife, settings=IMPATIENT, asked=3),
]


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.smsc.__name__) for kind in RUDE])
async def test_rudeness_costs_what_it_hits_and_nothing_else(kind: Rudeness, visit: Visit, core: Core) -> None:
    smsc = kind.smsc()
    send = await visit(smsc, **kind.settings)
    await until(lambda: smsc.asked >= kind.asked)
    outcomes = {f"message {number}": result.outcome for number, result in send.results.items()}
    hit = HIT if kind.costs is not SENT else 0
    assert Counter(outcomes.values()) == Counter({SENT: COUNT - hit, kind.costs: hit} if hit else {SENT: COUNT})
    assert smsc.accepted == Counter(text for text, outcome in outcomes.items() if outcome is SENT)
    assert set(smsc.seen.values()) == {1}
    wishes = [inbound.text for inbound in core.inbound if inbound.text != "more"]
    assert wishes == [f"wish {number}" for number in range(1, COUNT + 1)]
    assert set(kind.answers) <= set(smsc.answers)
    assert len(smsc.connections) == 1 and not smsc.connections[0].lost


ENDING = [
    Rudeness(rude.Eager, answers=((0x8000_0005, 1, RINVBNDSTS), (0x8000_0005, COUNT, RINVBNDSTS))),
    Rudeness(rude.BindOfAnotherKind, links=2, settings=IMPATIENT),
    Rudeness(rude.Unbinds, links=2, answers=((0x8000_0006, 85, 0),)),
    Rudeness(rude.NeverAlive, links=2, settings=IMPATIENT),
    Rudeness(rude.Length, links=2, costs=UNANSWERED, answers=((rude.NACK, 0, rude.RINVCMDLEN),)),
    Rudeness(rude.HugeLength, links=2, costs=UNANSWERED, answers=((rude.NACK, 0, rude.RINVCMDLEN),)),
    Rudeness(rude.LongPdu, links=2, costs=UNANSWERED, settings=IMPATIENT),
    Rudeness(rude.HalfClosed, links=2, costs=UNANSWERED),
    Rudeness(rude.Reset, links=2, costs=UNANSWERED),
    Rudeness(rude.StopsReading, links=2, costs=UNANSWERED, settings=IMPATIENT),
]


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.smsc.__name__) for kind in ENDING])
async def test_a_link_that_rudeness_ends_comes_back_and_nothing_is_lost_or_done_twice(
    kind: Rudeness, visit: Visit, core: Core
) -> None:
    smsc = kind.smsc()
    send = await visit(smsc, **kind.settings)
    await until(lambda: len(smsc.connections) >= kind.links)
    outcomes = {f"message {number}": result.outcome for number, result in send.results.items()}
    assert set(outcomes.values()) <= {SENT, kind.costs}
    assert 0 < Counter(outcomes.values())[SENT] <= COUNT - (kind.costs is UNANSWERED)
    assert Counter(outcomes.values())[UNANSWERED] <= WINDOW
    for text, outcome in outcomes.items():
        assert smsc.accepted[text] == (outcome is SENT) or (outcome is UNANSWERED and smsc.accepted[text] == 1)
    assert {inbound.text for inbound in core.inbound} == {f"wish {number}" for number in range(1, COUNT + 1)}
    assert set(kind.answers) <= set(smsc.answers)
    assert len(smsc.connections) == kind.links
