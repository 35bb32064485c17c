"""Bytes to SMPP PDUs and back: all of SMPP 3.4, and the broadcasts of SMPP 5.0. Pure.

Each PDU is declared once, below or in gateway.pdus.broadcast, as a struct: an `int` is one octet, a width is the most
octets that a C-octet string takes with its NUL. At import `gateway.pdus.codec` compiles every declaration. Nothing is
decoded as text here, and nothing is dropped.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from gateway.pdus.addressees import DestAddresses, UnsuccessSmes
from gateway.pdus.addressees import DistributionList as DistributionList
from gateway.pdus.addressees import SmeAddress as SmeAddress
from gateway.pdus.addressees import UnsuccessSme as UnsuccessSme
from gateway.pdus.broadcast import BroadcastSm as BroadcastSm
from gateway.pdus.broadcast import BroadcastSmResp as BroadcastSmResp
from gateway.pdus.broadcast import CancelBroadcastSm as CancelBroadcastSm
from gateway.pdus.broadcast import CancelBroadcastSmResp as CancelBroadcastSmResp
from gateway.pdus.broadcast import QueryBroadcastSm as QueryBroadcastSm
from gateway.pdus.broadcast import QueryBroadcastSmResp as QueryBroadcastSmResp
from gateway.pdus.codec import RESPONSE as RESPONSE
from gateway.pdus.codec import RINVCMDID as RINVCMDID
from gateway.pdus.codec import RINVCMDLEN as RINVCMDLEN
from gateway.pdus.codec import RINVMSGLEN as RINVMSGLEN
from gateway.pdus.codec import RINVPARLEN as RINVPARLEN
from gateway.pdus.codec import Reader, compile_pdu
from gateway.pdus.codec import Tlvs as Tlvs
from gateway.pdus.declared import (
    Address,
    AddressRange,
    LongAddress,
    MessageId,
    Password,
    ServiceType,
    ShortMessage,
    SystemId,
    SystemType,
    Time,
)
from gateway.pdus.declared import Pdu as Pdu
from gateway.pdus.tags import *  # noqa: F403 - a tag is named where its PDU is: smpp.MESSAGE_PAYLOAD
from vas.errors import SmppError

HEADER_OCTETS = 16
PDU_OCTETS_MAX = 65_536
SEQUENCE_MAX = 0x7FFF_FFFF


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


class SubmitMulti(Pdu):
    command_id = 0x21

    service_type: ServiceType = b""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: Address = b""
    dest_addresses: DestAddresses = ()
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


class SubmitMultiResp(Pdu):
    command_id = 0x21 | RESPONSE

    message_id: MessageId = b""
    unsuccess_smes: UnsuccessSmes = ()


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

_length: Callable[[bytes, int], tuple[int]] = struct.Struct(">I").unpack_from


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
    if max(len(buffer) + 1, HEADER_OCTETS) <= int.from_bytes(buffer[:4], "big") <= PDU_OCTETS_MAX:
        return  # a long PDU in many pieces is not copied at each of them
    data, start, available = bytes(buffer), 0, len(buffer)
    try:
        while start + 4 <= available:
            (octets,) = _length(data, start)
            if not HEADER_OCTETS <= octets <= PDU_OCTETS_MAX:
                raise SmppError(RINVCMDLEN, f"command_length {octets}")
            end = start + octets
            if end > available:
                break
            frame, start = data[start:end], end
            yield frame
    finally:
        del buffer[:start]


PDUS: tuple[type[Pdu], ...] = (
    BindReceiver, BindReceiverResp, BindTransmitter, BindTransmitterResp, BindTransceiver, BindTransceiverResp,
    Outbind, Unbind, UnbindResp, EnquireLink, EnquireLinkResp, GenericNack,
    SubmitSm, SubmitSmResp, SubmitMulti, SubmitMultiResp, DeliverSm, DeliverSmResp, DataSm, DataSmResp,
    QuerySm, QuerySmResp, CancelSm, CancelSmResp, ReplaceSm, ReplaceSmResp, AlertNotification,
    BroadcastSm, BroadcastSmResp, QueryBroadcastSm, QueryBroadcastSmResp, CancelBroadcastSm, CancelBroadcastSmResp,
)  # fmt: skip
_BY_COMMAND_ID = {pdu.command_id: pdu for pdu in PDUS}
_READERS: dict[int, Reader[Pdu]] = {
    pdu.command_id: compile_pdu(pdu, pdu.command_id, pdu.__struct_fields__[len(Pdu.__struct_fields__) :])
    for pdu in PDUS
}
