"""This node among those that share a database, as the rest of the platform sees it."""

from __future__ import annotations

from typing import Protocol

NODE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
"""As in the name of a host; an underscore is taken, too."""


class Member(Protocol):
    """One run of a node. Its row in `node` is the fence: who has no row writes nothing, and owns nothing."""

    name: str
    id: int
    """Of this run: another after its row was given up by the others; 0: it works alone."""
    number: int
    """In the ids that it makes: 0 to 127, no other living node's."""

    async def join(self) -> None:
        """Take a row and a number; raises StoreUnusable if a node of this name lives."""

    async def leave(self) -> None:
        """Give everything back, at once."""

    def holds(self) -> bool:
        """Whether nobody else can have taken over what is this node's: by the monotonic clock."""


class Alone:
    """The member of a database that nobody shares."""

    name = ""
    id = 0
    number = 0

    async def join(self) -> None: ...
    async def leave(self) -> None: ...

    def holds(self) -> bool:
        return True
