"""The phones over HTTP: JSON in and out, for scripts, browsers and the terminal phone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from aiohttp import web

from gateway.simulator.delivery import Mo, QueueFull
from gateway.simulator.phone import NoDialogue, Phone, PhoneState, Received, Screen

if TYPE_CHECKING:
    from gateway.simulator.simulator import Simulator

BODY_OCTETS = 16_384
TEXT_CHARACTERS = 2_000
SHOWN = 100
"""The latest messages that GET /phones/{msisdn} shows."""
HEARTBEAT_SECONDS = 15
"""An empty line in a silent stream of events, so that a dead listener is noticed."""

HELP = f"""An SMSC with phones.

GET  /status                      binds, phones, what is owed
GET  /phones/{{msisdn}}             its state, its screen, its latest {SHOWN} messages
GET  /phones/{{msisdn}}/events      what arrives, one JSON object in each line, until you close
POST /phones/{{msisdn}}/sms         {{"to": "9105", "text": "CM 0912345678"}}
POST /phones/{{msisdn}}/dial        {{"code": "*105#"}}
POST /phones/{{msisdn}}/answer      {{"text": "1"}}
POST /phones/{{msisdn}}/hang_up
POST /phones/{{msisdn}}/switch_off
POST /phones/{{msisdn}}/switch_on
POST /phones/{{msisdn}}/out_of_service
"""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_CHARACTERS)]


class Sms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    to: Text
    text: Text


class Dial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: Text


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: Text


class PhoneView(msgspec.Struct, frozen=True):
    number: str
    state: PhoneState
    in_dialogue: bool
    screen: Screen | None
    inbox: list[Received]


class Sent(msgspec.Struct, frozen=True):
    """The simulator's ids of the deliver_sm that carry it."""

    ids: list[int]


class BindView(msgspec.Struct, frozen=True):
    session: int
    account: str
    mode: str
    delivered: int
    submitted: int


class Status(msgspec.Struct, frozen=True):
    binds: list[BindView]
    phones: int
    owed: int
    outcomes: dict[str, int]
    """Attempts to deliver, by how they ended."""
    submitted: int
    late_answers: int


class Http:
    """The listener; without settings.http_port it starts nothing."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._streams: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        settings = self._simulator.settings
        if settings.http_port is None:
            return
        app = web.Application(client_max_size=BODY_OCTETS, middlewares=[_problems])
        app.add_routes(
            [
                web.get("/", _help),
                web.get("/status", self._status),
                web.get("/phones/{msisdn}", self._view),
                web.get("/phones/{msisdn}/events", self._events),
                web.post("/phones/{msisdn}/sms", self._sms),
                web.post("/phones/{msisdn}/dial", self._dial),
                web.post("/phones/{msisdn}/answer", self._answer),
                web.post("/phones/{msisdn}/hang_up", self._hang_up),
                web.post("/phones/{msisdn}/switch_off", self._switch(Phone.switch_off)),
                web.post("/phones/{msisdn}/switch_on", self._switch(Phone.switch_on)),
                web.post("/phones/{msisdn}/out_of_service", self._switch(Phone.out_of_service)),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, settings.http_host, settings.http_port).start()

    async def stop(self) -> None:
        for stream in tuple(self._streams):
            stream.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def port(self) -> int:
        if self._runner is None:
            raise RuntimeError("the simulator has no HTTP")
        return int(self._runner.addresses[0][1])

    def _phone(self, request: web.Request) -> Phone:
        return self._simulator.phone(request.match_info["msisdn"])

    async def _status(self, request: web.Request) -> web.Response:
        smsc = self._simulator.smsc
        binds = [
            BindView(
                session.id, session.account, (session.mode.name or "").lower(), session.delivered, session.submitted
            )
            for session in smsc.sessions.values()
            if session.mode
        ]
        return _json(
            Status(
                binds=binds,
                phones=len(self._simulator.phones),
                owed=smsc.delivery.owed,
                outcomes={str(outcome): number for outcome, number in smsc.delivery.outcomes.items()},
                submitted=smsc.submitted,
                late_answers=smsc.late_answers,
            )
        )

    async def _view(self, request: web.Request) -> web.Response:
        phone = self._phone(request)
        inbox = list(phone.inbox)[-SHOWN:]
        return _json(PhoneView(phone.number, phone.state, phone.dialogue is not None, phone.screen, inbox))

    async def _sms(self, request: web.Request) -> web.Response:
        sms = msgspec.json.decode(await request.read(), type=Sms)
        return _sent(*self._phone(request).text(sms.text, sms.to))

    async def _dial(self, request: web.Request) -> web.Response:
        dial = msgspec.json.decode(await request.read(), type=Dial)
        return _sent(self._phone(request).dial(dial.code))

    async def _answer(self, request: web.Request) -> web.Response:
        answer = msgspec.json.decode(await request.read(), type=Answer)
        return _sent(self._phone(request).answer(answer.text))

    async def _hang_up(self, request: web.Request) -> web.Response:
        return _sent(self._phone(request).hang_up())

    def _switch(self, how: Callable[[Phone], None]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def switch(request: web.Request) -> web.Response:
            how(self._phone(request))
            return web.Response(status=204)

        return switch

    async def _events(self, request: web.Request) -> web.StreamResponse:
        phone = self._phone(request)
        events = phone.listen()
        response = web.StreamResponse(headers={"Content-Type": "application/jsonl", "Cache-Control": "no-store"})
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            await response.prepare(request)
            await response.write(b"\n")
            while True:
                try:
                    event = await asyncio.wait_for(events.get(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    await response.write(b"\n")
                else:
                    await response.write(msgspec.json.encode(event) + b"\n")
        finally:
            phone.ignore(events)
            self._streams.discard(task)


async def _help(request: web.Request) -> web.Response:
    return web.Response(text=HELP)


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def _sent(*sent: Mo) -> web.Response:
    return _json(Sent([mo.id for mo in sent]), status=202)


def _problem(status: int, title: str, detail: str) -> web.Response:
    body = msgspec.json.encode({"title": title, "status": status, "detail": detail})
    return web.Response(body=body, status=status, content_type="application/problem+json")


@web.middleware
async def _problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every refusal as a problem of RFC 9457."""
    try:
        return await handler(request)
    except (msgspec.MsgspecError, ValueError) as error:
        return _problem(400, "The request cannot be understood", str(error))
    except NoDialogue:
        return _problem(409, "No screen is waiting", "Dial a code first, and answer the screen that comes.")
    except web.HTTPClientError as refusal:
        return _problem(refusal.status, refusal.reason, "GET / says what there is.")
    except (QueueFull, asyncio.QueueFull):
        return _problem(503, "The simulator is full", "Wait until an ESME has taken what is owed to it.")
