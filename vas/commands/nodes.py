"""`vas nodes`: the nodes that share a PostgreSQL."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vas.cluster.member import NODE_NAME
from vas.commands import plain_errors
from vas.commands.accounts import BY_HAND, CONFIG, was_typed
from vas.commands.desk import Config, KeyFile, Url, Why, desk
from vas.errors import VasError

nodes_app = typer.Typer(invoke_without_command=True)


@nodes_app.callback()
def nodes(context: typer.Context, url: Url = "", key_file: KeyFile = None, config: Config = CONFIG) -> None:
    """Show the nodes that share the database: version, start in local time, lease, binds. Any of them can be asked."""
    with plain_errors():
        if context.invoked_subcommand is None:
            _show(desk(url, key_file, config).get("/admin/v1/nodes"))
        elif any(was_typed(context, name) for name in context.params):
            raise VasError(f"options go behind the order: vas nodes {context.invoked_subcommand} NAME --url …")


@nodes_app.command()
def drain(name: str, reason: Why = BY_HAND, url: Url = "", key_file: KeyFile = None, config: Config = CONFIG) -> None:
    """Have a node give its binds to the others, before it is upgraded. SIGTERM does so by itself."""
    _order(name, "drain", reason, url, key_file, config)


@nodes_app.command()
def undrain(name: str, reason: Why = BY_HAND, url: Url = "", key_file: KeyFile = None, config: Config = CONFIG) -> None:
    """Let a node have its part of the binds again."""
    _order(name, "undrain", reason, url, key_file, config)


def _order(name: str, order: str, reason: str, url: str, key_file: Path | None, config: Path) -> None:
    with plain_errors():
        if not re.fullmatch(NODE_NAME, name):
            raise VasError(f"{name!r} is no name of a node; `vas nodes` lists them")
        _show([desk(url, key_file, config).post(f"/admin/v1/nodes/{name}/{order}", {"reason": reason})])


def _show(found: list[dict[str, Any]]) -> None:
    console = Console(highlight=False)
    if not found:
        console.print("this platform runs alone: only nodes on a PostgreSQL share a database", soft_wrap=True)
        return
    table = Table("node", "version", "since", "lease", "binds", "", "operations", box=None, pad_edge=False)
    for node in found:
        left = node["lease_seconds"]
        since = datetime.fromisoformat(node["started_at"]).astimezone()
        binds = ", ".join(f"{account} {count}" for account, count in node["binds"].items())
        table.add_row(
            escape(node["name"]), escape(node["version"]), f"{since:%Y-%m-%d %H:%M}",
            f"[green]{left:.1f} s[/]" if left else "[red]over[/]", binds or "none",
            "[yellow]draining[/]" if node["draining"] else "", escape(node["address"]),
        )  # fmt: skip
    console.print(table)
