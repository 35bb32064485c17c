"""Delivery receipts, as the SMSCs of the field write them. Pure.

SMPP 3.4 Appendix B calls the text of a receipt the SMSC vendor's own, and vendors took it at its word: so keys are
looked for, not positions, and the optional parameters go before the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import msgspec

from gateway.pdu import MESSAGE_STATE, NETWORK_ERROR_CODE, RECEIPTED_MESSAGE_ID, DataSm, DeliverSm
from vas.messages import ReceiptState

ReceiptId = Literal["same", "hex_to_dec", "dec_to_hex", "strip0", "auto"]
"""How the id in a submit_sm_resp becomes the one in the receipt's text."""

_MESSAGE_TYPE = 0x3C
_DELIVERY_RECEIPT = 0x04
_INTERMEDIATE_NOTIFICATION = 0x20

_STATES_BY_NUMBER = dict(
    enumerate(
        (
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
    )
)
_STATES_BY_WORD = {
    "ENROUTE": ReceiptState.ENROUTE,
    "DELIVRD": ReceiptState.DELIVERED,
    "EXPIRED": ReceiptState.EXPIRED,
    "DELETED": ReceiptState.DELETED,
    "UNDELIV": ReceiptState.UNDELIVERABLE,
    "ACCEPTD": ReceiptState.ACCEPTED,
    "UNKNOWN": ReceiptState.UNKNOWN,
    "REJECTD": ReceiptState.REJECTED,
}
_KEY = re.compile(rb"\b(id|stat|err):\s*([^\s:]+)(?=\s|\Z)", re.IGNORECASE)
_BODY = re.compile(rb"\btext:", re.IGNORECASE)


class ReceiptFacts(msgspec.Struct, frozen=True):
    """What a receipt says."""

    smsc_id: str
    """In the account's common form; empty where the receipt names no message."""
    state: ReceiptState
    error: str


def is_receipt(pdu: DeliverSm | DataSm) -> bool:
    """Whether a PDU reports on a message of ours. Text alone does not: a subscriber could write it."""
    message_type = pdu.esm_class & _MESSAGE_TYPE
    if message_type in (_DELIVERY_RECEIPT, _INTERMEDIATE_NOTIFICATION):
        return True
    return bool(pdu.tlvs) and pdu.tlv(RECEIPTED_MESSAGE_ID) is not None


def read(pdu: DeliverSm | DataSm, body: bytes, dialect: ReceiptId) -> ReceiptFacts:
    """The receipt in a PDU: its optional parameters first, then its text `body`. A state not told is UNKNOWN."""
    found = _scan(body)
    receipted = pdu.tlv(RECEIPTED_MESSAGE_ID)
    if receipted:
        smsc_id = submitted_id(receipted.rstrip(b"\0"), dialect)
    else:
        smsc_id = _receipted_id(found.get("id", ""), dialect)
    return ReceiptFacts(smsc_id, _state(pdu.tlv(MESSAGE_STATE), found), _error(pdu.tlv(NETWORK_ERROR_CODE), found))


def submitted_id(message_id: bytes, dialect: ReceiptId) -> str:
    """The id of a submit_sm_resp, or of receipted_message_id, in the account's common form."""
    return _SUBMITTED[dialect](message_id.decode("latin-1"))


def _receipted_id(message_id: str, dialect: ReceiptId) -> str:
    return _RECEIPTED[dialect](message_id)


def _scan(body: bytes) -> dict[str, str]:
    """The first value of each key before `text:`, keys in lower case."""
    head = _BODY.split(body, maxsplit=1)[0]
    found: dict[str, str] = {}
    for key, value in _KEY.findall(head):
        found.setdefault(key.decode().lower(), value.decode("latin-1"))
    return found


def _state(number: bytes | None, found: dict[str, str]) -> ReceiptState:
    if number:
        return _STATES_BY_NUMBER.get(number[-1], ReceiptState.UNKNOWN)
    return _STATES_BY_WORD.get(found.get("stat", "").upper()[:7], ReceiptState.UNKNOWN)


def _error(network: bytes | None, found: dict[str, str]) -> str:
    """The text's own code, else the number in network_error_code: a network type, and two octets."""
    if "err" in found or not network:
        return found.get("err", "")
    return str(int.from_bytes(network[1:3], "big"))


def _same(message_id: str) -> str:
    return message_id


def _strip0(message_id: str) -> str:
    return message_id.lstrip("0") or message_id[-1:]


def _hex_to_dec(message_id: str) -> str:
    try:
        return str(int(message_id, 16))
    except ValueError:
        return message_id


def _dec_to_hex(message_id: str) -> str:
    return f"{int(message_id):x}" if message_id.isascii() and message_id.isdigit() else message_id


def _hex(message_id: str) -> str:
    return _strip0(message_id.lower())


_SUBMITTED: dict[ReceiptId, Callable[[str], str]] = {
    "same": _same,
    "hex_to_dec": _hex_to_dec,
    "dec_to_hex": _dec_to_hex,
    "strip0": _strip0,
    "auto": _same,
}
_RECEIPTED: dict[ReceiptId, Callable[[str], str]] = {
    "same": _same,
    "hex_to_dec": _strip0,
    "dec_to_hex": _hex,
    "strip0": _strip0,
    "auto": _same,
}
