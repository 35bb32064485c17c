"""A USSD dialogue over SMPP: what a deliver_sm says, and what goes around the screen that answers it. Pure.

Nothing here knows a vendor: what differs between them stands in `gateway.dialects.ussd_dialects`.
"""

from __future__ import annotations

import re

import msgspec

from gateway.dialects.ussd_dialects import USSN_CONFIRM, Dialect
from gateway.pdus.pdu import ITS_SESSION_INFO, USER_MESSAGE_REFERENCE, USSD_SERVICE_OP, DataSm, DeliverSm, Tlvs
from gateway.sms import text
from gateway.sms.packing import pack, unpack
from gateway.sms.text import Encoded
from vas.alphabet import gsm_decode, ucs2_encode
from vas.messages import UssdTurn

TOKEN_OCTETS_MAX = 255
SESSION_OCTETS_MAX = 64

_TAGS = {
    "its_15_1": ITS_SESSION_INFO,
    "its_spec": ITS_SESSION_INFO,
    "its_opaque": ITS_SESSION_INFO,
    "user_message_reference": USER_MESSAGE_REFERENCE,
}
_END = 0x01
"""In the second octet of its_session_info."""
_NOTICE_SHOWN = bytes((USSN_CONFIRM,))
_MESSAGE_TYPE = 0x3C
_CONVERSATION_ABORT = 0x18
_AROUND_A_CODE = " \0@"
"""In GSM 03.38 a stray NUL reads as @."""
_SUFFIXES = {"decimal": re.compile("[0-9]+").fullmatch, "hex": re.compile("[0-9A-Fa-f]+").fullmatch}
_like_a_code = re.compile(r"[*#][0-9*#]*#").fullmatch


class Heard(msgspec.Struct, frozen=True):
    """What a deliver_sm of a USSD dialogue says."""

    turn: UssdTurn
    sender: str
    """The MSISDN, without what the dialect appends to it."""
    to: str
    """The destination address, without what the dialect appends to it."""
    text: str
    """What was dialled, `*105#`, or what was answered."""
    identity: bytes
    """The octets of its USSD parameters that are the same in a copy."""


class Envelope(msgspec.Struct, frozen=True):
    """What a submit_sm carries besides the text of a screen."""

    tlvs: Tlvs
    service_type: bytes
    source_addr: bytes = b""
    """Where it must be another than the message's own; else empty."""
    destination_addr: bytes = b""
    """As source_addr."""


class _Token(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a turn, to answer it."""

    session: bytes = b""
    source_addr: bytes = b""
    destination_addr: bytes = b""
    echoed: tuple[tuple[int, bytes], ...] = ()


_write_token = msgspec.msgpack.Encoder().encode
_read_token = msgspec.msgpack.Decoder(_Token).decode


def read(pdu: DeliverSm | DataSm, octets: bytes, dialect: Dialect) -> Heard | None:
    """The turn of a dialogue that a PDU with these octets of user data is; None if it is no USSD. Never raises."""
    operation = pdu.tlv(USSD_SERVICE_OP) if pdu.tlvs else None
    if not operation and (not dialect.service_type_in or pdu.service_type != dialect.service_type_in):
        return None
    sender, to, suffix = _addresses(pdu, dialect)
    session = suffix or _session(pdu, dialect)
    written = _decode(octets, pdu.data_coding, dialect)
    ended = _ended(pdu, operation, session, dialect)
    begin = not ended and _begins(operation, written, to, dialect)
    shown = ended and operation == _NOTICE_SHOWN
    token = _token(pdu, session, bool(suffix), dialect)
    return Heard(
        turn=UssdTurn(f"{sender}/{_key(session, dialect)}", begin, ended, token, shown),
        sender=sender,
        to=to,
        text=_dialled(written, to, dialect) if begin else written,
        identity=(operation or b"") + (pdu.tlv(ITS_SESSION_INFO) or b"") + session,
    )


def write(token: bytes, more: bool, dialect: Dialect) -> Envelope:
    """What goes around the screen that answers the turn with this token; one that cannot be read counts as empty."""
    try:
        known = _read_token(token)
    except msgspec.DecodeError:
        known = _Token()
    session = _marked(known.session, more, dialect)
    tlvs: Tlvs = ((USSD_SERVICE_OP, bytes((dialect.ask if more else dialect.close,))),)
    tag = _tag(dialect)
    if session and tag:
        tlvs += ((tag, session),)
    return Envelope(
        tlvs=(*tlvs, *known.echoed, *dialect.add.items()),
        service_type=dialect.service_type,
        source_addr=known.source_addr,
        destination_addr=known.destination_addr,
    )


def push(number: int, expects_answer: bool, dialect: Dialect) -> Envelope:
    """What goes around a screen with which we begin a dialogue: a question, or a notice that ends it at once.

    `number` is any number of ours; what the session has room for of it becomes the session, which is never 0.
    """
    tlvs: Tlvs = ((USSD_SERVICE_OP, bytes((dialect.push if expects_answer else dialect.notice,))),)
    tag = _tag(dialect)
    if dialect.numbers_pushes and tag:
        tlvs += ((tag, _marked(_numbered(number, dialect), expects_answer, dialect)),)
    return Envelope((*tlvs, *dialect.add.items()), dialect.service_type)


def encode(written: str, dialect: Dialect) -> Encoded:
    """A screen in the dialect's alphabet of seven bits where it has every character, else in UCS-2."""
    plain = text.encode_plain(written, dialect.alphabet)
    if plain is None:
        return Encoded(dialect.ucs2_octet, ucs2_encode(written))
    return Encoded(dialect.gsm_octet, pack(plain) if dialect.alphabet == "gsm_packed" else plain)


def _addresses(pdu: DeliverSm | DataSm, dialect: Dialect) -> tuple[str, str, bytes]:
    """Source and destination without the session that is appended to one of them, and that session's digits."""
    sender, to = pdu.source_addr.decode("latin-1"), pdu.destination_addr.decode("latin-1")
    if dialect.session != "address_suffix":
        return sender, to, b""
    if dialect.suffix_of == "code":
        to, suffix = _cut(to, dialect)
    else:
        sender, suffix = _cut(sender, dialect)
    return sender, to, suffix.encode()


def _cut(address: str, dialect: Dialect) -> tuple[str, str]:
    """An address and the number appended to it, which is empty where there is none."""
    digits = dialect.suffix_digits
    start = max(len(address) - digits, 0) if digits else address.rfind("#") + 1
    suffix = address[start:]
    if not start or not _SUFFIXES[dialect.suffix_form](suffix):
        return address, ""
    # The # closes a code; after an MSISDN it only parts it from the number.
    return address[:start].removesuffix("#" if dialect.suffix_of == "msisdn" else ""), suffix


def _tag(dialect: Dialect) -> int:
    """The parameter that holds the session; 0 for none."""
    return dialect.session_tag if dialect.session == "tlv" else _TAGS.get(dialect.session, 0)


def _session(pdu: DeliverSm | DataSm, dialect: Dialect) -> bytes:
    """The octets of the session; empty where there is none, or none that the dialect knows."""
    tag = _tag(dialect)
    octets = (pdu.tlv(tag) or b"") if tag else b""
    if dialect.session in ("its_15_1", "its_spec"):
        return octets[:2] if len(octets) >= 2 else b""
    return octets if len(octets) <= SESSION_OCTETS_MAX else b""


def _key(session: bytes, dialect: Dialect) -> str:
    """What is the same in every turn of a dialogue."""
    match dialect.session:
        case "its_spec":
            return session[:1].hex()
        case "its_15_1":
            return f"{int.from_bytes(session, 'big') & 0xFFFE:04x}" if session else ""
        case "address_suffix":
            return session.decode().lower().lstrip("0")
    return session.hex()


def _begins(operation: bytes | None, written: str, to: str, dialect: Dialect) -> bool:
    """Whether a turn opens a dialogue: by its operation, or without one by its looks."""
    if operation:
        return operation[0] in dialect.begins
    in_address = not written and dialect.dialled_in != "short_message"
    return bool(_like_a_code(to if in_address else written.strip(_AROUND_A_CODE)))


def _ended(pdu: DeliverSm | DataSm, operation: bytes | None, session: bytes, dialect: Dialect) -> bool:
    if _has_end_bit(session, dialect) and session[1] & _END:
        return True
    if operation and operation[0] in dialect.ends:
        return True
    return pdu.esm_class & _MESSAGE_TYPE == _CONVERSATION_ABORT


def _has_end_bit(session: bytes, dialect: Dialect) -> bool:
    return dialect.end_bit and dialect.session in ("its_15_1", "its_spec") and len(session) == 2


def _marked(session: bytes, more: bool, dialect: Dialect) -> bytes:
    """The session with its end bit set if nothing more is to come."""
    if not _has_end_bit(session, dialect):
        return session
    return bytes((session[0], session[1] & ~_END & 0xFF | (0 if more else _END)))


def _numbered(number: int, dialect: Dialect) -> bytes:
    match dialect.session:
        case "its_spec":
            return bytes((number % 0xFF + 1, 0))
        case "its_15_1":
            return ((number % 0x7FFF + 1) << 1).to_bytes(2, "big")
    return (number % 0xFFFF + 1).to_bytes(2, "big")


def _token(pdu: DeliverSm | DataSm, session: bytes, in_address: bool, dialect: Dialect) -> bytes:
    """At most TOKEN_OCTETS_MAX octets: parameters to echo that are too long for it are left out."""
    source = pdu.destination_addr if in_address and dialect.suffix_of == "code" else b""
    destination = pdu.source_addr if in_address and dialect.suffix_of == "msisdn" else b""
    echoed = tuple((tag, value) for tag in dialect.echo if (value := pdu.tlv(tag)) is not None)
    while len(token := _write_token(_Token(session, source, destination, echoed))) > TOKEN_OCTETS_MAX:
        echoed = echoed[:-1]
    return token


def _dialled(written: str, to: str, dialect: Dialect) -> str:
    """The dialled string, wherever it is."""
    written = written.strip(_AROUND_A_CODE)
    match dialect.dialled_in:
        case "short_message":
            code = written
        case "destination_addr":
            code = to
        case "either":
            code = next((place for place in (written, to) if _like_a_code(place)), written or to)
    if dialect.complete and code:
        code = f"{'' if code[0] in '*#' else '*'}{code}{'' if code.endswith('#') else '#'}"
    return code


def _decode(octets: bytes, data_coding: int, dialect: Dialect) -> str:
    match dialect.codings.get(data_coding):
        case None:
            return text.decode_ussd(octets, data_coding, dialect.alphabet)
        case "gsm":
            return gsm_decode(octets)
        case "gsm_packed":
            return gsm_decode(unpack(octets))
        case "ucs2":
            return octets.decode("utf-16-be", "replace")
        case "ascii":
            return octets.decode("ascii", "replace")
        case "latin1" | "binary":
            return octets.decode("latin-1")
