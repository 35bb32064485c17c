"""HTTP for operations: health, metrics, and the admin API."""

from vas.admin.app import create_app, serve
from vas.admin.authentication import make_first_key
from vas.admin.desk import (
    BOUND,
    BindStatus,
    Desk,
    Operations,
    Overview,
    Reader,
    ReplayedChange,
    ReplayedReply,
    ReplayResult,
    Writer,
)

__all__ = [
    "BOUND",
    "BindStatus",
    "Operations",
    "Overview",
    "Desk",
    "Reader",
    "ReplayResult",
    "ReplayedChange",
    "ReplayedReply",
    "Writer",
    "create_app",
    "make_first_key",
    "serve",
]
