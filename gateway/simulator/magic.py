"""Numbers that tell the simulator what shall go wrong: a sender or destination that ends in 9000 and two digits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MARK = "9000"
"""Stands before the last two digits."""


def digits_of(number: str) -> str:
    """The two digits after MARK at a number's end; empty where there are none."""
    return number[-2:] if number[-6:-2] == MARK else ""


def _on(kind: str, meaning: str, **fields: Any) -> tuple[dict[str, Any], str]:
    return {"kind": kind, "per": "phone", **fields}, meaning


MAGIC: Mapping[str, tuple[dict[str, Any], str]] = {
    "01": _on("status", "submit_sm is refused with RSYSERR", status="RSYSERR"),
    "02": _on("status", "… with RMSGQFUL, three times", status="RMSGQFUL", times=3),
    "03": _on("status", "… with RTHROTTLED, three times", status="RTHROTTLED", times=3),
    "04": _on("status", "… with RINVDSTADR", status="RINVDSTADR"),
    "05": _on("status", "… with RSUBMITFAIL, once", status="RSUBMITFAIL", times=1),
    "06": _on("status", "… with 0x442, a vendor's own", status=0x442),
    "07": _on("nack", "submit_sm is answered with a generic_nack", status="RSYSERR"),
    "10": _on("silence", "submit_sm is taken and never answered"),
    "11": _on("lost", "the first submit_sm is neither taken nor answered", times=1),
    "12": _on("delay", "submit_sm is answered after 3 seconds", seconds=3),
    "13": _on("delay", "submit_sm is answered after 0 to 3 seconds", seconds=0, until=3),
    "14": _on("congestion", "submit_sm_resp says congestion_state 95", congestion=95),
    "15": _on("slow_reading", "nothing is read from the ESME for 3 seconds", seconds=3),
    "20": _on("drop_before", "the link breaks before the first submit_sm_resp", times=1),
    "21": _on("drop_after", "the link breaks after the first submit_sm_resp", times=1),
    "30": _on("undelivered", "the receipt says UNDELIV, error 001"),
    "31": _on("receipt_lost", "the receipt never comes"),
    "32": _on("receipt_late", "the receipt comes after 5 seconds", seconds=5),
    "33": _on("receipt_early", "the receipt comes before the submit_sm_resp"),
    "34": _on("receipt_twice", "the receipt comes twice"),
    "35": _on("receipt_id", "the receipt's text has the id in hexadecimal", form="hex"),
    "36": _on("receipt_without_id", "the receipt names no message"),
    "37": _on("receipt_data_sm", "the receipt is a data_sm"),
    "38": _on("receipt_esm_class", "the receipt has esm_class 0"),
    "39": _on("receipt_other_bind", "the receipt comes on another bind"),
    "50": _on("duplicate", "its deliver_sm are written twice"),
    "51": _on("lost_response", "the first deliver_sm_resp is not heard", times=1),
    "52": _on("parts_shuffled", "its long texts go out of order"),
    "53": _on("part_missing", "its long texts lack a part"),
    "60": _on("malformed", "a copy with a TLV cut short goes ahead of its deliver_sm", shape="truncated_tlv"),
    "61": _on("malformed", "… with a string that does not end", shape="unterminated"),
    "62": _on("malformed", "… with an sm_length beyond the end", shape="sm_length"),
    "63": _on("malformed", "… with a command_id that nobody knows", shape="unknown_command"),
    "64": _on("malformed", "… with a command_length of 4, once", shape="length_short", times=1),
    "65": _on("malformed", "… with a command_length beyond all bounds, once", shape="length_huge", times=1),
}
"""Fields of a gateway.simulator.faults.Fault, and what it does in words, by the two digits."""
