"""Remembering: the half of a Context that reads and changes what is remembered, and writes texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any, Concatenate, Generic, ParamSpec

from typing_extensions import TypeVar

from vas.alphabet import fits_sms
from vas.errors import ServiceError
from vas.journal import Journal, restored
from vas.messages import Msisdn
from vas.mounting import Mounted, Platform
from vas.sending import Letterhead
from vas.store.ids import id_ms, moment
from vas.subscribers import DOCUMENT, Subscriber
from vas.unit import Unit

C = TypeVar("C", default=Any)
S = TypeVar("S", default=Any)
D = TypeVar("D")
P = ParamSpec("P")


class Remembering(Generic[C, S]):
    """One run of a handler. `sender` is the subscriber on whose behalf it runs."""

    def __init__(
        self,
        unit: Unit,
        mounted: Mounted,
        platform: Platform,
        sender: Msisdn,
        subscriber: Subscriber,
        journal: Journal | None = None,
        source: str = "",
        account: str = "",
        *,
        waited_for: bool = True,
    ) -> None:
        """`waited_for`: a subscriber has just asked for this, so what it sends overtakes what nobody waits for."""
        self.unit = unit
        self.id = unit.id
        self.sender = sender
        self.config: C = mounted.config
        self._mounted = mounted
        self._service = mounted.service
        self._platform = platform
        self._subscriber = subscriber
        self._journal = journal if journal is not None else Journal()
        self.source = source or (mounted.short_codes[0] if mounted.short_codes else "")
        self._letterhead = Letterhead(mounted, platform, sender, self.source, account, waited_for)

    # -- the unit's own clock

    @property
    def now(self) -> datetime:
        """When this unit runs, aware, in the platform's time zone; while it is run anew, when it began."""
        anew = self._journal.at < len(self._journal.entries)
        return moment(id_ms(self.id) if anew else self.unit.batch.now_ms).astimezone(self._platform.timezone)

    @property
    def today(self) -> date:
        """The local day; in a talk, the one of its first turn."""
        return self.now.date()

    # -- what is remembered

    async def load(self, of: Msisdn) -> S:
        """This service's document of a subscriber; its struct's defaults if there is none."""
        entry = self._journal.recorded("load")
        if entry is not None:
            return restored(entry.value, self._service.state_type)  # type: ignore[no-any-return]
        value = await self.unit.document(self._service.name, self._service.state_type, of)
        self._journal.record("load", value)
        return value  # type: ignore[no-any-return]

    async def change(self, of: Msisdn, rule: Callable[Concatenate[D, P], D], *args: P.args, **kwargs: P.kwargs) -> D:
        """Replace the document by `rule(document, *args)`, a pure function; the new one.

        A rule that raises Refused refuses the command: all that the unit has done is undone.
        """
        name = getattr(rule, "__name__", "change")
        step = f"change:{name}"
        entry = self._journal.recorded(step)
        if entry is not None:
            return restored(entry.value, self._service.state_type)  # type: ignore[no-any-return]
        value = rule(await self.unit.document(self._service.name, self._service.state_type, of), *args, **kwargs)
        _check_kind(value, self._service.state_type, name)
        self.unit.put(self._service.name, of, value, name)
        self._journal.record(step, value)
        return value

    async def subscriber(self, of: Msisdn | None = None) -> Subscriber:
        """What the platform knows of a subscriber; the sender if none is named."""
        entry = self._journal.recorded("load:subscriber")
        if entry is not None:
            return restored(entry.value, Subscriber)  # type: ignore[no-any-return]
        value = await self.unit.document(DOCUMENT, Subscriber, of or self.sender)
        self._journal.record("load:subscriber", value)
        return value

    async def language_of(self, of: Msisdn) -> str:
        """The language in which a subscriber reads our texts."""
        return (await self.subscriber(of)).language or self._platform.language

    async def change_subscriber(
        self, of: Msisdn, rule: Callable[Concatenate[Subscriber, P], Subscriber], *args: P.args, **kwargs: P.kwargs
    ) -> Subscriber:
        """Like `change`, for what the platform knows: language, adverts, accents."""
        step = f"subscriber:{rule.__name__}"
        entry = self._journal.recorded(step)
        if entry is not None:
            value: Subscriber = restored(entry.value, Subscriber)
        else:
            value = rule(await self.unit.document(DOCUMENT, Subscriber, of), *args, **kwargs)
            _check_kind(value, Subscriber, rule.__name__)
            self.unit.put(DOCUMENT, of, value, rule.__name__)
            self._journal.record(step, value)
        if of == self.sender:
            self._subscriber = value
        return value

    async def execute(self, text: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """A statement on the service's own tables; all its rows, as tuples of plain JSON values."""
        entry = self._journal.recorded("execute")
        if entry is not None:
            return [tuple(row) for row in entry.value]
        rows = await self.unit.execute(text, params)
        self._journal.record("execute", rows)
        return rows

    # -- how it is said

    @property
    def language(self) -> str:
        return self._subscriber.language or self._platform.language

    @property
    def service_name(self) -> str:
        return self._service.name

    @property
    def accents(self) -> bool:
        """Whether what the sender reads has accents, where they fit."""
        return self._accents(self._subscriber)

    def _accents(self, receiver: Subscriber) -> bool:
        """Both must want them: the subscriber, and the service's section of config.toml."""
        return receiver.accents and self._mounted.accents

    def say(self, key: str, **params: object) -> str:
        """The text as the sender reads it."""
        return self._service.texts.render(key, self.language, params)

    def _written(self, receiver: Subscriber, key: str, params: dict[str, object]) -> str:
        language = receiver.language or self._platform.language
        return self._service.texts.sms(key, language, params, accents=self._accents(receiver))

    async def _known(self, to: Msisdn) -> Subscriber:
        return self._subscriber if to == self.sender else await self.unit.document(DOCUMENT, Subscriber, to)

    async def fits(self, to: Msisdn, key: str, **params: object) -> bool:
        """Whether the text, as `to` would get it, fits one SMS. Reads only."""
        entry = self._journal.recorded(f"load:fits:{key}")
        if entry is not None:
            return bool(entry.value)
        fit = fits_sms(self._written(await self._known(to), key, params))
        self._journal.record(f"load:fits:{key}", fit)
        return fit


def _check_kind(value: object, kind: type[Any], rule: str) -> None:
    """Raises ServiceError for what could be written and never read again."""
    if not isinstance(value, kind):
        raise ServiceError(f"the rule {rule} gave a {type(value).__name__}, not a {kind.__name__}: does it return it?")
