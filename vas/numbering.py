"""Vietnamese numbers in every spelling that people type, to E.164 digits and back. Pure.

Sources: Decision 798/QD-BTTTT of 2018 for the renumbering of 11-digit mobile numbers; facts of each
prefix as published by the operators; libphonenumber's metadata for all other countries.
"""

from __future__ import annotations

import re
from functools import lru_cache

import phonenumbers

from vas.errors import Invalid

HOME = "84"
"""Country calling code of Vietnam, where a number without a country code belongs."""

RENUMBERED_2018 = {
    "120": "70", "121": "79", "122": "77", "126": "76", "128": "78",
    "123": "83", "124": "84", "125": "85", "127": "81", "129": "82",
    "162": "32", "163": "33", "164": "34", "165": "35", "166": "36",
    "167": "37", "168": "38", "169": "39",
    "186": "56", "188": "58", "199": "59",
}  # fmt: skip
"""The leading digits, without the trunk 0, of 11-digit mobile numbers and of what they became."""

_MOBILE = re.compile(r"84[35789]\d{8}").fullmatch
_OLD_MOBILE = re.compile(r"84(1\d\d)(\d{7})").fullmatch
_NOISE = re.compile(r"[\s.\-()/]+")
_PREMIUM = re.compile(r"841(?:900|800)\d{4,8}").fullmatch
_LAND_LINE = re.compile(r"842\d{9}").fullmatch
_KEPT_SPELLINGS = 65_536


@lru_cache(_KEPT_SPELLINGS)
def e164(raw: str) -> str:
    """The digits of a subscriber's number with its country code and no sign: `84912345678`.

    Accepts 0…, 84…, +84…, 0084…, spaces, dots, hyphens, and the 11-digit mobile prefixes of before
    2018. A number of another country needs + or 00. Raises Invalid with the text key
    `number_invalid`, `number_short_code` or `number_premium`.
    """
    if _MOBILE(raw):
        return raw
    text = _NOISE.sub("", raw.strip())
    signed = text.startswith(("+", "00"))
    digits = text.removeprefix("+").removeprefix("00") if signed else text
    if not digits.isascii() or not digits.isdigit():
        raise Invalid("number_invalid")
    if not signed and len(digits) <= 6:
        raise Invalid("number_short_code" if len(digits) >= 3 and not digits.startswith("0") else "number_invalid")
    national = digits.removeprefix("0") if not signed else digits
    if not signed and not (digits.startswith(HOME) and len(digits) >= 11):
        digits = HOME + national
    if digits.startswith(HOME):
        return _vietnamese(HOME + digits[2:].removeprefix("0"))
    return _foreign(digits)


def _vietnamese(digits: str) -> str:
    if _MOBILE(digits):
        return digits
    if old := _OLD_MOBILE(digits):
        prefix, rest = old.groups()
        if prefix in RENUMBERED_2018:
            return HOME + RENUMBERED_2018[prefix] + rest
    if _PREMIUM(digits):
        raise Invalid("number_premium")
    if _LAND_LINE(digits):
        return digits
    raise Invalid("number_invalid")


def _foreign(digits: str) -> str:
    try:
        number = phonenumbers.parse("+" + digits)
    except phonenumbers.NumberParseException:
        raise Invalid("number_invalid") from None
    if not phonenumbers.is_possible_number(number):
        raise Invalid("number_invalid")
    return digits


def is_mobile(digits: str) -> bool:
    """Whether E.164 digits are a Vietnamese mobile number."""
    return _MOBILE(digits) is not None


def national(digits: str) -> str:
    """As people here write it: `0912345678`; a foreign number with +."""
    return "0" + digits[2:] if digits.startswith(HOME) else "+" + digits
