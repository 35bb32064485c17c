"""Compiles the declaration of a PDU into what reads and writes it. Pure.

One regular expression reads a whole mandatory part, length limits included; one `struct.Struct` for each combination
of string lengths writes it; a list in the middle is read and written by functions of its own. The work is done in C,
so a generated function is as fast as one written by hand, and thirty times as fast as walking over a table of fields.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar, get_type_hints

from vas.errors import SmppError

RESPONSE = 0x8000_0000
"""The bit that a response's command_id adds to its request's."""

RINVMSGLEN = 0x01
RINVCMDLEN = 0x02
RINVCMDID = 0x03
RINVPARLEN = 0xC2

Tlvs = tuple[tuple[int, bytes], ...]

T = TypeVar("T")
Reader = Callable[[bytes, int, int], T]
"""From a frame with its sequence_number and command_status to the PDU; raises SmppError."""
_Layout = list[tuple[str, Any]]
"""Field names in the wire's order, each with the width of a C-octet string, `int`, "sm_length", or Repeated."""


class Repeated(NamedTuple):
    """How a list of any length, its number of entries included, is read and written."""

    read: Callable[[bytes, int], tuple[tuple[Any, ...], int]]
    """From a frame and the list's start to its entries and its end; raises SmppError."""
    write: Callable[[tuple[Any, ...]], bytes]
    """Raises SmppError, and struct.error for a number that is out of range."""


def compile_pdu(pdu: type[T], command_id: int, fields: Sequence[str]) -> Reader[T]:
    """Give the struct `pdu` its `encode`; the function that reads it. `fields` are those after the header's."""
    layout = _layout(pdu, fields)
    scope: dict[str, Any] = {
        "Pdu": pdu,
        "SmppError": SmppError,
        "read_tlvs": _read_tlvs,
        "write_tlvs": _write_tlvs,
        "packer": _packer(layout),
        "packers": {},
        "header": struct.Struct(">IIII").pack,
        "StructError": struct.error,
    }
    pieces = _pieces(layout)
    for number, piece in enumerate(pieces):
        pattern = _pattern(command_id, piece, last=number == len(pieces) - 1)
        scope[f"piece_{number}"] = re.compile(pattern, re.DOTALL).match
    for field, kind in layout:
        if isinstance(kind, Repeated):
            scope[f"read_{field}"], scope[f"write_{field}"] = kind
    source = _reader_source(pdu.__name__, command_id, layout) + _writer_source(pdu.__name__, command_id, layout)
    exec(source, scope)  # noqa: S102
    setattr(pdu, "encode", scope["encode"])  # noqa: B010
    reader: Reader[T] = scope["read"]
    return reader


def _layout(pdu: type, fields: Sequence[str]) -> _Layout:
    hints = get_type_hints(pdu, include_extras=True)
    layout: _Layout = []
    for name in fields:
        kind = int if hints[name] is int else hints[name].__metadata__[0]
        if kind == "sm_length":
            layout.append(("sm_length", int))
        layout.append((name, kind))
    return layout


def _pieces(layout: _Layout) -> list[_Layout]:
    """What one regular expression can read: the fields before, between and after the lists."""
    pieces: list[_Layout] = [[]]
    for field in layout:
        if isinstance(field[1], Repeated):
            pieces.append([])
        else:
            pieces[-1].append(field)
    return pieces


def _pattern(command_id: int, piece: _Layout, *, last: bool) -> bytes:
    """One group for each string, and one for each run of integers."""
    pattern = ""
    for kind, names in _runs(piece):
        if kind is int:
            pattern += f"(.{{{len(names)}}})"
        elif kind != "sm_length":
            pattern += rf"([^\0]{{0,{kind - 1}}})\0"
    if last and command_id & RESPONSE and pattern.endswith(r"\0"):
        pattern = pattern.removesuffix(r"\0") + r"(?:\0|\Z)"
    return pattern.encode()


def _runs(layout: _Layout) -> Iterator[tuple[Any, list[str]]]:
    run: list[str] = []
    for name, kind in layout:
        if kind is int:
            run.append(name)
            continue
        if run:
            yield int, run
            run = []
        yield kind, [name]
    if run:
        yield int, run


def _reader_source(name: str, command_id: int, layout: _Layout) -> str:
    response = bool(command_id & RESPONSE)
    lists = [field for field, kind in layout if isinstance(kind, Repeated)]
    lines = [
        "def read(frame, sequence, status):",
        "    if len(frame) == 16: return Pdu(sequence, status)" if response else "",
        "    end = 16" if lists else "",
    ]
    for number, piece in enumerate(_pieces(layout)):
        if number:
            lines += _list_lines(lists[number - 1], response)
        if piece or not lists:
            lines += _piece_lines(name, number, piece, response, "end" if lists else "16")
    if any(kind == "sm_length" for _, kind in layout):
        lines += [
            "    start = end",
            "    end += sm_length",
            f"    if end > len(frame): raise SmppError({RINVMSGLEN}, 'sm_length past the end')",
            "    short_message = frame[start:end]",
        ]
    fields = "".join(f", {field}" for field, _ in layout if field != "sm_length")
    lines += [
        "    tlvs = read_tlvs(frame, end) if end < len(frame) else ()",
        f"    return Pdu(sequence, status, tlvs{fields})",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _piece_lines(name: str, number: int, piece: _Layout, response: bool, start: str) -> list[str]:
    targets = [
        f"({', '.join(names)},)" if kind is int else names[0] for kind, names in _runs(piece) if kind != "sm_length"
    ]
    return [
        f"    match = piece_{number}(frame, {start})",
        "    if match is None:",
        "        if status: return Pdu(sequence, status)" if response else "",
        f"        raise SmppError({RINVPARLEN}, 'mandatory part of {name} unreadable')",
        f"    {', '.join(targets)}, = match.groups()" if targets else "",
        "    end = match.end()",
    ]


def _list_lines(field: str, response: bool) -> list[str]:
    if not response:
        return [f"    {field}, end = read_{field}(frame, end)"]
    return [
        f"    try: {field}, end = read_{field}(frame, end)",
        "    except SmppError:",
        "        if status: return Pdu(sequence, status)",
        "        raise",
    ]


def _writer_source(name: str, command_id: int, layout: _Layout) -> str:
    strings = [field for field, kind in layout if isinstance(kind, int)]
    lists = [field for field, kind in layout if isinstance(kind, Repeated)]
    fields = [field for field, _ in layout if field != "sm_length"]
    empty = " or ".join(f"self.{field}" for field in [*fields, "tlvs"])
    with_nul = " or ".join(f"0 in self.{field}" for field in strings)
    lengths = "".join(
        f"len({field}), " if field in lists else f"len(self.{field}), " for field in fields if field in strings + lists
    )
    kept = "packers.get(lengths) or packers.setdefault(lengths, packer(lengths))"
    lines = [
        "def encode(self):",
        f"    if self.status and not ({empty}): return header(16, {command_id}, self.status, self.sequence)"
        if command_id & RESPONSE
        else "",
        f"    if {with_nul}: raise SmppError({RINVPARLEN}, 'NUL in a string of {name}')" if strings else "",
        "    try:",
        *(f"        {field} = write_{field}(self.{field})" for field in lists),
        f"        lengths = ({lengths})",
        f"        pack, octets = {'packer(lengths)' if lists else kept}",
        f"        tail = {'self.short_message' if 'short_message' in fields else repr(b'')}",
        "        if self.tlvs: tail += write_tlvs(self.tlvs)",
        f"        return pack(octets + len(tail), {command_id}, self.status, self.sequence{_arguments(layout)}) + tail",
        "    except StructError as error:",
        f"        raise SmppError({RINVPARLEN}, f'{name}: {{error}}') from None",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _arguments(layout: _Layout) -> str:
    arguments = ""
    for field, kind in layout:
        if field == "sm_length":
            arguments += ", len(self.short_message)"
        elif isinstance(kind, Repeated):
            arguments += f", {field}"
        elif kind != "sm_length":
            arguments += f", self.{field}"
    return arguments


def _packer(layout: _Layout) -> Callable[[tuple[int, ...]], tuple[Callable[..., bytes], int]]:
    """From the lengths of strings and lists to what packs the header and the mandatory part, and its size in octets."""
    widths = [kind for _, kind in layout if isinstance(kind, int | Repeated)]
    template = ">IIII" + "".join(_template(kind) for _, kind in layout)

    def packer(lengths: tuple[int, ...]) -> tuple[Callable[..., bytes], int]:
        if any(isinstance(width, int) and length >= width for length, width in zip(lengths, widths, strict=True)):
            raise SmppError(RINVPARLEN, "string too long")
        packing = struct.Struct(template % lengths)
        return packing.pack, packing.size

    return packer


def _template(kind: Any) -> str:
    if kind is int:
        return "B"
    if isinstance(kind, Repeated):
        return "%ds"
    return "" if kind == "sm_length" else "%dsx"


_TLV = struct.Struct(">HH")
_nuls = re.compile(rb"\0*").match


def _read_tlvs(frame: bytes, start: int) -> Tlvs:
    tlvs, whole = _walk_tlvs(frame, start)
    if not whole and frame[start] == 0:  # one NUL too many after the text shifts all that follows
        shifted, fits = _walk_tlvs(frame, start + 1)
        return shifted if fits else tlvs
    return tlvs


def _walk_tlvs(frame: bytes, start: int) -> tuple[Tlvs, bool]:
    """The parameters, the last one clipped; and whether they ended where the frame does."""
    tlvs, end = [], len(frame)
    while end - start >= 4:
        tag, octets = _TLV.unpack_from(frame, start)
        if tag == 0:  # reserved, so these are stray NULs, the last of them perhaps the first octet of a tag
            start = _nuls(frame, start).end() - 1  # type: ignore[union-attr]
            continue
        start += 4
        tlvs.append((tag, frame[start : start + octets]))
        start += octets
    return tuple(tlvs), start == end or (start < end and not any(frame[start:]))


def _write_tlvs(tlvs: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join([_TLV.pack(tag, len(value)) + value for tag, value in tlvs])
