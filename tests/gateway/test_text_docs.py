"""docs/text.md says what a text costs; here it is held to it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from gateway.sms.segments import cost
from gateway.sms.style import Style

PAGE = Path(__file__).parents[2] / "docs" / "text.md"
ROWS = re.findall(r"^\| `(.+)` \| (?:`(\w+ = .+)`)? ?\| (.+) \| (\d) \|$", PAGE.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("text, setting, encoding, segments", ROWS)
def test_the_page_tells_what_each_of_its_texts_costs(text: str, setting: str, encoding: str, segments: str) -> None:
    told = cost(text, msgspec.convert(tomllib.loads(setting), Style))
    assert (told.encoding, told.segments) == (encoding, int(segments))


def test_every_row_of_the_page_is_looked_at() -> None:
    assert len(ROWS) == 8
