"""The PDUs that SMPP 5.0 adds, §4.4: broadcasts to all phones of an area. Pure."""

from __future__ import annotations

from gateway.pdus.codec import RESPONSE
from gateway.pdus.declared import Address, MessageId, Pdu, ServiceType, Time


class BroadcastSm(Pdu):
    """The area, the content type, the repetitions and their interval are optional parameters that must be there."""

    command_id = 0x111

    service_type: ServiceType = b""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: Address = b""
    message_id: MessageId = b""
    priority_flag: int = 0
    schedule_delivery_time: Time = b""
    validity_period: Time = b""
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0


class BroadcastSmResp(Pdu):
    command_id = 0x111 | RESPONSE

    message_id: MessageId = b""


class QueryBroadcastSm(Pdu):
    command_id = 0x112

    message_id: MessageId = b""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: Address = b""


class QueryBroadcastSmResp(Pdu):
    command_id = 0x112 | RESPONSE

    message_id: MessageId = b""


class CancelBroadcastSm(Pdu):
    command_id = 0x113

    service_type: ServiceType = b""
    message_id: MessageId = b""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: Address = b""


class CancelBroadcastSmResp(Pdu):
    command_id = 0x113 | RESPONSE
