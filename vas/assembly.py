"""Settings → a running platform: the node, its SMPP gateway, its place among other nodes, the operations' listener."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from socket import gethostname
from traceback import extract_tb
from typing import Any

import structlog
from aiohttp.web import AppRunner

from gateway.adapter import SmppGateway
from vas import admin
from vas.accounts import SmscAccounts, account_rules, account_settings, routes, ussd_dialects
from vas.cluster.binds import Binds
from vas.cluster.member import NODE_NAME
from vas.cluster.membership import Membership
from vas.cluster.nodes import NoNodes, SharingNodes
from vas.cluster.store import NUMBERS
from vas.config import Settings
from vas.config_values import SQLITE_FILE, Address
from vas.core import AccountRules, PartLimits
from vas.errors import ConfigError, StoreError, VasError
from vas.messages import Receiver
from vas.mounting import Mounted, Platform
from vas.node import Node, Setup
from vas.operations import NodeOperations
from vas.routing import Router
from vas.selfcare import selfcare
from vas.service import Service
from vas.store.ids import Ids, moment
from vas.store.postgres import PostgresStore
from vas.store.protocol import Store
from vas.store.sqlite import SqliteStore

log = structlog.get_logger()
HANDED_OVER_WITHIN_S = 25.0
"""For the other nodes to have taken the binds of one that stops: an SMSC may take twice its timer to unbind."""
ANEW_TRIES, ANEW_EVERY_S = 30, 1.0
"""To join again, before it is left to whoever started the process."""
_ORDERS: dict[str, admin.AccountOrder] = {"draining": "drain", "stopped": "stop"}
"""What brings an account into a state that it does not have by itself."""
SERVICES = "vas.services"
"""The entry-point group through which an installed service is found."""


def mounted_services(settings: Settings) -> list[Mounted]:
    """The services that the settings switch on; raises ConfigError for one that is not installed."""
    installed = {entry.name: entry for entry in entry_points(group=SERVICES)}
    mounted = []
    for name, section in settings.services.items():
        if not section.enabled:
            continue
        if name not in installed:
            known = ", ".join(sorted(installed))
            raise ConfigError(f"services.{name}: no such service is installed; there are: {known}")
        service = _loaded(name, installed[name])
        if section.ussd and not section.short_codes:
            raise ConfigError(
                f"services.{name}.short_codes: a service with ussd needs at least one, to send its messages from"
            )
        config = settings.service_settings(name, service.config_type)
        mounted.append(Mounted(service, config, section.short_codes, section.ussd or "", section.accents))
    return mounted


def _loaded(name: str, entry: EntryPoint) -> Service:
    try:
        service = entry.load()
    except VasError as error:
        raise ConfigError(f"services.{name}: {entry.value}: {error}") from error
    except Exception as error:
        raise ConfigError(
            f"services.{name}: {entry.value} cannot be loaded: {type(error).__name__}: {error}{_line_of(error)}"
        ) from error
    if not isinstance(service, Service):
        raise ConfigError(f"services.{name}: {entry.value} is not a vas.Service")
    problems = list(service.texts.problems())
    if problems:
        raise ConfigError("\n".join(f"services.{name}: texts.toml: {problem}" for problem in problems))
    return service


def _line_of(error: Exception) -> str:
    """Where in the service's own code it went wrong."""
    frames = [frame for frame in extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def everywhere(settings: Settings) -> Mounted:
    """The platform's own commands, which work at every short code."""
    return Mounted(selfcare, selfcare.config_type(), ())


def router(settings: Settings) -> Router:
    """The routes alone, for `vas explain` and `vas config check`."""
    return Router(mounted_services(settings), everywhere(settings))


def sqlite_file(settings: Settings) -> Path | None:
    """Of the embedded database; None: it is a PostgreSQL."""
    file = SQLITE_FILE(settings.store.url)
    return Path(file["path"]) if file else None


class Installation:
    """Everything that `vas run` runs.

    `node` is its name among those that share a PostgreSQL, else that of the host; `listen` is for operations, else as
    the settings say.
    """

    def __init__(self, settings: Settings, *, node: str = "", listen: Address | None = None) -> None:
        self.listen = listen or settings.admin.listen
        self._name = node
        self._admin: AppRunner | None = None
        self._again: asyncio.Task[None] | None = None
        self.over: asyncio.Future[None] | None = None
        """Once it is started: has an exception when it cannot go on."""
        self._assemble(settings)

    def _assemble(self, settings: Settings) -> None:
        self.settings = settings
        rules = account_rules(settings)
        setup = _setup(settings, rules)
        self.member: Membership | None = None
        file = sqlite_file(settings)
        if file is not None:
            if self._name:
                raise ConfigError(
                    f"--node {self._name}: a SQLite file has one node, which needs no name; "
                    'several share a PostgreSQL: store.url = "postgresql://USER:PASSWORD@HOST/DATABASE"'
                )
            store: Store = SqliteStore(file, clock_ms=setup.clock_ms)
        else:
            self.member = Membership(
                settings.store.url, _node_name(self._name or gethostname()), settings.store.lease,
                address=str(self.listen), version=version("vas"),
            )  # fmt: skip
            store = PostgresStore(
                settings.store.url, clock_ms=setup.clock_ms, member=self.member,
                commit_timeout=settings.store.commit_timeout,
            )  # fmt: skip
        self.node = Node(setup, store, self._gateway, self.member)
        self.accounts = SmscAccounts(self.node, lambda: self.gateway, settings, rules, router)
        self.operations = NodeOperations(self.node, lambda: self.gateway.binds(), self.accounts.now)
        self.binds: Binds | None = None

    def _gateway(self, receiver: Receiver) -> SmppGateway:
        settings = self.settings
        self.gateway = SmppGateway(
            account_settings(settings), receiver, dialects=ussd_dialects(settings), routes=routes(settings),
            may_send=self.node.member.holds, shared=self.member is not None,
        )  # fmt: skip
        return self.gateway

    async def start(self) -> None:
        """Raises ConfigError or StoreError, with everything that was begun taken down again."""
        self.over = self.over or asyncio.get_running_loop().create_future()
        try:
            await self.node.open()
            desk = self._desk()
            await admin.make_first_key(desk, self.settings.admin.first_key_file)
            self._admin = await admin.serve(desk, *self.listen)
            await self.node.connect()
            self.operations.start()
            if self.member is not None:
                self.member.address = str(self._listens)
                self.member.metrics.register(self.node.metrics.registry)
                self.binds = Binds(self.member, self.gateway)
                await self.binds.begin()
                self.member.lost = self._lost
                if self.member.given_up:
                    raise StoreError("the other nodes gave this one up while it started: start it again")
        except BaseException:
            await self._end()
            raise

    def _desk(self) -> admin.Desk:
        clock_ms = self.node.setup.clock_ms
        return admin.Desk(
            self.node.store,
            self.operations,
            self.operations,
            self.accounts,
            SharingNodes(self.member) if self.member is not None else NoNodes(),
            self.node.metrics,
            Ids(node=NUMBERS + self.node.member.number),  # no node's own, so that the two never meet
            lambda: moment(clock_ms()),
        )

    @property
    def admin_address(self) -> str:
        return f"http://{self._listens}"

    @property
    def _listens(self) -> Address:
        assert self._admin is not None
        return Address(*self._admin.addresses[0][:2])

    def _lost(self) -> None:
        """The others have taken over: what this node has in hand is not its own any more."""
        self._again = asyncio.get_running_loop().create_task(self._begin_anew())

    async def _begin_anew(self) -> None:
        """Forget everything, and join again as another; a row that is lost cannot be had back."""
        assert self.over is not None
        self.listen = self._listens
        orders = {now.name: _ORDERS[now.state] for now in self.accounts.now() if now.state in _ORDERS}
        try:
            self.gateway.cut()
            await self._end()
            await self._tried_again()
            for name, order in orders.items():
                await self.accounts.order(name, order)
        except Exception as error:
            self.over.set_exception(error)

    async def _tried_again(self) -> None:
        for left in reversed(range(ANEW_TRIES)):
            self._assemble(self.accounts.settings)
            try:
                return await self.start()
            except StoreError as error:
                if not left:
                    raise
                log.warning("node.not_joined", error=str(error))
                await asyncio.sleep(ANEW_EVERY_S)

    async def stop(self) -> None:
        """Give the binds to the other nodes, finish what was begun, and leave."""
        if self._again is not None:
            self._again.cancel()
            await asyncio.gather(self._again, return_exceptions=True)
        if self.binds is not None:
            await self.binds.leave(HANDED_OVER_WITHIN_S)
        await self._end()

    async def _end(self) -> None:
        self.operations.stop()
        if self._admin is not None:
            await self._admin.cleanup()
            self._admin = None
        if self.binds is not None:
            await self.binds.stop()
            self.binds = None
        await self.node.stop()
        await self.node.member.leave()


def _node_name(name: str) -> str:
    if not re.fullmatch(NODE_NAME, name):
        raise ConfigError(f"--node {name}: a node's name has letters, digits, dots and hyphens, and 63 of them at most")
    return name


def _setup(settings: Settings, rules: dict[str, AccountRules]) -> Setup:
    return Setup(
        mounted_services(settings),
        everywhere(settings),
        Platform(settings.platform.timezone, settings.platform.language),
        rules,
        own_numbers=frozenset(settings.platform.own_numbers),
        trial_numbers=frozenset(settings.platform.trial_numbers),
        help_per_hour=settings.platform.help_per_hour,
        credits=settings.platform.credits,
        parts=PartLimits(settings.platform.parts_wait, settings.platform.parts_max, settings.platform.parts_each),
        batch_limit=settings.store.batch_limit,
        commit_within=timedelta(0) if SQLITE_FILE(settings.store.url) else settings.store.commit_timeout,
        db_grace=settings.store.db_grace,
        keep=settings.store.keep,
        seen_for=settings.store.seen_for,
    )


def event_loop() -> Callable[[], Any] | None:
    """uvloop's, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
