"""Who has which connection: even, stable, and moving no more than must."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from vas.cluster.assignment import Place, assign, places

ACCOUNTS = st.dictionaries(st.sampled_from(["main", "bulk", "ussd", "night"]), st.integers(1, 6), min_size=1)
NODES = st.sets(st.integers(1, 6), min_size=1)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Place], set[int], dict[Place, int]]:
    """Places, nodes, and any leases at all: of these and of other nodes, of these and of other places."""
    wanted, nodes = places(draw(ACCOUNTS)), draw(NODES)
    some = st.dictionaries(st.sampled_from([*wanted, Place("gone", 0)]), st.integers(1, 9))
    return wanted, nodes, draw(some)


def _each(assigned: dict[Place, int], nodes: set[int]) -> list[int]:
    counts = Counter(assigned.values())
    return [counts[node] for node in sorted(nodes)]


@given(situations())
def test_every_place_has_one_node_and_no_node_has_two_more_than_another(
    situation: tuple[list[Place], set[int], dict[Place, int]],
) -> None:
    wanted, nodes, leases = situation
    assigned = assign(wanted, nodes, leases)
    assert sorted(assigned) == sorted(wanted)
    assert set(assigned.values()) <= nodes
    counts = _each(assigned, nodes)
    assert max(counts) - min(counts) <= 1


@given(situations())
def test_nothing_moves_while_nothing_changes(situation: tuple[list[Place], set[int], dict[Place, int]]) -> None:
    wanted, nodes, leases = situation
    once = assign(wanted, nodes, leases)
    assert assign(wanted, nodes, once) == once


@given(situations())
def test_only_as_many_move_as_must(situation: tuple[list[Place], set[int], dict[Place, int]]) -> None:
    wanted, nodes, leases = situation
    assigned = assign(wanted, nodes, leases)
    held = Counter(leases[place] for place in wanted if leases.get(place) in nodes)
    moved = sum(leases[place] in nodes and assigned[place] != leases[place] for place in wanted if place in leases)
    each, more = divmod(len(wanted), len(nodes))
    counts = sorted((held[node] for node in nodes), reverse=True)
    assert moved == sum(max(0, count - each - (rank < more)) for rank, count in enumerate(counts))


@given(situations())
def test_a_node_that_gave_up_what_it_has_too_much_of_leads_to_the_same(
    situation: tuple[list[Place], set[int], dict[Place, int]],
) -> None:
    wanted, nodes, leases = situation
    before = assign(wanted, nodes, leases)
    released = {place: node for place, node in leases.items() if before.get(place) == node}
    assert assign(wanted, nodes, released) == before


def test_without_a_node_nobody_has_anything() -> None:
    assert assign(places({"main": 2}), (), {Place("main", 0): 1}) == {}


def test_each_account_is_spread_over_the_nodes() -> None:
    alone = assign(places({"main": 2, "bulk": 2}), [1], {})
    assert set(alone.values()) == {1}
    both = assign(places({"main": 2, "bulk": 2}), [1, 2], alone)
    assert Counter((place.account, node) for place, node in both.items()) == {
        ("main", 1): 1, ("main", 2): 1, ("bulk", 1): 1, ("bulk", 2): 1,
    }  # fmt: skip


def test_an_account_of_one_bind_stays_where_it_is() -> None:
    assert assign(places({"main": 1}), [1, 2, 3], {Place("main", 0): 2}) == {Place("main", 0): 2}


def test_what_a_dead_node_had_goes_to_those_that_live() -> None:
    leases = {Place("main", 0): 1, Place("main", 1): 2, Place("main", 2): 3}
    assert assign(places({"main": 3}), [1, 3], leases) == {
        Place("main", 0): 1, Place("main", 1): 1, Place("main", 2): 3,
    }  # fmt: skip
