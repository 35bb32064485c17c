"""Typed functions → aiohttp handlers, and the OpenAPI 3.1 document that describes them.

An operation's function is `async (request, *, path, query, body) -> result` and takes what it needs of the
three; their annotations are pydantic models, and these alone say what is accepted and documented.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from vas.admin.problems import Flaw, Problem, ProblemDetails
from vas.config_problems import near, said

Place = Literal["path", "query", "body"]

JSON = "application/json"
_OF_KEYS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
_OF_BODIES = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


class Operation:
    """One method on one path. `scope` is what the caller's role must hold; None: no key is needed.

    `problems` are the error statuses that the function raises itself; the rest follows from what it takes.
    """

    def __init__(
        self,
        method: str,
        path: str,
        function: Callable[..., Awaitable[object]],
        scope: str | None,
        *,
        status: HTTPStatus = HTTPStatus.OK,
        problems: tuple[HTTPStatus, ...] = (),
    ) -> None:
        self.method = method
        self.path = path
        self.function = function
        self.scope = scope
        self.status = status
        hints = typing.get_type_hints(function)
        self.models: dict[Place, type[BaseModel]] = {p: hints[p] for p in typing.get_args(Place) if p in hints}
        self.result: TypeAdapter[object] = TypeAdapter(hints["return"])
        self._problems = problems

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def problems(self) -> list[HTTPStatus]:
        """Every error status that it documents."""
        found = [*self._problems]
        found += _OF_KEYS if self.scope else ()
        found += _OF_BODIES if "body" in self.models else ()
        found += (HTTPStatus.UNPROCESSABLE_ENTITY,) if self.models else ()
        return sorted(found)

    async def handle(self, request: web.Request) -> web.Response:
        """The aiohttp handler; raises Problem with 415 or 422 before the function is called."""
        given = {place: await _taken(request, place, model) for place, model in self.models.items()}
        result = await self.function(request, **given)
        if self.status is HTTPStatus.NO_CONTENT:
            return web.Response(status=self.status)
        return web.Response(status=self.status, body=self.result.dump_json(result), content_type=JSON)


async def _taken(request: web.Request, place: Place, model: type[BaseModel]) -> BaseModel:
    try:
        if place == "path":
            return model.model_validate(dict(request.match_info))
        if place == "query":
            return model.model_validate(_single_values(request))
        if request.content_type != JSON:
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"The body must be {JSON}.")
        return model.model_validate_json(await request.read(), strict=True)
    except ValidationError as error:
        # What was sent stays out of the answer, and so out of everything that keeps answers.
        flaws = [
            Flaw(where=".".join(map(str, (place, *flaw["loc"]))), message=_said(flaw, model))
            for flaw in error.errors(include_url=False)
        ]
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, errors=flaws) from None


def _said(flaw: ErrorDetails, model: type[BaseModel]) -> str:
    match flaw["type"]:
        case "extra_forbidden":
            return f"is not known here{near(str(flaw['loc'][-1]), model.model_fields)}"
        case "missing":
            return "is needed"
    return said(flaw)


def _single_values(request: web.Request) -> dict[str, str]:
    repeated = {name for name in request.query if len(request.query.getall(name)) > 1}
    if repeated:
        flaws = [Flaw(where=f"query.{name}", message="is given more than once") for name in sorted(repeated)]
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, errors=flaws)
    return dict(request.query)


def document(operations: Iterable[Operation], *, title: str, version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the operations."""
    paths: dict[str, dict[str, Any]] = {}
    models: list[tuple[tuple[str, str], Literal["serialization", "validation"], TypeAdapter[Any]]] = [
        (("", "problem"), "serialization", TypeAdapter(ProblemDetails))
    ]
    operations = list(operations)
    for operation in operations:
        models.append(((operation.name, "result"), "serialization", operation.result))
        if "body" in operation.models:
            models.append(((operation.name, "body"), "validation", TypeAdapter(operation.models["body"])))
    schemas, shared = TypeAdapter.json_schemas(models, ref_template="#/components/schemas/{model}")
    of = {key: schema for (key, _mode), schema in schemas.items()}
    for operation in operations:
        described = _described(operation, of[operation.name, "result"])
        if "body" in operation.models:
            described["requestBody"] = {"required": True, "content": {JSON: {"schema": of[operation.name, "body"]}}}
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    problem = {"application/problem+json": {"schema": of["", "problem"]}}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": shared["$defs"],
            "responses": {"Problem": {"description": "What is wrong, as of RFC 9457", "content": problem}},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "vas_ and 43 characters"}},
        },
    }


def _described(operation: Operation, result: dict[str, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": operation.status.phrase}
    if operation.status is not HTTPStatus.NO_CONTENT:
        success["content"] = {JSON: {"schema": result}}
    summary, _, description = (inspect.getdoc(operation.function) or "").partition("\n\n")
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": summary,
        "description": description,
        "parameters": list(_parameters(operation)),
        "responses": {
            str(int(operation.status)): success,
            **{str(int(status)): {"$ref": "#/components/responses/Problem"} for status in operation.problems},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }
    if operation.scope:
        described["security"] = [{"key": [operation.scope]}]
    return described


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for place, model in operation.models.items():
        if place == "body":
            continue
        schema = model.model_json_schema()
        for name, of_parameter in schema.get("properties", {}).items():
            description = of_parameter.pop("description", "")
            yield {
                "name": name,
                "in": place,
                "required": name in schema.get("required", ()),
                "description": description,
                "schema": of_parameter,
            }
