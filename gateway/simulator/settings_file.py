"""Settings and faults as people write them: TOML, durations with their unit, errors in plain words."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from gateway.simulator import plain_words
from gateway.simulator.settings import Settings
from vas.errors import ConfigError

FILE_OCTETS = 1_048_576
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_duration = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)").fullmatch
_PATHS = ("tls_certificate", "tls_key", "tls_client_ca", "record")

Value = TypeVar("Value")


def duration(written: object) -> timedelta:
    """`500ms`, `30s`, `10m`, `2h`, `2d`; ValueError for anything else."""
    match = _duration(written) if isinstance(written, str) else None
    if match is None:
        raise ValueError(f'{written!r} is no duration: a number and ms, s, m, h or d, such as "500ms"')
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def read_toml(path: Path) -> dict[str, Any]:
    """ConfigError for a file that is not there, too long, or no TOML."""
    try:
        octets = path.read_bytes()
        if len(octets) > FILE_OCTETS:
            raise ConfigError(f"{path} is longer than {FILE_OCTETS:,} octets")
        return tomllib.loads(octets.decode())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from None


def load(path: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """The settings in a file, a relative path from its folder; `overrides` go before what it says.

    Raises ConfigError, which names the file, the place in it and what may stand there.
    """
    written = {} if path is None else read_toml(path)
    origin = "the simulator's options" if path is None else str(path)
    try:
        _read_durations(written)
    except ValueError as error:
        raise ConfigError(f"{origin}: {error}") from None
    for name in _PATHS:
        if path is not None and isinstance(written.get(name), str):
            written[name] = path.parent / written[name]
    settings = convert({**written, **overrides}, Settings, origin)
    if not settings.accounts:
        raise ConfigError(f"{origin}: nobody may bind: write [accounts.NAME] with a password")
    return settings


def convert(written: object, kind: type[Value], origin: str) -> Value:
    """As `kind`; ConfigError names the place."""
    try:
        return plain_words.convert(written, kind)
    except ValueError as error:
        raise ConfigError(f"{origin}: {error}") from None


def _read_durations(written: dict[str, Any]) -> None:
    for name, hint in get_type_hints(Settings).items():
        if name in written and hint is timedelta:
            written[name] = duration(written[name])
        elif name in written and timedelta in get_args(hint):
            written[name] = [duration(one) for one in written[name]]
