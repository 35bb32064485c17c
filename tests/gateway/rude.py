"""SMSCs without manners, in raw octets: they know headers, and nothing of our codec or session.

Each is polite but for one thing, and that on its first connection only: the second one shows what was left undone.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections import Counter

BIND, SUBMIT, DELIVER, UNBIND, ENQUIRE, NACK, RESPONSE = 0x09, 0x04, 0x05, 0x06, 0x15, 0x8000_0000, 0x8000_0000
RSYSERR, RINVBNDSTS, RINVCMDID, RINVCMDLEN = 0x08, 0x04, 0x03, 0x02
COUNT = 20
"""Messages in each direction."""
WINDOW = 5


def frame(command_id: int, sequence: int, body: bytes = b"", status: int = 0) -> bytes:
    return struct.pack(">IIII", 16 + len(body), command_id, status, sequence) + body


def deliver_sm(sequence: int, text: str, tail: bytes = b"") -> bytes:
    body = b"\0\x01\x01" + b"84912345678\0" + b"\0\0" + b"9105\0" + bytes(9)
    return frame(DELIVER, sequence, body + bytes((len(text),)) + text.encode() + tail)


class Connection(asyncio.Protocol):
    """One ESME's."""

    def __init__(self, smsc: Polite) -> None:
        self.smsc = smsc
        self.first = not smsc.connections
        smsc.connections.append(self)
        self.lost = False
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 16:
            octets, command_id, status, sequence = struct.unpack_from(">IIII", self._buffer)
            if len(self._buffer) < octets:
                return
            body, self._buffer = self._buffer[16:octets], self._buffer[octets:]
            self.smsc.take(self, command_id, sequence, status, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    def write(self, *frames: bytes) -> None:
        if not self.transport.is_closing():
            self.smsc.write(self, b"".join(frames))


class Polite:
    """Answers in order, delivers what was not answered again on the next connection, and keeps count."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.accepted: Counter[str] = Counter()
        """Texts of the submit_sm that were answered with ROK."""
        self.seen: Counter[str] = Counter()
        """Texts of the submit_sm that were read."""
        self.undelivered = {number: f"wish {number}" for number in range(1, COUNT + 1)}
        self.asked = 0
        """How many enquire_link came."""
        self.answers: list[tuple[int, int, int]] = []
        """command_id, sequence_number and command_status of each response that came."""

    def take(self, link: Connection, command_id: int, sequence: int, status: int, body: bytes) -> None:
        if command_id & RESPONSE:
            self.answers.append((command_id, sequence, status))
            if command_id == DELIVER | RESPONSE and not status:
                self.undelivered.pop(sequence, None)
            return
        self.asked += command_id == ENQUIRE
        if command_id == SUBMIT:
            self.seen[self.text(body)] += 1
        rude = getattr(self, f"on_{command_id}", None) if link.first else None
        if rude is None or not rude(link, sequence, body):
            self.answer(link, command_id, sequence, body)

    def answer(self, link: Connection, command_id: int, sequence: int, body: bytes) -> None:
        """As the standard has it."""
        if command_id == BIND:
            link.write(frame(BIND | RESPONSE, sequence, b"SMSC\0"))
            self.deliver(link)
        elif command_id == SUBMIT:
            link.write(self.accept(sequence, body))
        else:
            link.write(frame(command_id | RESPONSE, sequence))

    def accept(self, sequence: int, body: bytes) -> bytes:
        self.accepted[self.text(body)] += 1
        return frame(SUBMIT | RESPONSE, sequence, b"%d\0" % self.accepted.total())

    def deliver(self, link: Connection) -> None:
        for sequence, text in self.undelivered.items():
            link.write(deliver_sm(sequence, text))

    def write(self, link: Connection, octets: bytes) -> None:
        link.transport.write(octets)

    @staticmethod
    def text(body: bytes) -> str:
        found = re.search(rb"message \d+", body)
        assert found
        return found.group().decode()


class OutOfOrder(Polite):
    """Answers a window from its end."""

    def __init__(self) -> None:
        super().__init__()
        self._held: list[bytes] = []

    def on_4(self, link: Connection, sequence: int, body: bytes) -> bool:
        self._held.append(self.accept(sequence, body))
        if len(self._held) == WINDOW:
            link.write(*reversed(self._held))
            self._held.clear()
        return True


class ByteByByte(Polite):
    """Writes each octet for itself."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = bytearray()
        self._writing: asyncio.Task[None] | None = None

    def write(self, link: Connection, octets: bytes) -> None:
        self._waiting += octets
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(link))

    async def _write(self, link: Connection) -> None:
        while self._waiting:
            link.transport.write(bytes((self._waiting.pop(0),)))
            await asyncio.sleep(0)


class InOnePiece(Polite):
    """Gathers what it has to say, and says it at once."""

    def __init__(self) -> None:
        super().__init__()
        self._gathered: list[bytes] = []

    def write(self, link: Connection, octets: bytes) -> None:
        if not self._gathered:
            asyncio.get_running_loop().call_later(0.02, self._say, link)
        self._gathered.append(octets)

    def _say(self, link: Connection) -> None:
        link.transport.write(b"".join(self._gathered))
        self._gathered.clear()


class Every(Polite):
    """Does something rude to every fifth submit_sm, or to each of `numbers`."""

    def on_4(self, link: Connection, sequence: int, body: bytes) -> bool:
        return self.seen.total() % WINDOW == 0 and self.rude(link, sequence, body)

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        """Whether this was answer enough."""
        raise NotImplementedError


class WrongSequence(Every):
    """Answers with a sequence_number that nobody asked with."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(frame(SUBMIT | RESPONSE, sequence + 1000, b"wrong\0"))
        return True


class WrongKind(Every):
    """Answers a submit_sm with a data_sm_resp."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(frame(0x103 | RESPONSE, sequence, b"wrong\0"))
        return True


class Nack(Every):
    """Answers with generic_nack."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(frame(NACK, sequence, status=RSYSERR))
        return True


class ErrorWithBody(Every):
    """Says no, with a message_id."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(frame(SUBMIT | RESPONSE, sequence, b"00000000\0", status=RSYSERR))
        return True


class Silent(Every):
    """Answers nothing."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        return True


class Late(Every):
    """Answers when our response timer is over."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        asyncio.get_running_loop().call_later(1.0, link.write, frame(SUBMIT | RESPONSE, sequence, b"late\0"))
        return True


class Twice(Every):
    """Answers twice, the second time with a no."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(self.accept(sequence, body), frame(SUBMIT | RESPONSE, sequence, status=RSYSERR))
        return True


class TlvGarbage(Every):
    """Puts octets behind an answer that are no parameters, and a parameter cut short."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        answer = self.accept(sequence, body)[16:]
        link.write(frame(SUBMIT | RESPONSE, sequence, answer + b"\xff\xff\xff"))
        link.write(deliver_sm(900 + self.seen.total(), "more", b"\x14\x03\xff\xffcut short"))
        return True


class Unknown(Every):
    """Sends requests and responses that no standard has, then answers."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(frame(0x0100_0001, 77, b"auth"), frame(0x44, 78), frame(0x8000_0044, 79, b"what"))
        return False


class Version5(Every):
    """Sends what only SMPP 5.0 has."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(frame(0x111, 80, bytes(15)), frame(0x8000_0112, 81, b"id\0"), frame(0x113, 82, bytes(5)))
        link.write(frame(SUBMIT | RESPONSE, sequence, self.accept(sequence, body)[16:] + b"\x04\x28\x00\x01\x14"))
        return True


class OursToHim(Every):
    """Sends requests that only an ESME may, and responses to requests that we never sent, with ids in them."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(frame(SUBMIT, 83, body), frame(BIND, 84, b"a\0b\0\0\x34\0\0\0"))
        link.write(frame(DELIVER | RESPONSE, sequence, b"123\0"), frame(BIND | RESPONSE, sequence, b"SMSC\0"))
        return False


class StrangeSequences(Every):
    """Asks with sequence_numbers that are not in the standard."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(frame(ENQUIRE, 0), frame(ENQUIRE, 0x806A_179B), frame(ENQUIRE, 0xFFFF_FFFF))
        return False


class BareBind(Polite):
    """Answers a bind with a header."""

    def on_9(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(frame(BIND | RESPONSE, sequence))
        self.deliver(link)
        return True


class UnterminatedBind(Polite):
    """Answers a bind with a system_id that has no NUL, as GoIP does."""

    def on_9(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(frame(BIND | RESPONSE, sequence, b"GoIP"))
        self.deliver(link)
        return True


class BindTwice(Polite):
    """Answers a bind twice, the second time with a no."""

    def on_9(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(frame(BIND | RESPONSE, sequence, b"SMSC\0"), frame(BIND | RESPONSE, sequence, status=0x0D))
        self.deliver(link)
        return True


class Eager(Polite):
    """Delivers before it has answered the bind."""

    def on_9(self, link: Connection, sequence: int, body: bytes) -> bool:
        self.deliver(link)
        return False


class BindOfAnotherKind(Polite):
    """Answers bind_transceiver with bind_receiver_resp, and then nothing."""

    def on_9(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(frame(0x01 | RESPONSE, sequence, b"SMSC\0"))
        return True


class Unbinds(Every):
    """Unbinds in mid-flight."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(frame(UNBIND, 85))
        return False


class NeverAlive(Polite):
    """Never answers an enquire_link."""

    def on_21(self, link: Connection, sequence: int, body: bytes) -> bool:
        return True


class NackedLife(Polite):
    """Answers enquire_link with a generic_nack."""

    def on_21(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(frame(NACK, sequence, status=RINVCMDID))
        return True


class Length(Every):
    """Sends a length that cannot be."""

    length = 0

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write(self.length.to_bytes(4, "big") + bytes(100))
        return True


class HugeLength(Length):
    length = 0xF000_0011


class LongPdu(Every):
    """Announces the longest PDU that may be, and sends a little of it only."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.write((65_536).to_bytes(4, "big") + bytes(12))
        return True


class HalfClosed(Every):
    """Closes its half of the connection, and reads on."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.transport.write_eof()
        return True


class Reset(Every):
    """Breaks the connection off."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.transport.abort()
        return True


class StopsReading(Every):
    """Reads no more."""

    def rude(self, link: Connection, sequence: int, body: bytes) -> bool:
        link.transport.pause_reading()
        return True
