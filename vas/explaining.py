"""Why a text reaches the handler that it reaches."""

from __future__ import annotations

from dataclasses import dataclass

from vas.errors import Refused
from vas.messages import Msisdn
from vas.routing import Route, Router
from vas.service import Handler


@dataclass(frozen=True)
class Explanation:
    """In words for a person, with rich markup."""

    text: str
    found: bool


def explanation(router: Router, text: str, to: str) -> Explanation:
    """What `text`, sent to `to` or dialled, comes to."""
    if text.startswith(("*", "#")):
        route = router.ussd(text)
        known = [f"{dialled.base}{dialled.pattern}" for dialled in router.dialled()]
        where = "no code of that form can be dialled"
    elif not to:
        return Explanation(
            f"Say where the text goes: [bold]--to CODE[/]. Short codes: {', '.join(router.codes())}.", False
        )
    else:
        route = router.sms(to, text)
        known = [trigger.pattern for trigger in router.triggers_at(to)]
        where = f"nothing at {to} matches"
        if to not in router.own_numbers:
            where = f"{to} is no short code of ours, which are: {', '.join(router.codes())}"
            known = []
    if route is None:
        would = f"\nWhat would match: {', '.join(map(_escaped, known))}." if known else ""
        return Explanation(f"[yellow]Nobody answers {_escaped(repr(text))}[/]: {_escaped(where)}.{would}", False)
    return Explanation("\n".join(_lines(route, known)), True)


def _lines(route: Route, known: list[str]) -> list[str]:
    handler = route.handler
    lines = [
        f"[bold green]{route.mounted.name}.{handler.name}[/] ({_place(handler)})",
        f"because it matches [bold]{_escaped(route.why)}[/]",
    ]
    for name, value in route.values.items():
        lines.append(f"  {name} = {_parsed(handler, name, value) if name not in route.secrets else '•••'}")
    if route.answers:
        lines.append(f"  dialled in advance, for the menu's first questions: {', '.join(route.answers)}")
    others = [_escaped(pattern) for pattern in known if pattern != route.why]
    return [*lines, f"[dim]Also here: {', '.join(others)}[/]"]


def _parsed(handler: Handler, name: str, value: str) -> str:
    try:
        parsed = handler.parameters[name].parse(value)
    except Refused as refused:
        return f"{value!r}, which is refused with the text [bold]{refused.key}[/]"
    return parsed.digits if isinstance(parsed, Msisdn) else repr(parsed)


def _place(handler: Handler) -> str:
    code = handler.run.__code__
    return f"{code.co_filename.rpartition('/')[2]}:{code.co_firstlineno}"


def _escaped(pattern: str) -> str:
    return pattern.replace("[", r"\[")
