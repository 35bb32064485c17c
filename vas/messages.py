"""All that crosses between the core and a gateway: frozen values, and the two protocols.

The core hands an `Outbound` to a `Gateway`; a gateway hands `Inbound` and `Receipt` to a `Receiver`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from vas import numbering

Answer = Callable[[int], None]
"""Called exactly once, with the SMPP command_status that answers the deliver_sm: 0 means durable."""

ROK = 0x00
RMSGQFUL = 0x14
RTHROTTLED = 0x58
RX_T_APPN = 0x64
RX_P_APPN = 0x65


class Msisdn(msgspec.Struct, frozen=True, order=True):
    """A subscriber's number, E.164 digits without a sign: at most 15."""

    digits: str

    @classmethod
    def parse(cls, raw: str) -> Msisdn:
        """From any spelling that people type; raises Invalid with the key of the text that says why."""
        return cls(numbering.e164(raw))

    @property
    def domestic(self) -> bool:
        """Whether the number belongs to Vietnam."""
        return self.digits.startswith(numbering.HOME)

    @property
    def mobile(self) -> bool:
        """Whether it is a Vietnamese mobile number."""
        return numbering.is_mobile(self.digits)

    def __str__(self) -> str:
        return numbering.national(self.digits)

    def __repr__(self) -> str:
        return f"Msisdn({mask(self.digits)})"


def mask(number: str) -> str:
    """Digits that are safe in a log: `84912•••678`."""
    return f"{number[:5]}•••{number[-3:]}" if len(number) >= 9 else number


class UssdTurn(msgspec.Struct, frozen=True):
    """What a deliver_sm of a USSD dialogue says besides its text."""

    dialogue: str
    """The dialogue's key as the account's dialect reads it; recurs over time."""
    begin: bool
    """The text is what was dialled, `*105#`; else it is an answer to the last screen."""
    ended: bool = False
    """The subscriber hung up or the network gave up: nothing can be shown any more."""
    token: bytes = b""
    """What the gateway needs to answer into the same dialogue; opaque to the core."""
    shown: bool = False
    """It ended since a screen of ours that needs no answer was shown."""


class Part(msgspec.Struct, frozen=True):
    """One part of a long message: the parts with the same reference and total, between the same two addresses of an
    account, belong together."""

    reference: str
    """The concatenation reference with its kind: an 8-bit 5, a 16-bit 5 and a sar 5 are three references."""
    total: int
    """2 to 255."""
    number: int
    """From 1 to `total`."""
    octets: bytes
    """Its user data without headers. Text may be cut anywhere, even inside a character."""
    coding: str
    """How to read the octets, in the gateway's words."""


class Inbound(msgspec.Struct, frozen=True):
    """One command from a subscriber."""

    account: str
    session: int
    """The bind's session: unique for ever, made by the Receiver."""
    ordinal: int
    """The place among all that came in this session, from 1."""
    received_at: datetime
    sender: str
    """The source address as sent; digits of an MSISDN, a short code, or letters."""
    to: str
    """The short code; for USSD what the SMSC put into the destination."""
    text: str
    identity: bytes
    """The octets that are the same in a copy: addresses, body, UDH, USSD fields."""
    ussd: UssdTurn | None = None
    message_id: str = ""
    """The SMSC's own id, where the account's SMSC gives one in a TLV; else empty."""
    part: Part | None = None
    """Its place in a long message; `text` is then that of the part alone."""


class ReceiptState(StrEnum):
    """The states of SMPP 3.4 §5.2.28 that end a message's way, and ENROUTE."""

    ENROUTE = "enroute"
    DELIVERED = "delivered"
    EXPIRED = "expired"
    DELETED = "deleted"
    UNDELIVERABLE = "undeliverable"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    REJECTED = "rejected"

    @property
    def final(self) -> bool:
        return self is not ReceiptState.ENROUTE and self is not ReceiptState.ACCEPTED


class Receipt(msgspec.Struct, frozen=True):
    """A delivery receipt as it came, before it is matched."""

    account: str
    session: int
    ordinal: int
    received_at: datetime
    smsc_id: str
    """As the account's dialect normalises it, the same form as in Sent.smsc_ids."""
    msisdn: str
    """The number that the message was sent to: the receipt's source address, digits as sent."""
    state: ReceiptState
    error: str = ""
    """The SMSC's own error code, as text."""
    reference: int | None = None
    """The user_message_reference of the submit_sm, the low 16 bits of Outbound.id, where the SMSC gives it back."""


class Outbound(msgspec.Struct, frozen=True):
    """One message to a subscriber; the gateway cuts it into segments."""

    id: int
    to: Msisdn
    source: str
    """The short code that it comes from."""
    text: str
    account: str
    """The account that it should leave by; empty: the gateway's choice."""
    receipt: bool
    """Whether a delivery receipt is wanted."""
    expires_at: datetime | None = None
    reply: bool = True
    """Whether somebody waits for it: replies overtake the rest."""
    session: int = 0
    """A USSD screen leaves by the session its turn came in on, or not at all; 0 for SMS."""
    token: bytes = b""
    """UssdTurn.token of the turn that a USSD screen answers; empty for SMS."""
    more: bool = False
    """USSD: an answer is awaited, the dialogue stays open."""
    push: bool = False
    """USSD that the network begins: `session` and `token` are empty, any account that carries USSD will do."""
    flash: bool = False
    """SMS of class 0: shown at once and not kept."""
    data: bytes = b""
    """Binary user data in the place of `text`, cut into segments like it."""
    port: int = 0
    """The application port that the handset gives the message to (3GPP TS 23.040 §9.2.3.24.4); 0: none."""


class SendOutcome(StrEnum):
    """What submitting came to."""

    SENT = "sent"
    TEMPORARY = "temporary"
    """Refused for now: may be tried again later, as a counted attempt."""
    PERMANENT = "permanent"
    """Refused for good."""
    UNANSWERED = "unanswered"
    """Sent, but the link broke or the response timer ran out: it may or may not have arrived."""
    NOT_SENT = "not_sent"
    """Never left: no link (any more), expired while it waited, or the USSD session is gone."""


class SendResult(msgspec.Struct, frozen=True):
    """How submitting one Outbound, all its segments, ended."""

    outcome: SendOutcome
    at: datetime
    account: str = ""
    segments: int = 1
    """0: nothing of it could leave."""
    smsc_ids: tuple[str, ...] = ()
    """One for each segment that was accepted, in the receipts' form."""
    status: int = 0
    """The command_status that decided, 0 where none came."""
    spelled: tuple[str, ...] = ()
    """The same as the SMSC spelled them in its submit_sm_resp; empty where it spells its receipts so too."""


class Gateway(Protocol):
    """What the core needs of a gateway; the SMPP gateway and the test network are two."""

    def send(self, message: Outbound, done: Callable[[SendResult], None]) -> None:
        """Take a message, in order, without waiting; `done` is called exactly once, in the event loop."""

    @property
    def backlog(self) -> int:
        """Messages taken and not yet done."""

    def carries(self, message: Outbound) -> bool:
        """Whether an account that may carry it could submit it now: where nodes share a database, else another may."""

    async def ask_alive(self, session: int) -> bool:
        """Make the peer of a session answer something; False if it has none (any more) or stays silent."""

    def text_of(self, account: str, parts: Sequence[Part]) -> str:
        """What the parts of a long message, all of them and in order, say together."""


class Receiver(Protocol):
    """What a gateway needs of the core. Called in the event loop; none of these waits."""

    def session_opened(self, account: str) -> int:
        """A bind came up; the session's number."""

    def session_closed(self, session: int) -> None:
        """The bind is gone; what it has not answered by now it never will."""

    def session_confirmed(self, session: int, ordinal: int) -> None:
        """The peer has answered something that we sent after all answers up to `ordinal`."""

    def answered_late(self, session: int, ordinal: int) -> None:
        """Our answer left after the SMSC's response timer, so the SMSC may have given up on it."""

    def receive(self, inbound: Inbound, answer: Answer) -> None:
        """Take a command; `answer` follows after the commit, or says later or throttled."""

    def receive_receipt(self, receipt: Receipt, answer: Answer) -> None:
        """Take a delivery receipt; `answer` follows after the commit."""
