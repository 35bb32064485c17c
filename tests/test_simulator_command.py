"""The simulator's own failures, as a person meets them."""

from __future__ import annotations

import socket

import pytest

from gateway.simulator import Settings, Simulator
from gateway.simulator.phone_terminal import parse
from vas.errors import ConfigError
from vas.serving import start_simulator


async def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(port=taken.getsockname()[1], http_port=0, accounts={"vas": "secret"})
        with pytest.raises(ConfigError, match=str(settings.port)):
            await start_simulator(Simulator(settings), settings)


@pytest.mark.parametrize("line", ["sms 9105", "9105:"])
def test_a_text_without_words_is_not_sent(line: str) -> None:
    assert parse(line, answering=False) is None
