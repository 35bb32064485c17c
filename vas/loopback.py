"""The gateway of `vas.testing`: what is sent is on the phones at once, without SMPP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vas.messages import ROK, Outbound, Part, Receipt, ReceiptState, Receiver, SendOutcome, SendResult
from vas.store.ids import moment

if TYPE_CHECKING:
    from vas.testing import Network

REFUSED_WITH = {SendOutcome.PERMANENT: 0x0B, SendOutcome.TEMPORARY: 0x08}
"""command_status of a refusal: ESME_RINVDSTADR for good, ESME_RSYSERR for now."""


class Loopback:
    """A vas.node.RunningGateway with one account."""

    def __init__(self, network: Network, receiver: Receiver, account: str) -> None:
        self._network = network
        self._receiver = receiver
        self._account = account
        self.backlog = 0

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def let_go(self, why: str) -> None: ...
    async def take_up(self) -> None: ...

    async def ask_alive(self, session: int) -> bool:
        return True

    def carries(self, message: Outbound) -> bool:
        return self._network.carries(message)

    def text_of(self, account: str, parts: Sequence[Part]) -> str:
        return b"".join(part.octets for part in parts).decode()

    def send(self, message: Outbound, done: Callable[[SendResult], None]) -> None:
        network = self._network
        network.sent.append(message)
        outcome = network.outcome(message)
        if outcome is SendOutcome.SENT:
            self._arrive(message)
        at = moment(network.now_ms)
        segments = network.segments(message)
        smsc_ids = tuple(str(message.id + index) for index in range(segments)) if outcome is SendOutcome.SENT else ()
        status = REFUSED_WITH.get(outcome, ROK)
        loop = asyncio.get_running_loop()
        loop.call_soon(done, SendResult(outcome, at, self._account, segments, smsc_ids, status))
        if (
            outcome is SendOutcome.SENT
            and message.receipt
            and network.receipts
            and network.phone(str(message.to)).reachable
        ):
            receipt = Receipt(self._account, 0, 0, at, str(message.id), message.to.digits, ReceiptState.DELIVERED)
            loop.call_soon(self._receiver.receive_receipt, receipt, lambda status: None)

    def _arrive(self, message: Outbound) -> None:
        phone = self._network.phone(str(message.to))
        phone.dialogues += message.push
        if message.session or message.push:
            phone.screen, phone.open = message.text, message.more
        else:
            phone.texts.append(message.text)
            phone.received.append(message)
