"""Delivery receipts, as the SMSCs of the field write them. Pure.

SMPP 3.4 Appendix B calls the text of a receipt the SMSC vendor's own, and vendors took it at its word: so keys are
looked for, not positions, and the optional parameters go before the text.
"""

from __future__ import annotations

import re
from enum import Enum

import msgspec

from gateway.dialects.receipt_ids import ReceiptIds
from gateway.pdus.pdu import (
    MESSAGE_STATE,
    NETWORK_ERROR_CODE,
    RECEIPTED_MESSAGE_ID,
    USER_MESSAGE_REFERENCE,
    DataSm,
    DeliverSm,
)
from vas.messages import ReceiptState

ERROR_CHARACTERS_MAX = 20

_MESSAGE_TYPE = 0x3C
_UDHI = 0x40
STATES = (
    ReceiptState.ENROUTE,  # SCHEDULED, SMPP 5.0 §4.7.15
    ReceiptState.ENROUTE,
    ReceiptState.DELIVERED,
    ReceiptState.EXPIRED,
    ReceiptState.DELETED,
    ReceiptState.UNDELIVERABLE,
    ReceiptState.ACCEPTED,
    ReceiptState.UNKNOWN,
    ReceiptState.REJECTED,
    ReceiptState.UNDELIVERABLE,  # SKIPPED, SMPP 5.0
)
"""By message_state, SMPP 3.4 §5.2.28."""
_STATES_BY_WORD = {
    "ENROUTE": ReceiptState.ENROUTE,
    "DELIVRD": ReceiptState.DELIVERED,
    "EXPIRED": ReceiptState.EXPIRED,
    "DELETED": ReceiptState.DELETED,
    "UNDELIV": ReceiptState.UNDELIVERABLE,
    "ACCEPTD": ReceiptState.ACCEPTED,
    "UNKNOWN": ReceiptState.UNKNOWN,
    "REJECTD": ReceiptState.REJECTED,
    # The first seven letters of words that are not shortened as Appendix B does.
    "DELIVER": ReceiptState.DELIVERED,
    "ACCEPTE": ReceiptState.ACCEPTED,
    "REJECTE": ReceiptState.REJECTED,
    "SCHEDUL": ReceiptState.ENROUTE,
    "SKIPPED": ReceiptState.UNDELIVERABLE,
}
_KEY = re.compile(rb"\b(id|stat|err):\s*([^\s:]+)(?=\s|\Z)", re.IGNORECASE)
_BODY = re.compile(rb"\btext:", re.IGNORECASE)
_DATES = re.compile(rb"\b(?:submit|done)[ _]date:\s*\d{10}(?:\d\d)?\b", re.IGNORECASE)


class Kind(Enum):
    """What a deliver_sm or data_sm is, by bits 5-2 of esm_class (SMPP 3.4 §5.2.12)."""

    MESSAGE = 0x00
    RECEIPT = 0x04
    """How a message of ours ended."""
    DELIVERY_ACK = 0x08
    """The handset has taken a message of ours; asked for by a bit of registered_delivery that we never set."""
    USER_ACK = 0x10
    """The subscriber has acknowledged one by hand."""
    CONVERSATION_ABORT = 0x18
    """The other side of a conversation has ended it."""
    INTERMEDIATE = 0x20
    """How delivering a message of ours is getting on; never its end."""


class ReceiptFacts(msgspec.Struct, frozen=True):
    """What a receipt says."""

    smsc_id: str
    """In the account's common form; empty where the receipt names no message."""
    state: ReceiptState
    error: str
    """The SMSC's own code, at most ERROR_CHARACTERS_MAX characters."""
    reference: int | None = None
    """The user_message_reference of the message, where the SMSC gives it back: 16 bits."""


def kind_of(pdu: DeliverSm | DataSm, octets: bytes, by_text: bool = False) -> Kind:
    """What a PDU with these octets of user data is. Text makes it a receipt only where the account allows it.

    A subscriber could write such a text: so it needs, without a user data header, an id at its beginning, a state that
    Appendix B names, and a date, as a receipt has them and people do not.
    """
    message_type = pdu.esm_class & _MESSAGE_TYPE
    if message_type:
        return _KINDS.get(message_type, _MESSAGE)
    if pdu.tlvs and pdu.tlv(RECEIPTED_MESSAGE_ID) is not None:
        return Kind.RECEIPT
    if by_text and not pdu.esm_class & _UDHI and _reads_as_receipt(octets):
        return Kind.RECEIPT
    return _MESSAGE


def read(pdu: DeliverSm | DataSm, octets: bytes, ids: ReceiptIds) -> ReceiptFacts:
    """The receipt in a PDU: its optional parameters first, then its text, the user data in `octets`. Never raises.

    A state not told is UNKNOWN, and an intermediate notification is ENROUTE whatever it says of an end.
    """
    found = _scan(octets)
    receipted = (pdu.tlv(RECEIPTED_MESSAGE_ID) or b"").rstrip(b"\0").decode("latin-1")
    state = _state(pdu.tlv(MESSAGE_STATE), found)
    if pdu.esm_class & _MESSAGE_TYPE == Kind.INTERMEDIATE.value and state.final:
        state = ReceiptState.ENROUTE
    return ReceiptFacts(
        smsc_id=ids.receipted(receipted, found.get("id", "")),
        state=state,
        error=_error(pdu.tlv(NETWORK_ERROR_CODE), found)[:ERROR_CHARACTERS_MAX],
        reference=_reference(pdu.tlv(USER_MESSAGE_REFERENCE)),
    )


_KINDS = {kind.value: kind for kind in Kind}
_MESSAGE = Kind.MESSAGE


def _reads_as_receipt(octets: bytes) -> bool:
    found = _scan(octets)
    stated = found.get("stat", "").upper() in _STATES_BY_WORD
    return stated and octets[:3].lower() == b"id:" and "id" in found and bool(_DATES.search(octets))


def _scan(octets: bytes) -> dict[str, str]:
    """The first value of each key before `text:`, keys in lower case. A text in UCS-2 is read by its low octets."""
    head = _BODY.split(octets.replace(b"\0", b""), maxsplit=1)[0]
    found: dict[str, str] = {}
    for key, value in _KEY.findall(head):
        found.setdefault(key.decode().lower(), value.decode("latin-1"))
    return found


def _state(number: bytes | None, found: dict[str, str]) -> ReceiptState:
    told = _STATES_BY_WORD.get(found.get("stat", "").upper()[:7])
    # SMSCs of 3.4, which has no 0, are seen to send it beside a text that knows better.
    if number and number[-1] < len(STATES) and (number[-1] or told is None):
        return STATES[number[-1]]
    return told or ReceiptState.UNKNOWN


def _error(network: bytes | None, found: dict[str, str]) -> str:
    """The text's own code, else network_error_code: a network type and two octets (§5.3.2.31), or three digits."""
    if "err" in found or not network or len(network) < 3:
        return found.get("err", "")
    return network.decode() if network.isdigit() else str(int.from_bytes(network[1:3], "big"))


def _reference(octets: bytes | None) -> int | None:
    """An octet too few is seen."""
    return int.from_bytes(octets, "big") if octets and len(octets) <= 2 else None
