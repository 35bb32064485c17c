"""What the operations' listener needs of the running platform: protocols, and the values that cross."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from vas.metrics import Metrics
from vas.store.ids import Ids
from vas.store.sql import Query

BOUND = "bound"
"""BindStatus.state of a bind that carries traffic."""


class Reader(Protocol):
    """A connection that only reads, and never delays a command."""

    async def read(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]: ...


class Writer(Protocol):
    """The way into the store that all units take."""

    async def write(self, statement: Query, *rows: Mapping[str, object]) -> None:
        """Run the statement once for each row of named values; durable on return, else StoreError."""


class Counters(Protocol):
    """What went over one connection and those before it in its place."""

    @property
    def pdus_in(self) -> int: ...
    @property
    def pdus_out(self) -> int: ...
    @property
    def refused_in(self) -> int:
        """PDUs that could not be read."""

    @property
    def throttled(self) -> int:
        """submit_sm refused with RTHROTTLED or RMSGQFUL."""

    @property
    def timeouts(self) -> int:
        """Requests of ours that were not answered in time."""

    @property
    def late_answers(self) -> int:
        """Answers of ours that left after the SMSC's response timer."""


class BindStatus(Protocol):
    """One bind, as the gateway sees it now."""

    @property
    def account(self) -> str: ...
    @property
    def bind_type(self) -> str:
        """transceiver, transmitter or receiver."""

    @property
    def state(self) -> str:
        """BOUND, or a word for what it is instead."""

    @property
    def since(self) -> datetime:
        """When it came into that state."""

    @property
    def system_id(self) -> str: ...
    @property
    def session(self) -> int: ...
    @property
    def window_used(self) -> int:
        """Requests sent and not yet answered."""

    @property
    def window_max(self) -> int: ...
    @property
    def last_error(self) -> str: ...
    @property
    def reconnects(self) -> int: ...
    @property
    def last_in(self) -> datetime | None:
        """When the last PDU of any kind came in."""

    @property
    def last_out(self) -> datetime | None: ...
    @property
    def counters(self) -> Counters: ...


class Overview(msgspec.Struct, frozen=True):
    """How the platform is, in one look."""

    version: str
    uptime: timedelta
    received_per_second: float
    """Commands received, over the last minute."""
    sent_per_second: float
    """Messages submitted, over the last minute."""
    queued: int
    """Messages in the outbox that wait to be submitted."""
    oldest_queued: timedelta | None
    """Age of the one that has waited longest; None: nothing waits."""
    unfinished: int
    """Commands received and not yet answered."""
    latency_p50: timedelta | None
    """From a deliver_sm to the submit_sm_resp of its reply; None: nothing measured yet."""
    latency_p95: timedelta | None
    latency_p99: timedelta | None


class ReplayedReply(msgspec.Struct, frozen=True):
    """A message that the replay sent, or would send."""

    msisdn: str
    key: str
    """Its text's key."""


class ReplayedChange(msgspec.Struct, frozen=True):
    """A document that the replay changed, or would change."""

    msisdn: str
    what: str
    """The rule's name."""


class ReplayResult(msgspec.Struct, frozen=True):
    """What a replay did; of a dry run, what it would do."""

    result: str
    """As inbox.result."""
    replies: tuple[ReplayedReply, ...]
    changes: tuple[ReplayedChange, ...]
    warning: str = ""
    """Why it may be wrong to replay this: the subscriber has since succeeded."""


class Operations(Protocol):
    """What the running platform tells, and does when asked."""

    def binds(self) -> Sequence[BindStatus]: ...
    def overview(self) -> Overview: ...
    async def store_writable(self) -> bool: ...
    async def replay(self, dead_letter_id: int, *, dry_run: bool, who: str) -> ReplayResult:
        """Run a dead letter again with the present clock; raises Refused if it cannot be or already was."""


@dataclass(frozen=True)
class Desk:
    """All that a request to the operations' listener can reach."""

    reader: Reader
    writer: Writer
    operations: Operations
    metrics: Metrics
    ids: Ids
    now: Callable[[], datetime]
