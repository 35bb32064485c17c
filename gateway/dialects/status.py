"""What a command_status asks of an ESME: how the SMSCs of the field use those of SMPP 3.4 §5.1.3. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from gateway.pdus.pdu import RINVCMDID, RINVCMDLEN
from gateway.settings import StatusKind
from vas.messages import RMSGQFUL, ROK, RTHROTTLED, RX_T_APPN
from vas.statuses import is_standard
from vas.statuses import status_name as status_name
from vas.statuses import status_words as status_words

RINVBNDSTS = 0x04
RALYBND = 0x05
RSYSERR = 0x08
RBINDFAIL = 0x0D
RINVPASWD = 0x0E
RINVSYSID = 0x0F
RINVSYSTYP = 0x53
RSUBMITFAIL = 0x45
RDELIVERYFAILURE = 0xFE
RUNKNOWNERR = 0xFF


class StatusClass(Enum):
    """What to do about a status. The values of `gateway.settings.StatusKind` are among them."""

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
    """Nobody says what it means: the account tries once more by itself, then it is permanent."""


_CLASSES = {
    ROK: StatusClass.OK,
    RTHROTTLED: StatusClass.THROTTLE,
    RMSGQFUL: StatusClass.THROTTLE,
    **dict.fromkeys((RSYSERR, RX_T_APPN, RSUBMITFAIL, RDELIVERYFAILURE, RUNKNOWNERR), StatusClass.TRANSIENT),
    **dict.fromkeys((RINVBNDSTS, RALYBND, RBINDFAIL, RINVPASWD, RINVSYSID, RINVSYSTYP), StatusClass.SESSION),
    **dict.fromkeys((RINVCMDLEN, RINVCMDID), StatusClass.OUR_BUG),
    # Service and charging errors that Russian operators number so.
    **dict.fromkeys(range(0x443, 0x448), StatusClass.PERMANENT),
}
_NOTHING_OF_ITS_OWN: Mapping[int, StatusKind] = {}


def status_class(status: int, own: Mapping[int, StatusKind] = _NOTHING_OF_ITS_OWN) -> StatusClass:
    """The class of a status: what the account's settings say of it in `own`, else the table.

    What SMPP 3.4 names and the table does not is permanent. All else is the vendor's, also what SMPP 5.0 names:
    SMSCs used those numbers before there was a 5.0.
    """
    if status and (kind := own.get(status)):
        return StatusClass(kind)
    found = _CLASSES.get(status)
    if found is not None:
        return found
    return StatusClass.PERMANENT if is_standard(status) else StatusClass.VENDOR
