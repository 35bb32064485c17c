"""A fault in words, for people who look on. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from gateway.simulator.faults import KINDS, Fault
from vas.statuses import status_name

_parameter = re.compile("`([a-z_]+)`")


def described(fault: Fault) -> str:
    """What it meets, when, and what happens then: `submit_sm, one in 3: the request is refused with RTHROTTLED`."""
    values = msgspec.structs.asdict(fault) | {"status": status_name(fault.status_code()), "seconds": _seconds(fault)}
    does = KINDS[fault.kind].replace(", or between `seconds` and `until`", "")
    words = _parameter.sub(lambda name: _spelt(values[name[1]]), does)
    return f"{', '.join(_met(fault))}: {words}"


def _met(fault: Fault) -> Iterator[str]:
    yield fault.place
    if fault.number:
        yield f"numbers that end in {fault.number}"
    if fault.account:
        yield f"of the account {fault.account}"
    if fault.after:
        yield f"after the first {fault.after:,}"
    if fault.every > 1:
        yield f"one in {fault.every:,}"
    if fault.probability < 1:
        yield f"{100 * fault.probability:.3g} % by chance"
    if fault.times is not None:
        yield "once" if fault.times == 1 else f"{fault.times:,} times"
    if fault.per == "phone":
        yield "counted by phone"


def _seconds(fault: Fault) -> str:
    return f"{fault.seconds:g} s" if fault.until is None else f"{fault.seconds:g} to {fault.until:g} s"


def _spelt(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")
