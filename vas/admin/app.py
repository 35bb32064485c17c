"""The operations' listener: its routes, and what happens around each of them."""

from __future__ import annotations

import re
import uuid
from http import HTTPMethod, HTTPStatus
from typing import Any

import orjson
import structlog
from aiohttp import web

from vas.admin import roles
from vas.admin.accounts import (
    drain_account,
    get_account,
    list_accounts,
    measure_text,
    reload,
    start_account,
    stop_account,
)
from vas.admin.audit import REQUEST_ID, list_audit
from vas.admin.authentication import DESK, KEYS, Failures, Keys, authentication
from vas.admin.dead_letters import get_dead_letter, list_dead_letters, replay_dead_letter
from vas.admin.desk import Desk
from vas.admin.health import get_overview, healthz, list_binds, metrics, readyz
from vas.admin.keys import create_key, list_keys, revoke_key
from vas.admin.messages import get_message, list_messages
from vas.admin.nodes import drain_node, list_nodes, undrain_node
from vas.admin.openapi import JSON, Operation, document
from vas.admin.problems import Handler, problems
from vas.admin.recall import cancel_message, get_whereabouts, replace_message
from vas.errors import ConfigError

BODY_OCTETS = 16 * 1024
"""The longest body that is read; a longer one is answered with 413."""

_LISTENER = "admin"
_GRACE_SECONDS = 5.0
_METHODS = frozenset(HTTPMethod)
_ABSENT = (HTTPStatus.NOT_FOUND,)
_ABSENT_OR_REFUSED = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch

OPERATIONS = (
    Operation("GET", "/healthz", healthz, None),
    Operation("GET", "/readyz", readyz, None, problems=(HTTPStatus.SERVICE_UNAVAILABLE,)),
    Operation("GET", "/admin/v1/overview", get_overview, roles.OVERVIEW),
    Operation("GET", "/admin/v1/binds", list_binds, roles.BINDS),
    Operation("GET", "/admin/v1/accounts", list_accounts, roles.BINDS),
    Operation("GET", "/admin/v1/accounts/{name}", get_account, roles.BINDS, problems=_ABSENT),
    Operation("POST", "/admin/v1/accounts/{name}/drain", drain_account, roles.CONTROL, problems=_ABSENT),
    Operation("POST", "/admin/v1/accounts/{name}/stop", stop_account, roles.CONTROL, problems=_ABSENT),
    Operation("POST", "/admin/v1/accounts/{name}/start", start_account, roles.CONTROL, problems=_ABSENT),
    Operation("GET", "/admin/v1/nodes", list_nodes, roles.BINDS),
    Operation("POST", "/admin/v1/nodes/{name}/drain", drain_node, roles.CONTROL, problems=_ABSENT),
    Operation("POST", "/admin/v1/nodes/{name}/undrain", undrain_node, roles.CONTROL, problems=_ABSENT),
    Operation("POST", "/admin/v1/reload", reload, roles.CONTROL, problems=(HTTPStatus.CONFLICT,)),
    Operation("POST", "/admin/v1/cost", measure_text, roles.BINDS, problems=_ABSENT),
    Operation("GET", "/admin/v1/messages", list_messages, roles.MESSAGES),
    Operation("GET", "/admin/v1/messages/{id}", get_message, roles.MESSAGES, problems=_ABSENT),
    Operation(
        "GET", "/admin/v1/messages/{id}/whereabouts", get_whereabouts, roles.MESSAGES, problems=_ABSENT_OR_REFUSED
    ),
    Operation("POST", "/admin/v1/messages/{id}/cancel", cancel_message, roles.RECALL, problems=_ABSENT_OR_REFUSED),
    Operation("POST", "/admin/v1/messages/{id}/replace", replace_message, roles.RECALL, problems=_ABSENT_OR_REFUSED),
    Operation("GET", "/admin/v1/dead-letters", list_dead_letters, roles.DEAD_LETTERS),
    Operation("GET", "/admin/v1/dead-letters/{id}", get_dead_letter, roles.DEAD_LETTERS, problems=_ABSENT),
    Operation(
        "POST",
        "/admin/v1/dead-letters/{id}/replay",
        replay_dead_letter,
        roles.REPLAY,
        problems=_ABSENT_OR_REFUSED,
    ),
    Operation("GET", "/admin/v1/audit", list_audit, roles.AUDIT),
    Operation("GET", "/admin/v1/keys", list_keys, roles.KEYS),
    Operation(
        "POST",
        "/admin/v1/keys",
        create_key,
        roles.KEYS,
        status=HTTPStatus.CREATED,
        problems=(HTTPStatus.CONFLICT,),
    ),
    Operation(
        "DELETE",
        "/admin/v1/keys/{name}",
        revoke_key,
        roles.KEYS,
        status=HTTPStatus.NO_CONTENT,
        problems=_ABSENT_OR_REFUSED,
    ),
)
"""Every route that the OpenAPI document describes, and the scope that it asks for."""


def create_app(desk: Desk) -> web.Application:
    """The operations' listener, for `serve` or a test."""
    app = web.Application(
        middlewares=[_around, problems, authentication(Failures())],
        client_max_size=BODY_OCTETS,
    )
    app[DESK] = desk
    app[KEYS] = Keys()
    for operation in OPERATIONS:
        app.router.add_route(operation.method, operation.path, operation.handle)
    app.router.add_get("/metrics", metrics, allow_head=False)
    app.router.add_get("/admin/openapi.json", _description(desk), allow_head=False)
    return app


async def serve(desk: Desk, host: str, port: int) -> web.AppRunner:
    """Listen until the runner's `cleanup` is called; raises ConfigError if the address cannot be had."""
    runner = web.AppRunner(create_app(desk), access_log=None, shutdown_timeout=_GRACE_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(f"admin.listen: {host}:{port} cannot be listened on: {error.strerror}") from error
    return runner


def _description(desk: Desk) -> Handler:
    described: dict[str, Any] = document(OPERATIONS, title="Operations", version=desk.operations.overview().version)
    body = orjson.dumps(described)

    async def openapi(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=JSON)

    return openapi


@web.middleware
async def _around(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, count it, and keep its answer out of every cache."""
    given = request.headers.get("X-Request-Id", "")
    request[REQUEST_ID] = given if _REQUEST_ID(given) else uuid.uuid4().hex
    shown = request.app[DESK].metrics
    seconds = shown.http_seconds.labels(_LISTENER)
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "unknown"
    method = request.method if request.method in _METHODS else "other"
    with structlog.contextvars.bound_contextvars(request_id=request[REQUEST_ID]), seconds.time():
        response = await handler(request)
    shown.http_requests.labels(_LISTENER, route, method, str(response.status)).inc()
    response.headers["X-Request-Id"] = request[REQUEST_ID]
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
