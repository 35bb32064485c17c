"""The rows of what a handler sends: an SMS, binary data, or a screen that the network begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec

from vas.errors import ServiceError
from vas.messages import Msisdn
from vas.mounting import Mounted, Platform
from vas.store.ids import milliseconds, shard_of
from vas.store.rows import OutboxRow
from vas.unit import Unit

BINARY = "binary"
"""Stands for the text key of what has no text."""
BINARY_OCTETS_MAX = 255 * 128
"""255 segments of 140 octets, less a UDH with a 16-bit reference and two ports (3GPP TS 23.040 §9.2.3.24)."""
PORT_MAX = 0xFFFF
PUSHED = ("push", "notice")
"""Kinds of screens that the network begins: a question, and what needs no answer."""


class Content(NamedTuple):
    """What a message says."""

    key: str
    text: str = ""
    params: Mapping[str, object] = {}
    data: bytes | None = None
    port: int = 0


class Terms(NamedTuple):
    """How a message is sent, as `Context.send` explains it."""

    then: Callable[..., Awaitable[Any]] | None = None
    once: bool = False
    at: datetime | None = None
    valid: timedelta | None = None
    flash: bool = False


USUAL = Terms()


class Letterhead(NamedTuple):
    """What all messages of one run have in common."""

    mounted: Mounted
    platform: Platform
    sender: Msisdn
    """On whose behalf they are sent."""
    source: str
    account: str
    waited_for: bool

    def row(
        self, unit: Unit, to: Msisdn, content: Content, terms: Terms, kind: Literal["sms", "notice"] = "sms"
    ) -> OutboxRow:  # fmt: skip
        """A new row for `outbox`; raises ServiceError for what cannot be sent."""
        if not to.digits:
            raise ServiceError(f"text {content.key!r}: a recurring job has no sender; say whom it goes to")
        service = self.mounted.service
        settle = terms.then.__name__ if terms.then is not None else ""
        if settle and settle not in service.outcomes:
            raise ServiceError(f"{service.name}.{settle}: decorate it with @{service.name}.outcome")
        now_ms = unit.batch.now_ms
        due_ms = max(now_ms, aware_ms(terms.at)) if terms.at is not None else now_ms
        return OutboxRow(
            shard_of(to.digits), to.digits, unit.batch.new_id(), unit.id, self.sender.digits, service.name, kind,
            self.source, self.account if kind == "sms" else "", content.text, content.key,
            _told(content.params) if settle else b"", settle, terms.once, self.waited_for and terms.at is None,
            now_ms, due_ms + in_ms(terms.valid or self.platform.validity), due_ms,
            flash=terms.flash, data=content.data, port=content.port,
        )  # fmt: skip


def binary(octets: bytes, port: int) -> Content:
    """Raises ServiceError for what no handset could be given."""
    if not 0 < len(octets) <= BINARY_OCTETS_MAX:
        raise ServiceError(f"binary data has 1 to {BINARY_OCTETS_MAX} octets, not {len(octets)}")
    if not 0 <= port <= PORT_MAX:
        raise ServiceError(f"port {port}: an application port is at most {PORT_MAX}; 0 is none")
    return Content(BINARY, data=octets, port=port)


def aware_ms(at: datetime) -> int:
    if at.tzinfo is None:
        raise ServiceError(f"at={at}: a moment without a time zone; make it from ctx.now")
    return milliseconds(at)


def in_ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)


def _told(params: Mapping[str, object]) -> bytes:
    """Placeholders' values as an Outcome gives them back."""
    plain = {name: value.digits if isinstance(value, Msisdn) else value for name, value in params.items()}
    return msgspec.json.encode(plain, enc_hook=str)
