"""The phones and the faults over HTTP: JSON in and out, for scripts, browsers and the terminal phone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from gateway.simulator.acts import ACTS, perform
from gateway.simulator.delivery import QueueFull
from gateway.simulator.exchange import Happening
from gateway.simulator.fault_words import described
from gateway.simulator.faults import KINDS, Fault
from gateway.simulator.magic import MAGIC, MARK
from gateway.simulator.phone import Event, NoDialogue, NoNetwork, Phone
from gateway.simulator.plain_words import decode
from gateway.simulator.views import (
    HELP,
    LISTED,
    SHOWN,
    Added,
    BindView,
    FaultsView,
    FaultView,
    Last,
    Outbind,
    PhoneLine,
    PhoneView,
    Sent,
    Status,
)

if TYPE_CHECKING:
    from gateway.simulator.simulator import Simulator

BODY_OCTETS = 65_536
FAULTS = 1_000
HEARTBEAT_SECONDS = 15
"""An empty line in a silent stream of events, so that a dead listener is noticed."""
PAGE = Path(__file__).parent / "page" / "index.html"


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
                web.get("/", _front),
                web.get("/status", self._status),
                web.get("/events", self._happenings),
                web.get("/phones", self._list),
                web.get("/phones/{msisdn}", self._view),
                web.get("/phones/{msisdn}/events", self._events),
                web.get("/faults", self._faults),
                web.post("/faults", self._add_fault),
                web.delete("/faults", self._clear_faults),
                web.delete("/faults/{id:[0-9]+}", self._remove_fault),
                web.post("/links/drop", self._drop_links),
                web.post("/outbind", self._outbind),
                *(web.post(f"/phones/{{msisdn}}/{act}", self._act(act)) for act in ACTS),
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

    # --- phones

    def _phone(self, request: web.Request) -> Phone:
        return self._simulator.phone(request.match_info["msisdn"])

    async def _list(self, request: web.Request) -> web.Response:
        phones = list(self._simulator.phones.values())[:LISTED]
        return _json(
            [PhoneLine(phone.number, phone.state, phone.dialogue is not None, len(phone.inbox)) for phone in phones]
        )

    async def _view(self, request: web.Request) -> web.Response:
        phone = self._phone(request)
        inbox = list(phone.inbox)[-SHOWN:]
        talking = phone.dialogue is not None
        return _json(PhoneView(phone.number, phone.state, talking, phone.screen, inbox, phone.balance, phone.language))

    def _act(self, act: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def do(request: web.Request) -> web.Response:
            body = await request.read()
            sent = perform(self._phone(request), act, msgspec.json.decode(body) if body else {})
            return _json(Sent([mo.id for mo in sent]), status=202) if sent else web.Response(status=204)

        return do

    async def _events(self, request: web.Request) -> web.StreamResponse:
        phone = self._phone(request)
        events = phone.listen()
        return await self._stream(request, events, lambda: phone.ignore(events))

    async def _happenings(self, request: web.Request) -> web.StreamResponse:
        exchange = self._simulator.exchange
        last = decode(request.query.get("last", "0").encode(), Last)
        happenings, before = exchange.watch(), exchange.happened(last)
        return await self._stream(request, happenings, lambda: exchange.look_away(happenings), before)

    async def _stream(
        self,
        request: web.Request,
        events: asyncio.Queue[Event] | asyncio.Queue[Happening],
        end: Callable[[], None],
        before: Sequence[Happening] = (),
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/jsonl", "Cache-Control": "no-store"})
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            await response.prepare(request)
            await response.write(b"".join(msgspec.json.encode(event) + b"\n" for event in before) + b"\n")
            while True:
                try:
                    event = await asyncio.wait_for(events.get(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    await response.write(b"\n")
                else:
                    await response.write(msgspec.json.encode(event) + b"\n")
        except ConnectionResetError:
            return response  # who listened has gone
        finally:
            end()
            self._streams.discard(task)

    # --- the SMSC

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

    async def _faults(self, request: web.Request) -> web.Response:
        faults = self._simulator.faults
        held = [FaultView(id, fault, faults.struck(id), described(fault)) for id, fault in faults.held.items()]
        magic = {f"{MARK}{digits}": meaning for digits, (_, meaning) in MAGIC.items()}
        return _json(FaultsView(held, {**KINDS}, magic if self._simulator.settings.magic else {}))

    async def _add_fault(self, request: web.Request) -> web.Response:
        if len(self._simulator.faults.held) >= FAULTS:
            raise QueueFull
        fault = decode(await request.read(), Fault)
        return _json(Added(self._simulator.faults.add(fault)), status=201)

    async def _remove_fault(self, request: web.Request) -> web.Response:
        try:
            self._simulator.faults.remove(int(request.match_info["id"]))
        except KeyError:
            raise web.HTTPNotFound from None
        return web.Response(status=204)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self._simulator.faults.clear()
        return web.Response(status=204)

    async def _drop_links(self, request: web.Request) -> web.Response:
        self._simulator.smsc.drop_links()
        return web.Response(status=204)

    async def _outbind(self, request: web.Request) -> web.Response:
        called = decode(await request.read(), Outbind)
        try:
            await self._simulator.outbind(called.host, called.port)
        except OSError as error:
            return _problem(502, "Nobody answers there", f"{called.host}:{called.port}: {error.strerror or error}")
        return web.Response(status=204)


async def _front(request: web.Request) -> web.StreamResponse:
    if "text/html" in request.headers.get("Accept", ""):
        return web.FileResponse(PAGE, headers={"Cache-Control": "no-cache"})
    return web.Response(text=HELP)


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


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
    except NoNetwork as error:
        return _problem(409, str(error), "Switch it on first: as it is, it can neither dial, nor answer, nor text.")
    except web.HTTPClientError as refusal:
        return _problem(refusal.status, refusal.reason, "GET / says what there is.")
    except (QueueFull, asyncio.QueueFull):
        return _problem(503, "The simulator is full", "Wait until an ESME has taken what is owed to it.")
