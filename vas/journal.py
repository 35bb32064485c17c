"""The journal of a handler: what each awaited step gave, so that a later run takes the same way. Pure.

A talk is run anew on every key press, and a handler that asked the outside world is run anew when the
answer has come. Steps that the journal holds are answered from it; the first one that it lacks is live.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from vas.errors import TalkChanged

T = TypeVar("T")


class Entry(msgspec.Struct, omit_defaults=True):
    """One step. A question without a value is the one that is open."""

    step: str
    done: bool = False
    value: Any = None
    shown: list[str] | None = None
    """The options of a menu, so that a digit means what was on the screen."""
    page: int = 0
    question: bool = False
    secret: bool = False
    """The answer was used in its own turn and is not kept."""
    refused: str = ""
    """The text key with which the outside world said no."""
    fault: str = ""
    """Why the outside world could not be asked at all."""


class Journal:
    """The entries and how far this run has come."""

    __slots__ = ("at", "entries")

    def __init__(self, entries: list[Entry] | None = None) -> None:
        self.entries = entries if entries is not None else []
        self.at = 0

    @classmethod
    def decode(cls, raw: bytes) -> Journal:
        return cls(_DECODE(raw) if raw else [])

    def encode(self) -> bytes:
        return _ENCODE(self.entries)

    def recorded(self, step: str) -> Entry | None:
        """The next entry, or None where the live part begins; raises TalkChanged if it is another step's."""
        if self.at >= len(self.entries):
            return None
        entry = self.entries[self.at]
        if entry.step != step:
            raise TalkChanged(f"the journal has {entry.step!r} where the code now has {step!r}")
        self.at += 1
        return entry

    def record(self, step: str, value: object = None, *, done: bool = True, question: bool = False) -> Entry:
        entry = Entry(step, done, value, question=question)
        self.entries.append(entry)
        self.at = len(self.entries)
        return entry

    @property
    def open(self) -> Entry | None:
        """The question that waits for an answer."""
        last = self.entries[-1] if self.entries else None
        return last if last is not None and last.question and not last.done else None

    def back(self) -> bool:
        """Reopen the question before the open one; False if there is none, or if something was done in between.

        What was done stays done: only questions and what was merely read can be taken back.
        """
        for at in range(len(self.entries) - 2, -1, -1):
            entry = self.entries[at]
            if entry.question:
                self.entries[at:] = [Entry(entry.step, shown=entry.shown, question=True, secret=entry.secret)]
                return True
            if not entry.step.startswith(READS):
                return False
        return False

    def restart(self) -> bool:
        """Go back to the first question, under the same rule."""
        went = False
        while self.back():
            went = True
        return went


READS = "load"
"""What the names of steps that change nothing begin with."""

_ENCODE = msgspec.json.Encoder(enc_hook=str).encode
_DECODE = msgspec.json.Decoder(list[Entry]).decode


def restored(value: object, kind: Any) -> Any:
    """A step's value in its own type again, after its way through the journal."""
    return value if kind is Any or isinstance(value, _plain(kind)) else msgspec.convert(value, kind, str_keys=True)


def _plain(kind: Any) -> type[Any] | tuple[type[Any], ...]:
    return kind if isinstance(kind, type) else ()
