"""How the SMSC may have spelled an id that we keep in the form of its receipts. Pure.

query_sm, cancel_sm and replace_sm want the id of the submit_sm_resp, octet for octet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from gateway.receipt_ids import ReceiptId

_NOT_FOUND = frozenset({0x0C, 0x11, 0x13, 0x67})
"""RINVMSGID, RCANCELFAIL, RREPLACEFAIL, RQUERYFAIL: what an SMSC says to an id that it does not know."""
_WIDTHS = (8, 10)
"""To which SMSCs pad ids with zeros."""


class Answered(Protocol):
    @property
    def status(self) -> int: ...


A = TypeVar("A", bound=Answered)


def spellings(smsc_id: str, dialect: ReceiptId) -> list[str]:
    """What a submit_sm_resp may have called it, the likeliest first."""
    match dialect:
        case "same":
            return [smsc_id]
        case "hex_to_dec" if smsc_id.isascii() and smsc_id.isdigit():
            plain = [f"{int(smsc_id):X}", f"{int(smsc_id):x}"]
        case "dec_to_hex" if _is_hexadecimal(smsc_id):
            plain = [str(int(smsc_id, 16))]
        case _:
            plain = [smsc_id, smsc_id.upper()]
    padded = [spelled.zfill(width) for width in _WIDTHS for spelled in plain]
    return list(dict.fromkeys((*plain, *padded)))


async def asked(smsc_id: str, dialect: ReceiptId, ask: Callable[[str], Awaitable[A]]) -> A:
    """The answer to the first spelling that the SMSC knows, else to the likeliest."""
    first: A | None = None
    for spelled in spellings(smsc_id, dialect):
        answer = await ask(spelled)
        if answer.status not in _NOT_FOUND:
            return answer
        first = first or answer
    assert first is not None
    return first


def _is_hexadecimal(spelled: str) -> bool:
    try:
        int(spelled, 16)
    except ValueError:
        return False
    return spelled.isalnum()
