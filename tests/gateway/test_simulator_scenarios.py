"""The scenarios that are shipped, played by the whole platform; and what a scenario says when it goes wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.simulator import Settings, Simulator
from gateway.simulator.scenario import Scenario
from tests.gateway.test_simulator_http import Parrot
from vas.assembly import Installation
from vas.config import load
from vas.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "docs" / "scenarios"
CONFIG = """
[store]
url = "sqlite:///vas.db"
[admin]
listen = "127.0.0.1:0"
[accounts.main]
host = "127.0.0.1"
port = {port}
system_id = "vas"
password = "secret"
[platform]
language = "en"
[services.callme]
enabled = true
short_codes = ["9105"]
ussd = "*105"
"""


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    simulator = Simulator(
        Settings(port=0, http_port=0, accounts={"vas": "secret"}, response_timer=timedelta(milliseconds=500))
    )
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def platform(simulator: Simulator, tmp_path: Path) -> AsyncIterator[Installation]:
    file = tmp_path / "config.toml"
    file.write_text(CONFIG.format(port=simulator.port))
    installation = Installation(load(file, {}))
    await installation.start()
    yield installation
    await installation.stop()


@pytest.fixture
async def parrot(simulator: Simulator) -> Parrot:
    _, parrot = await asyncio.get_running_loop().create_connection(Parrot, "127.0.0.1", simulator.port)
    await simulator.smsc.delivery.receivers(1)
    return parrot


def written(tmp_path: Path, steps: str, phones: str = 'lan = "84912345678"') -> Path:
    file = tmp_path / "scenario.toml"
    file.write_text(f'title = "A test"\n[phones]\n{phones}\n[[script]]\nphone = "lan"\nsteps = [\n{steps}\n]\n')
    return file


@pytest.mark.parametrize("name", sorted(path.name for path in SHIPPED.glob("*.toml")))
async def test_a_shipped_scenario_is_played_by_the_platform(
    simulator: Simulator, platform: Installation, name: str
) -> None:
    result = await Scenario.load(SHIPPED / name).play(simulator)
    assert result.passed, str(result)
    assert not simulator.faults.held


async def test_a_scenario_goes_the_same_way_over_http(simulator: Simulator, parrot: Parrot, tmp_path: Path) -> None:
    scenario = Scenario.load(
        written(
            tmp_path,
            '{ switch = "on" },\n{ fault = { kind = "status", on = "data_sm" } },\n{ no_faults = true },\n'
            '{ dial = "*105#" },\n{ expect_screen = "*105#" },\n{ answer = "1" },\n{ expect = "/^you said 1$/" },\n'
            '{ text = "hello", to = "9105" },\n{ expect_message = "hello", from = "9105" },\n'
            '{ balance = 5000 },\n{ language = "en" },\n{ switch = "full" },\n{ expect_nothing = "10ms" }',
        )
    )
    there = await scenario.play(f"http://127.0.0.1:{simulator.http_port}")
    here = await scenario.play(simulator)
    assert there.passed and here.passed, f"{there}\n{here}"
    assert [line.did for line in there.lines] == [line.did for line in here.lines]
    phone = simulator.phone("84912345678")
    assert (phone.balance, phone.language, phone.state) == (5000, "en", "full")


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        pytest.param('{ expect = "x", within = "10ms" }', "nothing came", id="nothing"),
        pytest.param(
            '{ text = "hello", to = "9105" },\n{ expect_screen = "hello", within = "300ms" }',
            "came instead: 9105: you said hello",
            id="a message for a screen",
        ),
        pytest.param(
            '{ text = "hi", to = "9105" },\n{ expect_nothing = "1s" }', "came: 9105: you said hi", id="too much"
        ),
        pytest.param('{ answer = "1" }', "No screen is waiting", id="nothing to answer"),
        pytest.param('{ dial = "105" }', "no USSD code", id="no code"),
        pytest.param('{ switch = "off" },\n{ dial = "*105#" }', "The phone is switched off", id="dials while off"),
        pytest.param(
            '{ switch = "out_of_service" },\n{ text = "hi", to = "9105" }',
            "The phone is out of service",
            id="texts without service",
        ),
    ],
)
async def test_a_step_that_fails_ends_its_script_and_says_why(
    simulator: Simulator, parrot: Parrot, tmp_path: Path, steps: str, said: str
) -> None:
    path = written(tmp_path, steps + ',\n{ text = "never", to = "9105" }')
    for where in (simulator, f"http://127.0.0.1:{simulator.http_port}"):
        result = await Scenario.load(path).play(where)
        assert not result.passed
        assert said in result.lines[-1].came
        assert "✗" in str(result) and "never" not in str(result)


@pytest.mark.parametrize("number", ["0912345678", "+84 912 345 678", "84912345678"])
async def test_a_number_in_any_spelling_is_the_phone_that_the_network_knows(
    simulator: Simulator, parrot: Parrot, tmp_path: Path, number: str
) -> None:
    path = written(tmp_path, '{ text = "hi", to = "9105" },\n{ expect = "you said hi" }', f'lan = "{number}"')
    for where in (simulator, f"http://127.0.0.1:{simulator.http_port}"):
        result = await Scenario.load(path).play(where)
        assert result.passed, str(result)
    assert list(simulator.phones) == ["84912345678"]


@pytest.mark.parametrize("number", ["0123", "mother", "1234567890123456"])
def test_a_number_that_nobody_has_is_refused(tmp_path: Path, number: str) -> None:
    with pytest.raises(ConfigError, match=rf"phones\.lan: '{number}' is"):
        Scenario.load(written(tmp_path, '{ wait = "1ms" }', f'lan = "{number}"'))


async def test_a_fault_stands_in_the_transcript_as_it_is_written(simulator: Simulator, tmp_path: Path) -> None:
    path = written(tmp_path, '{ fault = { kind = "status", status = "RTHROTTLED", times = 2 } }')
    result = await Scenario.load(path).play(simulator)
    assert result.lines[0].did == "fault { kind = status, status = RTHROTTLED, times = 2 }"


async def test_several_phones_play_at_once(simulator: Simulator, parrot: Parrot, tmp_path: Path) -> None:
    file = tmp_path / "many.toml"
    file.write_text(
        '[phones]\na = "84912345678"\nb = "84987654321"\n[[script]]\nphones = ["a", "b"]\n'
        'steps = [{ text = "hi", to = "9105" }, { expect = "hi" }, { wait = "1ms" }]\n'
    )
    result = await Scenario.load(file).play(simulator)
    assert result.passed
    assert sorted({line.phone for line in result.lines}) == ["a", "b"]
    assert len(result.lines) == 6


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        pytest.param('{ dail = "*105#" }', "step 1: dail is no step", id="unknown step"),
        pytest.param('{ wait = "1ms" }, { wait = 3 }', "step 2: 3 is no duration", id="no duration"),
        pytest.param('{ text = "x" }', "step 1: to: Expected `str`", id="no destination"),
        pytest.param('{ dial = "*105#", to = "9105" }', "step 1: dial has no to", id="a field too much"),
        pytest.param('{ phone = "tom", dial = "*105#" }', "no phone 'tom': lan", id="unknown phone"),
        pytest.param('{ expect = "/(/" }', "step 1", id="no regular expression"),
        pytest.param('{ switch = "sideways" }', "switch is one of on", id="no switch"),
        pytest.param('{ fault = { kind = "quake" } }', "there is no 'quake': status", id="no fault"),
        pytest.param('{ fault = { kind = "dely" } }', "kind: there is no 'dely'; did you mean `delay`?", id="a typo"),
        pytest.param('{ fault = { kind = "delay", time = 2 } }', "setting `time`; did you mean `times`?", id="a field"),
        pytest.param('"dial"', "a step is a table", id="no table"),
    ],
)
def test_a_scenario_that_cannot_be_played_says_where(tmp_path: Path, steps: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        Scenario.load(written(tmp_path, steps))
