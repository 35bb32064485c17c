"""A deliver_sm or data_sm → what the core reads."""

from __future__ import annotations

from datetime import datetime

from gateway.dialects import ussd
from gateway.dialects.ussd_dialects import Dialect
from gateway.pdus.pdu import DataSm, DeliverSm
from gateway.pdus.tags import MESSAGE_PAYLOAD, SAR_MSG_REF_NUM, SAR_SEGMENT_SEQNUM, SAR_TOTAL_SEGMENTS
from gateway.settings import AccountSettings
from gateway.sms import text
from vas.messages import Inbound

_SAR = (SAR_MSG_REF_NUM, SAR_TOTAL_SEGMENTS, SAR_SEGMENT_SEQNUM)


def user_data(pdu: DeliverSm | DataSm) -> bytes:
    """The octets of short_message, else those of message_payload; a header is still before them."""
    octets = pdu.short_message if isinstance(pdu, DeliverSm) else b""
    if pdu.tlvs and not octets:
        octets = pdu.tlv(MESSAGE_PAYLOAD) or b""
    return octets


def inbound(
    pdu: DeliverSm | DataSm, raw: bytes, settings: AccountSettings, dialect: Dialect, session: int, ordinal: int,
    received_at: datetime,
) -> Inbound:  # fmt: skip
    """The command in a PDU with the user data `raw`; never raises."""
    # The octets that say what PDU this is, and of which not one differs in a copy.
    marks, message_id = b"", ""
    if pdu.tlvs:
        marks = b"".join(pdu.tlv(tag) or b"" for tag in _SAR)
        if settings.message_id_tlv is not None:
            message_id = (pdu.tlv(settings.message_id_tlv) or b"").rstrip(b"\0").decode("latin-1")
    heard = ussd.read(pdu, raw, dialect)
    if heard is not None:
        return Inbound(
            settings.name, session, ordinal, received_at, heard.sender, heard.to, heard.text,
            _identity(pdu, raw, heard.identity), heard.turn, message_id,
        )  # fmt: skip
    said = text.read(pdu, raw, settings.style)
    return Inbound(
        settings.name, session, ordinal, received_at, pdu.source_addr.decode("latin-1"),
        pdu.destination_addr.decode("latin-1"), said.text, _identity(pdu, raw, marks), None, message_id, said.part,
    )  # fmt: skip


def _identity(pdu: DeliverSm | DataSm, raw: bytes, marks: bytes) -> bytes:
    return b"%b\0%b\0%c%c%b\0%b" % (
        pdu.source_addr, pdu.destination_addr, pdu.esm_class & text.UDHI, pdu.data_coding, marks, raw,
    )  # fmt: skip
