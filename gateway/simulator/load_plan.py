"""What a load sends, and the file that says so."""

from __future__ import annotations

from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Annotated

import msgspec

from gateway.simulator import dialects, texting
from gateway.simulator.dialects import Turn
from gateway.simulator.faults import Fault
from gateway.simulator.settings_file import convert, read_toml

FIRST_PHONE = 84_900_000_000
FIRST_FRIEND = 84_380_000_000

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a phone sends, always the same, as a subscriber's favourite command is."""

    text: Annotated[str, msgspec.Meta(min_length=1)]
    """Sent by SMS, or dialled if it starts with `*` or `#`; `{friend}` becomes a number, another for each phone."""
    to: str = "9105"
    """The short code of an SMS."""
    answers: tuple[str, ...] = ()
    """What the phone answers to one screen after the other, where `text` is dialled."""
    weight: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 1
    """So many phones of all send this one."""

    def frames(self, phone: str, index: int) -> tuple[bytes, ...]:
        """The deliver_sm of each of its turns; ValueError for an SMS of several segments."""
        said = [text.replace("{friend}", str(FIRST_FRIEND + index)) for text in (self.text, *self.answers)]
        if not said[0].startswith(("*", "#")):
            ((_, pdu),) = texting.sms(phone, self.to, said[0], 0)
            return (pdu.encode(),)
        code = said[0].strip("*#").partition("*")[0]
        turns = [Turn("dial", phone, code, said[0], index % 256)]
        turns += [Turn("answer", phone, code, text, index % 256, place) for place, text in enumerate(said[1:], 1)]
        return tuple(dialects.deliver(turn, "spec").encode() for turn in turns)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent. Each phone waits for its reply before it sends again; phones take turns."""

    messages: int
    text: str = "CM {friend}"
    """The only command, where there are no `commands`."""
    to: str = "9105"
    commands: tuple[Command, ...] = ()
    first_phone: int = FIRST_PHONE
    """The number of the first phone; the others follow it."""
    phones: int = 10_000
    outstanding: int = 100
    """Closed loop: commands without a reply at one time; at most `phones`."""
    rate: float | None = None
    """Open loop: commands a second while a phone without a command is left; None keeps `outstanding`."""
    binds: int = 1
    """Receivers to wait for before the first command."""
    receipts: float = 0
    """The share of messages asking for a delivery receipt that get one, delivered at once."""
    patience: timedelta = timedelta(seconds=10)
    """Silence after which what has no reply is missing."""
    linger: timedelta = timedelta(milliseconds=500)
    """After the last reply, for those that come once too often."""

    def scripts(self) -> dict[bytes, tuple[bytes, ...]]:
        """By phone, the deliver_sm of its command's turns; commands are spread evenly over the phones."""
        commands = self.commands or (Command(text=self.text, to=self.to),)
        turns = cycle([command for command in commands for _ in range(command.weight)])
        numbers = (str(self.first_phone + index) for index in range(self.phones))
        return {
            number.encode(): next(turns).frames(number, index) for index, number in enumerate(numbers)
        }  # fmt: skip


class Senders(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The range of numbers that commands come from."""

    first: Annotated[str, msgspec.Meta(pattern="^[0-9]{8,15}$")] = str(FIRST_PHONE)
    count: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000


class Mix(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mix file."""

    commands: Annotated[tuple[Command, ...], msgspec.Meta(min_length=1)] = (Command(text="CM {friend}"),)
    senders: Senders = Senders()
    receipts: Share = 0.0
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        for command in self.commands:
            if command.answers and not command.text.startswith(("*", "#")):
                raise ValueError(f"{command.text!r} is sent by SMS and has no screens to answer")
            try:
                command.frames(self.senders.first, 0)
            except ValueError:
                raise ValueError(f"{command.text!r} has to fit into one SMS") from None


def read_mix(path: Path) -> Mix:
    """Raises ConfigError that names the file and what is wrong in it."""
    return convert(read_toml(path), Mix, str(path))
