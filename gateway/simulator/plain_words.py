"""Values of a type, and in plain words why they are none, with what was probably meant. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

Value = TypeVar("Value")

_step = re.compile(r"\[(\d+|\.\.\.)\]|\.?([^.\[\]]+)")
_unknown = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL).fullmatch
_none_of = re.compile(r"Invalid enum value (.*)", re.DOTALL).fullmatch


def convert(written: object, kind: type[Value]) -> Value:
    """As `kind`; ValueError names the place, and the name that resembles an unknown one."""
    try:
        return msgspec.convert(written, kind)
    except msgspec.ValidationError as error:
        raise ValueError(_plain(str(error), kind)) from None


def decode(octets: bytes, kind: type[Value]) -> Value:
    """From JSON, as `convert`."""
    return convert(msgspec.json.decode(octets), kind)


def _plain(message: str, kind: type) -> str:
    said, _, place = message.partition(" - at `$")
    place = place.removesuffix("`")
    hints = list(_at(kind, place))
    if match := _unknown(said):
        said = f"there is no setting `{match[1]}`{_meant(match[1], _fields(hints))}"
    elif match := _none_of(said):
        choices = _choices(hints)
        said = f"there is no {match[1]}{_meant(match[1].strip(chr(39)), choices) or ': ' + ', '.join(choices)}"
    said = said.replace("Object missing required field", "there is no")
    where = "".join(_shown(*step) for step in _step.findall(place)).removeprefix(".")
    return f"{where}: {said}" if where else said


def _shown(index: str, name: str) -> str:
    return f".{name}" if name else ".*" if index == "..." else f" {int(index) + 1}"


def _meant(written: str, known: list[str]) -> str:
    """`; did you mean …?`, or nothing."""
    found = get_close_matches(written, known, 1)
    return f"; did you mean `{found[0]}`?" if found else ""


def _fields(hints: list[Any]) -> list[str]:
    return [name for hint in hints if hasattr(hint, "__struct_fields__") for name in hint.__struct_fields__]


def _choices(hints: list[Any]) -> list[str]:
    return [str(choice) for hint in hints if get_origin(hint) is Literal for choice in get_args(hint)]


def _at(kind: Any, place: str) -> Iterator[Any]:
    """The types that may stand at a place of msgspec's: `.commands[0].text`, `.accounts[...]`."""
    hints = list(_alternatives(kind))
    for _, name in _step.findall(place):
        hints = [inner for hint in hints for outer in _inside(hint, name) for inner in _alternatives(outer)]
    yield from hints


def _alternatives(hint: Any) -> Iterator[Any]:
    if get_origin(hint) in (Union, UnionType):
        yield from get_args(hint)
    else:
        yield hint


def _inside(hint: Any, name: str) -> Iterator[Any]:
    if name and hasattr(hint, "__struct_fields__"):
        yield get_type_hints(hint)[name]
    elif not name and (arguments := get_args(hint)):
        origin = get_origin(hint)
        yield arguments[1] if isinstance(origin, type) and issubclass(origin, Mapping) else arguments[0]
