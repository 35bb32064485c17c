"""What damage does: to the codec, and to the other traffic of a link."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from itertools import islice
from types import FrameType
from typing import Any

import pytest

from gateway.pdus import pdu as smpp
from gateway.pdus.pdu import decode
from tests.gateway.conftest import Network
from tests.gateway.fixtures import FIXTURES
from tests.gateway.peer import Core, Peer, mo, until
from vas.errors import SmppError
from vas.messages import SendOutcome

MUTATIONS = 100_000
OURS = 0x4000_0000
"""Our own sequence numbers stay below."""


def damaged(rng: random.Random) -> Iterator[bytes]:
    """Fixtures with octets changed, cut off, put in or doubled, or grown together; most with a true length."""
    wires = [fixture.wire for fixture in FIXTURES]
    while True:
        wire = bytearray(rng.choice(wires))
        for _ in range(rng.randrange(1, 5)):
            place = rng.randrange(len(wire) + 1)
            match rng.randrange(6):
                case 0 | 1:
                    wire[place : place + 1] = bytes((rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256))),))
                case 2:
                    del wire[place:]
                case 3:
                    wire[place:place] = bytes(rng.randrange(1, 4))
                case 4:
                    wire[place:place] = wire[max(0, place - rng.randrange(1, 30)) : place]
                case 5:
                    wire += rng.choice(wires)[16:]
        if rng.random() < 0.8:
            wire[:4] = max(len(wire), 4).to_bytes(4, "big")
        yield bytes(wire)


def test_a_hundred_thousand_damaged_pdus_raise_nothing_but_smpp_error() -> None:
    read = refused = 0
    for wire in islice(damaged(random.Random(1)), MUTATIONS):
        try:
            pdu = decode(wire)
        except SmppError:
            refused += 1
            continue
        read += 1
        assert decode(pdu.encode()) == pdu
    assert read + refused == MUTATIONS
    assert min(read, refused) > MUTATIONS // 10


HEAD = bytes.fromhex("00 01 01 383439313233343536373800 00 00 3931303500 00 00 00 00 00 00 00 00 00 00")
ROOM = smpp.PDU_OCTETS_MAX - 16 - len(HEAD)


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(bytes(ROOM), id="NULs"),
        pytest.param(b"\0\x1e\0\0" * (ROOM // 4), id="empty parameters"),
        pytest.param(b"\0" + b"\0\x1e\0\0" * (ROOM // 4 - 1), id="empty parameters, shifted"),
        pytest.param(b"\0\0\x01" * (ROOM // 3), id="NULs between tags"),
        pytest.param(b"\xff" * ROOM, id="one parameter past the end"),
    ],
)
def test_the_work_of_the_longest_pdu_is_bounded_by_its_octets(tail: bytes) -> None:
    lines = 0

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    wire = b"".join(number.to_bytes(4, "big") for number in (16 + len(HEAD) + len(tail), 5, 0, 1)) + HEAD + tail
    sys.settrace(count)
    try:
        decode(wire)
    finally:
        sys.settrace(None)
    assert 0 < lines < 4 * len(wire)


def unharmful(rng: random.Random) -> Iterator[bytes]:
    """Damage that leaves the framing whole, is no response to a request of ours, and no unbind."""
    for wire in damaged(rng):
        if len(wire) < 16 or wire[4:8] == smpp.Unbind.command_id.to_bytes(4, "big"):
            continue
        sequence = OURS | rng.randrange(OURS)
        yield len(wire).to_bytes(4, "big") + wire[4:12] + sequence.to_bytes(4, "big") + wire[16:]


async def test_damaged_pdus_leave_the_other_traffic_of_their_link_untouched(
    start: Network, peer: Peer, core: Core
) -> None:
    _, send = await start()
    connection = await peer.bound()
    bad = unharmful(random.Random(2))
    sent = []
    for number in range(1, 301):
        sent.append(send(f"message {number}"))
        connection.send(*islice(bad, 5), mo(f"wish {number}", number), *islice(bad, 5))
        if number % 20 == 0:
            await until(lambda: len(send.results) == len(sent))
    await until(lambda: len(answered(peer)) == 300)
    assert [send.results[number].outcome for number in sent] == [SendOutcome.SENT] * 300
    assert [inbound.text for inbound in core.inbound if inbound.text.startswith("wish ")] == [
        f"wish {number}" for number in range(1, 301)
    ]
    assert not connection.lost and len(peer.connections) == 1


def answered(peer: Peer) -> list[int]:
    """The good deliver_sm that were answered with ROK."""
    return [pdu.sequence for pdu in peer.of(smpp.DeliverSmResp) if pdu.sequence <= 300 and not pdu.status]


@pytest.mark.parametrize("length", [0, 15, 65_537, 0xFFFF_FFFF])
async def test_where_the_framing_is_lost_the_link_comes_back_and_nothing_acknowledged_is_lost(
    start: Network, peer: Peer, core: Core, length: int
) -> None:
    peer.answers[smpp.SubmitSm] = lambda pdu: []
    _, send = await start()
    connection = await peer.bound()
    number = send("unanswered")
    await until(lambda: peer.of(smpp.SubmitSm))
    connection.send(mo("before", 1), length.to_bytes(4, "big") + bytes(60), mo("never read", 2))
    assert (await send.result(number)).outcome is SendOutcome.UNANSWERED
    del peer.answers[smpp.SubmitSm]
    again = await peer.bound(2)
    again.send(mo("after", 1))
    await until(lambda: len(core.inbound) == 2)
    assert [inbound.text for inbound in core.inbound] == ["before", "after"]
    [nack] = peer.of(smpp.GenericNack)
    assert (nack.status, nack.sequence, connection.lost) == (smpp.RINVCMDLEN, 0, True)
    assert (await send.result(send("next"))).outcome is SendOutcome.SENT
