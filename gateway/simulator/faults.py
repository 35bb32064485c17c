"""What goes wrong, when, and how: decided from a seed, never from the clock. Pure.

A decision depends on the seed, on the fault's id and on how many PDUs of that account (or phone) the fault has looked
at; so a run with the same seed and the same traffic meets the same faults.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Annotated, Literal

import msgspec
from smpplib import consts

from gateway.simulator.magic import MAGIC, digits_of

On = Literal[
    "bind", "submit_sm", "data_sm", "submit_multi", "query_sm", "cancel_sm", "replace_sm", "enquire_link", "unbind",
    "any_request", "deliver_sm", "receipt_sm", "message", "receipt", "long_text",
]  # fmt: skip
"""What a fault looks at: a request of the ESME by name, or any; a deliver_sm, or one that is a receipt, as it is
written; a message that was accepted; one whose receipt was asked for; a long text that a phone sends."""
Kind = Literal[
    "status", "nack", "delay", "silence", "lost", "drop_before", "drop_after", "throttle", "congestion", "slow_reading",
    "duplicate", "lost_response", "malformed",
    "receipt_early", "receipt_late", "receipt_twice", "receipt_lost", "receipt_id", "receipt_without_id",
    "receipt_data_sm", "receipt_esm_class", "receipt_other_bind", "undelivered",
    "parts_shuffled", "part_missing",
]  # fmt: skip
Malformed = Literal[
    "length_short", "length_huge", "length_long", "unknown_command", "truncated_tlv", "unterminated", "sm_length"
]

KINDS: dict[Kind, str] = {
    "status": "the request is refused with `status`",
    "nack": "it is answered with a generic_nack that carries `status`",
    "delay": "it is answered after `seconds`, or between `seconds` and `until`",
    "silence": "it is taken and never answered",
    "lost": "it is neither taken nor answered",
    "drop_before": "it is taken, and the link breaks before the response; a deliver_sm: before it is written",
    "drop_after": "the link breaks after the response; a deliver_sm: after it is written",
    "throttle": "more than `per_second` in a second are refused with `status`",
    "congestion": "its response carries congestion_state `congestion`",
    "slow_reading": "nothing is read from that connection for `seconds`",
    "duplicate": "the deliver_sm is written twice",
    "lost_response": "its deliver_sm_resp is not heard: after the response timer it is delivered again",
    "malformed": "a spoilt copy, `shape`, goes ahead of it",
    "receipt_early": "the receipt goes out before the submit_sm_resp",
    "receipt_late": "the receipt comes after `seconds`, or between `seconds` and `until`",
    "receipt_twice": "the receipt comes twice",
    "receipt_lost": "the receipt never comes",
    "receipt_id": "its text spells the id as `form` says",
    "receipt_without_id": "it names no message",
    "receipt_data_sm": "it is a data_sm",
    "receipt_esm_class": "its esm_class is 0",
    "receipt_other_bind": "it comes on another bind, of the same account if there is one",
    "undelivered": "the message is not brought; the receipt says UNDELIV with `error`",
    "parts_shuffled": "the segments go out of order",
    "part_missing": "one segment never goes",
}
_REQUESTS: tuple[Kind, ...] = (
    "status", "nack", "delay", "silence", "lost", "drop_before", "drop_after", "throttle", "congestion", "slow_reading",
)  # fmt: skip
_DELIVERIES: tuple[Kind, ...] = ("duplicate", "lost_response", "malformed", "drop_before", "drop_after")
_RECEIPTS: tuple[Kind, ...] = (
    "receipt_early", "receipt_late", "receipt_twice", "receipt_lost", "receipt_id", "receipt_without_id",
    "receipt_data_sm", "receipt_esm_class", "receipt_other_bind",
)  # fmt: skip
_DEFAULT_ON: dict[Kind, On] = {
    **dict.fromkeys(_REQUESTS, "submit_sm"),
    **dict.fromkeys(("duplicate", "lost_response", "malformed"), "deliver_sm"),
    **dict.fromkeys(_RECEIPTS, "receipt"),
    **dict.fromkeys(("parts_shuffled", "part_missing"), "long_text"),
    "undelivered": "message",
}
_PLACES: dict[On, tuple[Kind, ...]] = {
    "deliver_sm": _DELIVERIES,
    "receipt_sm": _DELIVERIES,
    "message": ("undelivered",),
    "receipt": _RECEIPTS,
    "long_text": ("parts_shuffled", "part_missing"),
}
"""The kinds that make sense on what; elsewhere those of requests do."""

Seconds = Annotated[float, msgspec.Meta(ge=0, le=3_600)]
Times = Annotated[int, msgspec.Meta(ge=1)]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing that goes wrong. ValueError where the kind does not go with `on`, or the status has no such name."""

    kind: Kind
    on: On | None = None
    """None: what the kind is usually about."""
    account: str = ""
    """Only this system_id's; empty: all."""
    number: str = ""
    """Only PDUs with a number, sender or destination, that ends so; empty: all."""
    per: Literal["account", "phone"] = "account"
    """What is counted by `every`, `after` and `times`: PDUs of an account, or those of a phone."""
    every: Times = 1
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    after: Annotated[int, msgspec.Meta(ge=0)] = 0
    """So many pass first."""
    times: Times | None = None
    """No more than so many; None: without end."""
    status: int | str = 0x08
    """A number, or a name of the standard: "RSYSERR", "RTHROTTLED", which is what `throttle` means by itself."""
    seconds: Seconds = 1.0
    until: Seconds | None = None
    per_second: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    congestion: Annotated[int, msgspec.Meta(ge=0, le=255)] = 100
    shape: Malformed = "truncated_tlv"
    form: Literal["decimal", "hex", "padded", "padded8", "padded10", "hyphens"] = "hex"
    error: Annotated[int, msgspec.Meta(ge=0, le=999)] = 1

    def __post_init__(self) -> None:
        self.status_code()
        allowed = _PLACES.get(self.place, _REQUESTS)
        if self.kind not in allowed:
            raise ValueError(
                f"{self.kind!r} does not go with on = {self.place!r}, where there are {', '.join(allowed)}"
            )

    @property
    def place(self) -> On:
        return self.on or _DEFAULT_ON[self.kind]

    def status_code(self) -> int:
        if self.kind == "throttle" and self.status == 0x08:
            return int(consts.SMPP_ESME_RTHROTTLED)
        return status_code(self.status)


def status_code(name: int | str) -> int:
    """Of a number, `0x58`, or a name with or without its ESME_."""
    if isinstance(name, int):
        return name
    if re.fullmatch(r"0x[0-9A-Fa-f]{1,8}", name):
        return int(name, 16)
    code = getattr(consts, "SMPP_ESME_" + name.upper().removeprefix("ESME_"), None)
    if code is None:
        raise ValueError(f"{name!r} is no command_status: a number, 0x58, or a name such as RTHROTTLED")
    return int(code)


class Strike(msgspec.Struct, frozen=True):
    """A fault that meets this PDU, with what chance decided for it."""

    fault: Fault
    seconds: float
    """Drawn between fault.seconds and fault.until."""
    draw: float
    """In [0, 1): for whatever else is left to chance."""


class Faults:
    """Those that hold now, each with its counts."""

    def __init__(self, seed: int = 0, faults: tuple[Fault, ...] = (), magic: bool = True) -> None:
        self._seed = seed
        self._ids = count(1)
        self._held: dict[int, Fault] = {}
        self._looked: dict[tuple[int, str], int] = {}
        self._struck: dict[tuple[int, str], int] = {}
        self._buckets: dict[tuple[int, str], tuple[float, float]] = {}
        self._magic = magic
        for fault in faults:
            self.add(fault)

    @property
    def held(self) -> dict[int, Fault]:
        """By id, oldest first."""
        return dict(self._held)

    def struck(self, id: int) -> int:
        """How many PDUs it has met."""
        return sum(times for (fault, _), times in self._struck.items() if fault == id)

    def add(self, fault: Fault) -> int:
        """From now on it holds; its id."""
        id = next(self._ids)
        self._held[id] = fault
        return id

    def remove(self, id: int) -> None:
        """KeyError if there is none."""
        del self._held[id]

    def clear(self) -> None:
        self._held.clear()

    def meet(self, place: On, account: str, numbers: tuple[str, ...], now: float) -> tuple[Strike, ...]:
        """What befalls one PDU. `numbers`: the phone's first; `now`: monotonic seconds, for `throttle` alone."""
        if not self._held and not (self._magic and any(map(digits_of, numbers))):
            return ()
        return tuple(self._strikes(place, account, numbers, now))

    def _strikes(self, place: On, account: str, numbers: tuple[str, ...], now: float) -> Iterator[Strike]:
        for id, fault in self._here(numbers):
            if fault.place != place and not (fault.place == "any_request" and place not in _PLACES):
                continue
            if fault.account not in ("", account):
                continue
            if fault.number and not any(number.endswith(fault.number) for number in numbers):
                continue
            key = (id, account if fault.per == "account" else "".join(numbers[:1]))
            if strike := self._decide(key, fault, now):
                yield strike

    def _here(self, numbers: tuple[str, ...]) -> Iterator[tuple[int, Fault]]:
        yield from self._held.items()
        if self._magic:
            for number in numbers:
                digits = digits_of(number)
                if digits in MAGIC:
                    yield -int(digits), _MAGIC_FAULTS[digits]

    def _decide(self, key: tuple[int, str], fault: Fault, now: float) -> Strike | None:
        ordinal = self._looked[key] = self._looked.get(key, 0) + 1
        chance = Random(f"{self._seed}/{key[0]}/{key[1]}/{ordinal}")
        struck = self._struck.get(key, 0)
        if ordinal <= fault.after or (ordinal - fault.after) % fault.every or struck == fault.times:
            return None
        if chance.random() >= fault.probability or (fault.kind == "throttle" and self._room(key, fault, now)):
            return None
        self._struck[key] = struck + 1
        return Strike(fault, chance.uniform(fault.seconds, fault.until or fault.seconds), chance.random())

    def _room(self, key: tuple[int, str], fault: Fault, now: float) -> bool:
        """A token bucket that holds a second's worth."""
        full = max(fault.per_second, 1.0)
        tokens, since = self._buckets.get(key, (full, now))
        tokens = min(full, tokens + (now - since) * fault.per_second)
        room = tokens >= 1
        self._buckets[key] = (tokens - room, now)
        return room


_MAGIC_FAULTS = {digits: msgspec.convert(fields, Fault) for digits, (fields, _) in MAGIC.items()}
