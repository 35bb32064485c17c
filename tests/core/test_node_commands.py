"""`vas nodes` and the options of `vas run`: what people read and type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vas.__main__ import app
from vas.commands import nodes

NODE = {
    "name": "hanoi-1", "number": 0, "version": "0.2.0", "address": "10.0.0.1:8080", "lease_seconds": 4.25,
    "started_at": "2026-11-22T12:00:00Z", "draining": False, "here": True, "binds": {"bulk": 1, "main": 2},
}  # fmt: skip


class Desk:
    def __init__(self, *found: dict[str, Any]) -> None:
        self.found = list(found)
        self.posted: list[tuple[str, dict[str, object]]] = []

    def get(self, path: str) -> list[dict[str, Any]]:
        return self.found if path == "/admin/v1/nodes" else []

    def post(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        self.posted.append((path, body))
        return {**NODE, "draining": True}


def vas(*arguments: str) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "100"}).invoke(app, list(arguments))
    return result.exit_code, result.output


def test_every_node_is_shown_on_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = {**NODE, "name": "hanoi-2", "lease_seconds": 0.0, "binds": {}, "draining": True}
    monkeypatch.setattr(nodes, "desk", lambda *_: Desk(NODE, dead))
    _, shown = vas("nodes")
    _, first, second = shown.splitlines()
    assert first.split()[:2] == ["hanoi-1", "0.2.0"]
    assert [word in first for word in ("4.2 s", "bulk 1, main 2", "10.0.0.1:8080", "draining")] == [
        True, True, True, False,
    ]  # fmt: skip
    assert [word in second for word in ("over", "none", "draining")] == [True] * 3


def test_a_platform_that_runs_alone_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "desk", lambda *_: Desk())
    assert "runs alone" in vas("nodes")[1]


@pytest.mark.parametrize("order", ["drain", "undrain"])
def test_an_order_goes_with_its_reason(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    monkeypatch.setattr(nodes, "desk", lambda *_: desk)
    status, shown = vas("nodes", order, "hanoi-1", "--reason", "a newer kernel")
    assert (status, "draining" in shown) == (0, True)
    assert desk.posted == [(f"/admin/v1/nodes/hanoi-1/{order}", {"reason": "a newer kernel"})]


def test_options_before_an_order_are_refused() -> None:
    assert "options go behind the order" in vas("nodes", "--url", "http://other", "drain", "hanoi-1")[1]


def test_what_is_no_name_of_a_node_is_not_asked_for() -> None:
    assert vas("nodes", "drain", "../keys") == (2, "vas: '../keys' is no name of a node; `vas nodes` lists them\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--node", "two"], "--node two: a SQLite file has one node", id="a name without others"),
        pytest.param(["--admin", "8081"], "--admin 8081: must be a host and a port", id="no host"),
    ],
)
def test_an_option_of_run_that_cannot_be_says_why(arguments: list[str], said: str, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("", "utf-8")
    status, shown = vas("run", "--config", str(config), *arguments)
    assert (status, said in shown) == (2, True)


def test_a_host_of_which_a_node_cannot_have_the_name_is_told(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[store]\nurl = "postgresql://vas@127.0.0.1:1/vas"\n', "utf-8")
    status, shown = vas("run", "--config", str(config), "--node", "a b")
    assert (status, "--node a b: a node's name has letters" in shown) == (2, True)
