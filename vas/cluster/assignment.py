"""Which node has which connection of an SMSC account. Pure: every node comes to the same by itself.

All places of all accounts are shared out evenly, each to one node. Who has one keeps it, unless it has more than its
part: so as few as can be move when a node comes, goes or drains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """Where one connection of an account, or a pair of them, is made."""

    account: str
    number: int
    """0 to accounts.NAME.binds - 1."""


def places(binds: Mapping[str, int]) -> list[Place]:
    """All that there are, by the number of binds that each account has."""
    return [Place(account, number) for account, count in sorted(binds.items()) for number in range(count)]


def assign(wanted: Iterable[Place], nodes: Iterable[int], leases: Mapping[Place, int]) -> dict[Place, int]:
    """The node that is to have each place; empty without nodes.

    `nodes` are those that live and do not drain, `leases` what each has now; leases of others, and of places that
    are not wanted, count for nothing. An account's places are spread, too, as far as that moves no more.
    """
    spread = _Spread(sorted(wanted), sorted(nodes), leases)
    if spread.nodes:
        spread.release_surplus()
        spread.give_free()
    return spread.had


class _Spread:
    def __init__(self, wanted: list[Place], nodes: list[int], leases: Mapping[Place, int]) -> None:
        self.nodes = nodes
        self.had = {place: leases[place] for place in wanted if leases.get(place) in nodes}
        self._wanted = wanted
        self._count = Counter(self.had.values())
        self._of_account = Counter((node, place.account) for place, node in self.had.items())
        if nodes:
            each, more = divmod(len(wanted), len(nodes))
            # Where it cannot be even, those have one more that have most already.
            ranked = sorted(nodes, key=lambda node: (-self._count[node], node))
            self._part = {node: each + (rank < more) for rank, node in enumerate(ranked)}

    def release_surplus(self) -> None:
        """Take from who has too much: of the account of which it has most."""
        for node in self.nodes:
            while self._count[node] > self._part[node]:
                held = [place for place, holder in self.had.items() if holder == node]
                place = max(held, key=lambda it: (self._of_account[node, it.account], it))
                del self.had[place]
                self._counted(place, node, -1)

    def give_free(self) -> None:
        """Give what nobody has to who has room: rather to one with few of its account."""
        for place in self._wanted:
            if place not in self.had:
                having_room = [node for node in self.nodes if self._count[node] < self._part[node]]
                node = min(having_room, key=lambda it: (self._of_account[it, place.account], self._count[it], it))
                self.had[place] = node
                self._counted(place, node, 1)

    def _counted(self, place: Place, node: int, by: int) -> None:
        self._count[node] += by
        self._of_account[node, place.account] += by
