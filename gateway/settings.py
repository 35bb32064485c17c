"""What is agreed with the operator about one SMSC account."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec

from gateway.dialects.receipt_ids import ReceiptId
from gateway.sms.style import Alphabet, LongMessages, Nation, Style
from vas.messages import RTHROTTLED, RX_T_APPN

StatusKind = Literal["throttle", "transient", "session", "permanent"]


class AccountSettings(msgspec.Struct, frozen=True, dict=True):
    """One SMSC account. Strings go to the wire as Latin-1 and are no longer than SMPP 3.4 §4.1 allows."""

    name: str
    host: str
    port: int
    system_id: str
    password: str = ""
    system_type: str = ""
    bind: Literal["transceiver", "transmitter+receiver"] = "transceiver"
    binds: int = 1
    """Connections, or pairs of them; 0: none here, but at other nodes."""
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
    receipt_by_text: bool = False
    """Whether a text that reads as a receipt is one, whatever esm_class says."""
    receipt_reference: bool = False
    """Whether submissions carry a user_message_reference, by which a receipt without an id is matched."""
    ussd_dialect: str = "spec"
    alphabet: Alphabet = "gsm"
    national: tuple[Nation, ...] = ()
    """National shift tables that may be used where they are cheaper than UCS-2."""
    long_messages: LongMessages = "udh"
    statuses: Mapping[int, StatusKind] = {}
    """What to do about a command_status, where this SMSC means something of its own by it."""
    interface_version: Literal["3.3", "3.4", "5.0"] = "3.4"
    tls: bool = False
    tls_ca: Path | None = None
    """PEM file of who signs the SMSC's certificate; None: the system's authorities."""
    tls_certificate: Path | None = None
    """PEM file of our own certificate, where the SMSC asks for one."""
    tls_key: Path | None = None
    tls_server_name: str = ""
    """The name in the SMSC's certificate; empty: `host`."""
    outbind: tuple[str, int] | None = None
    """Host and port at which we wait for the SMSC to connect and send outbind; by `host`, if set, we still submit."""
    outbind_system_id: str = ""
    outbind_password: str = ""
    """What the SMSC proves itself with in outbind; not in repr."""
    waiting_max: int = 10_000
    """Submissions that wait for a window or for the pace; beyond it none is taken."""
    patience: timedelta = timedelta(seconds=30)
    """How long submissions wait while no connection is up."""
    reconnect_first: timedelta = timedelta(seconds=1)
    """The longest pause before a first reconnect; it doubles with every failure, up to `reconnect_max`."""
    reconnect_max: timedelta = timedelta(seconds=60)
    refused_every: timedelta = timedelta(minutes=5)
    """Pause after a wrong system_id or password: accounts are locked after a few tries."""

    @cached_property
    def style(self) -> Style:
        return Style(self.alphabet, self.national, self.long_messages)

    def asks_for_receipt(self, wanted: bool) -> bool:
        """Whether a message asks for a receipt, given whether who sends it wants one."""
        return self.registered_delivery == "all" or (wanted and self.registered_delivery == "asked")

    def __repr__(self) -> str:
        return f"AccountSettings({self.name!r}, {self.system_id!r} at {self.host}:{self.port})"
