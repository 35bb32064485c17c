"""The floor: the same PDUs with nothing behind them, for the platform's figures to stand beside.

    python -m bench.floor codec PORT MESSAGES      a socket and the codec
    python -m bench.floor gateway PORT MESSAGES    the platform's gateway, with a core that says yes at once

Each deliver_sm is answered at once, and MESSAGES submit_sm follow it: to the sender, then to others.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import cast

from bench.process import PASSWORD, SHORT_CODE, SYSTEM_ID
from gateway.adapter import SmppGateway
from gateway.pdus import pdu as smpp
from gateway.settings import AccountSettings
from vas import logs
from vas.assembly import event_loop
from vas.messages import ROK, Answer, Inbound, Msisdn, Outbound, Receipt
from vas.serving import collect_seldom

BINDS = 2
TEXT = "Da nho 0380000001 goi lai cho ban. Hom nay con 995 luot."
FRIEND = b"84380000000"


class Codec(asyncio.Protocol):
    """One bind that decodes, answers and submits, and keeps nothing."""

    def __init__(self, messages: int) -> None:
        self._to_others = messages - 1
        self._sequence = 1
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        bind = smpp.BindTransceiver(sequence=1, system_id=SYSTEM_ID.encode(), password=PASSWORD.encode())
        self._transport.write(bind.encode())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        out: list[bytes] = []
        for frame in smpp.frames(self._buffer):
            pdu = smpp.decode(frame)
            if isinstance(pdu, smpp.DeliverSm):
                out.append(smpp.response_to(pdu.command_id, pdu.sequence, ROK).encode())
                out.append(self._submit(pdu.source_addr))
                out += (self._submit(FRIEND) for _ in range(self._to_others))
            elif isinstance(pdu, smpp.EnquireLink | smpp.Unbind):
                out.append(smpp.response_to(pdu.command_id, pdu.sequence, ROK).encode())
        self._transport.write(b"".join(out))

    def _submit(self, to: bytes) -> bytes:
        self._sequence += 1
        return smpp.SubmitSm(
            sequence=self._sequence, source_addr=SHORT_CODE.encode(), dest_addr_ton=1, dest_addr_npi=1,
            destination_addr=to, short_message=TEXT.encode(),
        ).encode()  # fmt: skip


class Yes:
    """A core that takes everything, answers at once and replies (vas.messages.Receiver)."""

    def __init__(self, messages: int) -> None:
        self._to_others = messages - 1
        self._sessions = 0
        self.gateway: SmppGateway

    def session_opened(self, account: str) -> int:
        self._sessions += 1
        return self._sessions

    def session_closed(self, session: int) -> None: ...
    def session_confirmed(self, session: int, ordinal: int) -> None: ...
    def answered_late(self, session: int, ordinal: int) -> None: ...

    def receive(self, inbound: Inbound, answer: Answer) -> None:
        answer(ROK)
        self._send(inbound.sender)
        for _ in range(self._to_others):
            self._send(FRIEND.decode())

    def receive_receipt(self, receipt: Receipt, answer: Answer) -> None:
        answer(ROK)

    def _send(self, to: str) -> None:
        message = Outbound(1, Msisdn(to), SHORT_CODE, TEXT, "main", False)
        self.gateway.send(message, lambda result: None)


async def codec(port: int, messages: int) -> None:
    for _ in range(BINDS):
        while True:
            try:
                await asyncio.get_running_loop().create_connection(lambda: Codec(messages), "127.0.0.1", port)
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)


async def gateway(port: int, messages: int) -> None:
    core = Yes(messages)
    settings = AccountSettings(
        name="main", host="127.0.0.1", port=port, system_id=SYSTEM_ID, password=PASSWORD, binds=BINDS, window=200,
        reconnect_first=timedelta(milliseconds=50),
    )  # fmt: skip
    core.gateway = SmppGateway([settings], core)
    await core.gateway.start()


async def main(kind: str, port: int, messages: int) -> None:
    await {"codec": codec, "gateway": gateway}[kind](port, messages)
    await asyncio.Event().wait()


if __name__ == "__main__":
    logs.configure(level="warning", json=True, bodies=False, stream=sys.stderr.buffer)
    with asyncio.Runner(loop_factory=event_loop()) as runner:
        collect_seldom()  # as the platform does
        runner.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
