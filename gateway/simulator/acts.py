"""What may be done with a phone from outside, by name: over HTTP and in scenarios alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec

from gateway.simulator.delivery import Mo
from gateway.simulator.phone import Phone
from gateway.simulator.plain_words import convert

TEXT_CHARACTERS = 10_000
BALANCE_MAX = 10**12

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_CHARACTERS)]


class Sms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    to: Text
    text: Text


class Dial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: Text


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: Text


class Balance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    balance: Annotated[int, msgspec.Meta(ge=0, le=BALANCE_MAX)]
    """In đồng."""


class Language(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    language: Annotated[str, msgspec.Meta(pattern="^[a-z]{2}$")]
    """ISO 639-1."""


class Nothing(msgspec.Struct, frozen=True):
    pass


Act = Callable[[Phone, Any], tuple[Mo, ...]]


def _text(phone: Phone, sms: Sms) -> tuple[Mo, ...]:
    return phone.text(sms.text, sms.to)


def _dial(phone: Phone, dial: Dial) -> tuple[Mo, ...]:
    return (phone.dial(dial.code),)


def _answer(phone: Phone, answer: Answer) -> tuple[Mo, ...]:
    return (phone.answer(answer.text),)


def _hang_up(phone: Phone, _: Nothing) -> tuple[Mo, ...]:
    return (phone.hang_up(),)


def _switch(how: Callable[[Phone], None]) -> Act:
    def switch(phone: Phone, _: Nothing) -> tuple[Mo, ...]:
        how(phone)
        return ()

    return switch


def _balance(phone: Phone, balance: Balance) -> tuple[Mo, ...]:
    phone.balance = balance.balance
    return ()


def _language(phone: Phone, language: Language) -> tuple[Mo, ...]:
    phone.language = language.language
    return ()


ACTS: Mapping[str, tuple[type[msgspec.Struct], Act]] = {
    "sms": (Sms, _text),
    "dial": (Dial, _dial),
    "answer": (Answer, _answer),
    "hang_up": (Nothing, _hang_up),
    "switch_on": (Nothing, _switch(Phone.switch_on)),
    "switch_off": (Nothing, _switch(Phone.switch_off)),
    "out_of_service": (Nothing, _switch(Phone.out_of_service)),
    "fill": (Nothing, _switch(Phone.fill)),
    "balance": (Balance, _balance),
    "language": (Language, _language),
}
"""The body of each act, and what it does: the deliver_sm that it made."""


def perform(phone: Phone, act: str, body: object) -> tuple[Mo, ...]:
    """Raises KeyError for an act that there is not, ValueError for a body that does not go with it."""
    kind, does = ACTS[act]
    return does(phone, convert(body, kind))
