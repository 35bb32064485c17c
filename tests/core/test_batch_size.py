"""A slow store gets less at a time, until it is quick enough; a quick one gets all that there is."""

from __future__ import annotations

from vas.batch_size import BatchSize


def settled(size: BatchSize, seconds_each: float) -> list[int]:
    """The sizes of batches, as many as there are works, for a store that takes so long for each work."""
    sizes = []
    for _ in range(20):
        sizes.append(size.now)
        size.took(size.now * seconds_each, size.now)
    return sizes


def test_a_quick_store_gets_all() -> None:
    assert settled(BatchSize(500, 4), 0.001) == [500] * 20


def test_a_slow_store_soon_gets_what_it_can_do_in_time_and_goes_on_with_that() -> None:
    sizes = settled(BatchSize(500, 4), 0.04)
    assert sizes[:4] == [500, 125, 31, 31]
    assert all(size * 0.04 <= 2 for size in sizes[3:])


def test_one_work_is_always_tried() -> None:
    assert settled(BatchSize(500, 4), 10)[-1] == 1


def test_a_store_that_is_quick_again_gets_all_again() -> None:
    size = BatchSize(500, 4)
    settled(size, 10)
    assert settled(size, 0.001)[-1] == 500


def test_small_batches_say_nothing_of_large_ones() -> None:
    size = BatchSize(500, 4)
    settled(size, 0.04)
    for _ in range(20):
        size.took(0.01, 1)
    assert size.now == 31


def test_a_store_without_a_limit_gets_all() -> None:
    assert settled(BatchSize(500, 0), 10) == [500] * 20
