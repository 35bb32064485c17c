"""Service: the decorators with which a service says what it answers, and what they collect."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
from sqlalchemy import MetaData

from vas.errors import Invalid, ServiceError
from vas.messages import Msisdn
from vas.secret import Secret
from vas.texts import Texts, fold
from vas.triggers import Kind

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])


class Nothing(msgspec.Struct, frozen=True):
    """The config or state of a service that has none."""


@dataclass(frozen=True)
class Parameter:
    """What a handler's annotation says about a placeholder."""

    name: str
    kind: Kind
    parse: Callable[[str], object]


@dataclass(frozen=True)
class Handler:
    """One function of a service, found again by its name after a restart."""

    service: Service
    name: str
    run: Callable[..., Coroutine[Any, Any, Any]]
    parameters: dict[str, Parameter] = field(default_factory=dict)
    types: dict[str, Any] = field(default_factory=dict)
    """Annotations of everything after the context, for arguments that come from the store."""
    needs: tuple[str, ...] = ()
    """Parameters after the context without a default."""

    def parse(self, values: dict[str, str]) -> dict[str, object]:
        """Placeholders' values by their annotations; raises Invalid with the key of a text."""
        return {name: self.parameters[name].parse(value) for name, value in values.items()}

    def arguments(self, stored: dict[str, Any]) -> dict[str, Any]:
        """A job's arguments in their own types again, after their way through the store."""
        return {name: msgspec.convert(value, self.types[name], str_keys=True) for name, value in stored.items()}


class Service:
    """A pluggable module: `callme = Service(__name__, config=Config, state=Caller)`.

    `config` is a frozen msgspec Struct, filled from [services.NAME]; `state` one too, with a default for
    every field, kept per subscriber. `tables` are the service's own, reached with `ctx.execute`.
    The name is the last part of `module`, its texts stand in `texts.toml` beside it.
    """

    def __init__(
        self,
        module: str,
        *,
        config: type[Any] = Nothing,
        state: type[Any] = Nothing,
        texts: Path | None = None,
        tables: MetaData | None = None,
    ) -> None:
        self.name = module.rpartition(".")[2]
        self.config_type = config
        self.state_type = state
        self.tables = tables
        self.texts = Texts.load(texts or _beside(module), behind=PLATFORM_TEXTS)
        self.sms_handlers: list[tuple[str, Handler]] = []
        self.ussd_handlers: list[tuple[str, Handler]] = []
        self.jobs: dict[str, Handler] = {}
        self.outcomes: dict[str, Handler] = {}
        self.handlers: dict[str, Handler] = {}
        self.recurring: list[tuple[str, Handler]] = []

    def sms(self, *patterns: str) -> Callable[[F], F]:
        """Answer these texts: `@service.sms("CM {friend}", "GOI {friend}")`."""

        def add(run: F) -> F:
            handler = self._handler(run)
            self.sms_handlers += [(pattern, handler) for pattern in patterns]
            return run

        return add

    def ussd(self, *patterns: str) -> Callable[[F], F]:
        """Answer these codes after the base that config.toml gives: `*{friend}#`, or `#` for the menu."""

        def add(run: F) -> F:
            handler = self._handler(run)
            self.ussd_handlers += [(pattern, handler) for pattern in patterns]
            return run

        return add

    def job(self, run: F) -> F:
        """A function that `ctx.later` may name; runs once, as a unit of its own."""
        self._add(self.jobs, run)
        return run

    def outcome(self, run: F) -> F:
        """A function `(ctx, outcome)` that `ctx.send(…, then=…)` may name; runs once for each message."""
        self._add(self.outcomes, run)
        return run

    def every(self, cron: str) -> Callable[[F], F]:
        """Run at these times, `minute hour day month weekday` in the platform's time zone, on one node."""

        def add(run: F) -> F:
            handler = self._add(self.jobs, run)
            self.recurring.append((cron, handler))
            return run

        return add

    def _add(self, registry: dict[str, Handler], run: Callable[..., Coroutine[Any, Any, Any]]) -> Handler:
        handler = self._handler(run)
        registry[handler.name] = handler
        return handler

    def _handler(self, run: Callable[..., Coroutine[Any, Any, Any]]) -> Handler:
        if not inspect.iscoroutinefunction(run):
            raise ServiceError(f"{self.name}.{run.__name__}: a handler is `async def`")
        annotations = inspect.get_annotations(run, eval_str=True)
        _, *after = inspect.signature(run).parameters.values()
        names = [parameter.name for parameter in after]
        types = {name: annotations.get(name, str) for name in names}
        last = names[-1] if names else ""
        parameters = {name: _parameter(name, kind, name == last) for name, kind in types.items()}
        needs = tuple(parameter.name for parameter in after if parameter.default is parameter.empty)
        handler = Handler(self, run.__name__, run, parameters, types, needs)
        if self.handlers.setdefault(handler.name, handler).run is not run:
            raise ServiceError(f"{self.name}: two functions are named {handler.name}")
        return handler

    def __repr__(self) -> str:
        return f"Service({self.name})"


def _parameter(name: str, kind: Any, last: bool) -> Parameter:
    if kind is str:
        return Parameter(name, Kind.REST if last else Kind.WORD, str.strip)
    if kind is Secret:
        return Parameter(name, Kind.WORD, Secret)
    if kind is int:
        return Parameter(name, Kind.WORD, _whole_number)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return Parameter(name, Kind.WORD, _choice({fold(str(member.value)).upper(): member for member in kind}))
    if get_origin(kind) is Literal:
        return Parameter(name, Kind.WORD, _choice({fold(str(value)).upper(): value for value in get_args(kind)}))
    parse = getattr(kind, "parse", None)
    if callable(parse):
        return Parameter(name, Kind.NUMBER if kind is Msisdn else Kind.WORD, parse)
    return Parameter(name, Kind.WORD, str.strip)


def parser(kind: Any) -> Callable[[str], Any]:
    """How a typed answer becomes a value of this annotation."""
    return _parameter("", kind, True).parse


def _whole_number(raw: str) -> int:
    digits = re.sub(r"[.,\s]", "", raw)
    if not digits.isascii() or not digits.isdigit() or len(digits) > 15:
        raise Invalid("not_a_number")
    return int(digits)


def _choice(values: dict[str, Any]) -> Callable[[str], Any]:
    def parse(raw: str) -> Any:
        try:
            return values[fold(raw.strip(" .!?")).upper()]
        except KeyError:
            raise Invalid("not_a_choice", choices=", ".join(values)) from None

    return parse


def _beside(module: str) -> Path:
    source = getattr(sys.modules.get(module), "__file__", None)
    if source is None:
        raise ServiceError(f"{module}: no file to find texts.toml beside; give texts=")
    return Path(source).with_name("texts.toml")


PLATFORM_TEXTS = Texts.load(Path(__file__).with_name("texts.toml"))
"""What the platform itself says: refused numbers, help, apology; a service may say it its own way."""
