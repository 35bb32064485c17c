"""An Outbound → the submit_sm that carry it over one account."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from gateway.dialects import ussd
from gateway.dialects.ussd_dialects import Dialect
from gateway.pdus.codec import Tlvs
from gateway.pdus.pdu import SubmitSm
from gateway.pdus.tags import USER_MESSAGE_REFERENCE
from gateway.settings import AccountSettings
from gateway.sms.segments import plan, plan_binary
from gateway.sms.style import Style
from gateway.sms.text import Segment
from gateway.sms.writing import MessageClass
from vas.messages import Outbound

FLASH: MessageClass = 0
"""Message class 0 of 3GPP TS 23.038 §4: shown at once and not kept."""
_FINAL_RECEIPT = 1
_VALIDITY_DAYS_MAX = 31


def submissions(
    message: Outbound, settings: AccountSettings, dialect: Dialect, now: datetime, *, with_tlvs: bool
) -> list[SubmitSm]:
    """One for each segment. `with_tlvs` says whether the SMSC takes optional parameters, as those of 3.4 do.

    Raises SmppError for what cannot be sent: a text of over 255 segments.
    """
    if message.session or message.push:
        return [_screen(message, settings, dialect)]
    style = settings.style if with_tlvs else _without_tlvs(settings.style)
    message_class = FLASH if message.flash else None
    if message.data:
        segments = plan_binary(message.data, style, message.id, message.port, message_class)
    else:
        segments = plan(message.text, style, message.id, message_class, message.port)
    reference: Tlvs = ()
    if settings.receipt_reference and with_tlvs:
        reference = ((USER_MESSAGE_REFERENCE, (message.id & 0xFFFF).to_bytes(2, "big")),)
    return [_sms(message, segment, settings, reference, now) for segment in segments]


def _without_tlvs(style: Style) -> Style:
    """Segments are marked in the user data, where no optional parameter is taken."""
    return style if style.long_messages in ("udh", "udh16") else Style(style.alphabet, style.national, "udh")


def _sms(message: Outbound, segment: Segment, settings: AccountSettings, reference: Tlvs, now: datetime) -> SubmitSm:
    return SubmitSm(
        tlvs=segment.tlvs + reference,
        service_type=settings.service_type.encode("latin-1", "replace"),
        source_addr_ton=settings.source_ton,
        source_addr_npi=settings.source_npi,
        source_addr=message.source.encode("latin-1", "replace"),
        dest_addr_ton=settings.dest_ton,
        dest_addr_npi=settings.dest_npi,
        destination_addr=message.to.digits.encode("latin-1", "replace"),
        esm_class=segment.esm_class,
        validity_period=_validity(message, settings, now),
        registered_delivery=_FINAL_RECEIPT if settings.asks_for_receipt(message.receipt) else 0,
        data_coding=segment.data_coding,
        short_message=segment.short_message,
    )


def _screen(message: Outbound, settings: AccountSettings, dialect: Dialect) -> SubmitSm:
    written = ussd.encode(message.text, dialect)
    if message.push:
        envelope = ussd.push(message.id, message.more, dialect)
    else:
        envelope = ussd.write(message.token, message.more, dialect)
    return SubmitSm(
        tlvs=envelope.tlvs,
        service_type=envelope.service_type,
        source_addr_ton=settings.source_ton,
        source_addr_npi=settings.source_npi,
        source_addr=envelope.source_addr or message.source.encode("latin-1", "replace"),
        dest_addr_ton=settings.dest_ton,
        dest_addr_npi=settings.dest_npi,
        destination_addr=envelope.destination_addr or message.to.digits.encode("latin-1", "replace"),
        data_coding=written.data_coding,
        short_message=written.octets,
    )


def _validity(message: Outbound, settings: AccountSettings, now: datetime) -> bytes:
    """As a relative time of SMPP 3.4 §7.1.1.2; the sooner of the account's and the message's own."""
    validity = settings.validity
    if message.expires_at is not None:
        left = message.expires_at - now
        validity = left if validity is None else min(left, validity)
    return b"" if validity is None else relative_time(validity)


def relative_time(span: timedelta) -> bytes:
    """`YYMMDDhhmmss000R`: at least a second, at most 31 days."""
    return _relative(min(max(int(span.total_seconds()), 1), _VALIDITY_DAYS_MAX * 86_400))


@lru_cache(maxsize=64)
def _relative(seconds: int) -> bytes:
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return b"0000%02d%02d%02d%02d000R" % (day, hour, minute, second)
