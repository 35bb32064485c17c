"""Looks for messages that are nobody's, and what is given back, go on after the store has refused them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from vas.due import GiveBack, TakeDue
from vas.errors import StoreError
from vas.outbox import Outbox


def outbox_among_nodes(submitted: list[Any]) -> Outbox:
    core: Any = SimpleNamespace(shared=True, clock_ms=lambda: 1_000, member=SimpleNamespace(id=1))
    gateway: Any = None
    return Outbox(core, gateway, submitted.append, lambda made: None)


def refuse(submitted: list[Any]) -> list[type]:
    """The store takes none of the works, and runs none; what they were."""
    refused = [type(work) for work in submitted]
    works, submitted[:] = submitted[:], []
    for work in works:
        work.lost(StoreError("gone"))
    return refused


def test_a_look_that_never_ran_is_followed_by_another() -> None:
    submitted: list[Any] = []
    outbox = outbox_among_nodes(submitted)
    outbox.tick()
    assert refuse(submitted) == [TakeDue]
    outbox.tick()
    assert refuse(submitted) == [TakeDue]


def test_what_could_not_be_given_back_is_given_back_later() -> None:
    submitted: list[Any] = []
    outbox = outbox_among_nodes(submitted)
    outbox.give_back([7])
    outbox.tick()
    assert refuse(submitted) == [GiveBack, TakeDue]
    outbox.tick()
    assert refuse(submitted) == [GiveBack, TakeDue]


def test_what_a_look_may_just_be_taking_is_not_given_back() -> None:
    submitted: list[Any] = []
    outbox = outbox_among_nodes(submitted)
    outbox.tick()
    outbox.give_back([7])
    outbox.tick()
    assert refuse(submitted) == [TakeDue]
    outbox.tick()
    assert refuse(submitted) == [GiveBack, TakeDue]
