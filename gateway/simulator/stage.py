"""Where a scenario is played: on a simulator in this process, or on one over its HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import msgspec

from gateway.simulator.acts import perform
from gateway.simulator.delivery import QueueFull
from gateway.simulator.faults import Fault
from gateway.simulator.phone import Event, NoDialogue, NoNetwork
from gateway.simulator.views import Added

if TYPE_CHECKING:
    from gateway.simulator.simulator import Simulator

LINE_OCTETS = 1 << 20
CANNOT_NOW = 409


class Stumbled(Exception):
    """A step did not go as written."""


class Stage(Protocol):
    """What a script needs; `act` raises Stumbled for what the simulator refuses."""

    async def act(self, number: str, act: str, body: Mapping[str, Any]) -> None: ...

    async def listen(self, number: str) -> asyncio.Queue[Event]:
        """What arrives at a phone from now on."""

    async def meddle(self, fault: Fault) -> int:
        """Add a fault; its id."""

    async def unmeddle(self, id: int) -> None: ...


@asynccontextmanager
async def on(simulator: Simulator | str) -> AsyncIterator[Stage]:
    """A simulator, or the address of its HTTP."""
    if not isinstance(simulator, str):
        local = _Here(simulator)
        try:
            yield local
        finally:
            local.close()
        return
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    async with aiohttp.ClientSession(simulator.rstrip("/") + "/", timeout=timeout, read_bufsize=LINE_OCTETS) as http:
        remote = _There(http)
        try:
            yield remote
        finally:
            await remote.close()


class _Here:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._listening: list[tuple[str, asyncio.Queue[Event]]] = []

    async def act(self, number: str, act: str, body: Mapping[str, Any]) -> None:
        try:
            perform(self._simulator.phone(number), act, body)
        except NoDialogue:
            raise Stumbled("No screen is waiting") from None
        except NoNetwork as error:
            raise Stumbled(str(error)) from None
        except QueueFull:
            raise Stumbled("the simulator is full") from None
        except ValueError as error:
            raise Stumbled(str(error)) from None

    async def listen(self, number: str) -> asyncio.Queue[Event]:
        queue = self._simulator.phone(number).listen()
        self._listening.append((number, queue))
        return queue

    async def meddle(self, fault: Fault) -> int:
        return self._simulator.faults.add(fault)

    async def unmeddle(self, id: int) -> None:
        self._simulator.faults.remove(id)

    def close(self) -> None:
        for number, queue in self._listening:
            self._simulator.phone(number).ignore(queue)


class _There:
    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._tasks: list[asyncio.Task[None]] = []

    async def act(self, number: str, act: str, body: Mapping[str, Any]) -> None:
        async with self._http.post(f"phones/{number}/{act}", json=body) as response:
            await _accepted(response)

    async def listen(self, number: str) -> asyncio.Queue[Event]:
        events: asyncio.Queue[Event] = asyncio.Queue()
        response = await self._http.get(f"phones/{number}/events")
        await _accepted(response)
        self._tasks.append(asyncio.create_task(_read(response, events)))
        return events

    async def meddle(self, fault: Fault) -> int:
        async with self._http.post("faults", data=msgspec.json.encode(fault)) as response:
            await _accepted(response)
            return msgspec.json.decode(await response.read(), type=Added).id

    async def unmeddle(self, id: int) -> None:
        async with self._http.delete(f"faults/{id}"):
            pass

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _read(response: aiohttp.ClientResponse, events: asyncio.Queue[Event]) -> None:
    with suppress(aiohttp.ClientError):
        async with response:
            async for line in response.content:
                if line.strip():
                    events.put_nowait(msgspec.json.decode(line, type=Event))


async def _accepted(response: aiohttp.ClientResponse) -> None:
    if response.status >= 400:
        try:
            problem = msgspec.json.decode(await response.read())
            raise Stumbled(problem["title"] if response.status == CANNOT_NOW else problem["detail"])
        except (msgspec.DecodeError, KeyError, TypeError):
            raise Stumbled(f"{response.url} answers {response.status}: no simulator") from None
