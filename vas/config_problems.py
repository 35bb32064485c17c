"""What is wrong with the settings, in words for the person who wrote them."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from pydantic import BaseModel, ValidationError

from vas.durations import parse_duration, spell_duration
from vas.errors import ConfigError

T = TypeVar("T")
Key = tuple[str | int, ...]

PREFIX = "VAS_"
NESTED = "__"

# A service's own keys have no types until its struct is known, so a secret is known by its name.
_SECRET_NAME = re.compile(r"password|passwd|secret|token", re.IGNORECASE).search
_URL_PASSWORD = re.compile(r"(?P<user>://[^:/?@]*:).*(?=@)|(?<=password=)[^&\s]*")
_SHOWN_CHARACTERS = 60


class Origin:
    """Where settings were read: a file, and the variables of an environment."""

    def __init__(self, file: Path, environ: Mapping[str, str]) -> None:
        self.file = file
        self.environ = environ
        self.variables = frozenset(name.upper() for name in environ if name.upper().startswith(PREFIX))

    def place(self, key: Key) -> str:
        """The variable that gave the key its value, else the file and the dotted key."""
        names = list(itertools.takewhile(lambda part: isinstance(part, str), key))
        variable = PREFIX + NESTED.join(map(str, names)).upper()
        if variable in self.variables:
            return variable + _dotted(key[len(names) :])
        return f"{self.file}: {_dotted(key).removeprefix('.')}"

    def line(self, name: str) -> int:
        """The first line of the file that gives this key a value; 0: none."""
        gives = re.compile(rf"""\s*["']?{re.escape(name)}["']?\s*=""").match
        lines = self.file.read_text("utf-8").splitlines()
        return next((number for number, line in enumerate(lines, 1) if gives(line)), 0)


def _dotted(key: Key) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)


def without_password(text: str) -> str:
    """A database's address with its password masked."""
    return _URL_PASSWORD.sub(lambda found: f"{found['user'] or ''}•••", text)


def masked_secrets(table: Mapping[str, Any]) -> dict[str, Any]:
    """The same table, with what is named like a secret masked; that there is none is shown."""
    return {key: _masked(key, value) for key, value in table.items()}


def _masked(key: str, value: Any) -> Any:
    if value != "" and _SECRET_NAME(key):
        return "•••"
    return masked_secrets(value) if isinstance(value, Mapping) else value


def problems(root: type[BaseModel], error: ValidationError, origin: Origin) -> list[str]:
    """Every problem that pydantic found under `root`, one a line."""
    return [_problem(root, dict(details), origin) for details in error.errors(include_url=False)]


def unknown_variables(root: type[BaseModel], origin: Origin) -> list[str]:
    """The variables that look like settings and belong to no section."""
    known = {section.upper(): section for section in root.model_fields}
    lines = []
    for variable in sorted(origin.variables):
        section, nested, _ = variable.removeprefix(PREFIX).partition(NESTED)
        if nested and section not in known:
            lines.append(f"{variable}: no such setting{near(section, known)}")
    return lines


def fill(shape: type[T], own: Mapping[str, Any], section: Key, reserved: Iterable[str], origin: Origin) -> T:
    """A msgspec Struct or dataclass from the keys of a section; raises ConfigError with every problem."""
    hints = get_type_hints(shape, include_extras=True)
    required = _fields(shape)
    lines = [
        f"{origin.place((*section, key))}{_shown(key, own[key], required)}: "
        f"no such setting{near(key, [*required, *reserved])}"
        for key in own
        if key not in required
    ]
    values: dict[str, Any] = {}
    for name, needed in required.items():
        if name not in own:
            if needed:
                lines.append(f"{origin.place((*section, name))}: needed, and not set")
            continue
        try:
            values[name] = _converted(own[name], hints[name])
        except (ValueError, msgspec.ValidationError) as error:
            lines.append(f"{origin.place((*section, name))}{_value(name, own[name])}: {_lowered(str(error))}")
    if lines:
        raise ConfigError("\n".join(lines))
    try:
        return shape(**values)
    except ValueError as error:
        raise ConfigError(f"{origin.place(section)}: {error}") from error


def _fields(shape: type) -> dict[str, bool]:
    """The names of a shape's fields, and whether each must be given."""
    if issubclass(shape, msgspec.Struct):
        return {field.name: field.required for field in msgspec.structs.fields(shape)}
    if not dataclasses.is_dataclass(shape):
        raise TypeError(f"{shape.__name__} is neither a msgspec Struct nor a dataclass")
    none = (dataclasses.MISSING, dataclasses.MISSING)
    return {field.name: (field.default, field.default_factory) == none for field in dataclasses.fields(shape)}


def _converted(value: object, hint: Any) -> object:
    if timedelta in (hint, *get_args(hint)):
        value = parse_duration(value)
    return msgspec.convert(value, hint, builtin_types=(timedelta,))


def _problem(root: type[BaseModel], details: dict[str, Any], origin: Origin) -> str:
    key: Key = tuple(part for part in details["loc"] if part != "[key]")
    place, name, value = origin.place(key), str(key[-1]) if key else "", details["input"]
    known = _section(root, key).model_fields
    match details["type"]:
        case "extra_forbidden" if _outside_tables(key, value) and (line := origin.line(name)):
            said_where = f"no such setting outside any table (line {line})"
            return f"{place}{_shown(name, value, known)}: {said_where}{_home(root, name) or near(name, known)}"
        case "extra_forbidden":
            return f"{place}{_shown(name, value, known)}: no such setting{near(name, known)}"
        case "missing":
            return f"{place}: needed, and not set{_meaning(known, name)}"
        case "string_pattern_mismatch" | "string_too_long" if "[key]" in details["loc"]:
            return f"{place}: a name is at most 32 small letters, digits and single _, and begins with a letter"
    field = next((part for part in reversed(key) if part in known), name)
    return f"{place}{_value(str(field), value)}: {said(details)}{_meaning(known, str(field))}"


def _outside_tables(key: Key, value: object) -> bool:
    return len(key) == 1 and not isinstance(value, (Mapping, list))


def _home(root: type[BaseModel], name: str) -> str:
    """The tables that have this setting, or nothing."""
    brackets = {dict: "[{}.NAME]", tuple: "[[{}]]"}
    found = [
        brackets.get(get_origin(field.annotation) or BaseModel, "[{}]").format(section)
        for section, field in root.model_fields.items()
        if name in _section(root, (section, name)).model_fields
    ]
    return f"; it belongs below {' or '.join(found)}" if found else ""


def _section(root: type[BaseModel], key: Key) -> type[BaseModel]:
    """The model whose field the key names: a section, or one of the named sections of a kind."""
    model = root
    for part in key[:-1]:
        field = model.model_fields.get(str(part))
        for annotation in (field.annotation, *get_args(field.annotation)) if field else ():
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                model = annotation
    return model


def said(details: Mapping[str, Any]) -> str:
    """What pydantic found, in plain words that go behind the name of what is wrong."""
    match details["type"]:
        case "tuple_type":
            return "must be a list"
        case "too_long":
            return f"must be at most {details['ctx']['max_length']} long"
    found = str(details["msg"]).removeprefix("Value error, ")
    return _lowered(re.sub("^(Input|String|List|Value) should", "must", found).replace("should", "must"))


def _meaning(known: Mapping[str, Any], name: str) -> str:
    description = known[name].description if name in known else None
    return f" ({_lowered(description.rstrip('.'))})" if description else ""


def near(name: str, known: Iterable[str]) -> str:
    """`; did you mean "…"?` for the known name that resembles this one, or nothing."""
    found = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean "{found[0]}"?' if found else ""


def _shown(name: str, value: object, known: Iterable[str]) -> str:
    """The value of an unknown key; nothing unless it resembles a key that is no secret, since it may be one."""
    found = difflib.get_close_matches(name, known, n=1)
    return _value(name, value) if found and not _SECRET_NAME(found[0]) else ""


def _value(name: str, value: object) -> str:
    """` = VALUE` as TOML spells it; nothing for a table, and no secret."""
    if isinstance(value, (Mapping, BaseModel)):
        return ""
    if _SECRET_NAME(name):
        return " = •••"
    if isinstance(value, timedelta):
        value = spell_duration(value)
    spelled = without_password(msgspec.json.encode(value, enc_hook=str).decode())
    return f" = {spelled[:_SHOWN_CHARACTERS]}…" if len(spelled) > _SHOWN_CHARACTERS else f" = {spelled}"


def _lowered(sentence: str) -> str:
    """With a small first letter, unless the sentence begins with an abbreviation."""
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]
