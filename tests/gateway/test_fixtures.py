"""Every PDU of fixtures/*.toml, transcribed from the source that it names and never made by this codec."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.pdu import PDUS, Pdu, decode
from tests.gateway.fixtures import FIXTURES, Fixture
from vas.errors import SmppError

READABLE = [fixture for fixture in FIXTURES if not fixture.refused]
EXACT = [fixture for fixture in READABLE if fixture.exact]
REFUSED = [fixture for fixture in FIXTURES if fixture.refused]


def each(fixtures: list[Fixture]) -> Any:
    return pytest.mark.parametrize("fixture", [pytest.param(fixture, id=fixture.name) for fixture in fixtures])


@each(READABLE)
def test_a_pdu_is_read_as_its_source_says(fixture: Fixture) -> None:
    assert decode(fixture.wire) == fixture.pdu


@each(EXACT)
def test_a_pdu_is_written_as_it_was_found(fixture: Fixture) -> None:
    assert fixture.pdu.encode() == fixture.wire


@each(REFUSED)
def test_a_pdu_that_cannot_be_read_is_refused_with_the_status_to_answer(fixture: Fixture) -> None:
    with pytest.raises(SmppError) as refused:
        decode(fixture.wire)
    assert refused.value.status == fixture.refused


@pytest.mark.parametrize("kind", PDUS)
def test_every_kind_of_pdu_has_a_fixture(kind: type[Pdu]) -> None:
    assert any(isinstance(fixture.pdu, kind) for fixture in EXACT)
