"""Every PDU of fixtures/*.toml, transcribed from the source that it names and never made by this codec."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects import receipts, ussd
from gateway.dialects.receipt_ids import ReceiptIds
from gateway.dialects.ussd_dialects import DIALECTS
from gateway.incoming import user_data
from gateway.pdus.pdu import PDUS, DataSm, DeliverSm, Pdu, decode
from gateway.sms import udh
from tests.gateway.fixtures import FIXTURES, Fixture
from vas.errors import SmppError
from vas.messages import ReceiptState

READABLE = [fixture for fixture in FIXTURES if not fixture.refused]
EXACT = [fixture for fixture in READABLE if fixture.exact]
REFUSED = [fixture for fixture in FIXTURES if fixture.refused]
STATES = {
    "DELIVRD": ReceiptState.DELIVERED,
    "ACCEPTD": ReceiptState.ACCEPTED,
    "UNDELIV": ReceiptState.UNDELIVERABLE,
    "ENROUTE": ReceiptState.ENROUTE,
}


def saying(key: str) -> list[Fixture]:
    """Those of which the table says more than the PDU itself."""
    return [fixture for fixture in READABLE if key in fixture.also]


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


@each(saying("id"))
def test_a_receipt_names_its_message_and_how_it_fared(fixture: Fixture) -> None:
    pdu = decode(fixture.wire)
    assert isinstance(pdu, DeliverSm | DataSm)
    facts = receipts.read(pdu, user_data(pdu), ReceiptIds())
    assert receipts.kind_of(pdu, user_data(pdu)) in (receipts.Kind.RECEIPT, receipts.Kind.INTERMEDIATE)
    assert facts.smsc_id == fixture.also["id"]
    if "state" in fixture.also:
        assert facts.state is STATES[fixture.also["state"]]


@each(saying("reference"))
def test_a_part_says_where_it_belongs(fixture: Fixture) -> None:
    pdu = decode(fixture.wire)
    assert isinstance(pdu, DeliverSm)
    header, _ = udh.part_of(pdu, user_data(pdu))
    assert {name: getattr(header, name) for name in fixture.also} == fixture.also


@each(saying("dialect"))
def test_a_turn_of_a_dialogue_is_heard_in_its_dialect(fixture: Fixture) -> None:
    pdu = decode(fixture.wire)
    assert isinstance(pdu, DeliverSm)
    heard = ussd.read(pdu, user_data(pdu), DIALECTS[fixture.also["dialect"]])
    assert heard is not None
    assert (heard.turn.begin, heard.turn.ended) == (fixture.also["begin"], fixture.also["ended"])
    assert heard.text == fixture.also["text"]


def test_most_fixtures_say_what_they_mean() -> None:
    assert min(len(saying("id")), len(saying("dialect"))) >= 9 and len(saying("reference")) >= 4
