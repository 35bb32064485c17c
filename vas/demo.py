"""The main job, played: phones, an SMSC, the platform, and a conversation over real SMPP between them."""

from __future__ import annotations

import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel

from gateway.simulator import Phone, Simulator
from gateway.simulator import Settings as SimulatorSettings
from vas import logs
from vas.assembly import Installation
from vas.config import Settings, load
from vas.demo_script import CODE, DAILY_LIMIT, SCRIPT, Person, Step
from vas.errors import VasError
from vas.messages import Msisdn
from vas.serving import start_simulator, stop_signal

SIMULATOR_HTTP, ADMIN = 8090, 8080
MESSAGE_ID_TLV = 0x1400
"""As in config.toml and simulator.toml."""
CONFIG = f"""
[store]
url = "sqlite:///vas.db"
[admin]
listen = "127.0.0.1:{{admin}}"
first_key_file = "admin.key"
[log]
level = "error"
[accounts.main]
host = "127.0.0.1"
port = {{smpp}}
system_id = "vas"
password = "secret"
message_id_tlv = {MESSAGE_ID_TLV}
[services.callme]
enabled = true
short_codes = ["{CODE}"]
ussd = "*105"
daily_limit = {DAILY_LIMIT}
pair_pause = "0s"
"""


class Wrong(VasError):
    """The conversation was not as it must be."""


async def play(*, once: bool) -> None:
    """Play it and print it; then serve until Ctrl-C unless `once`. Raises Wrong at the end if anything was wrong."""
    console = Console(highlight=False, width=min(Console().width, 100))
    logs.configure(level="error", json=False, bodies=False, stream=sys.stderr.buffer)
    with tempfile.TemporaryDirectory(prefix="vas-demo-") as folder:
        simulator_settings = SimulatorSettings(
            port=0,
            http_port=0 if once else _free(SIMULATOR_HTTP),
            accounts={"vas": "secret"},
            message_id_tlv=MESSAGE_ID_TLV,
        )
        simulator = Simulator(simulator_settings)
        stopping = stop_signal()
        await start_simulator(simulator, simulator_settings)
        installation = Installation(_settings(Path(folder), simulator.port, 0 if once else _free(ADMIN)))
        try:
            await installation.start()
            faults = await Transcript(console, simulator).play()
            if not once and not faults:
                _invite(console, simulator, installation)
                await stopping.wait()
        finally:
            await installation.stop()
            await simulator.stop()
    if faults:
        raise Wrong("the conversation was not as it must be:\n" + "\n".join(faults))
    if once:
        console.print("\n[green]All as it must be.[/]")


def _settings(folder: Path, smpp: int, admin: int) -> Settings:
    config = folder / "config.toml"
    config.write_text(CONFIG.format(smpp=smpp, admin=admin))
    return load(config, {})


def _free(port: int) -> int:
    """The port if nobody uses it, else 0: any."""
    with socket.socket() as probe:
        return port if probe.connect_ex(("127.0.0.1", port)) else 0


class Transcript:
    """Plays the script and prints who did what and what each phone showed."""

    def __init__(self, console: Console, simulator: Simulator) -> None:
        self._console = console
        self._simulator = simulator
        self._faults: list[str] = []

    def _phone(self, person: Person) -> Phone:
        return self._simulator.phone(Msisdn.parse(person.number).digits)

    async def play(self) -> list[str]:
        """What was not as it must be, a line each."""
        self._console.rule("[bold]Call-me, over SMPP 3.4[/]")
        for scene in SCRIPT:
            self._console.print(f"\n[bold cyan]{scene.shows}[/]")
            for step in scene.steps:
                await self._step(step)
        self._nothing_else_came()
        return self._faults

    def _nothing_else_came(self) -> None:
        expected = Counter(arrival.who for scene in SCRIPT for step in scene.steps for arrival in step.arrivals)
        for person in {step.who for scene in SCRIPT for step in scene.steps}:
            extra = len(self._phone(person).inbox) - expected[person]
            if extra > 0:
                self._fault(person, f"{extra} SMS came that nobody sent")

    async def _step(self, step: Step) -> None:
        phone = self._phone(step.who)
        to, colon, text = step.does.partition(": ")
        does = (
            f"texts [bold]{text}[/] to {to}"
            if colon
            else f"{'dials' if step.does[0] == '*' else 'types'} [bold]{step.does}[/]"
        )
        self._console.print(f"  [bold]{step.who.name}[/] [dim]{step.who.number}[/] {does}")
        if colon:
            phone.text(text, to)
        else:
            turn = phone.dial(step.does) if step.does.startswith("*") else phone.answer(step.does)
            await self._shown(step.who, "screen", step.screen, lambda: phone.screen_after(turn))
        for arrival in step.arrivals:
            receiver = self._phone(arrival.who)
            await self._shown(arrival.who, "SMS", arrival.words, receiver.next_message)

    async def _shown(self, who: Person, what: str, words: tuple[str, ...], wait: Callable[[], Any]) -> None:
        try:
            text: str = (await wait()).text
        except TimeoutError:
            self._fault(who, f"no {what} came")
            return
        style = "green" if what == "screen" else "yellow"
        title = f"{who.name}'s {'screen' if what == 'screen' else 'inbox'}"
        panel = Panel.fit(text, title=title, title_align="left", border_style=style, box=box.ROUNDED, padding=(0, 1))
        self._console.print(Padding(panel, (0, 0, 0, 6)))
        for missing in [word for word in words if word not in text]:
            self._fault(who, f"the {what} lacks {missing!r}: {text!r}")

    def _fault(self, who: Person, what: str) -> None:
        self._faults.append(f"{who.name}: {what}")
        self._console.print(f"      [bold red]✗ {what}[/]")


def _invite(console: Console, simulator: Simulator, installation: Installation) -> None:
    url = f"http://127.0.0.1:{simulator.http_port}"
    option = "" if simulator.http_port == SIMULATOR_HTTP else f" --url {url}"
    key = installation.settings.admin.first_key_file
    messages = f"{installation.admin_address}/admin/v1/messages?msisdn=0912345678"
    console.rule("[bold]Now you[/]")
    console.print(
        f"""
A phone of your own, in another terminal:  [bold].venv/bin/vas phone 0912345678{option}[/]
  then type  [bold]*105#[/]  or  [bold]{CODE}: CM 0987654321[/]  or  [bold]?[/]
What the platform counts:    curl {installation.admin_address}/metrics
The journey of each message: curl -H "Authorization: Bearer $(cat {key})" "{messages}"
Its description (OpenAPI):   {installation.admin_address}/admin/openapi.json
[dim]Ctrl-C ends. Everything here is kept in a folder that goes with it.[/]""",
        soft_wrap=True,
    )
