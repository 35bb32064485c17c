"""`vas text`: what a text costs, before it is sent."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from gateway.sms.segments import Cost, cost
from vas.accounts import account_settings
from vas.config import Settings
from vas.errors import VasError


def cost_of(text: str, account: str, settings: Settings) -> tuple[str, Cost]:
    """The account's name, the first one's if none is given, and what the text costs there."""
    known = {each.name: each for each in account_settings(settings)}
    name = account or next(iter(known), "")
    if name not in known:
        names = ", ".join(known) or "none"
        raise VasError(f'there is no account "{name}" in the settings; there are: {names}')
    return name, cost(text, known[name].style)


def show(text: str, name: str, found: Cost) -> None:
    """Print it, with the characters marked that the plain alphabet lacks."""
    console = Console(highlight=False, soft_wrap=True)
    marked = Text(text)
    for character in found.foreign:
        marked.highlight_words([character], "bold red")
    console.print(marked)
    sms = "1 SMS" if found.segments == 1 else f"{found.segments} SMS"
    console.print(
        f"by {name}: [bold]{sms}[/] in {found.encoding}, {found.units} {found.unit}, room for {found.left} more"
    )
    if found.foreign:
        characters = " ".join(found.foreign)
        console.print(Text(f"not in its plain alphabet: {characters}", style="red"))
