"""Messages that the SMSC refuses for good: why, in words, and the dead letter from which one can be sent again."""

from __future__ import annotations

from typing import Self

import msgspec

from vas.core import Core
from vas.running import Made, owned
from vas.statuses import status_name, status_words
from vas.store.ids import shard_of
from vas.store.rows import DeadLetterRow, OutboxRow
from vas.unit import Batch

KIND = "message"
"""Of the dead letters that are made here."""
TOLD_ALREADY = "the service was told that this message failed, and is not told of what becomes of it now"


def refusal(status: int) -> str:
    """`refused by the SMSC: Invalid Destination Address (RINVDSTADR, 0x0B)`."""
    name, number = status_name(status), f"0x{status:02X}"
    words = status_words(status).removesuffix(f" ({name})")
    return f"refused by the SMSC: {words} ({number if name.startswith('0x') else f'{name}, {number}'})"


class RefusedMessage(msgspec.Struct, frozen=True):
    """What it takes to send a message again; the names are those of the outbox's columns."""

    msisdn: str
    cause: int
    origin: str
    service: str
    source: str
    account: str
    text: str
    key: str
    settle: str
    once: bool
    flash: bool
    data: bytes | None
    port: int
    valid_ms: int
    """How long it may be tried."""

    @classmethod
    def of(cls, row: OutboxRow) -> Self:
        kept = {name: getattr(row, name) for name in cls.__struct_fields__ if name != "valid_ms"}
        return cls(**kept, valid_ms=row.expires_ms - row.created_ms)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        return msgspec.json.decode(body, type=cls)

    def again(self, batch: Batch) -> OutboxRow:
        """A new row, of whose fate nobody is told: to whom it mattered has heard that it failed."""
        return OutboxRow(
            shard_of(self.msisdn), self.msisdn, batch.new_id(), self.cause, self.origin, self.service, "sms",
            self.source, self.account, self.text, self.key, b"", "", self.once, False, batch.now_ms,
            batch.now_ms + self.valid_ms, batch.now_ms, flash=self.flash, data=self.data, port=self.port,
        )  # fmt: skip


def bury_message(batch: Batch, row: OutboxRow, error: str) -> None:
    """Put a message that was refused among the dead letters."""
    batch.dead_letters.append(
        DeadLetterRow(
            batch.new_id(), KIND, row.id, row.msisdn, row.service, row.settle, error, "",
            msgspec.json.encode(RefusedMessage.of(row)), batch.now_ms,
        )
    )  # fmt: skip


def send_again(core: Core, batch: Batch, made: Made, letter: DeadLetterRow) -> None:
    row = owned(core, batch, RefusedMessage.decode(letter.body).again(batch))
    batch.outbox.append(row)
    made.messages.append(row)
