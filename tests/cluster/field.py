"""An SMSC with phones, and nodes that share its accounts and a database: whole platforms in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from gateway.simulator import Settings as SimulatorSettings
from gateway.simulator import Simulator
from gateway.simulator.settings import Account
from tests.cluster.asking import die, until
from vas.assembly import Installation
from vas.config import load
from vas.config_values import Address

ANYWHERE = Address("127.0.0.1", 0)
CODE = "9105"
KNOWN = {"bulk": 4}
"""Accounts that the SMSC has beside those of the settings."""
_SETTINGS = """
    [store]
    url = "{url}"
    lease = "2s"

    [services.callme]
    enabled = true
    short_codes = ["9105"]
    ussd = "*105"
"""
_ACCOUNT = """
    [accounts.{name}]
    host = "127.0.0.1"
    port = {port}
    system_id = "{name}"
    password = "secret"
    binds = {binds}
    rate = {rate}
    reconnect_first = "100ms"
"""


class Field:
    """`binds` by account; the SMSC takes no more of each."""

    def __init__(self, url: str, folder: Path, binds: dict[str, int], rate: float = 0) -> None:
        self.binds = binds
        self.nodes: dict[str, Installation] = {}
        self._pairs = 0
        self._url = url
        self._rate = rate
        self._path = folder / "config.toml"
        self.simulator = Simulator(
            SimulatorSettings(
                port=0,
                receipt_delay=timedelta(),
                accounts={name: Account(password="secret", binds=count) for name, count in {**KNOWN, **binds}.items()},
            )
        )

    async def start(self, *names: str) -> None:
        await self.simulator.start()
        self.write()
        for name in names:
            await self.join(name)

    def write(self) -> None:
        """The settings that all nodes have."""
        accounts = [
            _ACCOUNT.format(name=name, binds=count, port=self.simulator.port, rate=self._rate)
            for name, count in self.binds.items()
        ]
        self._path.write_text(_SETTINGS.format(url=self._url) + "".join(accounts), "utf-8")

    async def join(self, name: str) -> Installation:
        node = Installation(load(self._path, {}), node=name, listen=ANYWHERE)
        await node.start()
        self.nodes[name] = node
        return node

    async def leave(self, name: str) -> None:
        await self.nodes.pop(name).stop()

    async def kill(self, name: str) -> None:
        """As kill -9: its connections are closed by the kernel, and nothing is given back."""
        node = self.nodes.pop(name)
        assert node.binds is not None
        assert node.member is not None
        await node.binds.stop()
        await die(node.member)
        node.gateway.cut()
        assert node.node._ticker is not None
        node.node._ticker.cancel()
        await node.node.store.close()
        node.operations.stop()
        if node._admin is not None:
            await node._admin.cleanup()

    async def stop(self) -> None:
        await asyncio.gather(*(node.stop() for node in self.nodes.values()))
        await self.simulator.stop()

    def bound(self, account: str = "main") -> dict[str, int]:
        """How many connections of an account each node has, as far as they are bound."""
        return {name: node.gateway.account(account).status.binds_up for name, node in self.nodes.items()}

    def bound_of_all(self) -> dict[str, int]:
        """The same over all accounts."""
        return {
            name: sum(account.status.binds_up for account in node.gateway.accounts) for name, node in self.nodes.items()
        }

    async def settled(self, bound: dict[str, int], account: str = "main", within_s: float = 10.0) -> None:
        await until(lambda: self.bound(account) == bound, within_s)

    def rate_used(self) -> float:
        """What all nodes may send a second now, together."""
        statuses = [node.gateway.account("main").status for node in self.nodes.values()]
        return sum(status.rate_now for status in statuses if status.binds)

    async def watched(self, look: Callable[[], object]) -> None:
        """Look all the time, until cancelled."""
        while True:
            look()
            await asyncio.sleep(0.001)

    async def call_me(self) -> None:
        """Somebody who never did so before asks a friend to call, and both read of it."""
        self._pairs += 1
        one, other = f"8491{self._pairs:07}", f"8498{self._pairs:07}"
        self.simulator.text(self.simulator.phone(one), f"CM {other}", CODE)
        await until(lambda: self.simulator.phone(one).inbox and self.simulator.phone(other).inbox)
