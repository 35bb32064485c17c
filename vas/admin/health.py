"""How the platform is: for the balancer, for Prometheus, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Literal

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BeforeValidator, ConfigDict

from vas.admin.authentication import DESK
from vas.admin.desk import BOUND, AccountNow, Desk, Overview
from vas.admin.problems import Flaw, Problem
from vas.admin.values import Model


class Alive(Model):
    status: Literal["alive"] = "alive"


class Ready(Model):
    status: Literal["ready"] = "ready"
    degraded: list[Flaw]
    """What is down although the platform does its work: accounts whose messages go by another of their route."""


async def healthz(_request: web.Request) -> Alive:
    """Whether the process answers."""
    return Alive()


async def readyz(request: web.Request) -> Ready:
    """Whether commands can be received, kept and answered.

    Each route has an account with a bind that is up, so has each account that is in no route, and the store takes
    writes. If not, a problem with status 503 gives every reason. An account that was drained or stopped on purpose is
    none, nor is one whose binds are all at other nodes.
    """
    flaws, degraded = await _flaws(request.app[DESK])
    if flaws:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Not ready.", errors=flaws)
    return Ready(degraded=degraded)


async def _flaws(desk: Desk) -> tuple[list[Flaw], list[Flaw]]:
    """What keeps the platform from its work, and what does not."""
    flaws, degraded = _unbound(desk.accounts.now(), desk.accounts.routes())
    if not await desk.operations.store_writable():
        flaws.append(Flaw(where="store", message=_not_written(desk.operations.overview())))
    return flaws, degraded


def _not_written(overview: Overview) -> str:
    if overview.store_down is None:
        return "It cannot be written."
    return f"It cannot be written, for {overview.store_down.total_seconds():.0f} s: {overview.store_error}"


def _unbound(accounts: Sequence[AccountNow], routes: Sequence[Sequence[str]]) -> tuple[list[Flaw], list[Flaw]]:
    """What keeps messages from their way, and what others make up for."""
    if not accounts:
        return [Flaw(where="accounts", message="There is no account.")], []
    up = {account.name for account in accounts if account.state == "running" and account.binds_up}
    down = {it.name for it in accounts if it.state == "running" and it.binds and not it.binds_up}
    flaws = [
        Flaw(where=f"routes[{place}]", message=f"No bind of any of its accounts is up: {', '.join(route)}.")
        for place, route in enumerate(routes)
        if down.intersection(route) and not up.intersection(route)
    ]
    routed = {name for route in routes for name in route}
    alone = [account.name for account in accounts if account.name in down - routed]
    flaws += [Flaw(where=f"accounts.{name}", message="No bind of this account is up.") for name in alone]
    degraded = [account.name for account in accounts if account.name in down & routed]
    said = "No bind of this account is up; others of its route carry its messages."
    return flaws, [Flaw(where=f"accounts.{name}", message=said) for name in degraded]


async def metrics(request: web.Request) -> web.Response:
    """Prometheus' text format; the gauges are read now."""
    desk = request.app[DESK]
    shown, overview = desk.metrics, desk.operations.overview()
    flaws, _ = await _flaws(desk)
    shown.ready.set(not flaws)
    shown.outbox_queued.set(overview.queued)
    shown.unfinished_commands.set(overview.unfinished)
    shown.binds.clear()
    for (account, state), count in Counter((b.account, b.state) for b in desk.operations.binds()).items():
        shown.binds.labels(account, state).set(count)
    return web.Response(body=generate_latest(shown.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class OverviewNow(Model):
    version: str
    uptime_seconds: float
    binds_up: int
    binds: int
    received_per_second: float
    """Commands received, over the last minute."""
    sent_per_second: float
    """Messages submitted, over the last minute."""
    queued: int
    """Messages that wait to be submitted."""
    oldest_queued_seconds: float | None
    """Null: nothing waits."""
    unfinished: int
    """Commands received and not yet answered."""
    latency_p50_ms: float | None
    """From a deliver_sm to the submit_sm_resp of its reply; null: nothing measured yet."""
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    store_down_seconds: float | None
    """For how long nothing could be written; null: it can."""
    store_error: str
    """Why nothing can be written; empty: it can."""


async def get_overview(request: web.Request) -> OverviewNow:
    """How the platform is, in one look."""
    operations = request.app[DESK].operations
    overview, binds = operations.overview(), operations.binds()
    return OverviewNow(
        version=overview.version,
        uptime_seconds=overview.uptime.total_seconds(),
        binds_up=sum(bind.state == BOUND for bind in binds),
        binds=len(binds),
        received_per_second=overview.received_per_second,
        sent_per_second=overview.sent_per_second,
        queued=overview.queued,
        oldest_queued_seconds=None if overview.oldest_queued is None else overview.oldest_queued.total_seconds(),
        unfinished=overview.unfinished,
        latency_p50_ms=_milliseconds(overview.latency_p50),
        latency_p95_ms=_milliseconds(overview.latency_p95),
        latency_p99_ms=_milliseconds(overview.latency_p99),
        store_down_seconds=None if overview.store_down is None else overview.store_down.total_seconds(),
        store_error=overview.store_error,
    )


def _milliseconds(span: timedelta | None) -> float | None:
    return None if span is None else span / timedelta(milliseconds=1)


class Counts(Model):
    """Over this connection and those before it in its place."""

    model_config = ConfigDict(from_attributes=True)

    pdus_in: int
    pdus_out: int
    refused_in: int
    """PDUs that could not be read."""
    throttled: int
    """submit_sm refused with RTHROTTLED or RMSGQFUL."""
    timeouts: int
    """Requests of ours that were not answered in time."""
    late_answers: int
    """Answers of ours that left after the SMSC's response timer."""


class Bind(Model):
    model_config = ConfigDict(from_attributes=True)

    account: str
    bind_type: str
    """transceiver, transmitter or receiver."""
    state: str
    """`bound`, or a word for what it is instead."""
    since: datetime
    system_id: str
    session: Annotated[str, BeforeValidator(str)]
    """Id of the session; what came in it has it, too."""
    window_used: int
    """Requests sent and not yet answered."""
    window_max: int
    last_error: str
    """Why it is not bound; empty while it is."""
    last_error_at: datetime | None
    last_closed: str
    """Why it was not bound the last time that it was not."""
    reconnects: int
    last_in: datetime | None
    """When the last PDU of any kind came in."""
    last_out: datetime | None
    counters: Counts


async def list_binds(request: web.Request) -> list[Bind]:
    """Every bind, and how it is."""
    return [Bind.model_validate(bind) for bind in request.app[DESK].operations.binds()]
