"""Subscribers' numbers as people write them. Pure."""

from __future__ import annotations

import re

from vas.errors import Invalid
from vas.messages import Msisdn

is_number = re.compile(r"[0-9]{3,15}").fullmatch


def international(written: str) -> str:
    """The digits by which the network knows a subscriber: `0912345678` and `+84 912 345 678` are `84912345678`.

    What is no number of Vietnam stays as it is, 3 to 15 digits. Raises ValueError for what is no number, and for one
    with a leading 0 that nobody has.
    """
    try:
        return Msisdn.parse(written).digits
    except Invalid:
        if not is_number(written):
            raise ValueError(f"{written!r} is no number of 3 to 15 digits") from None
        if written.startswith("0"):
            raise ValueError(f"{written!r} is nobody's number: write it as 0912345678 or 84912345678") from None
        return written
