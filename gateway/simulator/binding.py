"""What a bind agrees on: the direction, and the version. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag
from typing import cast

from gateway.pdus.pdu import (
    SC_INTERFACE_VERSION,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    BindTransmitterResp,
    Pdu,
    decode,
    response_to,
)

BindRequest = BindReceiver | BindTransmitter | BindTransceiver
BindResponse = BindReceiverResp | BindTransmitterResp | BindTransceiverResp

VERSIONS = {"3.3": 0x33, "3.4": 0x34, "5.0": 0x50}
"""interface_version, SMPP 5.0 §4.7.13; 0x00 to 0x33 are all 3.3."""
WITH_TLVS = VERSIONS["3.4"]
"""The first version that has optional parameters."""


class Mode(IntFlag):
    """What a bound ESME may do; 0 while it is not bound."""

    OPEN = 0
    TRANSMITTER = 1
    RECEIVER = 2
    TRANSCEIVER = 3


MODES: Mapping[type[Pdu], Mode] = {
    BindReceiver: Mode.RECEIVER,
    BindTransmitter: Mode.TRANSMITTER,
    BindTransceiver: Mode.TRANSCEIVER,
}


def agreed(theirs: int, ours: str) -> int:
    """The older of both; an unknown version counts as the newest known one below it."""
    known = max(version for version in VERSIONS.values() if version <= max(theirs, VERSIONS["3.3"]))
    return min(known, VERSIONS[ours])


def accepted(pdu: BindRequest, system_id: str, version: int) -> BindResponse:
    """The response that opens the session; SMPP 3.3 has no sc_interface_version."""
    response = cast(BindResponse, response_to(pdu.command_id, pdu.sequence, 0))
    response.system_id = system_id.encode()
    if version >= WITH_TLVS:
        response.tlvs = ((SC_INTERFACE_VERSION, bytes([version])),)
    return response


def without_tlvs(frame: bytes) -> bytes:
    """As SMPP 3.3 has it."""
    pdu = decode(frame)
    pdu.tlvs = ()
    return pdu.encode()
