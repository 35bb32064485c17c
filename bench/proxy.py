"""A TCP proxy between a node and what it depends on, which holds up, breaks or refuses its connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Self

_PIECE_OCTETS = 64 * 1024


class Proxy:
    """Stands before `host` and `port` from start to end of its block; `port` is where it listens itself."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._server: asyncio.Server | None = None
        self._both: set[asyncio.Task[None]] = set()
        self.latency_s = 0.0
        """That each piece is held up, either way."""
        self.passes: Callable[[bytes, bool], bool] = lambda piece, onward: True
        """Asked of each piece, `onward` or back: whether it goes on, or is lost."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._both, return_exceptions=True)

    @property
    def port(self) -> int:
        """On 127.0.0.1."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def stall(self) -> None:
        """Nothing passes until `heal`; connections stay open, new ones too, and what was sent arrives then."""
        self._flowing.clear()

    def cut(self) -> None:
        """Break every connection, and each new one at once, until `heal`."""
        self._refusing = True
        for task in self._both:
            task.cancel()

    def heal(self) -> None:
        self._refusing = False
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._join(reader, writer))
        self._both.add(task)
        task.add_done_callback(self._both.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward: asyncio.StreamWriter | None = None
        try:
            await self._flowing.wait()
            back, onward = await asyncio.open_connection(*self._to)
            ways = [
                asyncio.create_task(self._copy(reader, onward, onward=True)),
                asyncio.create_task(self._copy(back, writer, onward=False)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
        except OSError:
            return
        finally:
            for end in (writer, onward):
                if end is not None:
                    end.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, onward: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE_OCTETS):
                if self.latency_s:
                    await asyncio.sleep(self.latency_s)
                await self._flowing.wait()
                if self.passes(piece, onward):
                    writer.write(piece)
                    await writer.drain()
