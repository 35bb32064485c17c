"""The SMSC accounts: how they are, in traffic or out of it, by which settings, and what a text costs there."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec
from aiohttp import web
from pydantic import ConfigDict, Field

from vas.admin.audit import record
from vas.admin.authentication import DESK
from vas.admin.desk import AccountNow, AccountOrder, AccountState
from vas.admin.health import Counts
from vas.admin.problems import Flaw, Problem
from vas.admin.values import Model, Reason, written_as

SETTINGS = "settings"
"""Subject of the audit's row for a reload."""

AccountName = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$"), written_as("must be the name of an account, such as main")
]


class Account(Model):
    model_config = ConfigDict(from_attributes=True)

    name: str
    state: AccountState
    """What it was told to do: `running`; `draining`, nothing new leaves by it; `stopped`, unbound."""
    up: bool
    """Whether a bind that may submit is up."""
    binds_up: int
    binds: int
    window_used: int
    """Requests sent and not yet answered, over all binds."""
    window_max: int
    waiting_replies: int
    """Messages that wait for the window or the rate, in the lane of the replies."""
    waiting_rest: int
    """Those in the lane of the rest."""
    rate: float
    """PDUs a second, as agreed; 0: no limit."""
    rate_now: float
    """PDUs a second that may leave now; 0: no limit."""
    slowed: bool
    """Whether the SMSC made it slower than agreed."""
    reconnects: int
    last_error: str
    """Why a bind is not bound; empty if all are."""
    last_error_at: datetime | None
    outbinds_refused: int
    """Connections from outside that were not the SMSC's."""
    counters: Counts


class AccountPath(Model):
    name: AccountName


class Order(Model):
    reason: Reason
    """Kept in the audit."""


async def list_accounts(request: web.Request) -> list[Account]:
    """Every SMSC account, and how it is."""
    return [Account.model_validate(account) for account in request.app[DESK].accounts.now()]


async def get_account(request: web.Request, *, path: AccountPath) -> Account:
    """One SMSC account, and how it is."""
    return Account.model_validate(_known(request, path.name))


def _known(request: web.Request, name: str) -> AccountNow:
    for account in request.app[DESK].accounts.now():
        if account.name == name:
            return account
    raise Problem(HTTPStatus.NOT_FOUND, "There is no such account.")


async def drain_account(request: web.Request, *, path: AccountPath, body: Order) -> Account:
    """Send nothing new by an account, and finish what is in flight. What comes in is still answered."""
    return await _ordered(request, path.name, "drain", body)


async def stop_account(request: web.Request, *, path: AccountPath, body: Order) -> Account:
    """Drain an account, then unbind; it stays away until it is started, or the platform is."""
    return await _ordered(request, path.name, "stop", body)


async def start_account(request: web.Request, *, path: AccountPath, body: Order) -> Account:
    """Bring an account that was drained or stopped back into traffic."""
    return await _ordered(request, path.name, "start", body)


async def _ordered(request: web.Request, name: str, order: AccountOrder, body: Order) -> Account:
    _known(request, name)
    await record(request, f"account.{order}", [name], reason=body.reason)
    await request.app[DESK].accounts.order(name, order)
    return Account.model_validate(_known(request, name))


class ReloadOrder(Model):
    dry_run: bool = True
    """Only show what would change."""
    reason: Reason
    """Kept in the audit."""


class SettingChange(Model):
    model_config = ConfigDict(from_attributes=True)

    key: str
    """As in the file, with dots: `accounts.main.window`."""
    before: str
    """Empty: there was none."""
    after: str
    """Empty: there is none any more."""


class Reloading(Model):
    dry_run: bool
    changes: list[SettingChange]
    failed: list[str]
    """A line for each account whose SMSC does not have the new settings: it goes on with the old ones."""


async def reload(request: web.Request, *, body: ReloadOrder) -> Reloading:
    """Read config.toml and the environment again; first, and unless told otherwise, as a dry run.

    Accounts, routes, USSD dialects and the log follow at once. Where anything else differs, or is wrong, nothing is
    changed, and a problem with status 409 says what. Secrets are masked.
    """
    desk = request.app[DESK]
    action = "settings.try" if body.dry_run else "settings.reload"
    await record(request, action, [SETTINGS], reason=body.reason)
    reloaded = await desk.accounts.reload(dry_run=body.dry_run)
    if reloaded.refused:
        flaws = [Flaw(where=SETTINGS, message=line) for line in reloaded.refused]
        raise Problem(HTTPStatus.CONFLICT, "Nothing is changed.", errors=flaws)
    changes = [SettingChange.model_validate(change) for change in reloaded.changes]
    return Reloading(dry_run=body.dry_run, changes=changes, failed=list(reloaded.failed))


class CostQuestion(Model):
    text: str = Field(max_length=4_000)
    """What would be sent."""
    account: AccountName | None = None
    """By which account; not set: the first."""


class Cost(Model):
    account: str
    encoding: str
    """Name of the encoding that it leaves in."""
    segments: int
    units: int
    """Septets, octets or UCS-2 units that it takes, all segments together."""
    left: int
    """Units that still fit into the last segment."""
    forced: list[str]
    """The characters for which a cheaper encoding would not do."""


async def measure_text(request: web.Request, *, body: CostQuestion) -> Cost:
    """In how many segments a text leaves by an account, and which characters make it so many."""
    accounts = request.app[DESK].accounts
    names = [account.name for account in accounts.now()]
    name = body.account or next(iter(names), "")
    if name not in names:
        raise Problem(HTTPStatus.NOT_FOUND, "There is no such account.")
    cut = accounts.cut(body.text, name)
    return Cost(account=name, **msgspec.structs.asdict(cut) | {"forced": list(cut.forced)})
