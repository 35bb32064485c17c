"""What the commands print that ask no running platform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vas.__main__ import app
from vas.commands import accounts

SERVICE = '[services.callme]\nenabled = true\nshort_codes = ["9105", "9106"]\nussd = "*105"\n'


@pytest.mark.parametrize(
    ("written", "said"),
    [
        pytest.param(SERVICE, "is right: its services are reached at 9105, 9106, *105#", id="a service"),
        pytest.param("", "is right: no service is switched on", id="none"),
    ],
)
def test_right_settings_are_told_with_where_their_services_are_reached(tmp_path: Path, written: str, said: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(written)
    result = CliRunner().invoke(app, ["config", "check", "--config", str(file)])
    assert result.exit_code == 0
    assert f"{file} {said}\n" in result.stderr


@pytest.mark.parametrize("command", [["reload"], ["demo"], ["simulator"]], ids=" ".join)
def test_a_flag_is_shown_without_a_value(command: list[str]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"]).output
    assert "--help" in shown
    assert "bool" not in shown


ERROR = "connection to smsc.example.net:2775 refused; " * 3
COUNTERS = {"pdus_in": 1_234_567, "pdus_out": 1_234_567, "throttled": 12_345, "timeouts": 12}
ACCOUNT = {
    "name": "vinaphone", "state": "running", "up": False, "binds_up": 0, "binds": 10, "window_used": 0,
    "window_max": 500, "waiting_replies": 0, "waiting_rest": 1000, "rate": 200.0, "rate_now": 50.0, "slowed": True,
    "last_error": ERROR, "last_error_at": "2026-03-02T02:14:07Z", "counters": COUNTERS,
}  # fmt: skip
BIND = {
    "account": "vinaphone", "bind_type": "transmitter", "state": "connecting", "window_used": 0, "window_max": 50,
    "reconnects": 1000, "last_error": ERROR, "last_error_at": "2026-03-02T02:14:07Z", "counters": COUNTERS,
}  # fmt: skip


class Desk:
    """A platform of one account, in trouble."""

    def get(self, path: str) -> list[dict[str, Any]]:
        return [{"/admin/v1/accounts": ACCOUNT, "/admin/v1/binds": BIND}[path]] * 2


@pytest.mark.parametrize("command", ["accounts", "binds"])
def test_a_table_fits_into_80_columns_and_errors_stand_whole_below_it(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "desk", lambda *_: Desk())
    _, first, second, *errors = CliRunner(env={"COLUMNS": "80"}).invoke(app, [command]).output.splitlines()
    assert "vinaphone" in first
    assert first == second, "no row is wrapped"
    assert [line.partition(": ")[2] for line in errors] == [ERROR]
