"""What the running node tells operations, and does when asked (vas.admin.Operations and Writer)."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from importlib.metadata import version
from typing import Any, NamedTuple

import msgspec
from prometheus_client import Histogram

from vas import refused
from vas.admin.desk import AccountNow, BindStatus, Overview, ReplayedChange, ReplayedReply, ReplayResult
from vas.command import Command
from vas.errors import Refused, StoreError
from vas.messages import Inbound, Msisdn
from vas.node import Node, Statement
from vas.replies import Outcome
from vas.running import Made
from vas.schedule import run_job
from vas.settling import tell
from vas.store.ids import moment, shard_of
from vas.store.rows import DeadLetterRow, JobRow
from vas.store.sql import Portable
from vas.unit import Batch

SAMPLE_S = 1.0
WINDOW_S = 60
WRITABLE_WITHIN_S = 2.0
"""A store that takes longer than this to commit nothing is not ready."""


class Sample(NamedTuple):
    at_ms: int
    received: int
    sent: int


class NodeOperations:
    """The operations of one node. `binds` gives the gateway's connections, `accounts` what they come to together."""

    def __init__(
        self, node: Node, binds: Callable[[], Sequence[BindStatus]], accounts: Callable[[], Sequence[AccountNow]]
    ) -> None:
        self._node = node
        self.binds = binds
        self._samples: deque[Sample] = deque(maxlen=WINDOW_S)
        self._accounts = accounts
        self._counted: dict[tuple[str, str], int] = {}
        self._sampling: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._sampling = asyncio.get_running_loop().create_task(self._sample())

    def stop(self) -> None:
        if self._sampling is not None:
            self._sampling.cancel()

    async def _sample(self) -> None:
        while True:
            self._samples.append(self._sample_now())
            self._export_accounts()
            await asyncio.sleep(SAMPLE_S)

    def _sample_now(self) -> Sample:
        return Sample(self._node.setup.clock_ms(), self._node.dispatch.received, self._node.outbox.sent)

    def _export_accounts(self) -> None:
        metrics = self._node.metrics
        for gauge in (metrics.account_up, metrics.account_rate, metrics.in_flight, metrics.waiting):
            gauge.clear()
        for now in self._accounts():
            metrics.account_up.labels(now.name).set(now.up)
            if now.binds:
                metrics.account_rate.labels(now.name).set(now.rate_now)
            metrics.in_flight.labels(now.name).set(now.window_used)
            metrics.waiting.labels(now.name, "replies").set(now.waiting_replies)
            metrics.waiting.labels(now.name, "rest").set(now.waiting_rest)
            self._count(now)

    def _count(self, now: AccountNow) -> None:
        """Add what has happened since the last sample; an account that was taken anew begins at nothing."""
        counts = {name: (counter, getattr(now.counters, name)) for name, counter in self._node.metrics.of_links.items()}
        counts["reconnects"] = self._node.metrics.reconnects, now.reconnects
        for name, (counter, count) in counts.items():
            before = self._counted.get((now.name, name), 0)
            counter.labels(now.name).inc(count - before if count >= before else count)
            self._counted[now.name, name] = count

    def overview(self) -> Overview:
        node = self._node
        now = self._sample_now()
        before = self._samples[0] if self._samples else now
        seconds = max((now.at_ms - before.at_ms) / 1000, SAMPLE_S)
        p50, p95, p99 = (_quantile(node.metrics.latency_seconds, share) for share in (0.50, 0.95, 0.99))
        oldest_ms = node.outbox.oldest_ms
        away = node.grace.away
        return Overview(
            version("vas"), timedelta(milliseconds=now.at_ms - node.started_ms),
            (now.received - before.received) / seconds, (now.sent - before.sent) / seconds,
            node.outbox.backlog, timedelta(milliseconds=now.at_ms - oldest_ms) if oldest_ms else None,
            node.dispatch.unfinished, p50, p95, p99,
            timedelta(seconds=time.monotonic() - away.since_s) if away else None, away.why if away else "",
        )  # fmt: skip

    async def store_writable(self) -> bool:
        if self._node.grace.away is not None:
            return False
        try:
            async with asyncio.timeout(WRITABLE_WITHIN_S):
                await self._node.run(Statement("SELECT 1"))
        except (StoreError, TimeoutError):
            return False
        return True

    async def write(self, statement: Portable, *rows: Mapping[str, object]) -> None:
        query = statement.on(self._node.store.sql.dialect)
        await self._node.run(*(Statement(query.text, query.params(**row)) for row in rows))

    async def replay(self, dead_letter_id: int, *, dry_run: bool, who: str) -> ReplayResult:
        replay = Replay(self._node, dead_letter_id, dry_run, who)
        try:
            await self._node.run(replay)
        except DryRun:
            return replay.outcome
        self._node.follow(replay.made, 0)
        return replay.outcome


class DryRun(Exception):
    """The replay has shown what it would do, and is undone."""


class Replay:
    """The work that runs a dead letter again, with the present clock."""

    def __init__(self, node: Node, id_: int, dry_run: bool, who: str) -> None:
        self._node = node
        self._id = id_
        self._dry_run = dry_run
        self._who = who
        self.made = Made()
        self.outcome = ReplayResult("", (), ())

    async def run(self, batch: Batch) -> None:
        self.made = Made()
        rows = await batch.execute(batch.sql.dead_letter.text, (self._id,))
        if not rows:
            raise Refused("dead_letter_gone")
        letter = DeadLetterRow(*rows[0])
        if letter.replayed_ms is not None:
            raise Refused("dead_letter_replayed")
        if not letter.body:
            raise Refused("dead_letter_cannot_be_replayed")
        first = (len(batch.inbox), len(batch.outbox))
        failures = len(batch.dead_letters)
        result = await self._again(batch, letter)
        if len(batch.dead_letters) > failures:
            result = "failed"
        self.outcome = await self._told(batch, letter, result, first)
        if self._dry_run:
            raise DryRun
        await batch.execute(batch.sql.dead_letter_replayed.text, (batch.now_ms, self._who, self._id))

    async def _again(self, batch: Batch, letter: DeadLetterRow) -> str:
        core, body = self._node.core, msgspec.json.decode(letter.body)
        if letter.kind == "command":
            inbound = Inbound(
                body["account"], 0, 0, moment(batch.now_ms), body["sender"], body["to"], body["text"],
                b"replay" + secrets.token_bytes(16),
            )  # fmt: skip
            command = Command(core, inbound, lambda status: None)
            await command.run(batch)
            self.made = command.made
            return command.result
        if letter.kind == refused.KIND:
            refused.send_again(core, batch, self.made, letter)
            return "answered"
        if letter.kind == "job":
            job = JobRow(
                0, letter.msisdn, letter.cause, batch.now_ms, "job", letter.service, letter.handler, "", 0,
                msgspec.json.encode(body["args"]),
            )  # fmt: skip
            await run_job(core, batch, self.made, job)
        else:
            outcome = msgspec.convert(body["outcome"], Outcome)
            await tell(
                core, batch, self.made, letter.service, letter.handler, Msisdn(body["origin"]), outcome, letter.cause
            )
        return "answered"

    async def _told(self, batch: Batch, letter: DeadLetterRow, result: str, first: tuple[int, int]) -> ReplayResult:
        replies = tuple(ReplayedReply(row.msisdn, row.key) for row in batch.outbox[first[1] :])
        steps: list[dict[str, Any]] = [
            step for row in batch.inbox[first[0] :] for step in msgspec.json.decode(row.steps)
        ]
        changes = tuple(
            ReplayedChange(str(step["who"]), str(step["what"])) for step in steps if step.get("do") == "change"
        )
        query = batch.sql.succeeded_since
        since = await batch.execute(
            query.text,
            query.params(
                shard=shard_of(letter.msisdn),
                msisdn=letter.msisdn,
                service=letter.service,
                handler=letter.handler,
                after_id=letter.cause,
            ),
        )
        warning = "the subscriber has since succeeded with the same command" if since else ""
        if letter.kind == refused.KIND and letter.handler:
            warning = refused.TOLD_ALREADY
        return ReplayResult(result, replies, changes, warning)


def _quantile(histogram: Histogram, share: float) -> timedelta | None:
    """The upper bound of the bucket that holds this share; None if nothing was measured."""
    buckets = [sample for metric in histogram.collect() for sample in metric.samples if sample.name.endswith("_bucket")]
    total = max((sample.value for sample in buckets), default=0)
    if not total:
        return None
    bounds = sorted((float(sample.labels["le"]), sample.value) for sample in buckets)
    bound = next(bound for bound, count in bounds if count >= share * total)
    largest = max(bound for bound, _ in bounds[:-1])
    return timedelta(seconds=min(bound, largest))
