"""What a simulated SMSC is like."""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from gateway.simulator.dialects import Dialect
from gateway.simulator.faults import Fault
from gateway.simulator.letters import Alphabet
from gateway.simulator.numbers import international

IdForm = Literal["decimal", "hex", "padded", "padded8", "padded10", "hyphens"]
"""How a message id is spelt: `1234`, `4d2`, `00000000000000001234`, `00001234`, `0000001234`, or `1-234`."""
LongMessages = Literal["udh", "udh16", "sar", "payload"]
"""How a phone's long text is sent on: UDH with an 8-bit or 16-bit reference, sar_* TLVs, whole in message_payload."""
State = Literal["reachable", "switched_off", "out_of_service", "full"]
Password = Annotated[str, msgspec.Meta(max_length=8)]


class ReceiptForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an SMSC writes its delivery receipts; by itself as SMPP 3.4 Appendix B does."""

    ids: IdForm | None = None
    """In the text; None: as Settings.receipt_ids says."""
    id_in: Literal["both", "tlv", "text", "none"] = "both"
    esm_class: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0x04
    date_digits: Literal[10, 12] = 10
    counts: bool = True
    """Whether `sub:001 dlvrd:001` is there."""
    tlvs: bool = True
    """Whether message_state and network_error_code are there."""
    data_sm: bool = False
    """Whether it is a data_sm, with its text in message_payload."""


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One who may bind, and how the SMSC speaks to it; None takes what Settings says."""

    password: Password
    codes: tuple[str, ...] = ()
    """The short codes and USSD codes (digits only) that go to it; with none, whatever no other account claims."""
    ussd: Dialect = "spec"
    long_messages: LongMessages = "udh"
    alphabet: Alphabet = "gsm"
    """What data_coding 0 means."""
    receipt: ReceiptForm = ReceiptForm()
    message_ids: IdForm | None = None
    message_id_tlv: int | None = None
    window: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    binds: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    """At most; the next is answered RALYBND."""

    def __repr__(self) -> str:
        return f"Account(ussd={self.ussd!r}, long_messages={self.long_messages!r})"


class Subscriber(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A phone that is there from the start."""

    number: str
    """In any spelling."""
    balance: Annotated[int, msgspec.Meta(ge=0)] = 0
    """In đồng."""
    language: Annotated[str, msgspec.Meta(pattern="^[a-z]{2}$")] = "vi"
    state: State = "reachable"

    def __post_init__(self) -> None:
        international(self.number)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One SMSC: where it listens, who may bind, and how it behaves."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 2775
    """SMPP; 0 takes any free port, Simulator.port tells which."""
    http_host: str = "127.0.0.1"
    http_port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] | None = None
    """The phones' HTTP; 0 takes any free port, None opens none."""
    accounts: Mapping[str, str | Account] = {}
    """By system_id; a string stands for an account with that password."""
    system_id: Annotated[str, msgspec.Meta(max_length=15)] = "SIMULATOR"
    """What a bind's answer and an outbind say."""
    outbind_password: Password = ""
    """What the SMSC proves itself with when it calls an ESME."""
    interface_version: Literal["3.3", "3.4", "5.0"] = "5.0"
    """The newest that the SMSC speaks; an ESME that says less is spoken to accordingly, 3.3 without TLVs."""
    tls_certificate: Path | None = None
    """PEM; with it the SMPP port speaks TLS, 1.2 or later."""
    tls_key: Path | None = None
    """None: in the certificate's file."""
    tls_client_ca: Path | None = None
    """With it a client has to show a certificate that this authority signed."""
    record: Path | None = None
    """A file NAME.jsonl or NAME.pcap for every frame that passes."""
    record_mib: Annotated[int, msgspec.Meta(ge=1)] = 256
    """What it may grow to: past half of it, it becomes NAME.1.SUFFIX and a new one begins."""
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
    answer_timer: timedelta = timedelta(minutes=2)
    """A screen that its subscriber does not answer for so long ends the dialogue."""
    validity: timedelta = timedelta(days=2)
    """How long a message without validity_period waits for a phone that is switched off or full."""
    subscribers: tuple[Subscriber, ...] = ()
    seed: int = 0
    """Of every choice that is left to chance: faults with a probability, delays in a range, shuffled parts."""
    faults: tuple[Fault, ...] = ()
    """Those that are there from the start."""
    magic: bool = True
    """Whether numbers that end in 9000xx carry faults of their own: gateway.simulator.magic."""
    phones: int = 1_000_000
    """At most; past them a submit_sm to a new number is answered RSYSERR."""
    owed: int = 1_000_000
    """Messages that may wait for the ESME at one time; past them a phone cannot send."""
    records: int = 100_000
    """How many of the latest messages of each direction, and of each phone's inbox, are remembered."""

    def account(self, system_id: str) -> Account:
        """KeyError for one who may not bind."""
        account = self.accounts[system_id]
        return Account(password=account) if isinstance(account, str) else account

    def serving(self, code: str, receiving: Container[str]) -> tuple[str, Account]:
        """Whose a short code is: the account that claims it, else the first that claims none, if possible one that is
        `receiving`. One account has all parts of a message and all turns of a dialogue, as with a real SMSC."""
        claiming = [name for name in self.accounts if code in self.account(name).codes]
        free = [name for name in self.accounts if not self.account(name).codes]
        some = claiming or [name for name in free if name in receiving] or free
        return (some[0], self.account(some[0])) if some else ("", Account(password=""))

    def __repr__(self) -> str:
        return f"Settings({self.host}:{self.port}, accounts={sorted(self.accounts)})"
