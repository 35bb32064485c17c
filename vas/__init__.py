"""The public API: all that a service may import.

    from vas import Context, Msisdn, Outcome, Refused, Reply, Service, Talk

`docs/writing-a-service.md` teaches it by an example that the tests run.
"""

from vas.alphabet import fits_sms
from vas.context import Context
from vas.errors import Invalid, Refused
from vas.messages import Msisdn
from vas.replies import Outcome, Reply
from vas.secret import Secret
from vas.service import Service
from vas.subscribers import Status, Subscriber, speak, want_accents, want_adverts
from vas.talk import Talk
from vas.texts import fold

__all__ = [
    "Context",
    "Invalid",
    "Msisdn",
    "Outcome",
    "Refused",
    "Reply",
    "Secret",
    "Service",
    "Status",
    "Subscriber",
    "Talk",
    "fits_sms",
    "fold",
    "speak",
    "want_accents",
    "want_adverts",
]
