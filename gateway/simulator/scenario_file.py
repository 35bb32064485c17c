"""Scenarios as people write them: TOML, a line for each step."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec

from gateway.simulator.acts import ACTS
from gateway.simulator.faults import Fault
from gateway.simulator.numbers import international
from gateway.simulator.settings_file import convert, duration, read_toml
from vas.errors import ConfigError

PATIENCE = timedelta(seconds=5)
"""How long an expectation waits if it does not say."""
STEPS = 10_000
PHONES = 1_000


class Action(msgspec.Struct, frozen=True):
    """A phone's owner does something."""

    act: str
    body: Mapping[str, Any]


class Expect(msgspec.Struct, frozen=True):
    """A screen or a message comes."""

    kind: Literal["either", "screen", "message"]
    text: str
    """Part of it; `/…/` is a regular expression that is found in it."""
    source: str
    """Of a message; empty: whoever."""
    within: timedelta

    def matches(self, text: str) -> bool:
        pattern = _pattern(self.text)
        return self.text in text if pattern is None else re.search(pattern, text, re.DOTALL) is not None


class ExpectNothing(msgspec.Struct, frozen=True):
    within: timedelta


class Wait(msgspec.Struct, frozen=True):
    time: timedelta


class Meddle(msgspec.Struct, frozen=True):
    """From now on a fault holds, to the end of the script."""

    fault: Fault


class Unmeddle(msgspec.Struct, frozen=True):
    """The script's faults are over."""


Does = Action | Expect | ExpectNothing | Wait | Meddle | Unmeddle


class Step(msgspec.Struct, frozen=True):
    phone: str
    """Its number."""
    does: Does
    shown: str


class Script(msgspec.Struct, frozen=True):
    """Steps that follow one another, on a phone or several."""

    phones: dict[str, str]
    """Numbers by name."""
    steps: tuple[Step, ...]


def parse(path: Path) -> tuple[str, tuple[Script, ...]]:
    """The title, and what is played at once. Raises ConfigError, which says what is wrong and where."""
    written = read_toml(path)
    unknown = written.keys() - {"title", "phones", "script"}
    if unknown:
        raise ConfigError(f"{path}: there is no {', '.join(sorted(unknown))}: title, [phones] and [[script]] there are")
    phones = written.get("phones", {})
    phones = {name: _number(number, f"{path}: phones.{name}") for name, number in phones.items()}
    scripts = [
        script
        for place, one in enumerate(written.get("script", []), 1)
        for script in _scripts(one, phones, f"{path}, script {place}")
    ]
    if not scripts:
        raise ConfigError(f"{path}: there is nothing to play: write [[script]] with its steps")
    return str(written.get("title", path.stem)), tuple(scripts)


def _number(written: object, here: str) -> str:
    try:
        return international(str(written))
    except ValueError as error:
        raise ConfigError(f"{here}: {error}") from None


def _scripts(written: Mapping[str, Any], phones: Mapping[str, str], origin: str) -> list[Script]:
    """One, or one for each of its `phones`."""
    names = written["phones"] if "phones" in written else [written.get("phone", "")]
    if not isinstance(names, list) or not 0 < len(names) <= PHONES:
        raise ConfigError(f'{origin}: phones is a list of 1 to {PHONES} names, such as ["lan", "minh"]')
    steps = written.get("steps", [])
    if not isinstance(steps, list) or not 0 < len(steps) <= STEPS:
        raise ConfigError(f"{origin}: steps is a list of 1 to {STEPS:,} steps")
    return [_script(name, steps, phones, origin) for name in names]


def _script(name: str, written: list[Any], phones: Mapping[str, str], origin: str) -> Script:
    steps = []
    used: dict[str, str] = {}
    for place, one in enumerate(written, 1):
        here = f"{origin}, step {place}"
        if not isinstance(one, dict):
            raise ConfigError(f'{here}: a step is a table such as {{ dial = "*105#" }}')
        who = one.get("phone", name)
        if who not in phones:
            raise ConfigError(f"{here}: there is no phone {who!r}: {', '.join(phones) or '[phones] is empty'}")
        used[who] = phones[who]
        fields = {key: value for key, value in one.items() if key != "phone"}
        steps.append(Step(phones[who], _does(fields, here), _shown(fields)))
    return Script(used, tuple(steps))


def _does(fields: dict[str, Any], here: str) -> Does:
    verb = next((verb for verb in _VERBS if verb in fields), None)
    if verb is None:
        raise ConfigError(f"{here}: {', '.join(fields) or 'nothing'} is no step: {', '.join(_VERBS)}")
    allowed, read = _VERBS[verb]
    unknown = fields.keys() - {verb, *allowed}
    if unknown:
        raise ConfigError(f"{here}: {verb} has no {', '.join(sorted(unknown))}")
    try:
        return read(fields, here)
    except (ValueError, re.error) as error:
        raise ConfigError(f"{here}: {error}") from None


def _shown(fields: Mapping[str, Any]) -> str:
    return ", ".join(key if value is True else f"{key} {_spelt(value)}" for key, value in fields.items())


def _spelt(value: object) -> str:
    """As it stands in the file, a table too."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_spelt(inner)}' for key, inner in value.items())} }}"
    return str(value)


def _act(act: str, *names: str) -> Callable[[dict[str, Any], str], Action]:
    """An act whose body takes these fields, the verb's own value first."""

    def read(fields: dict[str, Any], here: str) -> Action:
        kind, _ = ACTS[act]
        body = dict(zip(kind.__struct_fields__, (fields.get(name) for name in names), strict=True)) if names else {}
        convert(body, kind, here)
        return Action(act, body)

    return read


def _switch(fields: dict[str, Any], here: str) -> Action:
    acts = {"on": "switch_on", "off": "switch_off", "out_of_service": "out_of_service", "full": "fill"}
    if fields["switch"] not in acts:
        raise ValueError(f"switch is one of {', '.join(acts)}")
    return Action(acts[fields["switch"]], {})


def _expect(kind: Literal["either", "screen", "message"], verb: str) -> Callable[[dict[str, Any], str], Expect]:
    def read(fields: dict[str, Any], here: str) -> Expect:
        text = str(fields[verb])
        re.compile(_pattern(text) or "")
        within = duration(fields["within"]) if "within" in fields else PATIENCE
        return Expect(kind, text, str(fields.get("from", "")), within)

    return read


def _pattern(text: str) -> str | None:
    return text[1:-1] if len(text) > 2 and text.startswith("/") and text.endswith("/") else None


_VERBS: Mapping[str, tuple[tuple[str, ...], Callable[[dict[str, Any], str], Does]]] = {
    "dial": ((), _act("dial", "dial")),
    "answer": ((), _act("answer", "answer")),
    "text": (("to",), _act("sms", "to", "text")),
    "hang_up": ((), _act("hang_up")),
    "switch": ((), _switch),
    "balance": ((), _act("balance", "balance")),
    "language": ((), _act("language", "language")),
    "expect": (("within", "from"), _expect("either", "expect")),
    "expect_screen": (("within",), _expect("screen", "expect_screen")),
    "expect_message": (("within", "from"), _expect("message", "expect_message")),
    "expect_nothing": ((), lambda fields, here: ExpectNothing(duration(fields["expect_nothing"]))),
    "wait": ((), lambda fields, here: Wait(duration(fields["wait"]))),
    "fault": ((), lambda fields, here: Meddle(convert(fields["fault"], Fault, here))),
    "no_faults": ((), lambda fields, here: Unmeddle()),
}
"""What a step may be: the other fields that it takes, and how it is read."""
