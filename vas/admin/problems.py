"""Every error response is an RFC 9457 problem, and none shows what happened inside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict

from vas.errors import StoreError

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_SAID_BY_HTTP = {"Allow"}
"""Headers that belong to an error and are kept."""


class Flaw(BaseModel):
    """One thing that is wrong with a request."""

    model_config = ConfigDict(extra="forbid")

    where: str
    """`path`, `query` or `body`, then the member's name, with dots between."""
    message: str


class ProblemDetails(BaseModel):
    """RFC 9457; `type` is about:blank, so the title is the status' own."""

    model_config = ConfigDict(extra="forbid")

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    errors: list[Flaw] = []


class Problem(Exception):
    """Ends the request with this status."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str | None = None,
        *,
        errors: Sequence[Flaw] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or status.phrase)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    def response(self) -> web.Response:
        details = ProblemDetails(
            title=self.status.phrase, status=self.status, detail=self.detail, errors=list(self.errors)
        )
        return web.Response(
            status=self.status,
            body=details.model_dump_json(exclude_defaults=True).encode(),
            content_type="application/problem+json",
            headers=self.headers,
        )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into a problem."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except web.HTTPException as error:
        headers = {name: value for name, value in error.headers.items() if name in _SAID_BY_HTTP}
        return Problem(HTTPStatus(error.status), headers=headers).response()
    except StoreError as error:
        log.warning("admin.store_failed", error=str(error))
        said = "The store cannot be reached or written now; it is tried again all the time. /readyz says why."
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, said).response()
    except Exception:
        log.exception("admin.failed")
        return Problem(HTTPStatus.INTERNAL_SERVER_ERROR).response()
