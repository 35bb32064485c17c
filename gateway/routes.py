"""Which accounts may carry a message, and in which order. Pure.

Rules are read from the top; the first that fits a message decides. A message that none fits has no say in the
matter beyond the account that its command came by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from vas.messages import Outbound

RouteLane = Literal["reply", "bulk"]
"""What overtakes, and what is overtaken."""


class Route(msgspec.Struct, frozen=True):
    """One rule. What is empty fits everything."""

    accounts: tuple[str, ...]
    """In the order of preference; at least one."""
    prefixes: tuple[str, ...] = ()
    """Beginnings of the subscriber's number, E.164 digits."""
    short_codes: tuple[str, ...] = ()
    """What a message comes from."""
    lane: RouteLane | None = None
    """How what fits is queued, whatever the service thought; None: as the service thought."""

    def fits(self, message: Outbound) -> bool:
        """Whether the rule speaks of this message."""
        if self.short_codes and message.source not in self.short_codes:
            return False
        return not self.prefixes or message.to.digits.startswith(self.prefixes)


class Way(msgspec.Struct, frozen=True):
    """What the rules say about one message."""

    accounts: tuple[str, ...]
    """In the order of preference; empty: any, the least loaded first."""
    reply: bool
    """Whether it goes with the replies."""


def way_of(message: Outbound, routes: Sequence[Route]) -> Way:
    """The way of an SMS, or of a USSD screen that the network begins.

    A reply prefers the account that its command came by, where the rule allows that account at all: the SMSC that
    took the command is the one that surely reaches the subscriber.
    """
    came_by = message.account
    for route in routes:
        if route.fits(message):
            accounts = route.accounts
            if came_by in accounts and came_by != accounts[0]:
                accounts = (came_by, *(name for name in accounts if name != came_by))
            return Way(accounts, message.reply if route.lane is None else route.lane == "reply")
    return Way((came_by,) if came_by else (), message.reply)
