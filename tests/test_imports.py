"""Who may import what; the checker itself is shown each way of breaking a rule."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest

from tests import house

ROOT = Path(__file__).parent.parent


def sources() -> dict[str, str]:
    found = {}
    for package in ("vas", "gateway", "services"):
        for file in (ROOT / package).rglob("*.py"):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file.read_text(encoding="utf-8")
    return found


def test_every_module_keeps_the_rules_of_the_house() -> None:
    assert house.broken_rules(sources()) == []


def test_the_pure_modules_that_stand_are_found_by_the_checker() -> None:
    assert {"vas.numbering", "vas.triggers", "vas.texts"} <= house.PURE & set(sources())


HOUSE = {
    "vas": "", "vas.__main__": "", "vas.messages": "", "vas.store": "", "vas.store.sqlite": "", "vas.dispatch": "",
    "vas.outbox": "", "vas.admin": "", "vas.admin.http": "", "gateway": "", "gateway.links.link": "", "services": "",
    "services.callme": "", "services.callme.rules": "", "services.m2u": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("module", "source"),
    [
        pytest.param("gateway.links.link", "import vas", id="gateway sees the root"),
        pytest.param("gateway.links.link", "from vas.store import Store", id="gateway sees a facility"),
        pytest.param("gateway.links.link", "from vas import store", id="gateway sees a facility through the root"),
        pytest.param("gateway.links.link", "import services.callme", id="gateway sees a service"),
        pytest.param("gateway.simulator.smsc", "import vas.config", id="simulator sees the core"),
        pytest.param("services.callme.rules", "from vas.store import Store", id="service sees inside vas"),
        pytest.param("services.callme", "from vas import dispatch", id="service sees inside vas through the root"),
        pytest.param("services.callme", "from services import m2u", id="service sees another"),
        pytest.param("services.callme", "from gateway.links.link import Link", id="service sees the gateway"),
        pytest.param("services.callme.rules", "from ..m2u import pay", id="relative import of another service"),
        pytest.param("vas.store", "from vas.outbox import Outbox", id="facility sees the outbox"),
        pytest.param("vas.store.sqlite", "import vas.dispatch", id="nested facility sees dispatch"),
        pytest.param(
            "vas.quota", "def f():\n    from vas.admin import http", id="facility sees admin inside a function"
        ),
        pytest.param("vas", "from vas.dispatch import Dispatch", id="the public API shows dispatch"),
        pytest.param("vas.dispatch", "from gateway.links.link import Link", id="core sees the gateway"),
        pytest.param("vas.admin.http", "import services.callme", id="core sees a service"),
        pytest.param("vas.store", "from vas import __main__", id="core sees the command"),
        pytest.param("vas.talk", "import asyncio", id="pure module with an event loop"),
        pytest.param("vas.talk", "from sqlalchemy.sql import select", id="pure module with a database"),
        pytest.param("gateway.pdus.pdu", "from time import time", id="pure module with a clock"),
        pytest.param(
            "gateway.dialects.ussd", "import datetime\nx = datetime.datetime.now()", id="pure module asks datetime"
        ),
        pytest.param("vas.texts", "from datetime import date\nread = date.today", id="pure module passes on the clock"),
    ],
)
def test_a_broken_rule_is_found(module: str, source: str) -> None:
    [problem] = house.broken_rules({**HOUSE, module: source})

    assert problem.startswith(f"{module}:")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        pytest.param("gateway.links.link", "from vas.messages import Inbound", id="gateway sees the contract"),
        pytest.param("gateway.sms.text", "from vas import alphabet, errors", id="gateway sees alphabet and errors"),
        pytest.param("services.callme", "from vas import Service", id="service sees the public API"),
        pytest.param("services.callme", "from . import rules", id="service sees itself"),
        pytest.param("services.callme.rules", "from services.callme import Config", id="service sees itself by name"),
        pytest.param("vas.admin.http", "from vas import dispatch, outbox", id="admin sees what it operates"),
        pytest.param("vas.__main__", "import gateway.adapter, services.callme, vas.admin", id="the command sees all"),
        pytest.param("vas.talk", "from datetime import date\nday = date(2026, 1, 1)", id="pure module knows dates"),
        pytest.param("vas.messages", "import timeit_not_time", id="a name that only begins like a forbidden one"),
    ],
)
def test_what_the_house_allows_is_not_found(module: str, source: str) -> None:
    assert house.broken_rules({"vas.alphabet": "", "vas.errors": "", **HOUSE, module: source}) == []


def test_what_the_product_imports_it_declares() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*declared["dependencies"], *chain(*declared["optional-dependencies"].values())]
    names = {re.split(r"[\[<>=;, ]", line)[0] for line in wanted}
    providers = packages_distributions()
    missing = [
        f"{module}: {package}"
        for module, package in house.foreign_imports(sources())
        if not names & {name.lower().replace("_", "-") for name in providers.get(package, ())}
    ]
    assert missing == []
