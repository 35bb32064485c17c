"""Which handler a message reaches, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vas.errors import ConfigError, ServiceError, TriggerClash
from vas.mounting import Mounted
from vas.secret import Secret
from vas.service import Handler
from vas.triggers import Dialled, Kind, Placeholder, SmsTriggers, Trigger, UssdTriggers, sms_trigger, ussd_trigger

COMMANDS_SHOWN = 90
"""Characters of commands in a help text."""


class Target(NamedTuple):
    mounted: Mounted
    handler: Handler


class Route(NamedTuple):
    """A handler and what it is called with."""

    mounted: Mounted
    handler: Handler
    values: dict[str, str]
    why: str
    answers: list[str]
    """USSD: answers that were dialled in advance."""
    secrets: frozenset[str]
    """Placeholders that are secrets: neither their values nor the text may be written anywhere."""

    @property
    def secret(self) -> bool:
        return bool(self.secrets)

    @property
    def kept_values(self) -> dict[str, str]:
        """The values as they may be written down."""
        return {name: "" if name in self.secrets else value for name, value in self.values.items()}


class Router:
    """All triggers of an installation. Raises TriggerClash or ConfigError for what cannot work.

    `everywhere` is the platform's own service: its commands work at every short code, behind the others.
    """

    def __init__(self, mounted: Sequence[Mounted], everywhere: Mounted) -> None:
        self.mounted = {each.name: each for each in (*mounted, everywhere)}
        self.fallback = everywhere
        self._codes = {
            code: _at(code, mounted) for code in sorted({code for each in mounted for code in each.short_codes})
        }
        self._everywhere = SmsTriggers(_sms(everywhere))
        self._ussd = UssdTriggers([dialled for each in mounted for dialled in _ussd(each)])
        self.own_numbers = frozenset(self._codes)

    def sms(self, to: str, text: str) -> Route | None:
        for triggers in (self._codes.get(to), self._everywhere):
            found = triggers.match(text) if triggers is not None else None
            if found is not None:
                trigger, values = found
                target = trigger.target
                assert isinstance(target, Target)
                return Route(*target, values, trigger.pattern, [], trigger.secrets)
        return None

    def may_hold_secret(self, to: str, text: str) -> bool:
        """Whether a message that nothing matches looks like a misspelt command with a secret."""
        if text.lstrip().startswith(("*", "#")):
            return any(dialled.secrets and text.lstrip().startswith(dialled.base) for dialled in self._ussd)
        triggers = self._codes.get(to)
        return triggers is not None and triggers.may_hold_secret(text)

    def ussd(self, code: str) -> Route | None:
        found = self._ussd.match(code)
        if found is None:
            return None
        dialled, values, answers = found
        target = dialled.target
        assert isinstance(target, Target)
        return Route(*target, values, dialled.base + dialled.pattern, answers, frozenset(dialled.secrets))

    def job(self, service: str, name: str) -> Target:
        """Raises ServiceError if the service is not (or no longer) there, or has no such job."""
        return self._named(service, name, "jobs")

    def outcome(self, service: str, name: str) -> Target:
        return self._named(service, name, "outcomes")

    def _named(self, service: str, name: str, registry: str) -> Target:
        mounted = self.mounted.get(service)
        handler = getattr(mounted.service, registry).get(name) if mounted else None
        if mounted is None or handler is None:
            raise ServiceError(
                f"{service}.{name} is not there (any more): switch the service on to run what waits for it"
            )
        return Target(mounted, handler)

    def commands(self, code: str) -> str:
        """What can be texted to a code, as far as it fits into a help text."""
        shown = ""
        for trigger in self._codes[code]:
            words = " ".join(part if isinstance(part, str) else part.name.upper() for part in trigger.parts)
            if len(shown) + len(words) > COMMANDS_SHOWN:
                break
            shown += (", " if shown else "") + words
        return shown

    def reached_at(self) -> tuple[str, ...]:
        """Short codes, and what is dialled."""
        return (*self._codes, *sorted({f"{dialled.base}#" for dialled in self._ussd}))

    def codes(self) -> tuple[str, ...]:
        return tuple(self._codes)

    def triggers_at(self, code: str) -> Iterator[Trigger]:
        """What can be texted to a code, the platform's own commands last."""
        yield from self._codes.get(code, ())
        yield from self._everywhere

    def dialled(self) -> Iterator[Dialled]:
        """What can be dialled."""
        return iter(self._ussd)


def _at(code: str, mounted: Sequence[Mounted]) -> SmsTriggers:
    try:
        return SmsTriggers([trigger for each in mounted if code in each.short_codes for trigger in _sms(each)])
    except TriggerClash as clash:
        services = ", ".join(each.name for each in mounted if code in each.short_codes)
        raise TriggerClash(f"short code {code} ({services}): {clash}") from None


def _sms(mounted: Mounted) -> list[Trigger]:
    triggers = []
    for pattern, handler in mounted.service.sms_handlers:
        trigger = sms_trigger(pattern, _kinds(handler), Target(mounted, handler))
        _complete(
            handler, pattern, {part.name for part in trigger.parts if isinstance(part, Placeholder)}, trigger.secrets
        )
        triggers.append(trigger)
    return triggers


def _ussd(mounted: Mounted) -> list[Dialled]:
    if not mounted.ussd_base:
        return []
    if not mounted.ussd_base.startswith(("*", "#")) or mounted.ussd_base.endswith("#"):
        raise ConfigError(
            f'services.{mounted.name}.ussd = "{mounted.ussd_base}": write it as "*105", without # at its end'
        )
    triggers = []
    for pattern, handler in mounted.service.ussd_handlers:
        dialled = ussd_trigger(pattern, mounted.ussd_base, _kinds(handler), Target(mounted, handler))
        _complete(handler, pattern, set(dialled.names), frozenset(dialled.secrets))
        triggers.append(dialled)
    return triggers


def _complete(handler: Handler, pattern: str, given: set[str], secrets: frozenset[str]) -> None:
    """Raises ServiceError if the handler needs a value that no placeholder gives, or only one of both says "secret"."""
    for name in handler.needs:
        if name not in given:
            raise ServiceError(f"trigger {pattern!r}: the handler {handler.name} needs {name!r}: write {{{name}}}")
    for name in given:
        if (handler.types.get(name) is Secret) != (name in secrets):
            raise ServiceError(
                f"trigger {pattern!r}: a secret is written {{{name}:secret}} and is a vas.Secret in {handler.name}"
            )


def _kinds(handler: Handler) -> dict[str, Kind]:
    return {name: parameter.kind for name, parameter in handler.parameters.items()}
