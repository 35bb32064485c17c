"""The metrics, and the page that explains them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from vas.admin.app import OPERATIONS
from vas.metrics import Metrics, NodesMetrics

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
PERSONAL = {"msisdn", "sender", "number", "text", "to", "session", "id"}


def exposed() -> dict[str, tuple[str, ...]]:
    """The labels of each metric, by the name it has for Prometheus."""
    metrics = Metrics(CollectorRegistry())
    own = [metric for metric in vars(metrics).values() if metric is not metrics.registry]
    own += vars(NodesMetrics()).values()
    return {metric._name + ("_total" if metric._type == "counter" else ""): metric._labelnames for metric in own}


def test_every_metric_is_explained_with_its_labels() -> None:
    rows = re.findall(r"^\| `(vas_\w+)` \| \w+ \| ([\w, ]*)\|", PAGE, re.MULTILINE)
    assert {name: tuple(labels.replace(",", " ").split()) for name, labels in rows} == exposed()


@pytest.mark.parametrize("name", sorted(exposed()))
def test_no_label_can_hold_what_a_subscriber_chose(name: str) -> None:
    assert not PERSONAL & set(exposed()[name])


def test_the_page_names_no_path_that_is_not_served() -> None:
    served = [re.sub(r"{\w+}", r"[^/]+", operation.path) for operation in OPERATIONS]
    named = re.findall(r"(/admin/v1/[a-z0-9/-]+[a-z0-9])", PAGE)
    assert [path for path in named if not any(re.fullmatch(pattern, path) for pattern in served)] == []
    assert len(named) >= 6
