"""Bytes to SMPP 3.4 PDUs and back. Pure.

Each PDU is declared once, below, as a struct: an `int` is one octet, a width is the most octets that a C-octet
string takes with its NUL. At import every declaration is compiled into two functions, one regular expression that
reads the whole mandatory part and one cached `struct.Struct` for each combination of lengths that writes it.
Nothing is decoded as text here, and nothing is dropped.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, ClassVar, get_type_hints

import msgspec

from vas.errors import SmppError

HEADER_OCTETS = 16
PDU_OCTETS_MAX = 65_536
RESPONSE = 0x8000_0000
"""The bit that a response's command_id adds to its request's."""
SEQUENCE_MAX = 0x7FFF_FFFF

RINVMSGLEN = 0x01
RINVCMDLEN = 0x02
RINVCMDID = 0x03
RINVPARLEN = 0xC2

# Tags of optional parameters, SMPP 3.4 §5.3.2; the last ones are of SMPP 5.0 §4.8.4 and met on 3.4 links.
DEST_ADDR_SUBUNIT = 0x0005
SOURCE_ADDR_SUBUNIT = 0x000D
QOS_TIME_TO_LIVE = 0x0017
PAYLOAD_TYPE = 0x0019
ADDITIONAL_STATUS_INFO_TEXT = 0x001D
RECEIPTED_MESSAGE_ID = 0x001E
PRIVACY_INDICATOR = 0x0201
USER_MESSAGE_REFERENCE = 0x0204
USER_RESPONSE_CODE = 0x0205
SOURCE_PORT = 0x020A
DESTINATION_PORT = 0x020B
SAR_MSG_REF_NUM = 0x020C
LANGUAGE_INDICATOR = 0x020D
SAR_TOTAL_SEGMENTS = 0x020E
SAR_SEGMENT_SEQNUM = 0x020F
SC_INTERFACE_VERSION = 0x0210
CALLBACK_NUM = 0x0381
MS_AVAILABILITY_STATUS = 0x0422
NETWORK_ERROR_CODE = 0x0423
MESSAGE_PAYLOAD = 0x0424
DELIVERY_FAILURE_REASON = 0x0425
MORE_MESSAGES_TO_SEND = 0x0426
MESSAGE_STATE = 0x0427
USSD_SERVICE_OP = 0x0501
ITS_REPLY_TYPE = 0x1380
ITS_SESSION_INFO = 0x1383
CONGESTION_STATE = 0x0428
BILLING_IDENTIFICATION = 0x060B
SOURCE_NETWORK_ID = 0x060D
DEST_NETWORK_ID = 0x060E
SOURCE_NODE_ID = 0x060F
DEST_NODE_ID = 0x0610

Tlvs = tuple[tuple[int, bytes], ...]

# Widths of SMPP 3.4 §5.2.
SystemId = Annotated[bytes, 16]
Password = Annotated[bytes, 9]
SystemType = Annotated[bytes, 13]
AddressRange = Annotated[bytes, 41]
ServiceType = Annotated[bytes, 6]
Address = Annotated[bytes, 21]
LongAddress = Annotated[bytes, 65]
MessageId = Annotated[bytes, 65]
Time = Annotated[bytes, 17]
ShortMessage = Annotated[bytes, "sm_length"]
"""At most 255 octets, preceded on the wire by their number."""


class Pdu(msgspec.Struct):
    """What every PDU has. `tlvs` keeps the order and the duplicates of the wire."""

    command_id: ClassVar[int]

    sequence: int = 0
    status: int = 0
    tlvs: Tlvs = ()

    def encode(self) -> bytes:
        """The whole frame. An error response with nothing in its body is written without one, as §4.4.2 asks.

        Raises SmppError(RINVPARLEN) for a field that is too long, out of range, or a string with a NUL in it.
        """
        raise NotImplementedError

    def tlv(self, tag: int) -> bytes | None:
        """The value of the first optional parameter with this tag."""
        for present, value in self.tlvs:
            if present == tag:
                return value
        return None


class _Bind(Pdu):
    system_id: SystemId = b""
    password: Password = b""
    system_type: SystemType = b""
    interface_version: int = 0x34
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: AddressRange = b""


class _BindResp(Pdu):
    system_id: SystemId = b""


class _Sm(Pdu):
    service_type: ServiceType = b""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: Address = b""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: Address = b""
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: Time = b""
    validity_period: Time = b""
    registered_delivery: int = 0
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    short_message: ShortMessage = b""


class _SmResp(Pdu):
    message_id: MessageId = b""


class BindReceiver(_Bind):
    command_id = 0x01


class BindReceiverResp(_BindResp):
    command_id = 0x01 | RESPONSE


class BindTransmitter(_Bind):
    command_id = 0x02


class BindTransmitterResp(_BindResp):
    command_id = 0x02 | RESPONSE


class BindTransceiver(_Bind):
    command_id = 0x09


class BindTransceiverResp(_BindResp):
    command_id = 0x09 | RESPONSE


class Outbind(Pdu):
    command_id = 0x0B

    system_id: SystemId = b""
    password: Password = b""


class Unbind(Pdu):
    command_id = 0x06


class UnbindResp(Pdu):
    command_id = 0x06 | RESPONSE


class EnquireLink(Pdu):
    command_id = 0x15


class EnquireLinkResp(Pdu):
    command_id = 0x15 | RESPONSE


class GenericNack(Pdu):
    command_id = RESPONSE


class SubmitSm(_Sm):
    command_id = 0x04


class SubmitSmResp(_SmResp):
    command_id = 0x04 | RESPONSE


class DeliverSm(_Sm):
    command_id = 0x05


class DeliverSmResp(_SmResp):
    command_id = 0x05 | RESPONSE


class DataSm(Pdu):
    command_id = 0x103

    service_type: ServiceType = b""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: LongAddress = b""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: LongAddress = b""
    esm_class: int = 0
    registered_delivery: int = 0
    data_coding: int = 0


class DataSmResp(_SmResp):
    command_id = 0x103 | RESPONSE


class QuerySm(Pdu):
    command_id = 0x03

    message_id: MessageId = b""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: Address = b""


class QuerySmResp(Pdu):
    command_id = 0x03 | RESPONSE

    message_id: MessageId = b""
    final_date: Time = b""
    message_state: int = 0
    error_code: int = 0


class CancelSm(Pdu):
    command_id = 0x08

    service_type: ServiceType = b""
    message_id: MessageId = b""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: Address = b""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: Address = b""


class CancelSmResp(Pdu):
    command_id = 0x08 | RESPONSE


class ReplaceSm(Pdu):
    command_id = 0x07

    message_id: MessageId = b""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: Address = b""
    schedule_delivery_time: Time = b""
    validity_period: Time = b""
    registered_delivery: int = 0
    sm_default_msg_id: int = 0
    short_message: ShortMessage = b""


class ReplaceSmResp(Pdu):
    command_id = 0x07 | RESPONSE


class AlertNotification(Pdu):
    command_id = 0x102

    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: LongAddress = b""
    esme_addr_ton: int = 0
    esme_addr_npi: int = 0
    esme_addr: LongAddress = b""


header: Callable[[bytes], tuple[int, int, int, int]] = struct.Struct(">IIII").unpack_from
"""command_length, command_id, command_status and sequence_number of a frame of at least 16 octets."""


def decode(frame: bytes) -> Pdu:
    """One whole frame. Raises SmppError and nothing else, with the status to answer.

    Strict in the mandatory part. In the optional part a parameter that is cut short is clipped and stray NULs
    are passed over, as real SMSCs send both. A response may lack its body, or the NUL after its last string.
    """
    if len(frame) < HEADER_OCTETS:
        raise SmppError(RINVCMDLEN, "frame shorter than a header")
    command_length, command_id, status, sequence = header(frame)
    if command_length != len(frame):
        raise SmppError(RINVCMDLEN, "command_length differs from the frame")
    reader = _READERS.get(command_id)
    if reader is None:
        raise SmppError(RINVCMDID, f"unknown command_id 0x{command_id:08X}")
    return reader(frame, sequence, status)


def response_to(command_id: int, sequence: int, status: int) -> Pdu:
    """The response to a request, without a body; generic_nack to what has no response of its own."""
    pdu = _BY_COMMAND_ID.get(command_id | RESPONSE, GenericNack)
    return pdu(sequence, status)


def frames(buffer: bytearray) -> Iterator[bytes]:
    """Take the whole frames off the front of a stream, and leave the beginning of the next one.

    Raises SmppError(RINVCMDLEN) where a length is below 16 or above 65,536: the stream is lost from there.
    """
    data, start = bytes(buffer), 0
    try:
        while len(data) - start >= 4:
            octets = int.from_bytes(data[start : start + 4], "big")
            if not HEADER_OCTETS <= octets <= PDU_OCTETS_MAX:
                raise SmppError(RINVCMDLEN, f"command_length {octets}")
            if len(data) - start < octets:
                break
            start += octets
            yield data[start - octets : start]
    finally:
        del buffer[:start]


_TLV = struct.Struct(">HH")


def _read_tlvs(frame: bytes, start: int) -> Tlvs:
    tlvs, whole = _walk_tlvs(frame, start)
    if not whole and frame[start] == 0:  # one NUL too many after the text shifts all that follows
        shifted, fits = _walk_tlvs(frame, start + 1)
        return shifted if fits else tlvs
    return tlvs


def _walk_tlvs(frame: bytes, start: int) -> tuple[Tlvs, bool]:
    """The parameters, the last one clipped; and whether they ended where the frame does."""
    tlvs, end = [], len(frame)
    while end - start >= 4:
        tag, octets = _TLV.unpack_from(frame, start)
        if tag == 0:  # reserved, so these are stray NULs
            start += 1
            continue
        start += 4
        tlvs.append((tag, frame[start : start + octets]))
        start += octets
    return tuple(tlvs), start == end or (start < end and not any(frame[start:]))


def _write_tlvs(tlvs: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join([_TLV.pack(tag, len(value)) + value for tag, value in tlvs])


Reader = Callable[[bytes, int, int], Pdu]
_Layout = list[tuple[str, Any]]
"""Field names in the wire's order, each with the width of a C-octet string, `int`, or "sm_length"."""


def _layout(pdu: type[Pdu]) -> _Layout:
    hints = get_type_hints(pdu, include_extras=True)
    layout: _Layout = []
    for name in pdu.__struct_fields__[len(Pdu.__struct_fields__) :]:
        kind = int if hints[name] is int else hints[name].__metadata__[0]
        if kind == "sm_length":
            layout.append(("sm_length", int))
        layout.append((name, kind))
    return layout


def _compile(pdu: type[Pdu]) -> Reader:
    """Give a PDU its `encode`; the function that reads it."""
    layout = _layout(pdu)
    scope: dict[str, Any] = {
        "Pdu": pdu,
        "SmppError": SmppError,
        "mandatory": re.compile(_pattern(pdu, layout), re.DOTALL).match,
        "read_tlvs": _read_tlvs,
        "write_tlvs": _write_tlvs,
        "packer": _packer(layout),
        "packers": {},
        "header": struct.Struct(">IIII").pack,
        "StructError": struct.error,
    }
    exec(_reader_source(pdu, layout) + _writer_source(pdu, layout), scope)  # noqa: S102
    setattr(pdu, "encode", scope["encode"])  # noqa: B010
    reader: Reader = scope["read"]
    return reader


def _pattern(pdu: type[Pdu], layout: _Layout) -> bytes:
    """One group for each string, and one for each run of integers."""
    pattern = ""
    for kind, names in _runs(layout):
        if kind is int:
            pattern += f"(.{{{len(names)}}})"
        elif kind != "sm_length":
            pattern += rf"([^\0]{{0,{kind - 1}}})\0"
    if pdu.command_id & RESPONSE and pattern.endswith(r"\0"):
        pattern = pattern.removesuffix(r"\0") + r"(?:\0|\Z)"
    return pattern.encode()


def _runs(layout: _Layout) -> Iterator[tuple[Any, list[str]]]:
    run: list[str] = []
    for name, kind in layout:
        if kind is int:
            run.append(name)
            continue
        if run:
            yield int, run
            run = []
        yield kind, [name]
    if run:
        yield int, run


def _reader_source(pdu: type[Pdu], layout: _Layout) -> str:
    targets = [
        f"({', '.join(names)},)" if kind is int else names[0] for kind, names in _runs(layout) if kind != "sm_length"
    ]
    fields = "".join(f", {name}" for name, _ in layout if name != "sm_length")
    response = bool(pdu.command_id & RESPONSE)
    lines = [
        "def read(frame, sequence, status):",
        "    if len(frame) == 16: return Pdu(sequence, status)" if response else "",
        "    match = mandatory(frame, 16)",
        "    if match is None:",
        "        if status: return Pdu(sequence, status)" if response else "",
        f"        raise SmppError({RINVPARLEN}, 'mandatory part of {pdu.__name__} unreadable')",
        f"    {', '.join(targets)}, = match.groups()" if targets else "",
        "    end = match.end()",
    ]
    if any(kind == "sm_length" for _, kind in layout):
        lines += [
            "    start = end",
            "    end += sm_length",
            f"    if end > len(frame): raise SmppError({RINVMSGLEN}, 'sm_length past the end')",
            "    short_message = frame[start:end]",
        ]
    lines += [
        "    tlvs = read_tlvs(frame, end) if end < len(frame) else ()",
        f"    return Pdu(sequence, status, tlvs{fields})",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _writer_source(pdu: type[Pdu], layout: _Layout) -> str:
    strings = [name for name, kind in layout if isinstance(kind, int)]
    fields = [name for name, _ in layout if name != "sm_length"]
    empty = " or ".join(f"self.{name}" for name in [*fields, "tlvs"])
    arguments = "".join(
        ", len(self.short_message)" if name == "sm_length" else f", self.{name}"
        for name, kind in layout
        if kind != "sm_length"
    )
    with_nul = " or ".join(f"0 in self.{name}" for name in strings)
    lines = [
        "def encode(self):",
        f"    if self.status and not ({empty}): return header(16, {pdu.command_id}, self.status, self.sequence)"
        if pdu.command_id & RESPONSE
        else "",
        f"    if {with_nul}: raise SmppError({RINVPARLEN}, 'NUL in a string of {pdu.__name__}')" if strings else "",
        f"    lengths = ({''.join(f'len(self.{name}), ' for name in strings)})",
        "    pack, octets = packers.get(lengths) or packers.setdefault(lengths, packer(lengths))",
        f"    tail = {'self.short_message' if 'short_message' in fields else repr(b'')}",
        "    if self.tlvs: tail += write_tlvs(self.tlvs)",
        f"    try: return pack(octets + len(tail), {pdu.command_id}, self.status, self.sequence{arguments}) + tail",
        "    except StructError as error:",
        f"        raise SmppError({RINVPARLEN}, f'{pdu.__name__}: {{error}}') from None",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _packer(layout: _Layout) -> Callable[[tuple[int, ...]], tuple[Callable[..., bytes], int]]:
    """From the strings' lengths to what packs the header and the mandatory part, and its size in octets."""
    widths = [kind for _, kind in layout if isinstance(kind, int)]
    template = ">IIII" + "".join("B" if kind is int else "%dsx" for _, kind in layout if kind != "sm_length")

    def packer(lengths: tuple[int, ...]) -> tuple[Callable[..., bytes], int]:
        if any(length >= width for length, width in zip(lengths, widths, strict=True)):
            raise SmppError(RINVPARLEN, "string too long")
        packing = struct.Struct(template % lengths)
        return packing.pack, packing.size

    return packer


PDUS: tuple[type[Pdu], ...] = (
    BindReceiver, BindReceiverResp, BindTransmitter, BindTransmitterResp, BindTransceiver, BindTransceiverResp,
    Outbind, Unbind, UnbindResp, EnquireLink, EnquireLinkResp, GenericNack,
    SubmitSm, SubmitSmResp, DeliverSm, DeliverSmResp, DataSm, DataSmResp,
    QuerySm, QuerySmResp, CancelSm, CancelSmResp, ReplaceSm, ReplaceSmResp, AlertNotification,
)  # fmt: skip
_BY_COMMAND_ID = {pdu.command_id: pdu for pdu in PDUS}
_READERS: dict[int, Reader] = {pdu.command_id: _compile(pdu) for pdu in PDUS}
