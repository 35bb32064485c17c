"""What the commands print that ask no running platform."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vas.__main__ import app

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
