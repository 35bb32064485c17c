"""Settings → a running platform: the node, its SMPP gateway, and the operations' listener."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from traceback import extract_tb
from typing import Any

import structlog
from aiohttp.web import AppRunner

from gateway.adapter import SmppGateway
from vas import admin
from vas.accounts import SmscAccounts, account_rules, account_settings, routes, ussd_dialects
from vas.config import Settings
from vas.config_values import SQLITE_FILE
from vas.core import PartLimits
from vas.errors import ConfigError, VasError
from vas.messages import Receiver
from vas.mounting import Mounted, Platform
from vas.node import Node, Setup
from vas.operations import NodeOperations
from vas.routing import Router
from vas.selfcare import selfcare
from vas.service import Service
from vas.store.ids import Ids, moment
from vas.store.sqlite import SqliteStore

log = structlog.get_logger()
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


def database(settings: Settings) -> Path:
    """The SQLite file; raises ConfigError if the settings name another engine."""
    file = SQLITE_FILE(settings.store.url)
    if file is None:
        raise ConfigError('store.url: this version has the embedded engine only: "sqlite:///PATH"')
    return Path(file["path"])


class Installation:
    """Everything that `vas run` runs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        rules = account_rules(settings)
        setup = Setup(
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
        store = SqliteStore(database(settings), clock_ms=setup.clock_ms)
        self.node = Node(setup, store, self._gateway)
        self.accounts = SmscAccounts(self.node, lambda: self.gateway, settings, rules, router)
        self.operations = NodeOperations(self.node, lambda: self.gateway.binds(), self.accounts.now)
        self._admin: AppRunner | None = None

    def _gateway(self, receiver: Receiver) -> SmppGateway:
        settings = self.settings
        self.gateway = SmppGateway(
            account_settings(settings), receiver, dialects=ussd_dialects(settings), routes=routes(settings)
        )
        return self.gateway

    async def start(self) -> None:
        """Raises ConfigError or StoreUnusable, with everything that was begun taken down again."""
        try:
            await self.node.open()
            desk = self._desk()
            await admin.make_first_key(desk, self.settings.admin.first_key_file)
            self._admin = await admin.serve(desk, *self.settings.admin.listen)
            await self.node.connect()
            self.operations.start()
        except BaseException:
            await self.stop()
            raise

    def _desk(self) -> admin.Desk:
        clock_ms = self.node.setup.clock_ms
        # Ids of audit rows are of another node number than the store's, so that the two never meet.
        return admin.Desk(
            self.node.store,
            self.operations,
            self.operations,
            self.accounts,
            self.node.metrics,
            Ids(node=255),
            lambda: moment(clock_ms()),
        )

    @property
    def admin_address(self) -> str:
        assert self._admin is not None
        host, port = self._admin.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        self.operations.stop()
        if self._admin is not None:
            await self._admin.cleanup()
        await self.node.stop()


def event_loop() -> Callable[[], Any] | None:
    """uvloop's, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
