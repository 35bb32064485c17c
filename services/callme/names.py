"""Which names a sender may go by: short, made of letters, and nothing that offends or deceives."""

from __future__ import annotations

import tomllib
import unicodedata
from pathlib import Path

import msgspec

from vas import Invalid, fold

NAME_LENGTH = 10
DIGITS_MAX = 3
"""More could pass for a number to ring instead of the sender's."""
_LOOKALIKES = str.maketrans("013457", "oieast")


class Name(msgspec.Struct, frozen=True):
    """A sender's name, checked."""

    text: str

    @classmethod
    def parse(cls, raw: str) -> Name:
        """At most 10 letters, digits and spaces; raises Invalid `name_long`, `name_letters` or `name_refused`."""
        text = " ".join(unicodedata.normalize("NFC", raw).split())
        folded = fold(text).lower()
        if len(text) > NAME_LENGTH:
            raise Invalid("name_long", limit=NAME_LENGTH)
        # What does not fold to ASCII is another script, whose letters may look like others.
        plain = folded.replace(" ", "")
        if not plain.isascii() or not plain.isalnum() or plain.isdigit():
            raise Invalid("name_letters")
        if sum(character.isdigit() for character in plain) > DIGITS_MAX or _offends(text.lower(), folded):
            raise Invalid("name_refused")
        return cls(text)


def _offends(written: str, folded: str) -> bool:
    read = folded.translate(_LOOKALIKES)
    if any(f" {word} " in f" {text} " for word in _LISTS["words"] for text in (written, folded, read)):
        return True
    joined = [text.replace(" ", "") for text in (folded, read)]
    return any(word in text for word in _LISTS["inside"] for text in joined)


_LISTS = tomllib.loads(Path(__file__).with_name("names.toml").read_text("utf-8"))
