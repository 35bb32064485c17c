"""The nodes that share a database, as operations see and steer them (vas.admin.Nodes)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from vas.cluster import store
from vas.cluster.membership import Membership
from vas.store.ids import moment


class NodeNow(msgspec.Struct, frozen=True):
    """A node that shares the database, as its row says."""

    name: str
    number: int
    """In the ids that it makes."""
    version: str
    address: str
    """Of its operations' listener."""
    started_at: datetime
    lease_left: timedelta
    """Zero: it has not given a sign of life for too long."""
    draining: bool
    here: bool
    """Whether it is the one that says this."""
    binds: Mapping[str, int]
    """How many connections of each account it has."""


class SharingNodes:
    """Asks the database each time."""

    def __init__(self, member: Membership) -> None:
        self._member = member

    async def all(self) -> Sequence[NodeNow]:
        rows, leases = await store.nodes(self._member.line), await store.leases(self._member.line)
        return [
            self._now(row, Counter(place.account for place, node in leases.items() if node == row.id)) for row in rows
        ]

    def _now(self, row: store.NodeRow, binds: Mapping[str, int]) -> NodeNow:
        return NodeNow(
            row.name, row.number, row.version, row.address, moment(row.started_ms),
            timedelta(milliseconds=max(row.left_ms, 0)), row.draining, row.id == self._member.id,
            dict(sorted(binds.items())),
        )  # fmt: skip

    async def drain(self, name: str, draining: bool) -> bool:
        return await store.drain(self._member.line, name, draining)


class NoNodes:
    """Where a platform runs alone."""

    async def all(self) -> Sequence[NodeNow]:
        return ()

    async def drain(self, name: str, draining: bool) -> bool:
        return False
