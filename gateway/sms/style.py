"""How an SMSC account writes what a message says. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

Alphabet = Literal["gsm", "gsm_packed", "latin1", "ascii"]
"""What data_coding 0 means to an SMSC: GSM 03.38 an octet a septet, or packed, ISO 8859-1, or ASCII."""
Nation = Literal["turkish", "spanish", "portuguese"]
"""A national language of 3GPP TS 23.038 Annex A."""
LongMessages = Literal["udh", "udh16", "sar", "payload"]
"""How segments are marked: UDH with an 8-bit or 16-bit reference, sar_* parameters, or whole in message_payload."""


class Style(msgspec.Struct, frozen=True):
    """What of an account's settings decides how a text becomes octets, and octets a text."""

    alphabet: Alphabet = "gsm"
    national: tuple[Nation, ...] = ()
    """Whose shift tables may be used where they are cheaper than UCS-2."""
    long_messages: LongMessages = "udh"
