"""Call-me: ask a friend to ring you back, free of charge; `docs/callme.md` says what it promises."""

from services.callme import menu  # it opens on every handler, so importing it registers them all
from services.callme.service import callme

__all__ = ["callme", "menu"]
