"""Who asks: bearer keys, and the first of them."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections import OrderedDict
from contextlib import suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from vas.admin import store
from vas.admin.desk import Desk
from vas.admin.openapi import Operation
from vas.admin.problems import Handler, Problem
from vas.admin.roles import SCOPES, Role
from vas.errors import ConfigError, StoreError
from vas.store.ids import milliseconds

log = structlog.get_logger()

_KEY = re.compile(r"vas_[A-Za-z0-9_-]{43}").fullmatch
_FIRST = "first"


class Caller(NamedTuple):
    """Whose key a request carries."""

    name: str
    role: Role

    def may(self, scope: str) -> bool:
        return scope in SCOPES[self.role]


CALLER = web.RequestKey("caller", Caller)
DESK = web.AppKey("desk", Desk)


def new_key() -> str:
    """256 random bits, so a plain SHA-256 of it is safe to store."""
    return "vas_" + secrets.token_urlsafe(32)


def digest(key: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


class Failures:
    """Failed authentications: 10 a minute from one address, of which the latest 10,000 are known."""

    _ALLOWED = 10
    _SPAN = timedelta(minutes=1)
    _ADDRESSES = 10_000

    def __init__(self) -> None:
        self._since: OrderedDict[str, tuple[datetime, int]] = OrderedDict()

    def count(self, address: str, now: datetime) -> timedelta | None:
        """One more; how long to stay away if it is one too many, else None."""
        since, failed = self._since.pop(address, (now, 0))
        if now - since >= self._SPAN:
            since, failed = now, 0
        self._since[address] = since, failed + 1
        if len(self._since) > self._ADDRESSES:
            self._since.popitem(last=False)
        return since + self._SPAN - now if failed >= self._ALLOWED else None


class Keys:
    """The usable keys: as the store says, or while it does not answer as it said last, if that is not long ago."""

    _KNOWN_FOR = timedelta(hours=1)

    def __init__(self) -> None:
        self._known: list[store.KeyRow] = []
        self._as_of: datetime | None = None

    async def usable(self, desk: Desk) -> list[store.KeyRow]:
        """Raises StoreError if there is no answer, and none that may be gone by."""
        try:
            self._known = await store.usable_keys(desk.reader)
            self._as_of = desk.now()
        except StoreError:
            if self._as_of is None or desk.now() - self._as_of > self._KNOWN_FOR:
                raise
        return self._known


KEYS = web.AppKey("keys", Keys)


def authentication(failures: Failures) -> Middleware:
    """Let a request through to its operation if its key's role holds the scope."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        operation = getattr(request.match_info.handler, "__self__", None)
        if isinstance(operation, Operation) and operation.scope:
            caller = await _caller(request)
            if caller is None:
                raise _unknown(request, failures)
            request[CALLER] = caller
            require(request, operation.scope)
        return await handler(request)

    return authenticate


def require(request: web.Request, scope: str) -> None:
    """Raises Problem with 403 if the caller's role does not hold the scope."""
    caller = request[CALLER]
    if not caller.may(scope):
        raise Problem(HTTPStatus.FORBIDDEN, f"The role {caller.role} lacks {scope}.")


async def _caller(request: web.Request) -> Caller | None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not _KEY(key):
        return None
    presented = digest(key)
    found = None
    for stored in await request.app[KEYS].usable(request.app[DESK]):
        if hmac.compare_digest(stored.hash, presented):
            found = Caller(stored.name, stored.role)
    return found


def _unknown(request: web.Request, failures: Failures) -> Problem:
    """A right key always passes: else whoever shares an address with the operators could lock them out."""
    desk = request.app[DESK]
    desk.metrics.authentications_failed.inc()
    address = request.remote or ""
    wait = failures.count(address, desk.now())
    if wait is None:
        log.warning("admin.authentication_failed", address=address)
        return Problem(HTTPStatus.UNAUTHORIZED, "A valid key is needed.", headers={"WWW-Authenticate": "Bearer"})
    seconds = int(wait.total_seconds()) + 1
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS, "Too many wrong keys from this address.", headers={"Retry-After": str(seconds)}
    )


async def make_first_key(desk: Desk, file: Path) -> None:
    """On a store without any key: make one of the role admin, and leave it in a file of mode 0600.

    The file comes first: a start that was cut short finds its key there and goes on with it. Of nodes that start
    together one makes the key; the file of another is taken back, unless they share it. Raises ConfigError if the
    file cannot be written, or holds something else.
    """
    if await store.has_keys(desk.reader):
        return
    try:
        key = _key_in(file)
    except OSError as error:
        raise ConfigError(f"admin.first_key_file: {file} cannot be written: {error.strerror}") from error
    if key is None:
        raise ConfigError(f"admin.first_key_file: {file} exists and is no key's file of mode 0600; name another")
    try:
        await store.put_key(desk.writer, _FIRST, "admin", digest(key), milliseconds(desk.now()))
    except Exception:
        made = {row.hash for row in await store.usable_keys(desk.reader)}
        if not made:
            raise
        if digest(key) not in made:
            _take_back(file)
        return
    log.info("admin.first_key_made", file=file)


def _take_back(file: Path) -> None:
    file.unlink(missing_ok=True)


def _key_in(file: Path) -> str | None:
    """The key in the file, which is made whole if it is not there; None for a file that is something else."""
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = file.with_name(f".{file.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        whole.unlink()
    descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as made:
            made.write(new_key() + "\n")
            made.flush()
            os.fsync(made.fileno())
        with suppress(FileExistsError):
            os.link(whole, file)
    finally:
        whole.unlink()
    with file.open(encoding="ascii", errors="replace") as found:
        key = found.read(64).strip()
        private = not os.fstat(found.fileno()).st_mode & 0o077
    return key if private and _KEY(key) else None
