"""A record of every frame that passes the simulator: JSON lines, or a capture that Wireshark opens."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

from gateway.simulator import pcap, streams
from gateway.simulator.decoded import LINE_OCTETS_MAX, Direction, Taped, from_line, to_line

if TYPE_CHECKING:
    from gateway.simulator.session import Session

Format = Literal["jsonl", "pcap"]
OCTETS_MAX = 256 << 20
WAITING_MAX = 100_000
GATHER_SECONDS = 0.25
FRAMES_MAX = 10_000_000


class _Passed(NamedTuple):
    at: datetime
    direction: Direction
    session: Session
    account: str
    frame: bytes


class Tape:
    """`smsc.tape = Tape(path, clock)`; `close()` in the end.

    A thread of its own describes and writes, at most a second late; who is faster than the disk by WAITING_MAX frames
    waits for it, so that a tape has no holes. A file that has grown past half of `octets_max` becomes NAME.1.SUFFIX, in
    the place of the one before, and a new one begins. Raises OSError where the file cannot be written, ValueError for a
    name that ends in neither .jsonl nor .pcap.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime], octets_max: int = OCTETS_MAX) -> None:
        self._path = path
        self._clock = clock
        self._octets_max = octets_max
        self._format = format_of(path)
        self._octets = 0
        self._conversations = pcap.Conversations()
        self._file = self._opened()
        self._failed: OSError | None = None
        self._waiting: Queue[_Passed] = Queue(WAITING_MAX)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="tape", daemon=True)
        self._thread.start()

    def __call__(self, session: Session, direction: Direction, frame: bytes) -> None:
        self._waiting.put(_Passed(self._clock(), direction, session, session.account, frame))

    def close(self) -> None:
        """Write what waits, and close the file; raises OSError if something could not be written."""
        self._closing.set()
        self._thread.join()
        self._file.close()
        if self._failed is not None:
            raise self._failed

    def _write_all(self) -> None:
        while not self._closing.wait(GATHER_SECONDS):
            self._drain()
        self._drain()

    def _drain(self) -> None:
        for _ in range(self._waiting.qsize()):
            passed = self._waiting.get()
            # A full disk ends the record, not the network under test.
            if self._failed is None:
                try:
                    self._write(passed)
                except OSError as error:
                    self._failed = error
        with suppress(OSError):
            self._file.flush()

    def _write(self, passed: _Passed) -> None:
        session = passed.session
        taped = Taped(
            passed.at, passed.direction, session.id, passed.account, session.local, session.peer, passed.frame
        )  # fmt: skip
        if self._octets > self._octets_max // 2:
            self._begin_anew()
        octets = to_line(taped) if self._format == "jsonl" else self._conversations.packets(taped)
        self._octets += len(octets)
        self._file.write(octets)

    def _begin_anew(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_suffix(f".1{self._path.suffix}"))
        self._conversations = pcap.Conversations()
        self._file = self._opened()

    def _opened(self) -> BinaryIO:
        file = self._path.open("wb")
        opening = b"" if self._format == "jsonl" else pcap.opening()
        file.write(opening)
        self._octets = len(opening)
        return file


def format_of(path: Path) -> Format:
    """By the end of its name; raises ValueError."""
    match path.suffix:
        case ".jsonl":
            return "jsonl"
        case ".pcap":
            return "pcap"
        case _:
            raise ValueError(f"{path.name}: a record ends in .jsonl or .pcap")


def read(path: Path) -> list[Taped]:
    """Every frame of a tape or of a capture (pcap, pcapng), in the order of time.

    Raises OSError, and ValueError for what is neither, or for more than FRAMES_MAX frames.
    """
    with path.open("rb") as file:
        if file.read(1) == b"{":
            file.seek(0)
            return _lines(file)
        file.seek(0)
        return streams.taped(pcap.packets(file))


def _lines(file: BinaryIO) -> list[Taped]:
    found: list[Taped] = []
    while line := file.readline(LINE_OCTETS_MAX + 1):
        if len(found) >= FRAMES_MAX:
            raise ValueError(f"more than {FRAMES_MAX} frames")
        try:
            found.append(from_line(line))
        except ValueError as error:
            raise ValueError(f"line {len(found) + 1}: {error}") from None
    return found
