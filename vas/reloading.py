"""What two readings of the settings differ in, and what of that a running platform can follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from pydantic import SecretStr

from vas.admin.desk import Difference
from vas.config import Settings, effective

FOLLOWED = ("accounts", "routes", "ussd_dialects", "log")
"""The sections that can change while the platform runs."""


def differences(before: Settings, after: Settings) -> list[Difference]:
    """Every setting that reads otherwise, in the order of the file; secrets are compared, and shown masked."""
    old, new = _flat(before.model_dump()), _flat(after.model_dump())
    old_shown, new_shown = _flat(effective(before)), _flat(effective(after))
    keys = dict.fromkeys((*new, *old))
    # A table that is empty on one side is no setting beside those that the other side has in it.
    tables = {key[:depth] for key in keys for depth in range(len(key))}
    changed = [key for key in keys if key not in tables and _secret(old.get(key)) != _secret(new.get(key))]
    return [Difference(".".join(key), _spelled(old_shown, key), _spelled(new_shown, key)) for key in changed]


def cannot_follow(changes: Sequence[Difference]) -> list[str]:
    """One line for each change that needs a restart."""
    return [
        f"{change.key}: cannot change while the platform runs: restart it, or put {change.before or 'nothing'} back"
        for change in changes
        if change.key.partition(".")[0] not in FOLLOWED
    ]


Key = tuple[str, ...]


def _flat(table: Mapping[str, Any], above: Key = ()) -> dict[Key, object]:
    """Every setting by its key; what is no table is a setting, also a list of tables."""
    return dict(_settings(table, above))


def _settings(table: Mapping[str, Any], above: Key) -> Iterator[tuple[Key, object]]:
    for name, value in table.items():
        key = (*above, str(name))
        if isinstance(value, Mapping) and value:
            yield from _settings(value, key)
        else:
            yield key, value


def _secret(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _spelled(shown: Mapping[Key, object], key: Key) -> str:
    value = shown.get(key)
    return "" if value is None else msgspec.json.encode(value, enc_hook=str).decode()
