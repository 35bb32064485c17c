"""A phone in the terminal, over the simulator's HTTP."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Thread

import aiohttp
import msgspec
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from gateway.simulator.phone import Event, Received, Screen
from gateway.simulator.views import PhoneView

HELP = """\
  [bold]*105#[/]                    dial a code
  [bold]1[/]                        answer the screen that is open; any text will do
  [bold]9105: CM 0912345678[/]      send an SMS, also as [bold]sms 9105 CM 0912345678[/]
  [bold]/hangup[/]  [bold]/off[/]  [bold]/on[/]        end the dialogue; switch the phone off and on
  [bold]?[/]  [bold]Ctrl-D[/]                this help; put the phone away"""

SCREEN_COLUMNS = 38
SCRIPT_PATIENCE = timedelta(seconds=5)
"""How long a script's next line waits for something to arrive after a line that was sent."""
LINE_OCTETS = 65_536

_code = re.compile(r"[*#][0-9*#]*#").fullmatch
_sms = re.compile(r"(?:sms\s+(\+?[0-9]{3,15})\s+|(\+?[0-9]{3,15}):\s*)(.+)", re.IGNORECASE | re.DOTALL).fullmatch
_command = re.compile(r"/[a-z]+").fullmatch
_switches = {"/hangup": "hang_up", "/off": "switch_off", "/on": "switch_on"}


class Problem(msgspec.Struct, frozen=True):
    """Why the simulator refused (RFC 9457)."""

    title: str
    detail: str


class Request(msgspec.Struct, frozen=True):
    """What a typed line asks of the simulator: POST /phones/{msisdn}/`action`."""

    action: str
    body: dict[str, str] = {}
    shown: str = ""


def parse(line: str, answering: bool) -> Request | None:
    """What a line means; `answering` while a screen is open. None if it means nothing."""
    if line in _switches:
        return Request(_switches[line], shown=line[1:])
    if _code(line) and len(line) > 2:
        return Request("dial", {"code": line}, f"dialling {line}")
    if match := _sms(line):
        to = (match[1] or match[2]).removeprefix("+")
        return Request("sms", {"to": to, "text": match[3]}, f"to {to}: {match[3]}")
    if not answering or not line or _command(line):
        return None
    return Request("answer", {"text": line}, f"answered {line}")


async def run(url: str, number: str, descriptor: int | None = None, console: Console | None = None) -> None:
    """Be the phone `number` of the simulator at `url` until its input ends.

    Lines come from `descriptor`, else from the standard input. From a pipe or a file each line that was sent waits
    for what it brings before the next one is read. Raises aiohttp.ClientError where no simulator answers.
    """
    descriptor = sys.stdin.fileno() if descriptor is None else descriptor
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    base = f"{url.rstrip('/')}/phones/{number}/"
    async with aiohttp.ClientSession(base, timeout=timeout, read_bufsize=LINE_OCTETS) as http:
        await Terminal(http, number, console or Console(), script=not os.isatty(descriptor)).use(descriptor)


class Terminal:
    """One phone on one console."""

    def __init__(self, http: aiohttp.ClientSession, number: str, console: Console, script: bool) -> None:
        self._http = http
        self._number = number
        self._console = console
        self._script = script
        self._answering = False
        self._arrived = asyncio.Event()

    async def use(self, descriptor: int) -> None:
        async with self._http.get("events") as events:
            if not await self._accepted(events):
                return
            self._console.print(f"[bold green]📱 {self._number}[/]  [dim]? for help, Ctrl-D to put it away[/]")
            await self._recall()
            listening = asyncio.create_task(self._listen(events))
            typing = asyncio.create_task(self._type(descriptor))
            done, pending = await asyncio.wait({listening, typing}, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.wait(done | pending)
            if listening in done:
                self._console.print("[red]The simulator has gone.[/]")

    async def _recall(self) -> None:
        async with self._http.get("../" + self._number) as response:
            view = msgspec.json.decode(await response.read(), type=PhoneView)
        self._answering = view.in_dialogue and view.screen is not None and view.screen.more
        if self._answering and view.screen is not None:
            self._console.print(draw(view.screen))
        self._prompt()

    async def _listen(self, events: aiohttp.ClientResponse) -> None:
        with suppress(aiohttp.ClientError):
            async for line in events.content:
                if line.strip():
                    self._show(msgspec.json.decode(line, type=Event))

    def _show(self, event: Event) -> None:
        if isinstance(event, Screen):
            self._answering = event.more
        if not self._script:
            self._console.print()
        self._console.print(draw(event))
        self._prompt()
        self._arrived.set()

    async def _type(self, descriptor: int) -> None:
        async for line in lines(descriptor):
            if line == "?":
                self._console.print(HELP, highlight=False)
            elif _command(line) and line not in _switches:
                there_are = ", ".join(_switches)
                self._console.print(f"[yellow]There is no {escape(line)}:[/] {there_are} there are. [dim]? for help[/]")
            elif request := parse(line, self._answering):
                await self._send(request)
            elif line:
                self._console.print("[yellow]No screen waits for an answer.[/] [dim]? for help[/]")
            self._prompt()

    async def _send(self, request: Request) -> None:
        self._arrived.clear()
        if request.action in ("dial", "answer", "hang_up"):
            self._answering = False
        self._console.print(f"[dim]→ {escape(request.shown)}[/]", highlight=False)
        async with self._http.post(request.action, json=request.body) as response:
            accepted = await self._accepted(response)
        if accepted and self._script and request.action in ("dial", "answer", "sms"):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), SCRIPT_PATIENCE.total_seconds())

    async def _accepted(self, response: aiohttp.ClientResponse) -> bool:
        if response.status < 400:
            return True
        try:
            problem = msgspec.json.decode(await response.read(), type=Problem)
        except msgspec.DecodeError:
            problem = Problem("No simulator", f"{response.url.origin()} answers, and is not a simulator")
        self._console.print(f"[red]{escape(problem.title)}:[/] {escape(problem.detail)}")
        return False

    def _prompt(self) -> None:
        if not self._script:
            self._console.print("[bold cyan]▸[/] " if not self._answering else "[bold magenta]answer ▸[/] ", end="")


def draw(event: Event) -> Panel:
    """As a phone shows it: a bubble for an SMS, a frame for a USSD screen."""
    time = _clock(event.at)
    if isinstance(event, Received):
        title = f"[bold]✉  {escape(printable(event.source))}[/]"
        return Panel.fit(
            Text(printable(event.text)), box.ROUNDED, title=title, subtitle=time, border_style="green", padding=(0, 1)
        )
    hint = "[bold magenta]your answer?[/]" if event.more else "[dim]end[/]"
    return Panel(
        Text(printable(event.text)),
        box.DOUBLE,
        title="[bold]USSD[/]",
        subtitle=hint,
        width=SCREEN_COLUMNS,
        border_style="magenta" if event.more else "blue",
        padding=(1, 2),
    )


def printable(text: str) -> str:
    """Without the characters that steer a terminal: a message's sender chooses them."""
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


def _clock(at: datetime) -> str:
    return f"[dim]{at.astimezone():%H:%M:%S}[/]"


async def lines(descriptor: int) -> AsyncIterator[str]:
    """What is typed, stripped, to the end of the input; a terminal, a pipe and a file are read alike."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        with suppress(RuntimeError, OSError), os.fdopen(os.dup(descriptor), "rb") as source:  # the loop may be gone
            while line := source.readline(LINE_OCTETS):
                loop.call_soon_threadsafe(typed.put_nowait, line.decode(errors="replace").strip())
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(typed.put_nowait, None)

    # A daemon: nothing can wake a thread that waits for a key, and it must not keep the process alive.
    Thread(target=read, daemon=True).start()
    while (line := await typed.get()) is not None:
        yield line
