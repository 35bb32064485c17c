"""Logs: events with fields, for people or as one JSON object a line, without personal data.

MSISDNs and the texts of messages should never reach a log call unmasked. Here is the net below that: runs of nine and
more digits are masked wherever they stand, texts of messages are dropped, and an object that we do not
know is named by its type alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import PurePath
from typing import Any, BinaryIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from vas.messages import Msisdn, mask

BODIES = frozenset({"body", "message_payload", "reply_text", "screen", "short_message", "text"})
"""Fields that hold the text of a message."""

_LONG_RUN = re.compile(r"[0-9]{9,}")
_LEVELS = logging.getLevelNamesMapping()


def mask_digits(text: str) -> str:
    """The text with every run of nine or more digits masked: `*105*09123•••678#`."""
    return _LONG_RUN.sub(lambda run: mask(run.group()), text)


def configure(*, level: str, json: bool, bodies: bool, stream: BinaryIO, node: str = "") -> None:
    """Set up structlog, and lead the standard library's loggers into it.

    `level` is the name of the least level that is logged; `bodies` lets the texts of messages through; `node` stands
    on every line, since several nodes may log to one place.
    """
    least = _LEVELS[level.upper()]
    keep = frozenset[str]() if bodies else BODIES
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *([_Origin(node)] if node else ()),
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _Discretion(keep),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(_json() if json else _console(colours=stream.isatty())),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.BytesLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [Forward()]
    root.setLevel(max(least, logging.INFO))


def _json() -> tuple[Processor, ...]:
    return (structlog.processors.JSONRenderer(serializer=orjson.dumps),)


def _console(*, colours: bool) -> tuple[Processor, ...]:
    def encode(_logger: WrappedLogger, _method: str, line: Any) -> bytes:
        return str(line).encode()

    return structlog.dev.ConsoleRenderer(colors=colours), encode


class _Origin:
    """The processor that says which node it is. Not by contextvars: what an SMSC begins has an empty context."""

    def __init__(self, node: str) -> None:
        self._node = node

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("node", self._node)
        return event


class _Discretion:
    """The processor that masks and drops."""

    def __init__(self, dropped: frozenset[str]) -> None:
        self._dropped = dropped

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return self._fields(event)

    def _fields(self, fields: Mapping[Any, Any]) -> dict[str, Any]:
        return {
            str(key): value if _is_id(str(key), value) else self._value(value)
            for key, value in fields.items()
            if key not in self._dropped
        }

    def _value(self, value: object) -> Any:
        match value:
            case None | bool() | float():
                return value
            case str():
                return mask_digits(value)
            case int():
                return mask(str(value)) if abs(value) >= 100_000_000 else value
            case Msisdn():
                return mask(value.digits)
            case Mapping():
                return self._fields(value)
            case list() | tuple() | set() | frozenset():
                return [self._value(each) for each in value]
            case date() | timedelta():
                return str(value)
            case PurePath() | BaseException():
                return mask_digits(str(value))
        return f"<{type(value).__name__}>"


def _is_id(key: str, value: object) -> bool:
    """Ids are long numbers too; without them nobody finds the message that a line speaks of."""
    return isinstance(value, int | str) and (key == "id" or key.endswith("_id"))


class Forward(logging.Handler):
    """What libraries log through the standard library, as our events."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or False
        )
