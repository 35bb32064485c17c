"""What reaches a log, and what never does."""

from __future__ import annotations

import contextvars
import io
import logging
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import structlog

from vas import logs
from vas.messages import Inbound, Msisdn


def logged(*, bodies: bool = False, **fields: Any) -> dict[str, Any]:
    out = io.BytesIO()
    logs.configure(level="info", json=True, bodies=bodies, stream=out)
    structlog.get_logger().info("turn.done", **fields)
    line: dict[str, Any] = orjson.loads(out.getvalue())
    return line


@pytest.mark.parametrize(
    "value, shown",
    [
        pytest.param("84912345678", "84912•••678", id="digits"),
        pytest.param("*105*0912345678#", "*105*09123•••678#", id="what was dialled"),
        pytest.param(84912345678, "84912•••678", id="a number"),
        pytest.param(Msisdn("84912345678"), "84912•••678", id="an Msisdn"),
        pytest.param({"to": ["84912345678"]}, {"to": ["84912•••678"]}, id="nested"),
        pytest.param(ValueError("84912345678 is odd"), "84912•••678 is odd", id="an error"),
        pytest.param("9105", "9105", id="a short code stays"),
        pytest.param(17, 17, id="a small number stays"),
        pytest.param(0.123456789012, 0.123456789012, id="a measurement stays"),
    ],
)
def test_a_number_is_masked_wherever_it_stands(value: object, shown: object) -> None:
    assert logged(field=value)["field"] == shown


def test_a_number_in_the_event_itself_is_masked() -> None:
    out = io.BytesIO()
    logs.configure(level="info", json=True, bodies=False, stream=out)
    structlog.get_logger().info("sent to 84912345678")
    assert orjson.loads(out.getvalue())["event"] == "sent to 84912•••678"


def test_a_number_in_a_traceback_is_masked() -> None:
    out = io.BytesIO()
    logs.configure(level="info", json=True, bodies=False, stream=out)
    try:
        raise ValueError("84912345678")
    except ValueError:
        structlog.get_logger().exception("unit.failed")
    assert "ValueError: 84912•••678" in orjson.loads(out.getvalue())["exception"]
    assert b"84912345678" not in out.getvalue()


def test_an_id_can_be_read_in_the_log() -> None:
    line = logged(id=912345678901234567, inbox_id=912345678901234568, request_id="0123456789abcdef")
    assert line["id"] == 912345678901234567
    assert line["inbox_id"] == 912345678901234568
    assert line["request_id"] == "0123456789abcdef"


def test_texts_of_messages_are_dropped() -> None:
    line = logged(text="my secret", nested={"short_message": "my secret", "left": 1})
    assert "text" not in line
    assert line["nested"] == {"left": 1}


def test_texts_of_messages_are_logged_where_the_setting_says_so() -> None:
    assert logged(bodies=True, text="hello")["text"] == "hello"


def test_an_object_is_named_by_its_type_alone() -> None:
    inbound = Inbound("main", 1, 1, datetime.now(UTC), "84912345678", "9105", "my secret", b"")
    assert logged(inbound=inbound)["inbound"] == "<Inbound>"


def test_a_library_that_logs_is_masked_too() -> None:
    out = io.BytesIO()
    logs.configure(level="info", json=True, bodies=False, stream=out)
    logging.getLogger("aiohttp.server").error("failed for %s", "84912345678")
    line = orjson.loads(out.getvalue())
    assert (line["event"], line["logger"], line["level"]) == ("failed for 84912•••678", "aiohttp.server", "error")


def test_the_console_shows_the_same_without_colours_where_nobody_looks() -> None:
    out = io.BytesIO()
    logs.configure(level="info", json=False, bodies=False, stream=out)
    structlog.get_logger().info("turn.done", msisdn="84912345678", text="my secret")
    line = out.getvalue().decode()
    assert "turn.done" in line
    assert "84912•••678" in line
    assert "my secret" not in line
    assert "\x1b" not in line


def test_every_line_of_a_node_names_it_whatever_the_context() -> None:
    out = io.BytesIO()
    logs.configure(level="info", json=True, bodies=False, stream=out, node="north")
    contextvars.Context().run(structlog.get_logger().info, "smpp.bound")
    logging.getLogger("aiohttp.server").error("failed")
    structlog.get_logger().info("process.ended", node="south")
    assert [orjson.loads(line)["node"] for line in out.getvalue().splitlines()] == ["north", "north", "south"]


def test_less_than_the_level_is_not_logged() -> None:
    out = io.BytesIO()
    logs.configure(level="warning", json=True, bodies=False, stream=out)
    structlog.get_logger().info("turn.done")
    assert out.getvalue() == b""
