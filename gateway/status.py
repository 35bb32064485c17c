"""What a command_status is called, what it means, and what it asks of an ESME. Pure.

Names and words are smpplib's, of SMPP 3.4 §5.1.3; the classes are how SMSCs in the field use them.
"""

from __future__ import annotations

from enum import Enum

from smpplib import consts

from gateway.pdu import RINVCMDID, RINVCMDLEN
from vas.messages import RMSGQFUL, ROK, RTHROTTLED, RX_T_APPN

RINVBNDSTS = 0x04
RALYBND = 0x05
RSYSERR = 0x08
RBINDFAIL = 0x0D
RINVPASWD = 0x0E
RINVSYSID = 0x0F
RINVSYSTYP = 0x53


class StatusClass(Enum):
    """What to do about a status."""

    OK = "ok"
    THROTTLE = "throttle"
    """Keep the message, count no attempt, slow the account."""
    TRANSIENT = "transient"
    """Try again later, a few times."""
    SESSION = "session"
    """Keep the message, bind anew."""
    PERMANENT = "permanent"
    """Fail now."""
    OUR_BUG = "our bug"
    """Fail now, and tell us."""
    VENDOR = "vendor"
    """Not in the standard: one more try."""


_CLASSES = {
    ROK: StatusClass.OK,
    RTHROTTLED: StatusClass.THROTTLE,
    RMSGQFUL: StatusClass.THROTTLE,
    **dict.fromkeys((RSYSERR, RX_T_APPN, 0x45, 0xFE, 0xFF), StatusClass.TRANSIENT),
    **dict.fromkeys((RINVBNDSTS, RALYBND, RBINDFAIL, RINVPASWD, RINVSYSID, RINVSYSTYP), StatusClass.SESSION),
    **dict.fromkeys((RINVCMDLEN, RINVCMDID), StatusClass.OUR_BUG),
    # Service and charging errors that Russian operators number so.
    **dict.fromkeys(range(0x443, 0x448), StatusClass.PERMANENT),
}
_NAMES: dict[int, str] = {
    value: name.removeprefix("SMPP_ESME_") for name, value in vars(consts).items() if name.startswith("SMPP_ESME_")
}
_MISSING_WORDS = "<Desc Not Set>"


def status_class(status: int) -> StatusClass:
    """The class of a status; anything of the standard that is not listed is permanent, the rest is the vendor's."""
    found = _CLASSES.get(status)
    if found is not None:
        return found
    return StatusClass.PERMANENT if status in _NAMES else StatusClass.VENDOR


def status_name(status: int) -> str:
    """`RTHROTTLED`, or `0x00000440` where the standard has no name."""
    return _NAMES.get(status, f"0x{status:08X}")


def status_words(status: int) -> str:
    """What a status means, for people: `Throttling error (RTHROTTLED)`."""
    words = consts.DESCRIPTIONS.get(status, _MISSING_WORDS)
    return status_name(status) if words == _MISSING_WORDS else f"{words} ({status_name(status)})"
