"""What is deployed: units, image, compose file, alerts and settings, each read by its own program."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import typer
import yaml

from bench.platforms import upgrade
from bench.process import PlatformProcess
from tests.postgres import Server
from vas.__main__ import app
from vas.config import Settings, load

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNITS = ("vas.service", "vas@.service")
EXPOSURE_AT_MOST = 15
"""Of `systemd-analyze security`, in tenths: it calls up to 1.5 of 10 safe and what has the network 1.2 at best."""
RESPONSE_TIMER_S = 10
TARGETS_OWN = {"instance", "job"}
"""Labels that Prometheus adds to whatever it scrapes."""


def said_by(*command: str | Path) -> str:
    """What a linter says; the test is skipped where there is none, and fails where it finds anything."""
    program = shutil.which(command[0], path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip(f"there is no {command[0]} on this machine")
    ran = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=50)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def parsed_by_vas(*words: str) -> None:
    """Fails where `vas` would not take such a command line."""
    command: Any = typer.main.get_command(app)
    words_left = list(words)
    while hasattr(command, "commands") and words_left and words_left[0] in command.commands:
        command = command.commands[words_left.pop(0)]
    command.make_context(" ".join(words), words_left, resilient_parsing=False)


class Unit(configparser.RawConfigParser):
    """A systemd unit: keys have capitals, and some come more than once."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=False, delimiters=("=",), interpolation=None)
        self.optionxform = str  # type: ignore[assignment, method-assign]
        self.read(DEPLOY / name)


# -- systemd


def test_systemd_takes_the_units_as_they_are(tmp_path: Path) -> None:
    units, program = tmp_path / "etc/systemd/system", tmp_path / "opt/vas/bin/vas"
    units.mkdir(parents=True)
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    for name in UNITS:
        shutil.copy(DEPLOY / name, units)
    instances = [units / "vas.service", units / "vas@1.service"]
    assert not said_by("systemd-analyze", "verify", f"--root={tmp_path}", "--recursive-errors=no", *instances)


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_exposes_little(name: str) -> None:
    said_by("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_AT_MOST}", DEPLOY / name)


def test_both_units_differ_in_their_commands_alone() -> None:
    alone, several = (dict(Unit(name)["Service"]) for name in UNITS)
    own = {"ExecStart", "ExecReload", "Environment"}
    assert {key: value for key, value in alone.items() if key not in own} == {
        key: value for key, value in several.items() if key not in own
    }


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_starts_what_vas_understands(name: str) -> None:
    for key in ("ExecStart", "ExecReload"):
        command = Unit(name)["Service"][key].replace("%l-%i", "db-1-1").replace("%i", "1")
        program, *words = shlex.split(command.replace("${ADMIN_HOST}", "127.0.0.1"))
        assert program == "/opt/vas/bin/vas"
        parsed_by_vas(*words)


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_leaves_time_for_a_drain(name: str) -> None:
    assert int(Unit(name)["Service"]["TimeoutStopSec"].rstrip("s")) >= RESPONSE_TIMER_S + 30
    assert load(ROOT / "config.toml", {}).accounts["main"].response_timer.total_seconds() == RESPONSE_TIMER_S


# -- the image


def test_the_image_is_described_as_its_linter_wants_it() -> None:
    said_by("hadolint", DEPLOY / "Dockerfile")


def test_the_image_is_made_from_what_is_there_and_let_through() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]}
    let_through = {
        line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_installs_only_what_the_lock_has_hashed() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.findall(r"pip install (.*)", text) == [
        "--no-cache-dir --require-hashes --requirement requirements.lock",
        "--no-cache-dir --no-deps .",
    ]


# -- compose


@pytest.fixture
def compose() -> Mapping[str, Any]:
    with (DEPLOY / "compose.yaml").open() as file:
        return dict(yaml.safe_load(file))


def test_the_compose_file_keeps_to_its_schema() -> None:
    said_by("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


def ours(compose: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from (service for service in compose["services"].values() if service["image"] == "vas")


def test_compose_starts_what_vas_understands(compose: Mapping[str, Any]) -> None:
    for service in ours(compose):
        parsed_by_vas(*service["command"])
    names = [service["command"][-1] for service in ours(compose) if "--node" in service["command"]]
    assert len(set(names)) == len(names) == 3


def test_what_compose_mounts_is_there(compose: Mapping[str, Any]) -> None:
    sources = [volume.split(":")[0] for service in compose["services"].values() for volume in service["volumes"]]
    files = [source for source in sources if source.startswith(".")]
    assert all((DEPLOY / file).is_file() for file in files)
    assert {source for source in sources if not source.startswith(".")} == set(compose["volumes"])


def test_compose_gives_its_nodes_settings_that_hold(compose: Mapping[str, Any]) -> None:
    for service in ours(compose):
        environ = {name: value.replace(":?choose one}", "}") for name, value in service["environment"].items()}
        settings = three_nodes(environ)
        assert {account.host for account in settings.accounts.values()} == {"smsc"} or not environ


def test_a_container_has_as_long_for_its_drain_as_a_unit(compose: Mapping[str, Any]) -> None:
    times = {service.get("stop_grace_period") for service in ours(compose) if "run" in service["command"]}
    assert times == {Unit("vas.service")["Service"]["TimeoutStopSec"]}


# -- three nodes


def three_nodes(environ: Mapping[str, str]) -> Settings:
    return load(DEPLOY / "three-nodes/config.toml", environ)


def test_the_settings_of_three_nodes_hold_with_the_secrets_of_their_example() -> None:
    lines = (DEPLOY / "three-nodes/secrets.env.example").read_text().splitlines()
    secrets = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    settings = three_nodes(secrets)
    assert {name: account.password.get_secret_value() for name, account in settings.accounts.items()} == {
        "main": "CHANGEME",
        "backup": "CHANGEME",
    }
    assert "CHANGE-ME" in settings.store.url


def test_links_are_kept_for_longer_than_a_failover_takes() -> None:
    patroni = yaml.safe_load((DEPLOY / "three-nodes/patroni.yml").read_text())["bootstrap"]["dcs"]
    ttl, loop_s = patroni["ttl"], patroni["loop_wait"]
    assert loop_s + 2 * patroni["retry_timeout"] <= ttl
    assert three_nodes({}).store.db_grace.total_seconds() >= ttl + 2 * loop_s


def test_a_database_that_lets_nobody_in_without_tls_has_a_certificate() -> None:
    postgresql = yaml.safe_load((DEPLOY / "three-nodes/patroni.yml").read_text())["postgresql"]
    distant = [rule for rule in postgresql["pg_hba"] if not rule.startswith("local ")]
    assert distant
    assert all(rule.startswith("hostssl ") for rule in distant)
    assert postgresql["parameters"].keys() >= {"ssl", "ssl_cert_file", "ssl_key_file"}


def test_every_node_may_take_all_binds_that_the_simulated_smsc_has() -> None:
    from gateway.simulator.settings_file import load as load_simulator

    simulator = load_simulator(DEPLOY / "three-nodes/simulator.toml", {})
    assert simulator.host == simulator.http_host == "0.0.0.0"  # noqa: S104


def test_postgresql_starts_with_each_of_its_settings() -> None:
    lines = (DEPLOY / "postgresql.conf").read_text().splitlines()
    settings = dict(re.split(r"\s*=\s*", line.split("#")[0].strip(), maxsplit=1) for line in lines if "=" in line)
    settings = {name: value.strip("'") for name, value in settings.items()}
    small = {"shared_buffers": "64MB", "listen_addresses": "127.0.0.1"}
    without_lz4 = {"wal_compression": "on"}  # as the wheel's server is built; Debian's and the image's have it
    with Server(options={**settings, **small, **without_lz4}, fsync=True) as server:
        assert server.sql("SHOW synchronous_commit", "SHOW fsync") == "on\non"


# -- Prometheus


def alerts() -> Sequence[Mapping[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus-alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def read_by(expression: object) -> Iterator[tuple[str, set[str]]]:
    """The metrics that an expression reads, each with the labels that it needs of them."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield str(expression.name), {matcher.name for matcher in expression.matchers.matchers}
    for part in ("lhs", "rhs", "expr", "vector_selector"):
        if (inner := getattr(expression, part, None)) is not None:
            yield from read_by(inner)
    for argument in getattr(expression, "args", ()):
        yield from read_by(argument)


def grouped_by(text: str) -> set[str]:
    return {label for labels in re.findall(r"\bby \(([\w, ]+)\)", text) for label in labels.replace(",", " ").split()}


@pytest.fixture
async def exposed(tmp_path: Path) -> Mapping[str, set[str]]:
    """The labels of every metric that a node at work has, by the name of its samples; {} where it has none yet."""
    with Server() as server:
        await upgrade(server.url())
        node = PlatformProcess(tmp_path, smpp_port=1, url=server.url(), node="node-1")
        await node.start()
        try:
            text = await node.exposition()
        finally:
            await node.kill()
    names: dict[str, set[str]] = {}
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)", text, re.MULTILINE):
        for ending in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
            names[name + ending] = set()
    for name, labels in re.findall(r"^(\w+)\{(.*)\}", text, re.MULTILINE):
        names.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return names


async def test_every_alert_reads_metrics_that_a_running_node_has(exposed: Mapping[str, set[str]]) -> None:
    for alert in alerts():
        for name, labels in read_by(promql_parser.parse(alert["expr"])):
            assert name in exposed or name == "up", f"{alert['alert']}: {name}"
            missing = labels - exposed.get(name, set()) - TARGETS_OWN
            assert not missing or not exposed[name], f"{alert['alert']}: {name} has no label {missing}"


def test_every_alert_says_whom_it_wakes_and_what_it_means() -> None:
    for alert in alerts():
        assert alert["labels"]["severity"] in ("page", "ticket"), alert["alert"]
        assert set(alert["annotations"]) == {"summary", "description"}, alert["alert"]
        used = set(re.findall(r"\$labels\.(\w+)", str(alert["annotations"])))
        kept = grouped_by(alert["expr"]) or {*used & TARGETS_OWN, "instance"}
        assert used <= kept, f"{alert['alert']}: {used - kept} is not there any more"
    assert len({alert["alert"] for alert in alerts()}) == len(alerts())


def test_prometheus_takes_rules_and_scrape_configuration() -> None:
    said_by("promtool", "check", "config", DEPLOY / "prometheus.yaml")


def test_prometheus_scrapes_each_node_of_the_compose_file(compose: Mapping[str, Any]) -> None:
    [job] = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"]
    nodes = {name for name, service in compose["services"].items() if "--node" in service.get("command", ())}
    port = three_nodes({}).admin.listen.port
    assert {target for group in job["static_configs"] for target in group["targets"]} == {
        f"{node}:{port}" for node in nodes
    }
