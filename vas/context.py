"""Context: what a handler may read and do. Everything awaited here is part of one unit of work."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from vas.errors import Refused, ServiceError
from vas.journal import restored
from vas.messages import Msisdn
from vas.remembering import C, D, Remembering, S
from vas.replies import Reply, Suspended
from vas.sending import BINARY, USUAL, Content, Terms, aware_ms, binary, in_ms
from vas.store.rows import OutboxRow
from vas.texts import fitting
from vas.unit import job_row


class Context(Remembering[C, S]):
    """One run of a handler, and all that it may do."""

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

        `then`: an `@service.outcome`, run once when it was delivered, failed, expired, was cancelled or became unknown.
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
        row = self._letterhead.row(self.unit, to, Content(key, text, params), USUAL, "notice")
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

    def reply(self, key: str, **params: object) -> Reply:
        """The answer to the sender."""
        return Reply(key, params)

    def journal_json(self) -> bytes:
        """What this run has gone through so far, for the run that goes on."""
        return self._journal.encode()

    def answer(self, reply: Reply) -> OutboxRow:
        """The row that carries a reply to the sender by SMS."""
        content = Content(reply.key, self._written(self._subscriber, reply.key, reply.params), reply.params)
        return self._letterhead.row(self.unit, self.sender, content, USUAL)


def call_key(cause: int, place: int) -> str:
    """The same for every attempt of a call: the unit or talk that makes it, and its place in the journal."""
    return f"{cause}:{place}"
