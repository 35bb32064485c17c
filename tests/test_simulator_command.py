"""The simulator's own failures, as a person meets them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.simulator import Settings, Simulator
from gateway.simulator.phone_terminal import parse
from vas.__main__ import app
from vas.errors import ConfigError
from vas.serving import start_simulator, ways_to_phones


async def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(port=taken.getsockname()[1], http_port=0, accounts={"vas": "secret"})
        with pytest.raises(ConfigError, match=str(settings.port)):
            await start_simulator(Simulator(settings), settings)


@pytest.mark.parametrize(
    ("host", "port", "command"),
    [
        pytest.param("127.0.0.1", 8090, "vas phone 0912345678", id="where it is looked for"),
        pytest.param("127.0.0.1", 23890, "vas phone 0912345678 --url http://127.0.0.1:23890", id="another port"),
        pytest.param("0.0.0.0", 8090, "vas phone 0912345678", id="all addresses"),  # noqa: S104
        pytest.param("::1", 8090, "vas phone 0912345678 --url http://[::1]:8090", id="IPv6"),
    ],
)
def test_the_hint_takes_a_phone_of_this_simulator(host: str, port: int, command: str) -> None:
    assert ways_to_phones(host, port)[1] == command


@pytest.mark.parametrize("line", ["sms 9105", "9105:"])
def test_a_text_without_words_is_not_sent(line: str) -> None:
    assert parse(line, answering=False) is None


def test_help_tells_of_the_page_the_scenarios_and_the_numbers_that_go_wrong() -> None:
    shown = CliRunner().invoke(app, ["simulator", "--help"]).output
    assert all(words in shown for words in ("http://127.0.0.1:8090", "vas simulator play", "900001", "--config"))


def test_settings_that_cannot_be_used_end_the_command_with_their_file(tmp_path: Path) -> None:
    file = tmp_path / "simulator.toml"
    file.write_text('[accounts.vas]\npassword = "secret"\nussd = "7d"\n')
    result = CliRunner().invoke(app, ["simulator", "--config", str(file)])
    assert result.exit_code == 2
    assert "7d" in result.stderr and "simulator.toml" in result.stderr


def test_a_scenario_without_a_simulator_says_what_to_start(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text('[phones]\nlan = "84912345678"\n[[script]]\nphone = "lan"\nsteps = [{ dial = "*105#" }]\n')
    result = CliRunner().invoke(app, ["simulator", "play", str(file), "--url", "http://127.0.0.1:1"])
    assert result.exit_code == 2
    assert "start `vas simulator`" in result.stderr
