"""The nodes that share the database: who lives, who has which binds, and who gives them up."""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated

from aiohttp import web
from pydantic import Field

from vas.admin.accounts import AccountName, Order
from vas.admin.audit import record
from vas.admin.authentication import DESK
from vas.admin.problems import Problem
from vas.admin.values import Model, written_as
from vas.cluster.member import NODE_NAME
from vas.cluster.nodes import NodeNow

NodeName = Annotated[
    str,
    Field(pattern=f"^{NODE_NAME}$"),
    written_as("must be the name of a node, such as that of its host"),
]


class NodeStatus(Model):
    name: str
    number: int
    """In the ids that it makes: no other living node has it."""
    version: str
    address: str
    """Of its operations' listener, as its settings say."""
    started_at: datetime
    lease_seconds: float
    """What is left of its lease; 0: it gave no sign of life for too long, and the others are about to take over."""
    draining: bool
    """Whether it was told to give its binds to the others."""
    here: bool
    """Whether it is the node that answers this."""
    binds: dict[AccountName, int]
    """How many binds of each account it has."""


class NodePath(Model):
    name: NodeName


async def list_nodes(request: web.Request) -> list[NodeStatus]:
    """Every node that shares the database; none where the platform runs alone on SQLite."""
    return [_shown(node) for node in await request.app[DESK].nodes.all()]


async def drain_node(request: web.Request, *, path: NodePath, body: Order) -> NodeStatus:
    """Have a node give its binds to the others; what it has begun it finishes. Until `undrain`, or its next start."""
    return await _ordered(request, path.name, body, draining=True)


async def undrain_node(request: web.Request, *, path: NodePath, body: Order) -> NodeStatus:
    """Let a node have its part of the binds again."""
    return await _ordered(request, path.name, body, draining=False)


async def _ordered(request: web.Request, name: str, body: Order, *, draining: bool) -> NodeStatus:
    nodes = request.app[DESK].nodes
    await _known(request, name)
    await record(request, "node.drain" if draining else "node.undrain", [name], reason=body.reason)
    await nodes.drain(name, draining)
    return _shown(await _known(request, name))


async def _known(request: web.Request, name: str) -> NodeNow:
    for node in await request.app[DESK].nodes.all():
        if node.name == name:
            return node
    raise Problem(HTTPStatus.NOT_FOUND, f"There is no node {name!r}; GET /admin/v1/nodes, or `vas nodes`, lists them.")


def _shown(node: NodeNow) -> NodeStatus:
    return NodeStatus(
        name=node.name,
        number=node.number,
        version=node.version,
        address=node.address,
        started_at=node.started_at,
        lease_seconds=node.lease_left / timedelta(seconds=1),
        draining=node.draining,
        here=node.here,
        binds=dict(node.binds),
    )
