"""A frame on a link, described for people and programs: names instead of numbers, one JSON object a line.

`octets` is the whole frame in hexadecimal and says all; everything else in a line is there to be read and searched.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import orjson

from gateway.dialects.status import status_name
from gateway.pdus import tags
from gateway.pdus.pdu import MESSAGE_PAYLOAD, PDUS, Outbind, Pdu, decode, header
from gateway.simulator import letters
from gateway.simulator.wire import UDHI
from vas.errors import SmppError

Direction = Literal["in", "out"]
"""As the SMSC sees it: `in` comes from the ESME."""
End = tuple[str, int]
"""An IP address and a TCP port."""

BINDS = frozenset({0x01, 0x02, 0x09})
MESSAGE_TYPE, DELIVERY_RECEIPT, INTERMEDIATE_NOTIFICATION = 0x3C, 0x04, 0x20
LINE_OCTETS_MAX = 1 << 20
_HEADER_FIELDS = frozenset(Pdu.__struct_fields__)
_TAG_NAMES: dict[int, str] = {
    value: name.lower() for name, value in vars(tags).items() if name.isupper() and isinstance(value, int)
}
_COMMAND_NAMES = {
    pdu.command_id: re.sub(r"(?<=[a-z])(?=[A-Z])", "_", pdu.__name__).lower() for pdu in PDUS
}  # fmt: skip


class Taped(msgspec.Struct, frozen=True):
    """One frame, with when and where it passed."""

    at: datetime
    direction: Direction
    session: int
    """The connection; unique in its tape."""
    account: str
    """The system_id that the ESME bound with; empty before."""
    smsc: End
    esme: End
    frame: bytes


def command_name(command_id: int) -> str:
    """`deliver_sm_resp`, or `0x00000099` for what is no PDU of SMPP."""
    return _COMMAND_NAMES.get(command_id, f"0x{command_id:08X}")


def tag_name(tag: int) -> str:
    """`message_payload`, or `0x1403` for a vendor's own."""
    return _TAG_NAMES.get(tag, f"0x{tag:04X}")


def without_password(frame: bytes) -> bytes:
    """The same frame with a `*` for each octet of a password; also where the rest of a bind cannot be read."""
    command_id = int.from_bytes(frame[4:8], "big")
    if command_id not in BINDS and command_id != Outbind.command_id:
        return frame
    start = frame.find(b"\0", 16) + 1
    if not start:
        return frame
    end = frame.find(b"\0", start)
    end = len(frame) if end < 0 else end
    return frame[:start] + b"*" * (end - start) + frame[end:]


def to_line(taped: Taped) -> bytes:
    """One line of JSON with its newline; passwords are masked."""
    frame = without_password(taped.frame)
    described: dict[str, Any] = {
        "time": taped.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "direction": taped.direction,
        "session": taped.session,
        "account": taped.account,
        "smsc": _spelt(taped.smsc),
        "esme": _spelt(taped.esme),
        **description(frame),
        "octets": frame.hex(),
    }
    return orjson.dumps(described, option=orjson.OPT_APPEND_NEWLINE)


def from_line(line: bytes) -> Taped:
    """What to_line wrote; raises ValueError for anything else."""
    if len(line) > LINE_OCTETS_MAX:
        raise ValueError("line too long")
    try:
        found = orjson.loads(line)
        at = datetime.fromisoformat(found["time"])
        if at.tzinfo is None or found["direction"] not in ("in", "out"):
            raise ValueError("no time with its zone, or no direction")
        return Taped(
            at, found["direction"], int(found["session"]), str(found["account"]), _end(found["smsc"]),
            _end(found["esme"]), bytes.fromhex(found["octets"]),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a line of a tape: {error!r}") from None


def description(frame: bytes) -> dict[str, Any]:
    """Command, status, sequence, fields, TLVs and text by name; `error` says why a frame cannot be read."""
    if len(frame) < 16:
        return {"error": "shorter than a header"}
    _, command_id, status, sequence = header(frame)
    found: dict[str, Any] = {
        "command": command_name(command_id),
        "status": status_name(status),
        "sequence": sequence,
    }
    try:
        pdu = decode(frame)
    except SmppError as error:
        return found | {"error": str(error)}
    found["fields"] = {
        name: _readable(getattr(pdu, name)) for name in pdu.__struct_fields__ if name not in _HEADER_FIELDS
    }
    if hasattr(pdu, "short_message"):
        found["fields"]["short_message"] = pdu.short_message.hex()
    if pdu.tlvs:
        found["tlvs"] = [{"tag": tag_name(tag), "octets": value.hex(), **_shown(value)} for tag, value in pdu.tlvs]
    if said(pdu) is not None:
        found["text"] = text_in(pdu)
    return found


def text_in(pdu: Pdu) -> str:
    """What it says, without its user data header; empty where it says nothing."""
    udh, octets = said(pdu) or (b"", b"")
    return letters.read(octets, getattr(pdu, "data_coding", 0), udh=udh)


def said(pdu: Pdu) -> tuple[bytes, bytes] | None:
    """User data header, with its length octet, and the octets of the text; None for a PDU that carries none."""
    octets: bytes = getattr(pdu, "short_message", b"") or pdu.tlv(MESSAGE_PAYLOAD) or b""
    if not octets:
        return None
    header_octets = 1 + octets[0] if getattr(pdu, "esm_class", 0) & UDHI else 0
    return octets[:header_octets], octets[header_octets:]


def is_receipt(pdu: Pdu) -> bool:
    """Whether it reports on a message: by its message type (SMPP 3.4 §5.2.12), or by naming one."""
    reports = getattr(pdu, "esm_class", 0) & MESSAGE_TYPE in (DELIVERY_RECEIPT, INTERMEDIATE_NOTIFICATION)
    return reports or pdu.tlv(tags.RECEIPTED_MESSAGE_ID) is not None


def _readable(value: object) -> object:
    if isinstance(value, bytes):
        text = value.decode("latin-1")
        return text if text.isascii() and text.isprintable() else {"hex": value.hex()}
    if isinstance(value, tuple):
        return [_readable(entry) for entry in value]
    if isinstance(value, msgspec.Struct):
        return {name: _readable(getattr(value, name)) for name in value.__struct_fields__}
    return value


def _shown(value: bytes) -> dict[str, str]:
    text = value.removesuffix(b"\0").decode("latin-1")
    return {"text": text} if len(text) > 1 and text.isascii() and text.isprintable() else {}


def _spelt(end: End) -> str:
    return f"[{end[0]}]:{end[1]}" if ":" in end[0] else f"{end[0]}:{end[1]}"


def _end(spelt: str) -> End:
    host, _, port = spelt.rpartition(":")
    return host.strip("[]"), int(port)
