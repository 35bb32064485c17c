"""What an SMSC may have called a message, from what its receipts call it."""

from __future__ import annotations

import msgspec
import pytest

from gateway.receipt_ids import ReceiptId, ReceiptIds
from gateway.spellings import asked, spellings

ROK, RINVMSGID, RSYSERR = 0x00, 0x0C, 0x08


class Answer(msgspec.Struct):
    status: int
    to: str


@pytest.mark.parametrize(
    ("submitted", "rule"),
    [
        ("00F-x 7", "same"), ("1A2B", "hex_to_dec"), ("1a2b", "hex_to_dec"), ("00001A2B", "hex_to_dec"),
        ("6699", "dec_to_hex"), ("0000006699", "dec_to_hex"), ("00006699", "strip0"), ("1A2B", "strip0"),
        ("0000001a2b", "auto"), ("no number", "hex_to_dec"), ("6699", "auto"),
    ],
)  # fmt: skip
def test_what_a_submit_sm_resp_said_is_among_the_spellings(submitted: str, rule: ReceiptId) -> None:
    kept = ReceiptIds(rule).submitted(submitted.encode())
    assert submitted in spellings(kept, rule)


async def test_the_first_spelling_that_the_smsc_knows_answers() -> None:
    tried: list[str] = []

    async def ask(spelled: str) -> Answer:
        tried.append(spelled)
        return Answer(ROK if spelled == "1a2b" else RINVMSGID, spelled)

    assert (await asked("6699", "hex_to_dec", ask)).to == "1a2b"
    assert tried == ["1A2B", "1a2b"]


@pytest.mark.parametrize(("status", "tries"), [(RINVMSGID, 6), (RSYSERR, 1)])
async def test_only_an_id_that_is_not_known_is_spelled_otherwise(status: int, tries: int) -> None:
    tried: list[str] = []

    async def ask(spelled: str) -> Answer:
        tried.append(spelled)
        return Answer(status, spelled)

    answer = await asked("6699", "hex_to_dec", ask)
    assert (answer.to, answer.status, len(tried)) == ("1A2B", status, tries)
