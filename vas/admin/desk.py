"""What the operations' listener needs of the running platform: protocols, and the values that cross."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

import msgspec

from vas.cluster.nodes import NodeNow
from vas.metrics import Metrics
from vas.store.compiled import Compiled
from vas.store.ids import Ids
from vas.store.sql import Portable

BOUND = "bound"
"""BindStatus.state of a bind that carries traffic."""


class Reader(Protocol):
    """A connection that only reads, and never delays a command."""

    @property
    def sql(self) -> Compiled:
        """In the engine's dialect."""

    async def read(self, sql: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]: ...


class Writer(Protocol):
    """The way into the store that all units take."""

    async def write(self, statement: Portable, *rows: Mapping[str, object]) -> None:
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
    def last_error(self) -> str:
        """Why it is not bound; empty while it is …"""

    @property
    def last_error_at(self) -> datetime | None:
        """… and when that was found."""

    @property
    def last_closed(self) -> str:
        """Why it was not bound the last time that it was not."""

    @property
    def reconnects(self) -> int: ...
    @property
    def last_in(self) -> datetime | None:
        """When the last PDU of any kind came in."""

    @property
    def last_out(self) -> datetime | None: ...
    @property
    def counters(self) -> Counters: ...


AccountState = Literal["running", "draining", "stopped"]
AccountOrder = Literal["drain", "stop", "start"]


class AccountNow(Protocol):
    """One SMSC account, as the gateway sees it now. Counts are those of its binds together."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str:
        """What it was told to do: running; draining, nothing new leaves by it; stopped, unbound."""

    @property
    def up(self) -> bool:
        """Whether it takes messages, and a bind that may submit is up."""

    @property
    def binds_up(self) -> int: ...
    @property
    def binds(self) -> int: ...
    @property
    def window_used(self) -> int:
        """Requests sent and not yet answered."""

    @property
    def window_max(self) -> int: ...
    @property
    def waiting_replies(self) -> int:
        """Messages that wait for the window or the rate, in the lane of the replies …"""

    @property
    def waiting_rest(self) -> int:
        """… and in that of the rest."""

    @property
    def rate(self) -> float:
        """PDUs a second, as agreed; 0: no limit."""

    @property
    def rate_now(self) -> float:
        """PDUs a second that may leave now; 0: no limit."""

    @property
    def slowed(self) -> bool:
        """Whether the SMSC made it slower than agreed."""

    @property
    def reconnects(self) -> int: ...
    @property
    def last_error(self) -> str:
        """Why a bind of it is not bound; empty if all are …"""

    @property
    def last_error_at(self) -> datetime | None:
        """… and when that was found."""

    @property
    def outbinds_refused(self) -> int:
        """Connections from outside that were not the SMSC's."""

    @property
    def counters(self) -> Counters: ...


class Difference(msgspec.Struct, frozen=True):
    """A setting that reads otherwise now. Secrets are masked."""

    key: str
    """As in the file, with dots: `accounts.main.window`."""
    before: str
    """As the file spells it; empty: there was none."""
    after: str
    """Empty: there is none any more."""


class Reloaded(msgspec.Struct, frozen=True):
    """What a reload changes, or would; and what keeps it from changing anything."""

    changes: tuple[Difference, ...]
    refused: tuple[str, ...] = ()
    """One line for each thing that is wrong or cannot change while the platform runs; not empty: nothing changed."""
    failed: tuple[str, ...] = ()
    """One line for each account whose SMSC does not have the new settings: it goes on with the old ones."""


class SegmentState(msgspec.Struct, frozen=True):
    """What the SMSC says of one segment of a message."""

    smsc_id: str
    state: str
    """message_state by its name, in small letters; empty: the SMSC did not say."""
    final_at: datetime | None = None
    error: str = ""
    """The network's error code, as text."""
    said: str = ""
    """What the SMSC answered instead: a command_status in words."""


class Cut(msgspec.Struct, frozen=True):
    """How a text leaves by an account."""

    encoding: str
    segments: int
    units: int
    """Septets, octets or UCS-2 units that it takes, all segments together."""
    left: int
    """Units that still fit into the last segment."""
    forced: tuple[str, ...]
    """The characters for which the cheaper encoding would not do."""


class Nodes(Protocol):
    """The nodes that share the database."""

    async def all(self) -> Sequence[NodeNow]:
        """By name; empty where the platform runs alone. Raises StoreError."""

    async def drain(self, name: str, draining: bool) -> bool:
        """Have its binds given to the others, or let it have its part again; whether there is a node of this name."""


class Accounts(Protocol):
    """The SMSC accounts of the running platform. A name that there is none of raises KeyError."""

    def now(self) -> Sequence[AccountNow]: ...
    def routes(self) -> Sequence[Sequence[str]]:
        """The names of the accounts of each route, in the order of the routes."""

    async def order(self, name: str, order: AccountOrder) -> None:
        """On return everything in flight has its outcome, and after "stop" the binds are gone."""

    async def reload(self, *, dry_run: bool) -> Reloaded:
        """Read the settings again; apply all that changed, or nothing."""

    def cut(self, text: str, account: str) -> Cut: ...

    # What happens to one message, by the number that it goes to and its id.

    async def whereabouts(self, msisdn: str, id_: int) -> Sequence[SegmentState]:
        """Ask the SMSC about each segment that it accepted."""

    async def cancel(self, msisdn: str, id_: int, *, who: str) -> Sequence[SegmentState]:
        """Keep a message from being delivered; the segments are empty for one that had not left.

        Raises Refused where it leaves right now, or has its last state.
        """

    async def replace(self, msisdn: str, id_: int, text: str, *, who: str) -> SegmentState:
        """Another text for what the SMSC still holds, kept beside the message's own.

        Raises Refused where it cannot be.
        """


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
    store_down: timedelta | None = None
    """For how long nothing could be written; None: it can …"""
    store_error: str = ""
    """… and why."""


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
    accounts: Accounts
    nodes: Nodes
    metrics: Metrics
    ids: Ids
    now: Callable[[], datetime]
