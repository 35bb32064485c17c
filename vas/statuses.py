"""What a command_status is called, and what it means, for people. Pure.

Names and words are smpplib's, of SMPP 3.4 §5.1.3, with what it lacks: SMPP 5.0 §4.7.6, and what the SMSCs of Russian
operators answer in the range that both standards leave to vendors.
"""

from __future__ import annotations

from smpplib import consts

VENDOR = range(0x400, 0x500)
"""Reserved for the SMSC vendor's own."""
BROADCAST = range(0x100, 0x113)
"""New in SMPP 5.0."""

_LATER: dict[int, tuple[str, str]] = {
    0x07: ("RINVREGDLVFLG", "Invalid Registered Delivery Flag"),
    0x100: ("RSERTYPUNAUTH", "Not authorised to use the service_type"),
    0x101: ("RPROHIBITED", "Prohibited from using the operation"),
    0x102: ("RSERTYPUNAVAIL", "The service_type is unavailable"),
    0x103: ("RSERTYPDENIED", "The service_type is denied"),
    0x104: ("RINVDCS", "Invalid Data Coding Scheme"),
    0x105: ("RINVSRCADDRSUBUNIT", "Invalid Source Address Subunit"),
    0x106: ("RINVDSTADDRSUBUNIT", "Invalid Destination Address Subunit"),
    0x107: ("RINVBCASTFREQINT", "Invalid Broadcast Frequency Interval"),
    0x108: ("RINVBCASTALIAS_NAME", "Invalid Broadcast Alias Name"),
    0x109: ("RINVBCASTAREAFMT", "Invalid Broadcast Area Format"),
    0x10A: ("RINVNUMBCAST_AREAS", "Invalid number of Broadcast Areas"),
    0x10B: ("RINVBCASTCNTTYPE", "Invalid Broadcast Content Type"),
    0x10C: ("RINVBCASTMSGCLASS", "Invalid Broadcast Message Class"),
    0x10D: ("RBCASTFAIL", "broadcast_sm failed"),
    0x10E: ("RBCASTQUERYFAIL", "query_broadcast_sm failed"),
    0x10F: ("RBCASTCANCELFAIL", "cancel_broadcast_sm failed"),
    0x110: ("RINVBCAST_REP", "Invalid number of repeated broadcasts"),
    0x111: ("RINVBCASTSRVGRP", "Invalid Broadcast Service Group"),
    0x112: ("RINVBCASTCHANIND", "Invalid Broadcast Channel Indicator"),
}
_OF_VENDORS = {
    0x440: "System error of the SMSC vendor's own",
    0x442: "Agreed rate exceeded, in the SMSC vendor's own words",
    **dict.fromkeys(range(0x443, 0x448), "Service or charging error of the SMSC vendor's own"),
}
_NAMES: dict[int, str] = {
    **{value: name.removeprefix("SMPP_ESME_") for name, value in vars(consts).items() if name.startswith("SMPP_ESME_")},
    **{status: name for status, (name, _) in _LATER.items()},
}
# smpplib explains some statuses in brackets, which would stand before the name's own.
_WORDS: dict[int, str] = {
    **{status: words.partition(" (")[0] for status, words in consts.DESCRIPTIONS.items()},
    **{status: words for status, (_, words) in _LATER.items()},
    **dict.fromkeys(VENDOR, "Error of the SMSC vendor's own"),
    **_OF_VENDORS,
}


def is_standard(status: int) -> bool:
    """Whether SMPP 3.4 names the status."""
    return status in _NAMES and status not in BROADCAST


def status_name(status: int) -> str:
    """`RTHROTTLED`, or `0x00000440` where no standard has a name."""
    return _NAMES.get(status, f"0x{status:08X}")


def status_words(status: int) -> str:
    """`Throttling error (RTHROTTLED)`; `Unknown status (0x00000009)` where nobody says what it means."""
    return f"{_WORDS.get(status, 'Unknown status')} ({status_name(status)})"
