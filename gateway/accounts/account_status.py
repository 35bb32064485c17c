"""An account as operations see and steer it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from gateway.links.counters import Counters


class AccountState(StrEnum):
    """What operations have an account do."""

    RUNNING = "running"
    DRAINING = "draining"
    """Nothing new leaves by it, except screens of dialogues that came by it; what comes in is taken."""
    STOPPED = "stopped"


class AccountStatus(msgspec.Struct, frozen=True):
    """What operations see of an account. Counts are those of its binds together."""

    name: str
    state: AccountState
    up: bool
    """Whether it takes submissions and a bind that may submit is up."""
    binds_up: int
    binds: int
    window_used: int
    """Requests that wait for their response."""
    window_max: int
    waiting_replies: int
    """Submissions that have not left, in the lane of the replies or bound to one connection …"""
    waiting_rest: int
    """… and in that of the rest."""
    rate: float
    """PDUs a second, as agreed; 0 is no limit."""
    rate_now: float
    """PDUs a second that may leave now; 0 is no limit."""
    slowed: bool
    """Whether the SMSC made it slower than agreed."""
    reconnects: int
    last_error: str
    """Why a bind of it is not bound; empty if all are …"""
    last_error_at: datetime | None
    """… and since when; None if all are."""
    outbind_port: int
    """The port at which the SMSC's outbind is waited for; 0 while it is not."""
    outbinds_refused: int
    """Connections from outside that were not the SMSC's."""
    counters: Counters
