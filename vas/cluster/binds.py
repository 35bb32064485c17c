"""Leases of connections, and the gateway that makes them: kept in agreement.

A node takes the row of a place before it connects there, and has unbound before it gives the row back: so a place is
never connected twice by us. The rate goes with the places: each carries its part of what is agreed, so what all nodes
together send is never more, also while places move; for the moment in which a place is nobody's, it is less.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Protocol

import structlog

from vas.cluster import store
from vas.cluster.assignment import Place, assign, places
from vas.cluster.membership import Look, Membership
from vas.errors import StoreError

log = structlog.get_logger()


class Shares(Protocol):
    """A gateway that has some of each account's connections."""

    def binds_agreed(self) -> Mapping[str, int]:
        """How many connections each account has over all nodes."""

    async def share(self, name: str, places: Collection[int]) -> None:
        """Have these; returns when those that are too many are unbound."""


class Binds:
    """The connections of one node."""

    def __init__(self, member: Membership, gateway: Shares) -> None:
        self._member = member
        self._gateway = gateway
        self._moving: dict[str, asyncio.Task[None]] = {}
        self._connected: dict[str, set[int]] = {}
        """What the gateway was last told to have."""
        self._leaving = False
        self._left = asyncio.Event()

    async def begin(self) -> None:
        """Take part, and follow the leases from now on. Raises StoreError."""
        self._member.looked = self._looked
        await store.drain(self._member.line, self._member.name, False)

    async def leave(self, within_s: float) -> None:
        """Have the others take everything, and wait for that at most so long."""
        self._leaving = True
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(within_s):
                if self._member.holds() and await store.drain(self._member.line, self._member.name, True):
                    await self._left.wait()

    async def stop(self) -> None:
        """Follow the leases no longer; everything stays as it is."""
        self._member.looked = lambda look: None
        for task in self._moving.values():
            task.cancel()
        await asyncio.gather(*self._moving.values(), return_exceptions=True)

    def _looked(self, look: Look) -> None:
        """Begin to move what is not where it should be, an account at a time.

        A database that can be read and not written lets every lease run out: links then stay, for `store.db_grace`.
        """
        if not self._member.holds():
            return
        nodes = [id_ for id_ in look.taking_part if not (self._leaving and id_ == self._member.id)]
        agreed = self._gateway.binds_agreed()
        wanted = assign(places(agreed), nodes, look.leases)
        due_here = [place for place, node in wanted.items() if node == self._member.id]
        leased = [place for place, node in look.leases.items() if node == self._member.id]
        self._show(agreed, leased)
        for account in sorted({*agreed, *(place.account for place in leased), *self._connected}):
            mine = {place.number for place in leased if place.account == account}
            due = {place.number for place in due_here if place.account == account}
            free = {number for number in due if Place(account, number) not in look.leases}
            if account not in self._moving and (mine - due or free or mine != self._connected.get(account, set())):
                self._moving[account] = asyncio.get_running_loop().create_task(
                    self._move(account, mine & due, mine - due, free)
                )
        if self._leaving and not leased and not self._moving:
            self._left.set()

    def _show(self, agreed: Mapping[str, int], leased: Collection[Place]) -> None:
        shown = self._member.metrics.binds_leased
        shown.clear()
        counts = Counter(place.account for place in leased)
        for account in agreed:
            shown.labels(account).set(counts[account])

    async def _move(self, account: str, kept: set[int], surplus: set[int], free: set[int]) -> None:
        member = self._member
        try:
            if self._connected.get(account, set()) != kept:
                await self._connect(account, kept)
            if surplus:
                await store.release(member.line, member.id, account, surplus)
                log.info("binds.released", account=account, places=sorted(surplus))
            if free and (taken := await store.take(member.line, member.id, account, free)):
                log.info("binds.taken", account=account, places=taken)
                await self._connect(account, {*kept, *taken})
            member.look_now()
        except StoreError as error:
            log.warning("binds.not_moved", account=account, error=str(error))
        except Exception:
            log.exception("binds.not_moved", account=account)
        finally:
            del self._moving[account]

    async def _connect(self, account: str, numbers: set[int]) -> None:
        await self._gateway.share(account, numbers)
        self._connected[account] = numbers
