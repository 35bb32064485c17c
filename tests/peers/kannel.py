"""Kannel's bearerbox and smsbox, as an ESME with one service, in a folder of its own."""

from __future__ import annotations

import asyncio
import shutil
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Literal, Self

import aiohttp

BEARERBOX, SMSBOX = (shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin") for name in ("bearerbox", "smsbox"))
INSTALLED = BEARERBOX is not None and SMSBOX is not None
STARTED_WITHIN_S = 15.0
SYSTEM_ID, PASSWORD = "vas", "secret"

Store = Literal["file", "spool", "none"]
"""What bearerbox keeps messages in: one file, a folder with a file for each, or memory alone."""

_CORE = """
group = core
admin-port = {admin}
admin-password = secret
smsbox-port = {boxes}
box-allow-ip = 127.0.0.1
log-file = "{folder}/bearerbox.log"
log-level = {log_level}
dlr-storage = internal
smsbox-max-pending = {between}
{store}
group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
log-file = "{folder}/smsbox.log"
log-level = {log_level}
max-pending-requests = {between}

group = sendsms-user
username = tester
password = secret
user-allow-ip = 127.0.0.1
concatenation = true
max-messages = 10

group = sms-service
keyword = default
text = "{reply}"
"""
# As wide open as it gets: no throughput means no limit, and the window is the load's own.
_BIND = """
group = smsc
smsc = smpp
smsc-id = link{number}
host = 127.0.0.1
port = {smpp}
transceiver-mode = 1
smsc-username = "{system_id}"
smsc-password = "{password}"
system-type = ""
max-pending-submits = {window}
enquire-link-interval = 30
reconnect-delay = 1
"""


class Kannel:
    """`async with Kannel(…)`: both boxes run, and bind; in the end both are gone."""

    def __init__(
        self, folder: Path, smpp_port: int, *, reply: str = "Hello", binds: int = 1, window: int = 100,
        store: Store = "none", log_level: int = 1,
    ) -> None:  # fmt: skip
        """It binds as SYSTEM_ID with PASSWORD, and answers every text with `reply`; log level 0 to 4, 4 is panic."""
        boxes, admin, self.sendsms_port = _free_ports(3)
        kept = {
            "none": "",
            "file": f'store-type = file\nstore-location = "{folder}/store"\n',
            "spool": f'store-type = spool\nstore-location = "{folder}/spool"\n',
        }[store]
        if store == "spool":
            (folder / "spool").mkdir()
        text = _CORE.format(
            admin=admin, boxes=boxes, sendsms=self.sendsms_port, folder=folder, reply=reply, store=kept,
            between=10 * window, log_level=log_level,
        )  # fmt: skip
        for number in range(binds):
            text += _BIND.format(
                number=number, smpp=smpp_port, system_id=SYSTEM_ID, password=PASSWORD, window=window
            )  # fmt: skip
        self._config = folder / "kannel.conf"
        self._config.write_text(text)
        self._admin_port = admin
        self._running: list[asyncio.subprocess.Process] = []

    @property
    def pids(self) -> list[int]:
        """Of bearerbox and smsbox."""
        return [process.pid for process in self._running]

    async def __aenter__(self) -> Self:
        assert BEARERBOX is not None and SMSBOX is not None
        try:
            await self._start(BEARERBOX)
            await self._said("running")
            await self._start(SMSBOX)
            # Until bearerbox knows of it, whatever comes waits long.
            await self._said("smsbox:")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in reversed(self._running):
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _start(self, program: str) -> None:
        silent = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(program, str(self._config), stdout=silent, stderr=silent)
        self._running.append(process)

    async def _said(self, what: str) -> None:
        """Wait until bearerbox's status says so."""
        url = f"http://127.0.0.1:{self._admin_port}/status.txt"
        async with asyncio.timeout(STARTED_WITHIN_S), aiohttp.ClientSession() as http:
            while True:
                with suppress(aiohttp.ClientError):
                    async with http.get(url, params={"password": "secret"}) as response:
                        if what in await response.text():
                            return
                await asyncio.sleep(0.05)


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
