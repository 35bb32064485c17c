"""Septets in the bits of octets, 3GPP TS 23.038 §6.1.2. Pure.

Fill bits (3GPP TS 23.040 §9.2.3.24) stand between a user data header and the first septet, which begins on a septet
boundary as counted from the header's first octet. A PDU of SMPP tells only octets: seven bits to spare would be read
as one `@` more, so they carry a carriage return (§6.1.2.3.1).
"""

from __future__ import annotations

_RETURN = 0x0D


def fill_bits(header_octets: int) -> int:
    """How many bits are skipped after a header of so many octets: 0 to 6."""
    return -header_octets * 8 % 7


def pack(septets: bytes, fill: int = 0) -> bytes:
    """Octets of the septets, one of which is in each octet, after `fill` bits.

    A carriage return is added where seven bits are to spare, and where the last septet is a carriage return that
    ends an octet, since the receiver drops that one.
    """
    spare = -(fill + 7 * len(septets)) % 8
    if septets and (spare == 7 or (spare == 0 and septets[-1] == _RETURN)):
        septets += bytes((_RETURN,))
    packed, held, bits = bytearray(), 0, fill
    for septet in septets:
        held |= (septet & 0x7F) << bits
        bits += 7
        if bits >= 8:
            packed.append(held & 0xFF)
            held >>= 8
            bits -= 8
    if septets and bits:
        packed.append(held)
    return bytes(packed)


def unpack(octets: bytes, fill: int = 0) -> bytes:
    """One septet in each octet, without the carriage return that only fills the last octet."""
    if not octets:
        return b""
    septets, held, bits = bytearray(), octets[0] >> fill, 8 - fill
    for octet in (*octets[1:], 0):
        while bits >= 7:
            septets.append(held & 0x7F)
            held >>= 7
            bits -= 7
        held |= octet << bits
        bits += 8
    if (fill + 7 * len(septets)) % 8 == 0 and septets[-1:] == bytes((_RETURN,)):
        del septets[-1]
    return bytes(septets)
