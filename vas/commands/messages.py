"""`vas messages NUMBER`: what a subscriber sent and was sent."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vas.commands import plain_errors
from vas.commands.accounts import CONFIG
from vas.commands.desk import Config, KeyFile, Url, desk

_COLOURS = {"delivered": "green", "answered": "green", "failed": "red", "expired": "red", "unknown": "yellow"}


def messages(number: str, url: Url = "", key_file: KeyFile = None, config: Config = CONFIG) -> None:
    """List the latest messages of a number, newest first, in local time; numbers are masked, texts left out."""
    with plain_errors():
        page = desk(url, key_file, config).get(f"/admin/v1/messages?msisdn={quote(number, safe='')}")
    table = Table("id", "at", "", "code", "service", "state", box=None)
    for each in page["items"]:
        state = each["state"]
        table.add_row(
            each["id"], _local(each["at"]), "→" if each["direction"] == "out" else "←",
            escape(each["code"]), each["service"], f"[{_COLOURS.get(state, 'default')}]{state}[/]",
        )  # fmt: skip
    console = Console(highlight=False)
    for each in page["waiting"]:
        came = ", ".join(map(str, each["came"]))
        console.print(
            f"[yellow]a long message to {escape(each['to'])} is not whole[/]: of {each['parts']} parts came {came}; "
            f"given up at {_local(each['until'])}"
        )
    if page["items"] or not page["waiting"]:
        console.print(table if page["items"] else "nothing is kept of this number")


def _local(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M:%S}"
