"""The error tree. A class says what to do about it; its docstring is its message.

VasError
├── Refused            no is not a fault: the subscriber reads the text that `key` names
│   └── Invalid        an answer that cannot be understood: asked again in a menu, refused by SMS
├── ConfigError        the start stops; the message names the key, the value and what was meant
├── ServiceError       a service is written wrongly: its author reads this
│   ├── TriggerClash
│   ├── TextError
│   ├── ForeignAwait
│   └── TalkChanged
├── StoreError         the engine failed, never the handler: the whole batch is refused for now
│   ├── StoreUnusable  nothing will help but a person
│   ├── CommitUnknown  the engine looks before it says anything
│   └── Fenced         the other nodes hold this one for dead: it writes nothing more under its present id
└── SmppError          carries the command_status that the peer is answered with
"""

from __future__ import annotations


class VasError(Exception):
    """Something that this platform has a name for."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").partition("\n")[0])


class Refused(VasError):
    """The subscriber may not do this; `key` names the text that tells them why."""

    def __init__(self, key: str, **params: object) -> None:
        super().__init__(key)
        self.key = key
        self.params = params


class Invalid(Refused):
    """The answer cannot be understood; in a menu the question is asked again."""


class ConfigError(VasError):
    """The configuration cannot be used."""


class ServiceError(VasError):
    """A service is written in a way that cannot work."""


class TriggerClash(ServiceError):
    """Two triggers of one code would match the same message."""


class TextError(ServiceError):
    """A text is missing, differs between its languages, or does not fit."""


class ForeignAwait(ServiceError):
    """A handler awaited something other than its context; use ctx.call for the outside world."""


class TalkChanged(ServiceError):
    """The journal does not fit the code: the service was changed while the talk was open."""


class StoreError(VasError):
    """The store cannot be written now."""


class StoreUnusable(StoreError):
    """The store cannot be used until a person mends it."""


class CommitUnknown(StoreError):
    """A COMMIT failed and nobody knows yet whether it happened."""


class Fenced(StoreError):
    """The other nodes have given this one up: nothing of the batch is written."""


class SmppError(VasError):
    """A PDU that cannot be accepted; `status` is the command_status to answer with."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(f"{message or 'PDU refused'} (command_status 0x{status:08X})")
        self.status = status
