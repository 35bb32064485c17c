"""What is agreed with the operator about one SMSC account."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import msgspec

from gateway.receipts import ReceiptId
from gateway.ussd import DialectName
from vas.messages import RTHROTTLED, RX_T_APPN


class AccountSettings(msgspec.Struct, frozen=True):
    """One SMSC account. Strings go to the wire as Latin-1 and are no longer than SMPP 3.4 §4.1 allows."""

    name: str
    host: str
    port: int
    system_id: str
    password: str = ""
    system_type: str = ""
    bind: Literal["transceiver", "transmitter+receiver"] = "transceiver"
    binds: int = 1
    """Connections, or pairs of them."""
    window: int = 50
    """Submissions that may be unanswered at a time, a connection."""
    rate: float = 0
    """PDUs a second over all connections; 0 is no limit."""
    address_range: str = ""
    source_ton: int = 0
    source_npi: int = 0
    dest_ton: int = 1
    dest_npi: int = 1
    service_type: str = ""
    registered_delivery: Literal["asked", "all", "none"] = "asked"
    validity: timedelta | None = None
    """How long the SMSC keeps trying; None: as long as it likes."""
    enquire_every: timedelta = timedelta(seconds=30)
    """Silence, in either direction, after which an enquire_link goes out."""
    response_timer: timedelta = timedelta(seconds=10)
    """How long we wait for a response."""
    smsc_response_timer: timedelta = timedelta(seconds=10)
    """How long the SMSC waits for ours before it delivers again."""
    later_status: int = RX_T_APPN
    full_status: int = RTHROTTLED
    message_id_tlv: int | None = None
    """Tag of the parameter in which a deliver_sm carries the SMSC's own id."""
    receipt_id: ReceiptId = "same"
    ussd_dialect: DialectName = "spec"
    waiting_max: int = 10_000
    """Submissions that wait for a window or for the pace; beyond it none is taken."""
    patience: timedelta = timedelta(seconds=30)
    """How long submissions wait while no connection is up."""
    reconnect_first: timedelta = timedelta(seconds=1)
    """The longest pause before a first reconnect; it doubles with every failure, up to `reconnect_max`."""
    reconnect_max: timedelta = timedelta(seconds=60)
    refused_every: timedelta = timedelta(minutes=5)
    """Pause after a wrong system_id or password: accounts are locked after a few tries."""

    def __repr__(self) -> str:
        return f"AccountSettings({self.name!r}, {self.system_id!r} at {self.host}:{self.port})"
