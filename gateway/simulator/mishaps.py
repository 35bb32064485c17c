"""How faults happen to a session: what is decided in gateway.simulator.faults is done here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.pdus.pdu import (
    CONGESTION_STATE,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    CancelSm,
    DataSm,
    EnquireLink,
    GenericNack,
    Pdu,
    QuerySm,
    ReplaceSm,
    SubmitMulti,
    SubmitSm,
    Unbind,
    header,
    response_to,
)
from gateway.simulator.faults import Faults, Kind, On, Strike
from gateway.simulator.malformed import spoil

if TYPE_CHECKING:
    from gateway.simulator.delivery import Mo
    from gateway.simulator.session import Session

_PLACES: dict[type[Pdu], On] = {
    BindTransceiver: "bind",
    BindReceiver: "bind",
    BindTransmitter: "bind",
    SubmitSm: "submit_sm",
    DataSm: "data_sm",
    SubmitMulti: "submit_multi",
    QuerySm: "query_sm",
    CancelSm: "cancel_sm",
    ReplaceSm: "replace_sm",
    EnquireLink: "enquire_link",
    Unbind: "unbind",
}


def take(session: Session, faults: Faults, pdu: Pdu) -> None:
    """Handle a request and respond to it, as the faults let it be."""
    struck = _strikes(session, faults, pdu)
    if not struck:
        session.respond(session.handle(pdu))
        return
    if strike := struck.get("slow_reading"):
        session.read_nothing_for(strike.seconds)
    refusal = struck.get("status") or struck.get("throttle")
    if "lost" in struck:
        return
    if "nack" in struck:
        response: Pdu = GenericNack(sequence=pdu.sequence, status=struck["nack"].fault.status_code())
    elif refusal:
        response = response_to(pdu.command_id, pdu.sequence, refusal.fault.status_code())
    else:
        response = session.handle(pdu)
    if "congestion" in struck:
        response.tlvs += ((CONGESTION_STATE, bytes([struck["congestion"].fault.congestion])),)
    _respond(session, response, struck)


def _strikes(session: Session, faults: Faults, pdu: Pdu) -> dict[Kind, Strike]:
    place = _PLACES.get(type(pdu))
    if place is None:
        return {}
    account = session.account or (pdu.system_id.decode("latin-1") if place == "bind" else "")  # type: ignore[attr-defined]
    strikes = faults.meet(place, account, _numbers(pdu), asyncio.get_running_loop().time())
    return {strike.fault.kind: strike for strike in strikes}


def _numbers(pdu: Pdu) -> tuple[str, ...]:
    """Of the subscriber first, then the short code."""
    both = (getattr(pdu, "destination_addr", b""), getattr(pdu, "source_addr", b""))
    return tuple(address.decode("latin-1") for address in both if address)


def _respond(session: Session, response: Pdu, struck: dict[Kind, Strike]) -> None:
    loop = asyncio.get_running_loop()
    if "drop_before" in struck:
        session.abort()
        return
    if "silence" not in struck:
        if "delay" in struck:
            loop.call_later(struck["delay"].seconds, session.respond, response)
        else:
            session.respond(response)
    if "drop_after" in struck:
        loop.call_later(struck["delay"].seconds if "delay" in struck else 0, session.close)


def deliver(session: Session, faults: Faults, mo: Mo, frame: bytes) -> None:
    """Write a deliver_sm, or a receipt, as the faults let it be; `frame` is numbered and its answer awaited."""
    place: On = "receipt_sm" if mo.kind == "receipt" else "deliver_sm"
    now = asyncio.get_running_loop().time()
    numbers = tuple(number for number in (mo.sender, mo.to) if number)
    struck = {strike.fault.kind: strike for strike in faults.meet(place, session.account, numbers, now)}
    if not struck:
        session.send(frame)
        return
    if "malformed" in struck:
        session.send(spoil(_copy(session, frame), struck["malformed"].fault.shape))
    if "drop_before" in struck:
        session.abort()
        return
    session.send(frame)
    if "lost_response" in struck:
        session.expect_nothing_of(header(frame)[3])
    if "duplicate" in struck:
        session.send(_copy(session, frame))
    if "drop_after" in struck:
        session.close()


def _copy(session: Session, frame: bytes) -> bytes:
    """With a number of its own, and nothing awaited."""
    sequence = session.next_sequence()
    session.expect_nothing_of(sequence)
    return frame[:12] + sequence.to_bytes(4, "big") + frame[16:]
