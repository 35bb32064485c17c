"""Core: what every unit of work needs, gathered once at the start."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from vas.cluster.member import Alone, Member
from vas.messages import RTHROTTLED, RX_T_APPN, Msisdn, Part
from vas.metrics import Metrics
from vas.mounting import Platform
from vas.routing import Router
from vas.sessions import Sessions
from vas.store.rows import OutboxRow


@dataclass(frozen=True)
class AccountRules:
    """What the core must know of an SMSC account."""

    smsc_response_timer: timedelta = timedelta(seconds=10)
    """After which the SMSC gives up on our answer and may deliver again."""
    later_status: int = RX_T_APPN
    full_status: int = RTHROTTLED
    all_receipts: bool = False
    """A receipt comes for every message, not only where a service asked to know the outcome."""

    def answer_by_s(self) -> float:
        """When what comes in now must be answered at the latest, by time.monotonic(): half of the SMSC's timer."""
        return time.monotonic() + self.smsc_response_timer.total_seconds() / 2

    def refusing(self, result: str) -> int:
        """The status for what is not taken: `throttled` while the platform is full or slow, else `later`."""
        return self.full_status if result == "throttled" else self.later_status


@dataclass(frozen=True)
class PartLimits:
    """How long parts wait, and how many."""

    wait: timedelta = timedelta(minutes=10)
    in_total: int = 100_000
    of_one: int = 255
    """Of one subscriber; at least 255, so that the longest message fits."""

    @property
    def wait_ms(self) -> int:
        return int(self.wait.total_seconds() * 1000)


class WaitingParts:
    """What the event loop knows of the parts that wait: their number, and when to look at them again."""

    def __init__(self, limits: PartLimits) -> None:
        self.limits = limits
        self.count = 0
        self.due_ms: int | None = None
        """None: nothing waits."""

    def look_by(self, due_ms: int) -> None:
        self.due_ms = due_ms if self.due_ms is None else min(self.due_ms, due_ms)


@dataclass(frozen=True)
class Core:
    """One struct instead of globals; everything in it lives as long as the platform runs."""

    router: Router
    platform: Platform
    accounts: Mapping[str, AccountRules]
    metrics: Metrics
    clock_ms: Callable[[], int]
    hash_key: bytes
    sessions: Sessions = field(default_factory=Sessions)
    own_numbers: frozenset[str] = frozenset()
    """Numbers that the platform sends from besides its short codes."""
    trial_numbers: frozenset[Msisdn] = frozenset()
    help_per_hour: int = 3
    resume_for: timedelta = timedelta(minutes=3)
    """How long after its last screen an interrupted talk can be resumed by dialling again."""
    parts: WaitingParts = field(default_factory=lambda: WaitingParts(PartLimits()))
    member: Member = field(default_factory=Alone)
    """This node among those that share its database."""
    takes: Callable[[OutboxRow], bool] = lambda row: True
    """Whether this node could send a message now: the outbox's. Called in the writer's thread."""
    text_of: Callable[[str, Sequence[Part]], str] = lambda account, parts: ""
    """What the parts of a long message say together: the gateway's, called in the writer's thread."""

    @property
    def shared(self) -> bool:
        """Whether there may be other nodes: then what came before is looked up, and what is sent has an owner."""
        return self.member.id != 0

    @property
    def me(self) -> int | None:
        """The owner of what only this node may do; None: it is alone, and everything is its own."""
        return self.member.id or None

    def rules(self, account: str) -> AccountRules:
        return self.accounts.get(account, _DEFAULT_RULES)


_DEFAULT_RULES = AccountRules()
