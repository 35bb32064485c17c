"""Durations as people write them in config.toml: a number and its unit. Pure."""

from __future__ import annotations

import re
from datetime import timedelta

UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
"""From the longest to the shortest."""

_SPELLED = re.compile(r"(?P<number>[0-9]{1,9})(?P<unit>ms|[smhd])").fullmatch


def parse_duration(spelled: object) -> timedelta:
    """From `500ms`, `30s`, `10m`, `72h` or `90d`; a timedelta stays. Raises ValueError for all else."""
    if isinstance(spelled, timedelta):
        return spelled
    found = _SPELLED(spelled) if isinstance(spelled, str) else None
    if not found:
        raise ValueError('must be a whole number and its unit, ms, s, m, h or d, as in "30s"')
    return int(found["number"]) * UNITS[found["unit"]]


def spell_duration(duration: timedelta) -> str:
    """In the largest unit that gives a whole number, `0s` for none; what is below a millisecond is dropped."""
    for unit, length in UNITS.items():
        if duration and not duration % length:
            return f"{duration // length}{unit}"
    return f"{duration // UNITS['ms']}ms" if duration else "0s"
