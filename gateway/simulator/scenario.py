"""Scripted phones: what they do, what must come of it, and a transcript of how it went."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gateway.simulator import stage
from gateway.simulator.phone import Event, Screen
from gateway.simulator.scenario_file import Action, Expect, ExpectNothing, Meddle, Script, Step, Unmeddle, Wait, parse
from gateway.simulator.stage import Stage, Stumbled

if TYPE_CHECKING:
    from gateway.simulator.simulator import Simulator


class Line(msgspec.Struct, frozen=True):
    """One step as it went."""

    at: timedelta
    """Since the scenario began."""
    phone: str
    did: str
    passed: bool
    came: str = ""
    """What came, or what came instead."""


class Result(msgspec.Struct, frozen=True):
    """A whole scenario as it went."""

    title: str
    lines: list[Line]

    @property
    def passed(self) -> bool:
        return all(line.passed for line in self.lines)

    def __str__(self) -> str:
        width = max((len(line.phone) for line in self.lines), default=0)
        shown = [
            f"{'✓' if line.passed else '✗'} {line.at.total_seconds():7.2f} s  {line.phone:{width}}  {line.did}"
            + ("\n" + " " * (width + 15) + line.came.replace("\n", "\n" + " " * (width + 15)) if line.came else "")
            for line in self.lines
        ]
        failed = sum(not line.passed for line in self.lines)
        verdict = f"✗ {failed} of {len(shown)} steps failed" if failed else f"✓ all {len(shown)} steps passed"
        return "\n".join([self.title, *shown, verdict])


class Scenario(msgspec.Struct, frozen=True):
    """`await Scenario.load(path).play(simulator)`."""

    title: str
    scripts: tuple[Script, ...]

    @classmethod
    def load(cls, path: Path) -> Scenario:
        """Raises ConfigError, which says what is wrong and where."""
        return cls(*parse(path))

    async def play(self, simulator: Simulator | str) -> Result:
        """All scripts at once, on a simulator, or on the one whose HTTP is at this address.

        A script ends at its first step that fails; faults that it set are taken away in the end. Raises
        aiohttp.ClientError where no simulator answers.
        """
        began = time.monotonic()
        async with stage.on(simulator) as where:
            performers = [Performer(where, script, began) for script in self.scripts]
            await asyncio.gather(*(performer.listen() for performer in performers))
            await asyncio.gather(*(performer.play() for performer in performers))
        lines = sorted((line for performer in performers for line in performer.lines), key=lambda line: line.at)
        return Result(self.title, lines)


class Performer:
    """One script on its phones."""

    def __init__(self, where: Stage, script: Script, began: float) -> None:
        self._stage = where
        self._script = script
        self._began = began
        self._names = {number: name for name, number in script.phones.items()}
        self._heard: dict[str, asyncio.Queue[Event]] = {}
        self._unread: dict[str, deque[Event]] = {number: deque() for number in self._names}
        self._faults: list[int] = []
        self.lines: list[Line] = []

    async def listen(self) -> None:
        for number in self._names:
            self._heard[number] = await self._stage.listen(number)

    async def play(self) -> None:
        try:
            for step in self._script.steps:
                line = await self._line(step)
                self.lines.append(line)
                if not line.passed:
                    return
        finally:
            for fault in self._faults:
                await self._stage.unmeddle(fault)

    async def _line(self, step: Step) -> Line:
        passed, came = True, ""
        try:
            came = await self._do(step)
        except Stumbled as why:
            passed, came = False, str(why)
        at = timedelta(seconds=time.monotonic() - self._began)
        return Line(at, self._names[step.phone], step.shown, passed, came)

    async def _do(self, step: Step) -> str:
        match step.does:
            case Action(act=act, body=body):
                await self._stage.act(step.phone, act, body)
            case Expect() as expected:
                return await self._expect(step.phone, expected)
            case ExpectNothing(within=within):
                await self._expect_nothing(step.phone, within)
            case Wait(time=pause):
                await asyncio.sleep(pause.total_seconds())
            case Meddle(fault=fault):
                self._faults.append(await self._stage.meddle(fault))
            case Unmeddle():
                while self._faults:
                    await self._stage.unmeddle(self._faults.pop())
        return ""

    async def _expect(self, number: str, expected: Expect) -> str:
        """The first event, not yet expected, that is what was expected; what came before it stays."""
        unread = self._unread[number]
        deadline = time.monotonic() + expected.within.total_seconds()
        for event in tuple(unread):
            if _is(expected, event):
                unread.remove(event)
                return _shown(event)
        while (next_one := await self._next(number, deadline - time.monotonic())) is not None:
            if _is(expected, next_one):
                return _shown(next_one)
            unread.append(next_one)
        came = " · ".join(_shown(event) for event in unread)
        raise Stumbled(f"came instead: {came}" if came else "nothing came")

    async def _expect_nothing(self, number: str, within: timedelta) -> None:
        unread = self._unread[number]
        event = unread[0] if unread else await self._next(number, within.total_seconds())
        if event is not None:
            raise Stumbled(f"came: {_shown(event)}")

    async def _next(self, number: str, seconds: float) -> Event | None:
        try:
            return await asyncio.wait_for(self._heard[number].get(), max(seconds, 0))
        except TimeoutError:
            return None


def _is(expected: Expect, event: Event) -> bool:
    if expected.kind == "screen" and not isinstance(event, Screen):
        return False
    if expected.kind == "message" and (isinstance(event, Screen) or expected.source not in ("", event.source)):
        return False
    return expected.matches(event.text)


def _shown(event: Event) -> str:
    if isinstance(event, Screen):
        return f"[{event.text}]"
    return f"{event.source}: {event.text or event.octets.hex()}"
