"""One measurement: a load on something that answers it, and what both sides spent."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from bench.platforms import Platforms
from bench.process import PASSWORD, ROOT, SHORT_CODE, SYSTEM_ID, Cpu, cpu_s
from gateway.simulator import Settings
from gateway.simulator.load import Load, Plan, Result

BINDS = 2
WINDOW = 100
"""deliver_sm unanswered on one bind."""
OUTSTANDING = 150
"""Commands without a reply at full speed."""
PHONES = 10_000
BOUND_WITHIN_S = 20.0
RESPONSE_TIMER = timedelta(seconds=30)
LINGER = timedelta(seconds=1.5)
"""So that the last answers are confirmed before the links are closed: the next load repeats these very commands."""


PLAN = Plan(messages=0, phones=PHONES)
"""The phones; what they send is the scenario's."""


class Scenario(NamedTuple):
    """What is sent, and what of the floor stands beside it."""

    name: str
    text: str
    messages: int
    """submit_sm for each command."""
    receipts: bool = False
    aim_per_second: int = 0


SCENARIOS = (
    Scenario("HD: a fixed text", "HD", 1, aim_per_second=10_000),
    Scenario("CM: call-me", "CM {friend}", 2, aim_per_second=6_000),
    Scenario("CM with delivery receipts", "CM {friend}", 2, receipts=True),
)


class Figures(NamedTuple):
    """Of one run, or the medians of several; processor time in microseconds a command."""

    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    loop_us: float
    rest_us: float
    database_us: float
    simulator_us: float
    units_a_batch: float

    @staticmethod
    def median(runs: list[Figures]) -> Figures:
        return Figures(*(median(values) for values in zip(*runs, strict=True)))


class Wrong(Exception):
    """A command without exactly one reply: the figures would mean nothing."""


async def measure(
    port: int, scenario: Scenario, messages: int, rate: float | None, cpu: Callable[[], Cpu], plan: Plan = PLAN
) -> Figures:
    """Load whatever binds to `port`; at full speed if there is no rate. `plan` says who the phones are."""
    load = Load(_settings(port), _planned(plan, scenario, messages, rate))
    await load.start()
    try:
        async with asyncio.timeout(BOUND_WITHIN_S):
            await load.bound()
        before = cpu()
        result = await load.run()
        spent = cpu() - before
    finally:
        await load.stop()
    if result.missing or result.extra or result.redelivered:
        raise Wrong(f"{scenario.name}: {result}")
    return _figures(result, spent)


def _settings(port: int) -> Settings:
    return Settings(port=port, accounts={SYSTEM_ID: PASSWORD}, window=WINDOW, response_timer=RESPONSE_TIMER)


def _planned(plan: Plan, scenario: Scenario, messages: int, rate: float | None) -> Plan:
    return msgspec.structs.replace(
        plan, messages=messages, text=scenario.text, to=SHORT_CODE, outstanding=OUTSTANDING, rate=rate, binds=BINDS,
        receipts=scenario.receipts, linger=LINGER,
    )  # fmt: skip


def _figures(result: Result, spent: Cpu) -> Figures:
    us = 1_000_000 / result.answered
    return Figures(
        result.per_second, result.p50_ms, result.p95_ms, result.p99_ms, spent.loop * us, spent.rest * us,
        spent.database * us, result.cpu_seconds * us, 0.0,
    )  # fmt: skip


async def measure_platform(
    platforms: Platforms, port: int, scenario: Scenario, messages: int, rate: float | None, plan: Plan = PLAN
) -> Figures:
    before = await platforms.metrics()
    figures = await measure(port, scenario, messages, rate, platforms.cpu, plan)
    after = await platforms.metrics()
    units, batches = (after[name] - before[name] for name in ("vas_batch_units_sum", "vas_batch_units_count"))
    return figures._replace(units_a_batch=units / max(batches, 1))


async def measure_floor(kind: str, port: int, scenario: Scenario, messages: int) -> Figures:
    """Full speed only."""
    program = (sys.executable, "-m", "bench.floor", kind, str(port), str(scenario.messages))
    process = await asyncio.create_subprocess_exec(*program, cwd=ROOT)
    try:
        return await measure(port, scenario, messages, None, lambda: Cpu(cpu_s(Path(f"/proc/{process.pid}")), 0.0))
    finally:
        process.kill()
        await process.wait()


async def free_port() -> int:
    """A port that nothing listens on."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port
