"""The ids of a message's segments as the outbox keeps them."""

from __future__ import annotations

import pytest

from vas.store.smsc_ids import receipt_ids, submitted_ids, written


@pytest.mark.parametrize(
    ("receipted", "submitted", "asked_by"),
    [
        (["7"], [], ["7"]),
        (["6699", "6700"], ["1A2B", "1A2C"], ["1A2B", "1A2C"]),
        (["5f0e7a31"], ["5f0e-7a31"], ["5f0e-7a31"]),
        ([], [], []),
    ],
)
def test_each_segment_has_an_id_for_its_receipt_and_one_to_ask_by(
    receipted: list[str], submitted: list[str], asked_by: list[str]
) -> None:
    kept = written(receipted, submitted)
    assert (receipt_ids(kept), submitted_ids(kept)) == (receipted, asked_by)
