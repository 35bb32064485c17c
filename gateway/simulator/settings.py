"""What a simulated SMSC is like."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import msgspec

IdForm = Literal["decimal", "hex", "padded"]
"""How a message id is spelt: `1234`, `4d2`, or `00000000000000001234`."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One SMSC: where it listens, who may bind, and how it behaves."""

    host: str = "127.0.0.1"
    port: int = 2775
    """SMPP; 0 takes any free port, Simulator.port tells which."""
    http_host: str = "127.0.0.1"
    http_port: int | None = None
    """The phones' HTTP; 0 takes any free port, None opens none."""
    accounts: dict[str, str] = {}
    """Passwords by system_id."""
    system_id: str = "SIMULATOR"
    """What a bind's answer says."""
    connections: int = 64
    """More than these are closed at once."""
    bind_within: timedelta = timedelta(seconds=10)
    """A connection that has not bound by then is closed."""
    enquire_every: timedelta = timedelta(seconds=30)
    """Silence that makes the SMSC ask; after twice as much the link is closed."""
    response_timer: timedelta = timedelta(seconds=10)
    """A deliver_sm unanswered for so long is delivered again."""
    window: int = 10
    """deliver_sm that may be unanswered on one bind."""
    retry_delays: tuple[timedelta, ...] = (timedelta(seconds=1), timedelta(seconds=5), timedelta(seconds=30))
    """Before the second, third, … delivery of a message; the last one repeats."""
    receipts: bool = True
    receipt_delay: timedelta = timedelta(milliseconds=500)
    message_ids: IdForm = "decimal"
    """In submit_sm_resp, and in the TLV receipted_message_id."""
    receipt_ids: IdForm = "decimal"
    """In the text of receipts."""
    message_id_tlv: int | None = None
    """The tag that carries the SMSC's own id in each deliver_sm but receipts: digits and a NUL; None sends none."""
    ussd_timer: timedelta = timedelta(seconds=30)
    """A dialogue whose turn is not answered for so long is ended by the network."""
    validity: timedelta = timedelta(days=2)
    """How long a message without validity_period waits for a phone that is switched off."""
    phones: int = 1_000_000
    """At most; past them a submit_sm to a new number is answered RSYSERR."""
    owed: int = 1_000_000
    """Messages that may wait for the ESME at one time; past them a phone cannot send."""
    records: int = 100_000
    """How many of the latest messages of each direction, and of each phone's inbox, are remembered."""

    def __repr__(self) -> str:
        return f"Settings({self.host}:{self.port}, accounts={sorted(self.accounts)})"
