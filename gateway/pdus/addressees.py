"""The lists of submit_multi and of its response, SMPP 3.4 §4.5.1.1 and §4.5.2.1. Pure."""

from __future__ import annotations

import re
import struct
from typing import Annotated

import msgspec

from gateway.pdus.codec import RINVPARLEN, Repeated
from vas.errors import SmppError

RINVNUMDESTS = 0x33
RINVDESTFLAG = 0x40
DESTS_MAX = 254
_ADDRESS_OCTETS_MAX = 20
_SME_ADDRESS, _DISTRIBUTION_LIST = 1, 2


class SmeAddress(msgspec.Struct, frozen=True):
    """One number."""

    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: bytes = b""
    """At most 20 octets."""


class DistributionList(msgspec.Struct, frozen=True):
    """A list that the SMSC keeps."""

    dl_name: bytes = b""
    """At most 20 octets."""


class UnsuccessSme(msgspec.Struct, frozen=True):
    """A number that the SMSC did not take the message for."""

    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: bytes = b""
    """At most 20 octets."""
    error_status_code: int = 0


_dest = re.compile(rb"\x01(.)(.)([^\0]{0,20})\0|\x02([^\0]{0,20})\0", re.DOTALL).match
_unsuccess = re.compile(rb"(.)(.)([^\0]{0,20})\0(.{4})", re.DOTALL).match


def _count(frame: bytes, start: int) -> int:
    if start >= len(frame):
        raise SmppError(RINVPARLEN, "no number of entries")
    return frame[start]


def _read_dests(frame: bytes, start: int) -> tuple[tuple[SmeAddress | DistributionList, ...], int]:
    found: list[SmeAddress | DistributionList] = []
    count, end = _count(frame, start), start + 1
    if count > DESTS_MAX:
        raise SmppError(RINVNUMDESTS, f"number_of_dests {count}")
    for _ in range(count):
        match = _dest(frame, end)
        if match is None:
            flag_is_known = frame[end : end + 1] in (b"", b"\x01", b"\x02")
            raise SmppError(RINVPARLEN if flag_is_known else RINVDESTFLAG, "dest_address unreadable")
        ton, npi, address, dl_name = match.groups()
        found.append(DistributionList(dl_name) if address is None else SmeAddress(ton[0], npi[0], address))
        end = match.end()
    return tuple(found), end


def _write_dests(dests: tuple[SmeAddress | DistributionList, ...]) -> bytes:
    if len(dests) > DESTS_MAX:
        raise SmppError(RINVNUMDESTS, f"{len(dests)} destinations")
    out = [bytes((len(dests),))]
    for dest in dests:
        if isinstance(dest, DistributionList):
            out.append(struct.pack(">B", _DISTRIBUTION_LIST) + _string(dest.dl_name))
        else:
            out.append(struct.pack(">BBB", _SME_ADDRESS, dest.dest_addr_ton, dest.dest_addr_npi))
            out.append(_string(dest.destination_addr))
    return b"".join(out)


def _read_unsuccess(frame: bytes, start: int) -> tuple[tuple[UnsuccessSme, ...], int]:
    found = []
    end = start + 1
    for _ in range(_count(frame, start)):
        match = _unsuccess(frame, end)
        if match is None:
            raise SmppError(RINVPARLEN, "unsuccess_sme unreadable")
        ton, npi, address, status = match.groups()
        found.append(UnsuccessSme(ton[0], npi[0], address, int.from_bytes(status, "big")))
        end = match.end()
    return tuple(found), end


def _write_unsuccess(smes: tuple[UnsuccessSme, ...]) -> bytes:
    entries = [
        struct.pack(">BB", sme.dest_addr_ton, sme.dest_addr_npi)
        + _string(sme.destination_addr)
        + struct.pack(">I", sme.error_status_code)
        for sme in smes
    ]
    return struct.pack(">B", len(smes)) + b"".join(entries)


def _string(value: bytes) -> bytes:
    if len(value) > _ADDRESS_OCTETS_MAX or 0 in value:
        raise SmppError(RINVPARLEN, "address too long, or with a NUL in it")
    return value + b"\0"


DestAddresses = Annotated[tuple[SmeAddress | DistributionList, ...], Repeated(_read_dests, _write_dests)]
"""At most 254, preceded on the wire by their number."""
UnsuccessSmes = Annotated[tuple[UnsuccessSme, ...], Repeated(_read_unsuccess, _write_unsuccess)]
"""At most 255, preceded on the wire by their number."""
