"""The id of a message in a submit_sm_resp, and the one in its receipt, which many SMSCs spell differently. Pure."""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Literal

ReceiptId = Literal["same", "hex_to_dec", "dec_to_hex", "strip0", "auto"]
"""How the id in a submit_sm_resp becomes the one in the receipt's text."""

ID_CHARACTERS_MAX = 64
"""SMPP 3.4 §5.2.23, without its NUL."""
REMEMBERED_MAX = 10_000
LEAD = 8
"""How many receipts more than for all other rules together must speak for a rule before it holds."""

_decimal = re.compile(r"[0-9]+").fullmatch
_hexadecimal = re.compile(r"[0-9A-Fa-f]+").fullmatch


def _same(message_id: str) -> str:
    return message_id


def _plain(message_id: str) -> str:
    """Without hyphens, padding and capitals."""
    kept = message_id.replace("-", "").lower()
    return kept.lstrip("0") or kept[-1:]


def _in_decimal(message_id: str) -> str:
    """Of a hexadecimal number; empty for what is none."""
    return str(int(message_id, 16)) if _hexadecimal(message_id) else ""


def _in_hex(message_id: str) -> str:
    """Of a decimal number; empty for what is none."""
    return f"{int(message_id):x}" if _decimal(message_id) else ""


_SUBMITTED: dict[ReceiptId, Callable[[str], str]] = {
    "same": _same,
    "hex_to_dec": lambda message_id: _in_decimal(message_id) or message_id,
    "dec_to_hex": lambda message_id: _in_hex(message_id) or message_id,
    "strip0": _plain,
    "auto": _plain,
}
"""From the id of a submit_sm_resp to the common form, which is the one that receipts are matched by."""
_RECEIPTED: dict[ReceiptId, Callable[[str], str]] = {
    "same": _same,
    "hex_to_dec": lambda message_id: _plain(message_id) if _decimal(message_id) else message_id,
    "dec_to_hex": lambda message_id: _plain(message_id) if _hexadecimal(message_id) else message_id,
    "strip0": _plain,
}
"""From the id in a receipt's text."""
_RULES: dict[ReceiptId, Callable[[str], str]] = {"strip0": _same, "hex_to_dec": _in_hex, "dec_to_hex": _in_decimal}
"""What `auto` tries, in this order: from the plain id of a receipt back to the plain one that was submitted."""


class ReceiptIds:
    """How one account's SMSC spells ids: told every id of a submit_sm_resp, it names what each receipt is about.

    `auto` finds out. An id is remembered when it is submitted, up to REMEMBERED_MAX of them; a receipt whose id becomes
    one of those by exactly one rule speaks for that rule. A rule that leads by LEAD holds from then on, and nothing
    more is remembered. Until then a receipt gets the remembered id that a rule leads to, the leading rule's first;
    where none leads to one, what the leading rule says; and where no receipt has spoken yet, its own id.
    The same calls in the same order give the same answers. Nothing is kept over a restart.
    """

    def __init__(self, dialect: ReceiptId = "same") -> None:
        self._dialect = dialect
        self._remembered: OrderedDict[str, None] = OrderedDict()
        self._spoken: Counter[ReceiptId] = Counter()
        self.found: ReceiptId | None = None if dialect == "auto" else dialect
        """The rule that holds; None while `auto` is still finding out."""

    def submitted(self, message_id: bytes) -> str:
        """The id of a submit_sm_resp in the common form: what is kept with the message."""
        common = _SUBMITTED[self._dialect](message_id.decode("latin-1")[:ID_CHARACTERS_MAX])
        if self.found is None and common:
            self._remembered[common] = None
            if len(self._remembered) > REMEMBERED_MAX:
                self._remembered.popitem(last=False)
        return common

    def receipted(self, parameter: str, text: str) -> str:
        """The common form of a receipt's id: receipted_message_id, which is spelled as submitted, before the text's.

        Where the text's id begins with the parameter, that was cut short, or is spelled as in the text.
        """
        parameter, text = parameter[:ID_CHARACTERS_MAX], text[:ID_CHARACTERS_MAX]
        if parameter and not text.startswith(parameter):
            return _SUBMITTED[self._dialect](parameter)
        if self._dialect != "auto":
            return _RECEIPTED[self._dialect](text)
        return self._guessed(text)

    def _guessed(self, receipted: str) -> str:
        plain = _plain(receipted)
        if self.found is not None:
            return _RULES[self.found](plain) or plain
        fits = {rule: common for rule, back in _RULES.items() if (common := back(plain)) in self._remembered}
        if len(fits) == 1:
            self._speak(*fits)
        leading = self._spoken.most_common(1)[0][0] if self._spoken else "strip0"
        if leading in fits or not fits:
            return _RULES[leading](plain) or plain
        return next(iter(fits.values()))

    def _speak(self, rule: ReceiptId) -> None:
        self._spoken[rule] += 1
        if 2 * self._spoken[rule] - self._spoken.total() >= LEAD:
            self.found = rule
            self._remembered.clear()
