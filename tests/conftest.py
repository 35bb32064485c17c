"""What every test shares."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from vas.logs import Forward


@pytest.fixture(autouse=True)
def logs_of_its_own() -> Iterator[None]:
    """A platform that runs in a test leads all logs to a standard error that is closed after the test."""
    # Of an exception structlog would else show all local variables, which takes long where they are a platform's.
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plain])
    yield
    structlog.reset_defaults()
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if not isinstance(handler, Forward)]
    root.setLevel(logging.WARNING)
