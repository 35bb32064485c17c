"""HTTP for operations: health, metrics, and the admin API."""

from vas.admin.app import create_app, serve
from vas.admin.authentication import make_first_key
from vas.admin.desk import (
    BOUND,
    AccountNow,
    AccountOrder,
    Accounts,
    BindStatus,
    Cut,
    Desk,
    Difference,
    Operations,
    Overview,
    Reader,
    Reloaded,
    ReplayedChange,
    ReplayedReply,
    ReplayResult,
    SegmentState,
    Writer,
)

__all__ = [
    "BOUND",
    "AccountNow",
    "AccountOrder",
    "Accounts",
    "BindStatus",
    "Cut",
    "Desk",
    "Difference",
    "Operations",
    "Overview",
    "Reader",
    "Reloaded",
    "ReplayResult",
    "ReplayedChange",
    "ReplayedReply",
    "SegmentState",
    "Writer",
    "create_app",
    "make_first_key",
    "serve",
]
