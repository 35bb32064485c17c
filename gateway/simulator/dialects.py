"""What the USSD gateways of the field make of deliver_sm and submit_sm, as the simulator plays them. Pure.

Written from the sources (SMPP 3.4 §5.3.2.44, the operators' notes) and apart from the gateway's own reading, so that
each can find the other's mistakes.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.pdus.pdu import ITS_SESSION_INFO, USER_MESSAGE_REFERENCE, USSD_SERVICE_OP, DeliverSm, Tlvs
from gateway.simulator.letters import Alphabet, write

What = Literal["dial", "answer", "abort", "noticed"]
Dialect = Literal["spec", "6d", "mica", "tata", "scag", "bercut", "bercut_hex", "nowsms", "msisdn"]

# ussd_service_op, SMPP 3.4 §5.3.2.44; 35 and 129 are vendors' own.
PSSR_INDICATION = 1
USSR_REQUEST = 2
USSN_REQUEST = 3
PSSR_RESPONSE = 17
USSR_CONFIRM = 18
USSN_CONFIRM = 19
SCAG_ABORT = 35
USER_ABORT = 129

INTERNATIONAL, ISDN = 1, 1
_SESSIONS: dict[Dialect, int] = {"spec": 0x100, "6d": 0x8000, "tata": 0x8000, "nowsms": 0x1_0000}
"""How many session numbers there are before they recur; elsewhere as many as two octets hold."""
_ABORTS: dict[Dialect, int] = {"6d": USER_ABORT, "mica": USER_ABORT, "scag": SCAG_ABORT}
"""Elsewhere a confirmation, with the low bit of its_session_info where there is one, else a conversation abort."""
_LOW_BIT: tuple[Dialect, ...] = ("spec", "6d", "tata")
"""Those in which bit 0 of its_session_info is the end of the session."""
CONVERSATION_ABORT = 0x18
"""esm_class, SMPP 3.4 §5.2.12."""


class Turn(msgspec.Struct, frozen=True):
    """What a phone says in a dialogue."""

    what: What
    """`noticed`: the phone has shown what needs no answer."""
    phone: str
    code: str
    """Where it goes: the digits after the first `*` or `#`."""
    text: str
    session: int
    sequence: int = 0


class Shown(msgspec.Struct, frozen=True):
    """What an ESME's submit_sm asks of a phone."""

    op: int
    session: int | None
    """The session number that it carries, None without one."""
    ends: bool
    """Whether the dialogue is over with it."""


def session_of(number: int, dialect: Dialect) -> int:
    """The n-th dialogue's session number."""
    return number % _SESSIONS.get(dialect, 0x1_0000)


def deliver(turn: Turn, dialect: Dialect, alphabet: Alphabet = "gsm") -> DeliverSm:
    """The deliver_sm of a turn."""
    written = write(turn.text, alphabet)
    return DeliverSm(
        service_type=b"USSD",
        source_addr_ton=INTERNATIONAL,
        source_addr_npi=ISDN,
        source_addr=turn.phone.encode(),
        destination_addr=_destination(turn, dialect),
        esm_class=CONVERSATION_ABORT if turn.what == "abort" and dialect not in (*_ABORTS, *_LOW_BIT) else 0,
        data_coding=written.data_coding,
        short_message=written.octets,
        tlvs=((USSD_SERVICE_OP, bytes([_op(turn, dialect)])), *_session_tlvs(turn, dialect)),
    )


def _op(turn: Turn, dialect: Dialect) -> int:
    if turn.what == "dial":
        return PSSR_INDICATION
    if turn.what == "noticed":
        return USSN_CONFIRM
    if turn.what == "abort":
        return {"6d": USER_ABORT, "mica": USER_ABORT, "scag": SCAG_ABORT, "msisdn": USER_ABORT}.get(
            dialect, USSR_CONFIRM
        )
    return USSR_CONFIRM


def _destination(turn: Turn, dialect: Dialect) -> bytes:
    if dialect == "bercut":
        return f"*{turn.code}#{turn.session}".encode()
    if dialect == "bercut_hex":
        return f"*{turn.code}#{turn.session:X}".encode()
    return turn.code.encode()


def _session_tlvs(turn: Turn, dialect: Dialect) -> Tlvs:
    ends = turn.what == "abort"
    match dialect:
        case "spec":
            return ((ITS_SESSION_INFO, bytes([turn.session, (turn.sequence & 0x7F) << 1 | ends])),)
        case "6d" | "tata":
            return ((ITS_SESSION_INFO, (turn.session << 1 | ends).to_bytes(2, "big")),)
        case "nowsms":
            return ((ITS_SESSION_INFO, turn.session.to_bytes(2, "big")),)
        case "mica" | "scag":
            return ((USER_MESSAGE_REFERENCE, turn.session.to_bytes(2, "big")),)
        case _:
            return ()


def read(tlvs: Tlvs, source: bytes, dialect: Dialect) -> Shown | None:
    """What a submission's optional parameters and source address say in this dialect; None if it is no USSD.

    The end is told by the operation, by the low bit of its_session_info, or by both.
    """
    found = dict(reversed(tlvs))
    operation = found.get(USSD_SERVICE_OP)
    if not operation:
        return None
    op = operation[0]
    info = found.get(ITS_SESSION_INFO, b"")
    if dialect in _LOW_BIT and len(info) != 2:
        info = b""
    low_bit = dialect in _LOW_BIT and bool(info and info[-1] & 1)
    by_op = op in (PSSR_RESPONSE, USSN_REQUEST, USSN_CONFIRM, SCAG_ABORT) and dialect != "tata"
    return Shown(op, _session(found, info, source, dialect), by_op or low_bit)


def _session(found: dict[int, bytes], info: bytes, source: bytes, dialect: Dialect) -> int | None:
    match dialect:
        case "spec":
            return info[0] if info else None
        case "6d" | "tata":
            return int.from_bytes(info, "big") >> 1 if info else None
        case "nowsms":
            return int.from_bytes(info, "big") if info else None
        case "mica" | "scag":
            reference = found.get(USER_MESSAGE_REFERENCE)
            return int.from_bytes(reference, "big") if reference else None
        case "bercut" | "bercut_hex":
            suffix = source.rpartition(b"#")[2] if b"#" in source else b""
            try:
                return int(suffix, 16 if dialect == "bercut_hex" else 10)
            except ValueError:
                return None
        case _:
            return None


def names_sessions(dialect: Dialect) -> bool:
    """Whether messages of this dialect carry a session; without, the subscriber's number is all there is."""
    return dialect != "msisdn"
