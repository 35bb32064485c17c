"""What the core's tests share: a small service to try things on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.toys import Toy
from tests.engines import Engine


@pytest.fixture
def toy(folder: Path, engine: Engine) -> Toy:
    return Toy(folder, engine)
