"""Who may send what, and when, in a session between an ESME and an SMSC. Pure.

SMPP 3.4 §2.2 and §2.3, SMPP 5.0 §2.3: a session is open, bound as transmitter, receiver or transceiver, and closed;
OUTBOUND follows an outbind, UNBOUND is the end of a session whose connection still stands.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from gateway.dialects.status import RINVBNDSTS
from gateway.pdus import pdu as smpp
from gateway.pdus.tags import SC_INTERFACE_VERSION
from gateway.settings import AccountSettings
from vas.messages import ROK

BindType = Literal["transceiver", "transmitter", "receiver"]


class LinkState(StrEnum):
    """Where a link stands."""

    OPEN = "open"
    OUTBOUND = "outbound"
    BOUND = "bound"
    """BOUND_TX, BOUND_RX or BOUND_TRX, as the link's bind type is."""
    UNBINDING = "unbinding"
    """Bound, and on the way out: nothing new leaves, both sides' responses are waited for."""
    UNBOUND = "unbound"
    CLOSED = "closed"


VERSIONS = {"3.3": 0x33, "3.4": 0x34, "5.0": 0x50}
"""interface_version as it stands in a bind."""
_BINDS = {
    "transceiver": smpp.BindTransceiver,
    "transmitter": smpp.BindTransmitter,
    "receiver": smpp.BindReceiver,
}
_SUBMITTING = frozenset(
    pdu.command_id
    for pdu in (smpp.SubmitSm, smpp.SubmitMulti, smpp.DataSm, smpp.QuerySm, smpp.CancelSm, smpp.ReplaceSm)
)
_ALWAYS = frozenset(pdu.command_id for pdu in (smpp.EnquireLink, smpp.Unbind))
_DELIVERING = frozenset(pdu.command_id for pdu in (smpp.DeliverSm, smpp.DataSm, smpp.AlertNotification))
_OF_AN_SMSC = _ALWAYS | _DELIVERING | {smpp.Outbind.command_id}
_SILENT = frozenset(pdu.command_id for pdu in (smpp.Outbind, smpp.AlertNotification))

_BOUND = (LinkState.BOUND, LinkState.UNBINDING)

MAY_REQUEST: dict[BindType, frozenset[int]] = {
    "transmitter": _SUBMITTING | _ALWAYS,
    "receiver": _ALWAYS | {smpp.DataSm.command_id},
    "transceiver": _SUBMITTING | _ALWAYS,
}
"""The requests that an ESME may send once it is bound."""


def refusal(command_id: int, state: LinkState, bind_type: BindType) -> int:
    """The status for a request of the SMSC: ROK if it may be sent now, RINVBNDSTS if at another time, else RINVCMDID.

    What is on its way when we begin to unbind was sent in time.
    """
    if command_id in _DELIVERING and state in _BOUND and bind_type != "transmitter":
        return ROK
    if command_id in _ALWAYS:
        return ROK
    return RINVBNDSTS if command_id in _OF_AN_SMSC else smpp.RINVCMDID


def has_response(command_id: int) -> bool:
    """Whether a request may be answered at all, even to refuse it."""
    return command_id not in _SILENT


def bind_request(settings: AccountSettings, bind_type: BindType) -> smpp.Pdu:
    """What opens a session."""
    return _BINDS[bind_type](
        system_id=settings.system_id.encode("latin-1", "replace"),
        password=settings.password.encode("latin-1", "replace"),
        system_type=settings.system_type.encode("latin-1", "replace"),
        interface_version=VERSIONS[settings.interface_version],
        address_range=settings.address_range.encode("latin-1", "replace"),
    )


def takes_tlvs(settings: AccountSettings, bind_resp: smpp.Pdu) -> bool:
    """Whether optional parameters may be sent: from version 3.4 on, to a peer that does not say it is older.

    SMPP 3.4 §5.2.25 has an SMSC say its version in sc_interface_version. Many of version 3.4 leave it out, so where
    it is missing the agreed version holds.
    """
    version = bind_resp.tlv(SC_INTERFACE_VERSION)
    return settings.interface_version != "3.3" and (not version or version[0] >= VERSIONS["3.4"])
