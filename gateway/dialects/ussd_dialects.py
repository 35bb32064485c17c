"""How USSD gateways of the field carry a dialogue over SMPP, each as a value. Pure.

SMPP 3.4 gives two parameters, ussd_service_op (§5.3.2.44) and its_session_info (§5.3.2.43), and no rule for what
a dialogue is. So every vendor has one of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from gateway.sms.style import Alphabet

PSSD_INDICATION = 0
PSSR_INDICATION = 1
USSR_REQUEST = 2
USSN_REQUEST = 3
PSSD_RESPONSE = 16
PSSR_RESPONSE = 17
USSR_CONFIRM = 18
USSN_CONFIRM = 19
USSREL_INDICATION = 129
"""A vendor's: the subscriber or the network has released the dialogue. Several gateways share the number."""

SessionIn = Literal[
    "msisdn", "user_message_reference", "its_15_1", "its_spec", "its_opaque", "address_suffix", "tlv"
]  # fmt: skip
Coding = Literal["gsm", "gsm_packed", "ucs2", "latin1", "ascii", "binary"]


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """How one kind of USSD gateway says what happens in a dialogue. The defaults are SMPP 3.4's."""

    session: SessionIn = "its_spec"
    """Where the number of a dialogue is; with the MSISDN it is the dialogue's key.

    `msisdn`: there is none. `user_message_reference`: that parameter. In its_session_info: `its_15_1`, the upper
    15 bits; `its_spec`, octet 1, with a sequence in octet 2; `its_opaque`, all of it. `address_suffix`: appended
    to an address. `tlv`: the parameter `session_tag`."""
    session_tag: int = 0
    """The tag of the parameter that holds the session, for `tlv`."""
    suffix_of: Literal["code", "msisdn"] = "code"
    """The address that an `address_suffix` is appended to: the code, which is the destination of what comes and the
    source of what goes; or the subscriber's number."""
    suffix_form: Literal["decimal", "hex"] = "decimal"
    suffix_digits: int = 0
    """How many digits at the end are the suffix; 0: all after the last `#`."""
    numbers_pushes: bool = True
    """Whether we choose the session of a dialogue that we begin; else the gateway does, and we send none."""
    end_bit: bool = True
    """Whether the lowest bit of its_session_info says that the dialogue ends; for `its_15_1` and `its_spec`."""
    begins: frozenset[int] = frozenset({PSSD_INDICATION, PSSR_INDICATION})
    """The ussd_service_op of a deliver_sm that opens a dialogue. One that neither begins nor ends goes on."""
    ends: frozenset[int] = frozenset({PSSD_RESPONSE, PSSR_RESPONSE, USSN_CONFIRM, USSREL_INDICATION})
    """Those of a deliver_sm to which nothing can be shown: the end, a hang-up, a timeout, a notice that was shown."""
    ask: int = USSR_REQUEST
    """The ussd_service_op of a screen that waits for an answer."""
    close: int = PSSR_RESPONSE
    """That of a last screen."""
    push: int = USSR_REQUEST
    """That of a question with which we begin a dialogue."""
    notice: int = USSN_REQUEST
    """That of a screen without an answer with which we begin and end one."""
    service_type_in: bytes = b"USSD"
    """The service_type that says USSD where ussd_service_op is missing; empty: only ussd_service_op does."""
    service_type: bytes = b"USSD"
    """The service_type of what we send."""
    dialled_in: Literal["short_message", "destination_addr", "either"] = "short_message"
    """Where the dialled string is; `either`: where something like `*100#` is found first."""
    complete: bool = False
    """Whether the gateway takes `*` and `#` off the dialled string, so that they have to be put back."""
    codings: Mapping[int, Coding] = {}
    """What a data_coding of a deliver_sm means, where it is neither SMPP's nor that of 3GPP TS 23.038 §5."""
    alphabet: Alphabet = "gsm"
    """How text of seven bits travels, in both directions."""
    gsm_octet: int = 0x00
    """The data_coding of a screen in that alphabet; 0x0F to gateways that read the octet as TS 23.038 §5."""
    ucs2_octet: int = 0x08
    """That of a screen in UCS-2; 0x48 to the same gateways."""
    echo: tuple[int, ...] = ()
    """Tags of parameters that an answer gives back as they came."""
    add: Mapping[int, bytes] = {}
    """Parameters that everything we send carries."""


DIALECTS: dict[str, Dialect] = {
    "spec": Dialect(),
    # vumi, transports/smpp/processors/sixdee: the code may be in destination_addr, 129 is the user's abort.
    "6d": Dialect(session="its_15_1", dialled_in="either"),
    # vumi, processors/mica. It sent and took 0x17 where 17 is meant, and worked, so both end a dialogue.
    "mica": Dialect(
        session="user_message_reference",
        ends=frozenset({PSSD_RESPONSE, PSSR_RESPONSE, 0x17, USSN_CONFIRM, USSREL_INDICATION}),
    ),
    # vumi, for Tata: every reply is a USSR request, and the lowest bit says which is the last.
    "tata": Dialect(session="its_15_1", close=USSR_REQUEST),
    # Sibinco SCAG at Russian operators: a submit_sm with 2 or 3 and without a reference is a new push. What 35 means is
    # told nowhere; nobody waits for a screen after it.
    "scag": Dialect(
        session="user_message_reference",
        numbers_pushes=False,
        ends=frozenset({PSSD_RESPONSE, PSSR_RESPONSE, USSN_CONFIRM, 35, USSREL_INDICATION}),
    ),
    # Bercut: *100*path#SESSION, the destination of deliver_sm and the source of submit_sm.
    "bercut": Dialect(session="address_suffix", dialled_in="either", numbers_pushes=False),
    # What NowSMS met at most gateways ("USSD and NowSMS, revisited", 2009): a session that is echoed.
    "nowsms": Dialect(session="its_opaque"),
    # Huawei's SMPP variant names no session (jsmpp #150): a subscriber has one dialogue at a time.
    "msisdn": Dialect(session="msisdn", numbers_pushes=False),
}


def derived(like: str, changes: Mapping[str, object]) -> Dialect:
    """A shipped dialect with some fields changed. Raises KeyError for a dialect, TypeError for a field, of no name."""
    return msgspec.structs.replace(DIALECTS[like], **changes)
