"""query_sm, cancel_sm and replace_sm: what may be asked about a message that was submitted.

SMPP 3.4 §4.8 to §4.10. The SMSC finds a message by its id together with the source address, type and plan of
number included, exactly as they were submitted.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import msgspec

from gateway.dialects.receipts import STATES
from gateway.dialects.status import status_words
from gateway.pdus.pdu import RINVCMDID, CancelSm, GenericNack, Pdu, QuerySm, QuerySmResp, ReplaceSm
from gateway.settings import AccountSettings
from vas.messages import ROK, ReceiptState, SendOutcome

_NAMES = {QuerySm.command_id: "query_sm", CancelSm.command_id: "cancel_sm", ReplaceSm.command_id: "replace_sm"}
_ABSOLUTE = re.compile(rb"(\d{10}|\d{12})(?:(\d)(\d\d)([+-]))?\Z").match


class QueryResult(msgspec.Struct, frozen=True):
    """What the SMSC says of a message."""

    problem: str = ""
    """Why it says nothing, for people; empty: it answered."""
    status: int = ROK
    """The command_status of the answer."""
    state: ReceiptState = ReceiptState.UNKNOWN
    final_date: datetime | None = None
    """When the message came to its end; None while it has not."""
    error: int = 0
    """The network's own error code, 0 for none."""


class RequestResult(msgspec.Struct, frozen=True):
    """What came of a cancel_sm or replace_sm."""

    problem: str = ""
    """Why it was not done, for people; empty: it was."""
    status: int = ROK
    """The command_status of the answer."""


def query_sm(settings: AccountSettings, smsc_id: str, source: str) -> QuerySm:
    """For a message that was submitted from `source` and got this id. Both are Latin-1."""
    return QuerySm(
        message_id=_octets(smsc_id),
        source_addr_ton=settings.source_ton,
        source_addr_npi=settings.source_npi,
        source_addr=_octets(source),
    )


def cancel_sm(settings: AccountSettings, smsc_id: str, source: str, to: str) -> CancelSm:
    """With an empty id: all messages of the account's service_type from `source` to `to`."""
    everything = not smsc_id
    return CancelSm(
        service_type=_octets(settings.service_type) if everything else b"",
        message_id=_octets(smsc_id),
        source_addr_ton=settings.source_ton,
        source_addr_npi=settings.source_npi,
        source_addr=_octets(source),
        dest_addr_ton=settings.dest_ton if to else 0,
        dest_addr_npi=settings.dest_npi if to else 0,
        destination_addr=_octets(to),
    )


def replace_sm(settings: AccountSettings, smsc_id: str, source: str, octets: bytes, receipt: bool) -> ReplaceSm:
    """`octets` are at most 254, in the data_coding that the message was submitted with: it cannot be replaced."""
    return ReplaceSm(
        message_id=_octets(smsc_id),
        source_addr_ton=settings.source_ton,
        source_addr_npi=settings.source_npi,
        source_addr=_octets(source),
        registered_delivery=int(settings.asks_for_receipt(receipt)),
        short_message=octets,
    )


def query_result(outcome: SendOutcome, response: Pdu | None) -> QueryResult:
    """From how asking ended, and the last response."""
    if isinstance(response, QuerySmResp) and response.status == ROK:
        number = response.message_state
        return QueryResult(
            state=STATES[number] if number < len(STATES) else ReceiptState.UNKNOWN,
            final_date=absolute_time(response.final_date),
            error=response.error_code,
        )
    return QueryResult(_problem(outcome, response, QuerySm.command_id), response.status if response else ROK)


def request_result(outcome: SendOutcome, response: Pdu | None, command_id: int) -> RequestResult:
    """From how asking ended, and the last response."""
    return RequestResult(_problem(outcome, response, command_id), response.status if response else ROK)


def _problem(outcome: SendOutcome, response: Pdu | None, command_id: int) -> str:
    if outcome is SendOutcome.NOT_SENT:
        return "not asked: the account has no connection that submits"
    if response is None:
        return "no response"
    if isinstance(response, GenericNack) or response.status == RINVCMDID:
        return f"the SMSC has no {_NAMES[command_id]}"
    return status_words(response.status) if response.status != ROK else ""


def absolute_time(octets: bytes) -> datetime | None:
    """`YYMMDDhhmmsstnnp` of SMPP 3.4 §7.1.1.1 as UTC; None for anything else.

    Without its zone, and without seconds, as some SMSCs write it, it is taken for UTC.
    """
    match = _ABSOLUTE(octets)
    if match is None:
        return None
    digits, tenths, quarters, sign = match.groups()
    try:
        moment = datetime.strptime(digits.decode().ljust(12, "0"), "%y%m%d%H%M%S").replace(tzinfo=UTC)
        if sign is None:
            return moment
        offset = timedelta(minutes=15 * int(quarters)) * (1 if sign == b"+" else -1)
        return moment.replace(tzinfo=timezone(offset), microsecond=int(tenths) * 100_000).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _octets(text: str) -> bytes:
    return text.encode("latin-1", "replace")
