"""What an installation is made of: the platform's own settings, and its services as config.toml switches them on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from vas.service import Service


@dataclass(frozen=True)
class Platform:
    """What holds for all services of this installation."""

    timezone: ZoneInfo
    language: str = "vi"
    validity: timedelta = timedelta(days=1)
    """How long a message may wait on its way to the phone, unless `ctx.send` says otherwise."""


@dataclass(frozen=True)
class Mounted:
    """A service as config.toml switches it on."""

    service: Service
    config: Any
    short_codes: tuple[str, ...]
    ussd_base: str = ""
    accents: bool = True
    """False: nothing that the service says has accents, whatever a subscriber wants."""

    @property
    def name(self) -> str:
        return self.service.name
