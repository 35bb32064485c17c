"""A file system that forgets what was not synced: python -m bench.lazyfs MOUNTPOINT BACKING

What is written stands in memory; fsync carries it to the folder BACKING. A power cut:

    SIGKILL              nothing that was not synced survives
    creating .power-cut  some of it does, chosen by chance page by page: a disk writes back in an order of its own

Then mount again over the same BACKING, and see what is there; BACKING is at any moment what a power cut would leave.
Creating .fault-NAME makes the disk faulty from now on, as FAULTS tells. Needs libfuse 2 and /dev/fuse.
"""

from __future__ import annotations

import ctypes.util
import errno
import os
import random
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fuse import FUSE, FuseOSError, Operations

from bench.process import ROOT

PAGE = 4096
POWER_CUT = "/.power-cut"
FAULT = "/.fault-"
FAULTS = {
    "none": "mended",
    "full": "writes fail with ENOSPC",
    "sync": "the next fsync fails with EIO, and what it should have kept counts as clean, as with Linux's page cache",
    "dead": "the next fsync does its work and fails with EIO, and so does all that follows",
    "gone": "everything fails with EIO",
    "readonly": "files cannot be opened for writing",
}
MOUNTED_WITHIN_S = 10.0


class File:
    """One file: its content in memory, and which pages of it are not synced."""

    def __init__(self, backing: Path) -> None:
        self.backing = backing
        self.content = bytearray(backing.read_bytes() if backing.exists() else b"")
        self.unsynced: set[int] = set()
        self.resized = False
        self.mtime = time.time()

    def write(self, data: bytes, offset: int) -> None:
        end = offset + len(data)
        if end > len(self.content):
            self.content.extend(bytes(end - len(self.content)))
            self.resized = True
        self.content[offset:end] = data
        self.unsynced.update(range(offset // PAGE, (end - 1) // PAGE + 1))
        self.mtime = time.time()

    def truncate(self, length: int) -> None:
        del self.content[length:]
        self.content.extend(bytes(length - len(self.content)))
        self.unsynced = {page for page in self.unsynced if page * PAGE < length}
        self.resized = True

    def sync(self) -> None:
        self._keep(self.unsynced)
        if self.resized:
            os.truncate(self.backing, len(self.content))
        self.unsynced.clear()
        self.resized = False

    def keep_some(self) -> None:
        self._keep({page for page in self.unsynced if random.random() < 0.5})

    def _keep(self, pages: set[int]) -> None:
        descriptor = os.open(self.backing, os.O_CREAT | os.O_WRONLY, 0o600)
        for page in sorted(pages):
            os.pwrite(descriptor, self.content[page * PAGE : (page + 1) * PAGE], page * PAGE)
        os.close(descriptor)


class LazyFs(Operations):  # type: ignore[misc]
    """One flat folder; a file exists for good from its first sync on, a removal is durable at once."""

    def __init__(self, backing: Path) -> None:
        self._backing = backing
        self._files = {f"/{path.name}": File(path) for path in backing.iterdir()}
        self._fault = "none"

    def _lose_power(self) -> None:
        for file in self._files.values():
            file.keep_some()
        os._exit(0)

    def _file(self, path: str) -> File:
        if self._fault == "gone":
            raise FuseOSError(errno.EIO)
        if path not in self._files:
            raise FuseOSError(errno.ENOENT)
        return self._files[path]

    def getattr(self, path: str, fh: int | None = None) -> dict[str, float]:
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2, "st_uid": os.getuid(), "st_gid": os.getgid()}
        if path.startswith(FAULT):
            raise FuseOSError(errno.ENOENT)
        file = self._file(path)
        return {
            "st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": len(file.content), "st_mtime": file.mtime,
            "st_uid": os.getuid(), "st_gid": os.getgid(),
        }  # fmt: skip

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        yield from (".", "..", *(name[1:] for name in self._files))

    def create(self, path: str, mode: int, fi: object = None) -> int:
        if path == POWER_CUT:
            self._lose_power()
        if path.startswith(FAULT):
            self._fault = path.removeprefix(FAULT)
            raise FuseOSError(errno.EAGAIN)
        if self._fault in ("gone", "readonly"):
            raise FuseOSError(errno.EIO if self._fault == "gone" else errno.EROFS)
        self._files[path] = File(self._backing / path[1:])
        return 0

    def open(self, path: str, flags: int) -> int:
        self._file(path)
        if self._fault == "readonly" and flags & (os.O_WRONLY | os.O_RDWR):
            raise FuseOSError(errno.EROFS)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return bytes(self._file(path).content[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        file = self._file(path)
        if self._fault == "full":
            raise FuseOSError(errno.ENOSPC)
        file.write(data, offset)
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        self._file(path).truncate(length)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        file = self._file(path)
        if self._fault == "sync":
            file.unsynced.clear()
            self._fault = "none"
            raise FuseOSError(errno.EIO)
        file.sync()
        if self._fault == "dead":
            self._fault = "gone"
            raise FuseOSError(errno.EIO)
        return 0

    def unlink(self, path: str) -> None:
        self._file(path).backing.unlink(missing_ok=True)
        del self._files[path]

    def chmod(self, path: str, mode: int) -> int:
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0


class Mount:
    """The file system on `point`, in a process of its own."""

    def __init__(self, point: Path, backing: Path) -> None:
        self.point = point
        self.backing = backing
        point.mkdir()
        backing.mkdir()

    def mount(self) -> None:
        """Raises OSError if it cannot be mounted."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.lazyfs", str(self.point), str(self.backing)], cwd=ROOT
        )
        deadline = time.monotonic() + MOUNTED_WITHIN_S
        while not os.path.ismount(self.point):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                raise OSError(errno.EIO, "the file system cannot be mounted", str(self.point))
            time.sleep(0.02)

    def fault(self, name: str) -> None:
        """Make the disk faulty, or mend it; `name` is one of FAULTS."""
        assert name in FAULTS
        with suppress(OSError):
            self.point.joinpath(FAULT[1:] + name).touch()

    def cut(self, *, some_survives: bool = False) -> None:
        """The power goes. Whoever had a file open had better be dead already."""
        if some_survives:
            with suppress(OSError):
                self.point.joinpath(POWER_CUT[1:]).touch()
        else:
            self._process.kill()
        self._process.wait()
        unmount = ["umount", "-l"] if os.getuid() == 0 else ["fusermount", "-u", "-z"]
        subprocess.run([*unmount, str(self.point)], check=True)


def why_not() -> str:
    """Why no such file system can be had here; empty if it can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is not there, or not for us"
    return "" if ctypes.util.find_library("fuse") else "libfuse 2 is not installed (Debian: libfuse2)"


if __name__ == "__main__":
    FUSE(LazyFs(Path(sys.argv[2])), sys.argv[1], foreground=True, nothreads=True, attr_timeout=0, entry_timeout=0)
