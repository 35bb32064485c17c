"""`vas simulator load`, `anonymise` and `replay`, as a person meets them in the terminal."""

from __future__ import annotations

import io
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from gateway.pdus.pdu import DeliverSm
from gateway.simulator.decoded import Taped, to_line
from gateway.simulator.load_plan import read_mix
from gateway.simulator.replay import Summary
from gateway.simulator.replay_command import show
from vas.__main__ import app

KEY = {"VAS_ANONYMISE_KEY": "sixteen octets.."}
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EXAMPLE = Path(__file__).parents[1] / "docs" / "load.toml"


def record(path: Path, *frames: bytes) -> Path:
    tapes = (Taped(NOON, "out", 1, "vas", ("10.0.0.1", 2775), ("10.0.0.2", 40_000), frame) for frame in frames)
    path.write_bytes(b"".join(map(to_line, tapes)))
    return path


def told(*arguments: object, env: dict[str, str] | None = None) -> tuple[int, str]:
    """The exit status, and what stands on the screen, in one line."""
    done = CliRunner().invoke(app, ["simulator", *map(str, arguments)], env=env)
    return done.exit_code, " ".join(done.output.split())


def test_a_recording_is_anonymised_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    text = DeliverSm(source_addr=b"84912345678", short_message=b"CM 0912345678").encode()
    source = record(tmp_path / "link.jsonl", text, text[:-1], text)
    status, said = told("anonymise", source, tmp_path / "out.jsonl", env=KEY)
    assert status == 0 and said.endswith("2 PDUs; 1 left out, which nobody could read")
    written = (tmp_path / "out.jsonl").read_text()
    assert written.count("deliver_sm") == 2 and "12345678" not in written
    assert "sixteen" not in said


@pytest.mark.parametrize(
    ("source", "target", "key", "words"),
    [
        pytest.param("link.jsonl", "out.pcap", KEY, "out.pcap", id="not to a capture"),
        pytest.param("none.pcap", "out.jsonl", KEY, "none.pcap", id="no such file"),
        pytest.param("link.jsonl", "link.jsonl", KEY, "exists", id="never over a file that is there"),
        pytest.param("link.jsonl", "out.jsonl", {"VAS_ANONYMISE_KEY": "short"}, "16", id="short key"),
        pytest.param("text.txt", "out.jsonl", KEY, "pcap", id="no recording"),
    ],
)
def test_what_cannot_be_anonymised_is_told_plainly(
    tmp_path: Path, source: str, target: str, key: dict[str, str], words: str
) -> None:
    record(tmp_path / "link.jsonl", DeliverSm().encode())
    (tmp_path / "text.txt").write_text("hello")
    before = (tmp_path / "link.jsonl").read_bytes()
    status, said = told("anonymise", tmp_path / source, tmp_path / target, env=key)
    assert status == 2 and words in said
    assert (tmp_path / "link.jsonl").read_bytes() == before
    assert not (tmp_path / "out.jsonl").exists()


def test_a_recording_without_deliveries_is_not_played(tmp_path: Path) -> None:
    status, said = told("replay", record(tmp_path / "link.jsonl"))
    assert status == 2 and "link.jsonl" in said
    status, said = told("replay", record(tmp_path / "link.jsonl", DeliverSm().encode()), "--account", "other")
    assert status == 2 and "nothing" in said


@pytest.mark.parametrize("command", ["load", "replay"])
def test_a_port_in_use_is_named(tmp_path: Path, command: str) -> None:
    arguments = [record(tmp_path / "link.jsonl", DeliverSm().encode())] if command == "replay" else []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, said = told(command, *arguments, "--port", port)
    assert status == 2 and str(port) in said


def test_a_mix_that_is_wrong_ends_the_load_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "mix.toml").write_text("comands = []\n")
    status, said = told("load", "--mix", tmp_path / "mix.toml")
    assert status == 2 and "comands" in said


def test_the_mix_of_the_pages_can_be_used() -> None:
    mix = read_mix(EXAMPLE)
    assert [command.weight for command in mix.commands] == [6, 3, 1]


def test_a_summary_tells_of_numbers_that_do_not_count() -> None:
    console = Console(width=120, file=io.StringIO())
    show(Summary(delivered=1, renumbered=2), console)
    assert isinstance(console.file, io.StringIO)
    assert "as recorded but for a number of the text's own │ 2" in " ".join(console.file.getvalue().split())


def test_a_summary_names_its_differences_and_masks_their_numbers() -> None:
    summary = Summary(delivered=3)
    summary.add("reworded", b"84912345678", "Sent [1].", "Gone.")
    console = Console(width=120, file=io.StringIO())
    show(summary, console)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "Sent [1]." in shown and "Gone." in shown and "84912•••678" in shown and "84912345678" not in shown
