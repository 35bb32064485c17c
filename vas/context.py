"""Context: what a handler may read and do. Everything awaited here is part of one unit of work."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Concatenate, Generic, ParamSpec

from typing_extensions import TypeVar

from vas.alphabet import fits_sms
from vas.errors import Refused, ServiceError
from vas.journal import Journal, restored
from vas.messages import Msisdn
from vas.mounting import Mounted, Platform
from vas.replies import Reply, Suspended
from vas.sending import BINARY, Content, Letterhead, Terms, aware_ms, binary, in_ms
from vas.store.ids import id_ms, moment
from vas.store.rows import OutboxRow
from vas.subscribers import DOCUMENT, Subscriber
from vas.texts import fitting
from vas.unit import Unit, job_row

C = TypeVar("C", default=Any)
S = TypeVar("S", default=Any)
D = TypeVar("D")
P = ParamSpec("P")


class Context(Generic[C, S]):
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

    # -- what is done

    async def send(
        self,
        to: Msisdn,
        key: str,
        *,
        then: Callable[..., Awaitable[Any]] | None = None,
        once: bool = False,
        at: datetime | None = None,
        valid: timedelta | None = None,
        flash: bool = False,
        **params: object,
    ) -> int:
        """Send a text by SMS in the receiver's language; its id.

        `then`: an `@service.outcome`, run once when it was delivered, failed, expired or became unknown.
        `once`: rather lost than doubled when its fate is unknown. `at`: not before. `valid`: not after.
        `flash`: class 0, shown at once and not kept by the handset.
        """
        step = f"send:{key}"
        entry = self._journal.recorded(step)
        if entry is not None:
            return int(entry.value)
        content = Content(key, self._written(await self._known(to), key, params), params)
        return self._send(step, self._letterhead.row(self.unit, to, content, Terms(then, once, at, valid, flash)))

    async def send_binary(
        self,
        to: Msisdn,
        octets: bytes,
        *,
        port: int = 0,
        then: Callable[..., Awaitable[Any]] | None = None,
        once: bool = False,
        at: datetime | None = None,
        valid: timedelta | None = None,
    ) -> int:
        """Send 8-bit data by SMS, in segments where it is long; its id. The rest as for `send`.

        `port`: the application port of the handset (3GPP TS 23.040 §9.2.3.24.4); 0: none.
        """
        entry = self._journal.recorded(f"send:{BINARY}")
        if entry is not None:
            return int(entry.value)
        row = self._letterhead.row(self.unit, to, binary(octets, port), Terms(then, once, at, valid))
        return self._send(f"send:{BINARY}", row)

    async def notify(self, to: Msisdn, key: str, **params: object) -> int:
        """Show a text on the subscriber's screen by USSD, without an answer; by SMS if it cannot be shown. Its id."""
        step = f"notify:{key}"
        entry = self._journal.recorded(step)
        if entry is not None:
            return int(entry.value)
        receiver = await self._known(to)
        language = receiver.language or self._platform.language
        text = fitting(self._service.texts.render(key, language, params), accents=self._accents(receiver), screen=True)
        row = self._letterhead.row(self.unit, to, Content(key, text, params), Terms(), "notice")
        return self._send(step, row)

    async def push(self, to: Msisdn, dialled: str) -> int:
        """Open a talk on the subscriber's phone by USSD: the one that dialling would open; the id of its job.

        `dialled`: what follows the service's own code, as in `@service.ussd`: `#`, or `*1*0912345678#`. The talk
        runs as a unit of its own, with `to` as its sender; it ends if the phone refuses or nobody answers.
        """
        step = f"push:{dialled}"
        entry = self._journal.recorded(step)
        if entry is not None:
            return int(entry.value)
        if not self._mounted.ussd_base or not dialled.endswith("#"):
            raise ServiceError(f"push {dialled!r}: it ends in #, and needs services.{self._service.name}.ussd")
        row = job_row(
            self.unit.batch, msisdn=to.digits, due_ms=self.unit.batch.now_ms, kind="push", service=self._service.name,
            name=self._mounted.ussd_base + dialled, key="", cause=self.unit.id, body={"source": self.source},
        )  # fmt: skip
        self.unit.later(row)
        self._journal.record(step, row.id)
        return row.id

    def _send(self, step: str, row: OutboxRow) -> int:
        self.unit.send(row)
        self._journal.record(step, row.id)
        return row.id

    async def fits(self, to: Msisdn, key: str, **params: object) -> bool:
        """Whether the text, as `to` would get it, fits one SMS. Reads only."""
        entry = self._journal.recorded(f"load:fits:{key}")
        if entry is not None:
            return bool(entry.value)
        fit = fits_sms(self._written(await self._known(to), key, params))
        self._journal.record(f"load:fits:{key}", fit)
        return fit

    async def later(
        self,
        job: Callable[..., Awaitable[Any]],
        *,
        after: timedelta | None = None,
        at: datetime | None = None,
        key: str = "",
        **args: object,
    ) -> int:
        """Run an `@service.job` as a unit of its own, once; its id. With a key it can be cancelled."""
        name = job.__name__
        step = f"later:{name}"
        entry = self._journal.recorded(step)
        if entry is not None:
            return int(entry.value)
        if name not in self._service.jobs:
            raise ServiceError(f"{self._service.name}.{name}: decorate it with @{self._service.name}.job")
        due_ms = aware_ms(at) if at is not None else self.unit.batch.now_ms + in_ms(after or timedelta())
        row = job_row(
            self.unit.batch, msisdn=self.sender.digits, due_ms=due_ms, kind="job", service=self._service.name,
            name=name, key=key, cause=self.unit.id, body=args,
        )  # fmt: skip
        self.unit.later(row)
        self._journal.record(step, row.id)
        return row.id

    async def cancel(self, key: str) -> None:
        """Cancel this subscriber's jobs that were scheduled with this key and have not run."""
        if not key:
            raise ServiceError("ctx.cancel needs the key that ctx.later was given")
        step = f"cancel:{key}"
        if self._journal.recorded(step) is None:
            self.unit.jobs = [row for row in self.unit.jobs if row.key != key]
            self.unit.cancelled.append((self.sender.digits, self._service.name, key))
            self._journal.record(step)

    async def call(self, name: str, run: Callable[..., Awaitable[D]], *args: Any) -> D:
        """Ask the outside world: `run(*args, key=…)`, outside any transaction, and go on with what it gives.

        What was done before this is committed first, together with the intent and the key; whatever
        happens, the call is repeated with the same key and the same arguments until it gives a value or
        raises Refused. A ServiceError of `run` is its own fault, as when it needs a secret that is gone: it is
        raised here too. An exception after this undoes only what follows it.
        """
        step = f"call:{name}"
        at = self._journal.at
        entry = self._journal.recorded(step)
        if entry is None:
            entry = self._journal.record(step, done=False)
        if not entry.done:
            raise Suspended(run, args, call_key(self.id, at))
        if entry.fault:
            raise ServiceError(entry.fault)
        if entry.refused:
            raise Refused(entry.refused, **(entry.value or {}))
        return restored(entry.value, inspect.get_annotations(run, eval_str=True).get("return", Any))  # type: ignore[no-any-return]

    # -- what is said

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

    def reply(self, key: str, **params: object) -> Reply:
        """The answer to the sender."""
        return Reply(key, params)

    def say(self, key: str, **params: object) -> str:
        """The text as the sender reads it."""
        return self._service.texts.render(key, self.language, params)

    def _written(self, receiver: Subscriber, key: str, params: dict[str, object]) -> str:
        language = receiver.language or self._platform.language
        return self._service.texts.sms(key, language, params, accents=self._accents(receiver))

    async def _known(self, to: Msisdn) -> Subscriber:
        return self._subscriber if to == self.sender else await self.unit.document(DOCUMENT, Subscriber, to)

    def journal_json(self) -> bytes:
        """What this run has gone through so far, for the run that goes on."""
        return self._journal.encode()

    def answer(self, reply: Reply) -> OutboxRow:
        """The row that carries a reply to the sender by SMS."""
        content = Content(reply.key, self._written(self._subscriber, reply.key, reply.params), reply.params)
        return self._letterhead.row(self.unit, self.sender, content, Terms())


def call_key(cause: int, place: int) -> str:
    """The same for every attempt of a call: the unit or talk that makes it, and its place in the journal."""
    return f"{cause}:{place}"


def _check_kind(value: object, kind: type[Any], rule: str) -> None:
    """Raises ServiceError for what could be written and never read again."""
    if not isinstance(value, kind):
        raise ServiceError(f"the rule {rule} gave a {type(value).__name__}, not a {kind.__name__}: does it return it?")
