"""`vas accounts`, `vas binds`, `vas reload`: the SMSC accounts of the running platform."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vas.commands import plain_errors
from vas.commands.desk import Config, KeyFile, Url, Why, desk
from vas.errors import VasError

CONFIG = Path("config.toml")
BY_HAND = "by hand, from the command line"
"""Reason of an order that gave none."""
_COLOURS = {"running": "green", "bound": "green", "draining": "yellow", "stopped": "yellow"}

accounts_app = typer.Typer(invoke_without_command=True)


@accounts_app.callback()
def accounts(context: typer.Context, url: Url = "", key_file: KeyFile = None, config: Config = CONFIG) -> None:
    """Show the SMSC accounts of a running platform: state, binds, pace, what waits."""
    with plain_errors():
        if context.invoked_subcommand is None:
            asked = desk(url, key_file, config)
            _show(asked.get("/admin/v1/accounts"))
            _show_store(asked.get("/admin/v1/overview"))
        elif any(was_typed(context, name) for name in context.params):
            # The order has options of its own, and would else go to another platform than was named.
            raise VasError(f"options go behind the order: vas accounts {context.invoked_subcommand} NAME --url …")


def was_typed(context: typer.Context, option: str) -> bool:
    """Whether an option stood on the command line."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


@accounts_app.command()
def drain(name: str, reason: Why = BY_HAND, url: Url = "", key_file: KeyFile = None, config: Config = CONFIG) -> None:
    """Send nothing new by an account; what comes in is still answered. For maintenance at the SMSC."""
    _order(name, "drain", reason, url, key_file, config)


@accounts_app.command()
def stop(name: str, reason: Why = BY_HAND, url: Url = "", key_file: KeyFile = None, config: Config = CONFIG) -> None:
    """Drain an account, then unbind. It stays away until `start`, or until the platform starts anew."""
    _order(name, "stop", reason, url, key_file, config)


@accounts_app.command()
def start(name: str, reason: Why = BY_HAND, url: Url = "", key_file: KeyFile = None, config: Config = CONFIG) -> None:
    """Bring an account back into traffic."""
    _order(name, "start", reason, url, key_file, config)


def _order(name: str, order: str, reason: str, url: str, key_file: Path | None, config: Path) -> None:
    with plain_errors():
        if not (name.isascii() and name.isidentifier()):
            raise VasError(f"{name!r} is no name of an account; `vas accounts` lists them")
        _show([desk(url, key_file, config).post(f"/admin/v1/accounts/{name}/{order}", {"reason": reason})])


def binds(url: Url = "", key_file: KeyFile = None, config: Config = CONFIG) -> None:
    """Show every connection to an SMSC."""
    with plain_errors():
        found = desk(url, key_file, config).get("/admin/v1/binds")
    table = Table("account", "bind", "state", "window", "in", "out", "reconnects", box=None, pad_edge=False)
    for bind in found:
        counters = bind["counters"]
        table.add_row(
            bind["account"], bind["bind_type"], _coloured(bind["state"], "red"),
            f"{bind['window_used']}/{bind['window_max']}", f"{counters['pdus_in']:,}", f"{counters['pdus_out']:,}",
            str(bind["reconnects"]),
        )  # fmt: skip
    _print(table, [(f"{bind['account']}, {bind['bind_type']}", bind) for bind in found])


def reload(
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show what would change."),
    reason: Why = BY_HAND,
    url: Url = "",
    key_file: KeyFile = None,
    config: Config = CONFIG,
) -> None:
    """Read the settings again: accounts, routes, USSD dialects and the log follow without a restart."""
    with plain_errors():
        answer = desk(url, key_file, config).post("/admin/v1/reload", {"dry_run": dry_run, "reason": reason})
        console = Console(highlight=False, soft_wrap=True)
        for change in answer["changes"]:
            before, after = (escape(change[side]) or "nothing" for side in ("before", "after"))
            console.print(f"{change['key']}: [red]{before}[/] → [green]{after}[/]")
        if not answer["changes"]:
            console.print("nothing has changed")
        elif dry_run:
            console.print("[yellow]nothing is done yet[/]: leave out --dry-run")
        if answer["failed"]:
            raise VasError("\n".join((*answer["failed"], "the old settings stay there")))


def _show(found: list[dict[str, Any]]) -> None:
    table = Table(
        "account", "state", "binds", "window", "waiting", "rate now", "throttled", "timeouts", box=None, pad_edge=False
    )
    for account in found:
        counters = account["counters"]
        table.add_row(
            account["name"], _state(account),
            f"{account['binds_up']}/{account['binds']}", f"{account['window_used']}/{account['window_max']}",
            f"{account['waiting_replies']}+{account['waiting_rest']}", _pace(account),
            f"{counters['throttled']:,}", f"{counters['timeouts']:,}",
        )  # fmt: skip
    _print(table, [(account["name"], account) for account in found])


def _show_store(overview: dict[str, Any]) -> None:
    if overview["store_error"]:
        since = timedelta(seconds=round(overview["store_down_seconds"]))
        said = f"[red]the store is down[/], for {since}: {escape(overview['store_error'])}"
        Console(highlight=False).print(said, soft_wrap=True)


def _state(account: dict[str, Any]) -> str:
    if account["state"] != "running" or account["up"]:
        return _coloured(account["state"], "red")
    return "[red]down[/]" if account["binds"] else "elsewhere"


def _print(table: Table, found: list[tuple[str, dict[str, Any]]]) -> None:
    """The table, and below it the errors, which beside it would not fit into 80 columns."""
    console = Console(highlight=False)
    console.print(table)
    errors = {(whose, row["last_error"]): row["last_error_at"] for whose, row in found if row["last_error"]}
    for (whose, error), at in errors.items():
        local = datetime.fromisoformat(at).astimezone()
        console.print(f"{whose}, {local:%Y-%m-%d %H:%M:%S}: {escape(error)}", soft_wrap=True)


def _pace(account: dict[str, Any]) -> str:
    now, agreed = account["rate_now"], account["rate"]
    if not account["binds"]:
        return ""
    if not now:
        return "no limit"
    shown = f"{now:,.0f}/s" if not agreed or now == agreed else f"{now:,.0f} of {agreed:,.0f}/s"
    return f"[yellow]{shown}[/]" if account["slowed"] else shown


def _coloured(state: str, otherwise: str) -> str:
    return f"[{_COLOURS.get(state, otherwise)}]{state}[/]"
