"""A secret that a subscriber typed. Pure."""

from __future__ import annotations

from vas.errors import ServiceError


class Secret(str):
    """A PIN in its own turn; in any later run of the handler it is empty, and using it is an error.

    So a talk that goes on afterwards hands it, as it is, to a rule or to `ctx.call`, and these reveal it.
    """

    __slots__ = ()

    def reveal(self) -> str:
        if not self:
            raise ServiceError(
                "a secret can be used only in the turn in which it was typed: give it to a rule or a call"
            )
        return str.__str__(self)

    def __repr__(self) -> str:
        return "Secret(•••)"

    __str__ = __repr__
