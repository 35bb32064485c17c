"""What stands in outbox.smsc_ids: each segment's id as the SMSC's receipts have it, and as its submit_sm_resp had it.

A receipt is matched by the one; query_sm, cancel_sm and replace_sm ask by the other. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

_THEN_SUBMITTED = "\t"


def written(receipted: Iterable[str], submitted: Iterable[str] = ()) -> str:
    """With a space between; `submitted` is empty where the SMSC spells an id always the same."""
    apart = " ".join(submitted)
    return " ".join(receipted) + (_THEN_SUBMITTED + apart if apart else "")


def receipt_ids(smsc_ids: str) -> list[str]:
    """As in receipts."""
    return smsc_ids.partition(_THEN_SUBMITTED)[0].split()


def submitted_ids(smsc_ids: str) -> list[str]:
    """As in submit_sm_resp."""
    receipted, _, submitted = smsc_ids.partition(_THEN_SUBMITTED)
    return (submitted or receipted).split()
