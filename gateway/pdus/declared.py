"""What a PDU is declared with: what all of them have, and the widths of their strings. Pure."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from gateway.pdus.codec import Tlvs

# Widths of SMPP 3.4 §5.2.
SystemId = Annotated[bytes, 16]
Password = Annotated[bytes, 9]
SystemType = Annotated[bytes, 13]
AddressRange = Annotated[bytes, 41]
ServiceType = Annotated[bytes, 6]
Address = Annotated[bytes, 21]
LongAddress = Annotated[bytes, 65]
MessageId = Annotated[bytes, 65]
Time = Annotated[bytes, 17]
ShortMessage = Annotated[bytes, "sm_length"]
"""At most 255 octets, preceded on the wire by their number."""


class Pdu(msgspec.Struct, gc=False):
    """What every PDU has. `tlvs` keeps the order and the duplicates of the wire.

    Octets and numbers refer to nothing, so the cyclic garbage collector need not look at them.
    """

    command_id: ClassVar[int]

    sequence: int = 0
    status: int = 0
    tlvs: Tlvs = ()

    def encode(self) -> bytes:
        """The whole frame. An error response with nothing in its body is written without one, as §4.4.2 asks.

        Raises SmppError(RINVPARLEN) for a field that is too long, out of range, or a string with a NUL in it.
        """
        raise NotImplementedError

    def tlv(self, tag: int) -> bytes | None:
        """The value of the first optional parameter with this tag."""
        for present, value in self.tlvs:
            if present == tag:
                return value
        return None
