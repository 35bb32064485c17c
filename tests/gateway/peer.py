"""An SMSC of a few lines, and a core that only remembers, on both sides of a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway import SmppGateway
from gateway.pdus import pdu as smpp
from gateway.pdus.pdu import DeliverSm, Pdu
from vas.messages import Answer, Inbound, Msisdn, Outbound, Receipt, SendResult

PATIENCE_SECONDS = 10.0


async def until(happened: Callable[[], object]) -> None:
    """Wait for what the event loop brings."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


class Connection(asyncio.Protocol):
    """One ESME's connection to the peer."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.received: list[Pdu] = []
        self.lost = False
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.peer.connections.append(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        for frame in smpp.frames(self._buffer):
            pdu = smpp.decode(frame)
            self.received.append(pdu)
            self.peer.received.append(pdu)
            for response in self.peer.respond(pdu):
                self.send(response)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    def send(self, *pdus: Pdu | bytes) -> None:
        self.transport.write(b"".join(pdu if isinstance(pdu, bytes) else pdu.encode() for pdu in pdus))


class Peer:
    """Answers every request with ROK, unless `answers` has something else for its type."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.received: list[Pdu] = []
        self.answers: dict[type[Pdu], Callable[[Any], list[Pdu]]] = {}
        self.port = 0
        self._ids = 0

    def respond(self, pdu: Pdu) -> list[Pdu]:
        if type(pdu) in self.answers:
            return self.answers[type(pdu)](pdu)
        if pdu.command_id & smpp.RESPONSE:
            return []
        response = smpp.response_to(pdu.command_id, pdu.sequence, 0)
        if isinstance(response, smpp.SubmitSmResp):
            self._ids += 1
            response.message_id = b"%d" % self._ids
        return [response]

    def of(self, kind: type[Pdu]) -> list[Any]:
        """What came of one type, in order."""
        return [pdu for pdu in self.received if type(pdu) is kind]

    async def bound(self, count: int = 1) -> Connection:
        """The latest connection, once so many binds have come."""
        binds = (smpp.BindTransceiver, smpp.BindReceiver, smpp.BindTransmitter)
        await until(lambda: sum(isinstance(pdu, binds) for pdu in self.received) >= count)
        return self.connections[-1]


class Core:
    """A Receiver that keeps everything, and answers at once unless `answers` is None."""

    def __init__(self) -> None:
        self.sessions: list[str] = []
        self.ended: list[int] = []
        self.inbound: list[Inbound] = []
        self.receipts: list[Receipt] = []
        self.confirmed: list[tuple[int, int]] = []
        self.late: list[tuple[int, int]] = []
        self.held: list[Answer] = []
        self.status: int | None = 0
        """What is answered; None: nothing until the test does."""

    def session_opened(self, account: str) -> int:
        self.sessions.append(account)
        return len(self.sessions)

    def session_closed(self, session: int) -> None:
        self.ended.append(session)

    def session_confirmed(self, session: int, ordinal: int) -> None:
        self.confirmed.append((session, ordinal))

    def answered_late(self, session: int, ordinal: int) -> None:
        self.late.append((session, ordinal))

    def receive(self, inbound: Inbound, answer: Answer) -> None:
        self.inbound.append(inbound)
        self._answer(answer)

    def receive_receipt(self, receipt: Receipt, answer: Answer) -> None:
        self.receipts.append(receipt)
        self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        if self.status is None:
            self.held.append(answer)
        else:
            answer(self.status)


class Sender:
    """Sends through a gateway, and keeps what became of it."""

    def __init__(self, gateway: SmppGateway) -> None:
        self.gateway = gateway
        self.results: dict[int, SendResult] = {}
        self._ids = 0

    def __call__(self, text: str = "hello", **fields: Any) -> int:
        self._ids += 1
        number = self._ids
        values = {"to": Msisdn("84912345678"), "source": "9105", "account": "main", "receipt": False} | fields
        message = Outbound(id=number, text=text, **values)

        def done(result: SendResult) -> None:
            assert number not in self.results, "done twice"
            self.results[number] = result

        self.gateway.send(message, done)
        return number

    async def result(self, number: int) -> SendResult:
        await until(lambda: number in self.results)
        return self.results[number]


def mo(text: str = "CM 0912345678", sequence: int = 1, **fields: Any) -> DeliverSm:
    """What a subscriber sends."""
    values: dict[str, Any] = {"source_addr": b"84912345678", "destination_addr": b"9105"} | fields
    return DeliverSm(sequence=sequence, short_message=text.encode("latin-1"), **values)
