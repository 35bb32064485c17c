"""How many works go into a batch: fewer where the store takes long for them, so that each batch is done in time."""

from __future__ import annotations


class BatchSize:
    """Halves while a batch takes more than half of its time, and doubles while one takes less than a quarter."""

    def __init__(self, most: int, within_s: float) -> None:
        """`within_s`: how long a batch may take; zero: it has no limit, nor has it an effect here."""
        self.now = most
        self._most = most
        self._within_s = within_s

    def took(self, seconds: float, works: int) -> None:
        """A batch of so many works has ended, one way or the other; it may be one of two that were taken together."""
        if not self._within_s:
            return
        if seconds >= self._within_s:
            self.now = max(1, works // 4)
        elif seconds > self._within_s / 2:
            self.now = max(1, works // 2)
        elif seconds < self._within_s / 4 and 2 * works >= self.now:
            self.now = min(self._most, self.now * 2)
