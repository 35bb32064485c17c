"""Dialects of USSD over SMPP, as data. Pure.

Source of the `spec` dialect: SMPP 3.4 §5.3.2.44 ussd_service_op, and its_session_info as §5.3.2.43 defines it.
"""

from __future__ import annotations

import msgspec

from gateway.pdu import ITS_SESSION_INFO, USSD_SERVICE_OP, DataSm, DeliverSm, Tlvs
from vas.messages import UssdTurn

PSSD_INDICATION = 0
PSSR_INDICATION = 1
USSR_REQUEST = 2
PSSR_RESPONSE = 17
USSR_CONFIRM = 18
USSN_CONFIRM = 19

_END = 0x01
"""In octet 2 of its_session_info; the seven bits above it are a sequence number."""


class Dialect(msgspec.Struct, frozen=True):
    """How one kind of USSD gateway says what happens in a dialogue."""

    begins: frozenset[int]
    """The ussd_service_op of a deliver_sm that opens a dialogue."""
    ends: frozenset[int]
    """Those of a deliver_sm to which nothing can be shown."""
    ask: int
    """The ussd_service_op of a screen that waits for an answer."""
    close: int
    """That of a last screen."""


DIALECTS: dict[str, Dialect] = {
    "spec": Dialect(
        begins=frozenset({PSSD_INDICATION, PSSR_INDICATION}),
        ends=frozenset({USSN_CONFIRM}),
        ask=USSR_REQUEST,
        close=PSSR_RESPONSE,
    ),
}


def read(pdu: DeliverSm | DataSm, dialect: Dialect) -> UssdTurn | None:
    """The turn of a dialogue that a PDU is; None if it is no USSD."""
    operation = pdu.tlv(USSD_SERVICE_OP)
    if not operation:
        return None
    session = (pdu.tlv(ITS_SESSION_INFO) or b"")[:2]
    ended = len(session) == 2 and bool(session[1] & _END)
    return UssdTurn(
        dialogue=f"{pdu.source_addr.decode('latin-1')}/{session[:1].hex()}",
        begin=operation[0] in dialect.begins,
        ended=ended or operation[0] in dialect.ends,
        token=session,
    )


def write(token: bytes, more: bool, dialect: Dialect) -> Tlvs:
    """The optional parameters of the submit_sm that answers a turn, from the turn's token."""
    operation = (USSD_SERVICE_OP, bytes((dialect.ask if more else dialect.close,)))
    if len(token) != 2:
        return (operation,)
    flags = token[1] & ~_END & 0xFF | (0 if more else _END)
    return operation, (ITS_SESSION_INFO, bytes((token[0], flags)))
