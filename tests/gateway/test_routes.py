"""Which accounts may carry a message, in which order, and in which lane."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.routes import Route, Way, way_of
from vas.messages import Msisdn, Outbound

ROUTES = (
    Route(("viettel", "backup"), prefixes=("8498", "8497")),
    Route(("bulk",), short_codes=("9106",), lane="bulk"),
    Route(("main", "backup", "viettel"), short_codes=("9105", "9107")),
    Route(("urgent",), prefixes=("8491",), short_codes=("9108",), lane="reply"),
)


def message(to: str = "84912345678", source: str = "9105", **fields: Any) -> Outbound:
    values = {"text": "hello", "account": "", "receipt": False, "reply": False} | fields
    return Outbound(id=1, to=Msisdn(to), source=source, **values)


@pytest.mark.parametrize(
    ("sent", "way"),
    [
        pytest.param(message("84981111111"), Way(("viettel", "backup"), False), id="a prefix"),
        pytest.param(message("84971111111", "9106"), Way(("viettel", "backup"), False), id="the first that fits"),
        pytest.param(message(), Way(("main", "backup", "viettel"), False), id="a short code"),
        pytest.param(
            message(account="backup", reply=True),
            Way(("backup", "main", "viettel"), True),
            id="a reply prefers the account that its command came by",
        ),
        pytest.param(
            message(account="main", reply=True), Way(("main", "backup", "viettel"), True), id="which may be the first"
        ),
        pytest.param(
            message(account="bulk", reply=True),
            Way(("main", "backup", "viettel"), True),
            id="but not one that the route does not allow",
        ),
        pytest.param(message(source="9106", reply=True), Way(("bulk",), False), id="a route's lane holds for replies"),
        pytest.param(message(source="9108"), Way(("urgent",), True), id="and for what nobody waits for"),
        pytest.param(message("84921111111", "9108"), Way((), False), id="a prefix and a short code must both fit"),
        pytest.param(message(source="9109", account="main", reply=True), Way(("main",), True), id="a reply, no route"),
        pytest.param(message(source="9109"), Way((), False), id="no route and no account: any"),
    ],
)
def test_the_first_route_that_fits_decides(sent: Outbound, way: Way) -> None:
    assert way_of(sent, ROUTES) == way


def test_a_route_of_one_account_takes_everything() -> None:
    assert way_of(message("15551234567", "1"), [Route(("main",))]) == Way(("main",), False)
