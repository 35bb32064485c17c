"""Keys made, listed and revoked."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from aiohttp import web
from pydantic import Field

from vas.admin import store
from vas.admin.audit import record
from vas.admin.authentication import DESK, digest, new_key
from vas.admin.problems import Problem
from vas.admin.roles import Role
from vas.admin.values import Model
from vas.store.ids import milliseconds, moment

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]


class Key(Model):
    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None


class KeyOrder(Model):
    name: Name
    """Whose key it is; never used again, also after it is revoked."""
    role: Role


class NewKey(Model):
    name: str
    role: Role
    key: str
    """Shown now and never again."""


class NamePath(Model):
    name: Name


async def list_keys(request: web.Request) -> list[Key]:
    """All keys, revoked ones too, by name."""
    return [
        Key(
            name=row.name,
            role=row.role,
            created_at=moment(row.created_ms),
            revoked_at=None if row.revoked_ms is None else moment(row.revoked_ms),
        )
        for row in await store.keys(request.app[DESK].reader)
    ]


async def create_key(request: web.Request, *, body: KeyOrder) -> NewKey:
    """Make a key. The answer shows it, once."""
    desk = request.app[DESK]
    if any(row.name == body.name for row in await store.keys(desk.reader)):
        raise Problem(HTTPStatus.CONFLICT, "There is, or was, a key of this name.")
    await record(request, "key.create", [body.name], detail={"role": body.role})
    key = new_key()
    await store.put_key(desk.writer, body.name, body.role, digest(key), milliseconds(desk.now()))
    return NewKey(name=body.name, role=body.role, key=key)


async def revoke_key(request: web.Request, *, path: NamePath) -> None:
    """Revoke a key, from the next request on. The last one of the role admin stays."""
    desk = request.app[DESK]
    usable = await store.usable_keys(desk.reader)
    found = next((row for row in usable if row.name == path.name), None)
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, "There is no such key.")
    if found.role == "admin" and sum(row.role == "admin" for row in usable) == 1:
        raise Problem(HTTPStatus.CONFLICT, "It is the last key of the role admin.")
    await record(request, "key.revoke", [path.name])
    await store.revoke_key(desk.writer, path.name, milliseconds(desk.now()))
