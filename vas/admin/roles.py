"""Roles, and what each may do: the scopes that operations ask for."""

from __future__ import annotations

from typing import Literal

Role = Literal["viewer", "support", "operator", "finance", "admin"]

OVERVIEW = "overview:read"
BINDS = "binds:read"
MESSAGES = "messages:read"
PERSONAL = "personal:read"
"""Numbers in full, and texts of messages; each such reading is audited."""
DEAD_LETTERS = "dead_letters:read"
REPLAY = "dead_letters:replay"
CONTROL = "accounts:control"
"""Stopping and starting accounts, draining nodes, reading the settings again."""
RECALL = "messages:recall"
"""Cancelling and replacing messages that were not delivered yet."""
AUDIT = "audit:read"
KEYS = "keys:write"

_VIEWER = frozenset({OVERVIEW, BINDS, MESSAGES})
SCOPES: dict[Role, frozenset[str]] = {
    "viewer": _VIEWER,
    "support": _VIEWER | {PERSONAL, DEAD_LETTERS},
    "operator": _VIEWER | {DEAD_LETTERS, REPLAY, CONTROL, RECALL},
    "finance": _VIEWER,
    "admin": _VIEWER | {PERSONAL, DEAD_LETTERS, REPLAY, CONTROL, RECALL, AUDIT, KEYS},
}
