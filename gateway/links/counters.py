"""What is counted of a connection."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Counters(msgspec.Struct):
    """What went over a connection, and over those before it in the same place."""

    pdus_in: int = 0
    pdus_out: int = 0
    refused_in: int = 0
    """PDUs that could not be read, or that the SMSC may not send now."""
    unexpected_in: int = 0
    """Responses, and generic_nacks, to nothing that we asked."""
    alerts_in: int = 0
    """alert_notifications."""
    throttled: int = 0
    timeouts: int = 0
    late_answers: int = 0


def sum_up(counters: Iterable[Counters]) -> Counters:
    """Over several connections."""
    total = Counters()
    for each in counters:
        for name in Counters.__struct_fields__:
            setattr(total, name, getattr(total, name) + getattr(each, name))
    return total
