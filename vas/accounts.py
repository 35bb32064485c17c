"""The SMSC accounts of the running platform, as operations see and steer them (vas.admin.Accounts)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from gateway import AccountSettings, SmppGateway
from gateway.accounts.account import Account
from gateway.accounts.account_status import AccountState
from gateway.dialects.ussd_dialects import Dialect, derived
from gateway.routes import Route
from gateway.sms.segments import cost, plan
from vas import logs, recalling
from vas.admin.desk import AccountNow, AccountOrder, Cut, Reloaded, SegmentState
from vas.config import Settings
from vas.core import AccountRules
from vas.errors import ConfigError, Refused, ServiceError
from vas.node import Node
from vas.reloading import cannot_follow, differences
from vas.store.rows import OutboxRow
from vas.store.smsc_ids import submitted_ids

log = structlog.get_logger()
CONNECTED_WITHIN_S = 3.0
"""How long the order to start an account waits for its binds."""
LOOK_S = 0.02


def account_settings(settings: Settings) -> list[AccountSettings]:
    """What the gateway must know of each account."""
    return [
        AccountSettings(
            name=name,
            **{
                **dict(account),
                "password": account.password.get_secret_value(),
                "outbind_password": account.outbind_password.get_secret_value(),
            },
        )
        for name, account in settings.accounts.items()
    ]


def account_rules(settings: Settings) -> dict[str, AccountRules]:
    """What the core must know of each account."""
    return {
        name: AccountRules(
            account.smsc_response_timer,
            account.later_status,
            account.full_status,
            account.registered_delivery == "all",
        )
        for name, account in settings.accounts.items()
    }


def routes(settings: Settings) -> list[Route]:
    """Which account carries a message."""
    return [Route(**dict(route)) for route in settings.routes]


def ussd_dialects(settings: Settings) -> dict[str, Dialect]:
    """The dialects of USSD that the settings add to the shipped ones."""
    return {name: derived(dialect.like, dialect.changes) for name, dialect in settings.ussd_dialects.items()}


def configure_logs(settings: Settings, node: str = "") -> None:
    """Log to standard error as [log] says, in the name of a node."""
    logs.configure(
        level=settings.log.level,
        json=settings.log.format == "json",
        bodies=settings.log.bodies,
        stream=sys.stderr.buffer,
        node=node,
    )


class SmscAccounts:
    """`rules` are those that the core holds; a reload changes them in place.

    `check` raises ConfigError or ServiceError for settings with which the platform would not start.
    """

    def __init__(
        self,
        node: Node,
        gateway: Callable[[], SmppGateway],
        settings: Settings,
        rules: dict[str, AccountRules],
        check: Callable[[Settings], object],
    ) -> None:
        self._node = node
        self._gateway = gateway
        self.settings = settings
        """As they were last read, and as they are followed."""
        self._routes = settings.routes
        self._rules = rules
        self._check = check
        self._reloading = asyncio.Lock()

    def now(self) -> Sequence[AccountNow]:
        return [account.status for account in self._gateway().accounts]

    def routes(self) -> Sequence[Sequence[str]]:
        return [route.accounts for route in self._routes]

    async def order(self, name: str, order: AccountOrder) -> None:
        account = self._gateway().account(name)
        match order:
            case "drain":
                await account.drain()
            case "stop":
                await account.stop()
            case "start":
                await account.start()
                await _connected(account)

    async def reload(self, *, dry_run: bool) -> Reloaded:
        async with self._reloading:
            try:
                settings = self.settings.read_again()
                self._check(settings)
            except (ConfigError, ServiceError) as error:
                return Reloaded((), tuple(str(error).splitlines()))
            changes = differences(self.settings, settings)
            refused = cannot_follow(changes)
            if dry_run or refused or not changes:
                return Reloaded(tuple(changes), tuple(refused))
            failed = await self._apply(settings)
            log.info("settings.reloaded", changes=len(changes), failed=failed)
            return Reloaded(tuple(changes), failed=tuple(failed))

    async def _apply(self, settings: Settings) -> list[str]:
        configure_logs(settings, self._node.member.name)
        # Before the first command can come by a new account, and for as long as one may come by an old one.
        self._rules.update(account_rules(settings))
        failed = await self._gateway().apply(account_settings(settings), ussd_dialects(settings), routes(settings))
        self._routes = settings.routes
        for name in self._rules.keys() - settings.accounts.keys():
            del self._rules[name]
        if not failed:
            self.settings = settings
        return failed

    def cut(self, text: str, account: str) -> Cut:
        found = cost(text, self._gateway().account(account).settings.style)
        return Cut(found.encoding, found.segments, found.units, found.left, found.foreign)

    async def whereabouts(self, msisdn: str, id_: int) -> list[SegmentState]:
        row = await recalling.sent_row(self._node, msisdn, id_)
        return [await self._queried(row, smsc_id) for smsc_id in submitted_ids(row.smsc_ids)]

    async def _queried(self, row: OutboxRow, smsc_id: str) -> SegmentState:
        found = await self._account(row).query(smsc_id, row.source)
        if found.problem:
            return SegmentState(smsc_id, "", said=found.problem)
        return SegmentState(smsc_id, found.state.value, found.final_date, str(found.error) if found.error else "")

    async def cancel(self, msisdn: str, id_: int, *, who: str) -> list[SegmentState]:
        row = await recalling.sent_row(self._node, msisdn, id_)
        if row.state == "queued":
            await recalling.cancel_queued(self._node, row, who)
            return []
        if row.state != "sent":
            raise Refused("over")
        segments = [await self._cancelled(row, smsc_id) for smsc_id in submitted_ids(row.smsc_ids)]
        if not any(segment.said for segment in segments):
            await recalling.settle_cancelled(self._node, row, who, "sent")
        return segments

    async def _cancelled(self, row: OutboxRow, smsc_id: str) -> SegmentState:
        found = await self._account(row).cancel(smsc_id, row.source, row.msisdn)
        return SegmentState(smsc_id, "" if found.problem else "deleted", said=found.problem)

    async def replace(self, msisdn: str, id_: int, text: str, *, who: str) -> SegmentState:
        row = await recalling.sent_row(self._node, msisdn, id_)
        if row.state != "sent":
            raise Refused("not_sent" if row.state == "queued" else "over")
        if row.segments != 1:
            raise Refused("segments")
        if len(recalling.replacements(row)) >= recalling.REPLACED_AT_MOST:
            raise Refused("often")
        if row.data is not None:
            raise Refused("coding")
        account = self._account(row)
        style = account.settings.style
        before, after = plan(row.text, style, row.id), plan(text, style, row.id)
        if len(after) > 1 or before[0].data_coding != after[0].data_coding or after[0].esm_class or after[0].tlvs:
            raise Refused("coding")
        octets, receipt = after[0].short_message, bool(row.settle)
        smsc_id = " ".join(submitted_ids(row.smsc_ids))
        found = await account.replace(smsc_id, row.source, octets, receipt)
        await self._node.run(recalling.Replacement(row, who, text, found.problem))
        return SegmentState(smsc_id, "" if found.problem else "enroute", said=found.problem)

    def _account(self, row: OutboxRow) -> Account:
        try:
            return self._gateway().account(row.account)
        except KeyError:
            raise Refused("account_gone") from None


async def _connected(account: Account) -> None:
    """Wait for the binds of an account that was started, as long as somebody likes to wait for an answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CONNECTED_WITHIN_S):
            while account.state is AccountState.RUNNING and account.status.binds_up < account.status.binds:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)
