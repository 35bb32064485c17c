"""The rules of who may import what, read from the sources without running them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

GATEWAY_MAY = {"vas.messages", "vas.errors", "vas.alphabet", "vas.statuses"}
"""What the gateway sees of the core."""
ROOMS_OF_ALL = {
    "vas.__main__",
    "vas.assembly",
    "vas.accounts",
    "vas.commands.db",
    "vas.commands.loop",
    "vas.commands.text",
    "vas.commands.traffic",
    "vas.serving",
    "vas.demo",
    "vas.loopback",
    "vas.testing",
}
"""Where everything is put together: the command with its parts, and the phone that tests dial with."""
ENGINES = {"vas.dispatch", "vas.outbox", "vas.admin"}
"""What drives the facilities, and is never imported by one."""
DRIVERS = {
    *ENGINES,
    "vas.submissions",
    "vas.due",
    "vas.schedule",
    "vas.node",
    "vas.operations",
    "vas.recalling",
    "vas.reloading",
}
"""May import one another."""
PURE = {
    *("gateway.pdus", "gateway.sms", "gateway.dialects"),
    *("gateway.accounts.pace", "gateway.links.confirmation", "gateway.links.lateness", "gateway.links.requests"),
    *("gateway.simulator.decoded", "gateway.simulator.anonymous", "gateway.simulator.recording"),
    *("gateway.simulator.tcp", "gateway.simulator.pcap", "gateway.simulator.streams"),
    *("vas.triggers", "vas.texts", "vas.talk", "vas.numbering", "vas.alphabet", "vas.statuses"),
}
"""Modules, and packages with all that is in them."""
WORLD = {"asyncio", "socket", "sqlite3", "aiosqlite", "asyncpg", "sqlalchemy", "time"}
"""Event loop, network, database and clock: not for a pure module."""
CLOCK = {"now", "utcnow", "today"}
"""The methods of datetime and date that read the clock."""


class Import(NamedTuple):
    """Something named in an import statement: a module, or a name in one."""

    line: int
    target: str


def broken_rules(sources: Mapping[str, str]) -> list[str]:
    """One line for each import, or reading of the clock, that a rule forbids; `sources` by module name."""
    rules: list[Callable[[str, str, Mapping[str, str]], str | None]] = [_gateway, _service, _core, _pure]
    found = []
    for module, source in sources.items():
        tree = ast.parse(source)
        for line, target in _imports(tree, module, sources):
            found += [f"{module}:{line}: {why}: {target}" for rule in rules if (why := rule(module, target, sources))]
        if _within(module, *PURE):
            found += [f"{module}:{line}: a pure module reads no clock" for line in _clock_readings(tree)]
    return found


def foreign_imports(sources: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """A module, and the package it imports that is neither Python's nor among the sources."""
    for module, source in sources.items():
        for package in {target.partition(".")[0] for _, target in _imports(ast.parse(source), module, sources)}:
            if package not in sys.stdlib_module_names and not any(_within(known, package) for known in sources):
                yield module, package


def _within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _imports(tree: ast.AST, module: str, sources: Mapping[str, str]) -> Iterator[Import]:
    """Every import of a module, also inside functions; `from vas import outbox` names the module vas.outbox."""
    is_package = any(_within(known, module) for known in sources if known != module)
    steps = module.split(".")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                above = steps[: len(steps) - node.level + is_package]
                origin = ".".join([*above, *filter(None, [origin])])
            for alias in node.names:
                named = f"{origin}.{alias.name}"
                is_module = any(_within(known, named) for known in sources)
                yield Import(node.lineno, named if is_module else origin)


def _clock_readings(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in CLOCK and isinstance(node.value, ast.Name | ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if owner in ("datetime", "date"):
                yield node.lineno


def _gateway(module: str, target: str, _: Mapping[str, str]) -> str | None:
    if _within(module, "gateway") and _within(target, "vas", "services") and target not in GATEWAY_MAY:
        return "the gateway imports only " + ", ".join(sorted(GATEWAY_MAY))
    return None


def _service(module: str, target: str, _: Mapping[str, str]) -> str | None:
    if not _within(module, "services") or not _within(target, "vas", "gateway", "services"):
        return None
    itself = ".".join(module.split(".")[:2])
    return None if target == "vas" or _within(target, itself) else "a service imports only vas and itself"


def _core(module: str, target: str, _: Mapping[str, str]) -> str | None:
    if not _within(module, "vas") or module in ROOMS_OF_ALL:
        return None
    if _within(target, "gateway", "services", *ROOMS_OF_ALL):
        return "only the rooms of all see the gateway, the services and one another"
    if _within(target, *ENGINES) and not _within(module, *DRIVERS):
        return "a facility never imports what drives it"
    return None


def _pure(module: str, target: str, _: Mapping[str, str]) -> str | None:
    return "a pure module knows nothing of the world" if _within(module, *PURE) and _within(target, *WORLD) else None
