"""Every Prometheus metric of the platform.

No label holds a number, a text or anything else that a subscriber chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

_UNIT_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
_LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_HTTP_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_BATCH_UNITS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


M = TypeVar("M")
K = TypeVar("K", Counter, Gauge)


class LabelledCounter(Counter):
    """Remembers its children: prometheus_client's own look-up of one costs as much as counting."""

    def labels(self, *labelvalues: Any, **labelkwargs: Any) -> Self:
        return _child(self, labelvalues, super().labels)


class LabelledHistogram(Histogram):
    """Remembers its children, as LabelledCounter does."""

    def labels(self, *labelvalues: Any, **labelkwargs: Any) -> Self:
        return _child(self, labelvalues, super().labels)


def _child(metric: M, labels: tuple[str, ...], look_up: Callable[..., M]) -> M:
    children: dict[tuple[str, ...], M] = metric.__dict__.setdefault("children", {})
    child = children.get(labels)
    if child is None:
        child = children[labels] = look_up(*labels)
    return child


class Metrics:
    """The metrics, registered in `registry`; a registry takes them once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Else each counter has a second line, of when it was made, which nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry
        ProcessCollector(registry=registry)
        self._traffic()
        self._work()
        self._links()
        self.http_requests = Counter(
            "vas_http_requests_total",
            "HTTP requests by listener (admin, web), the route's pattern, method and status.",
            ("listener", "route", "method", "status"),
            registry=registry,
        )
        self.http_seconds = Histogram(
            "vas_http_seconds",
            "Time from an HTTP request's head to the end of its response.",
            ("listener",),
            buckets=_HTTP_SECONDS,
            registry=registry,
        )
        self.authentications_failed = Counter(
            "vas_authentications_failed_total",
            "Requests to the operations' listener with a wrong or missing key, or turned away after too many.",
            registry=registry,
        )

    def _traffic(self) -> None:
        self.received = LabelledCounter(
            "vas_received_total",
            "Commands received, by the result of the unit: as inbox.result, or part (of a long one), later, throttled.",
            ("service", "account", "result"),
            registry=self.registry,
        )
        self.long_messages = LabelledCounter(
            "vas_long_messages_total",
            "Long messages received, by how they ended: complete, incomplete, copies, or later: no more may wait.",
            ("account", "result"),
            registry=self.registry,
        )
        self.parts_waiting = Gauge(
            "vas_parts_waiting", "Parts that wait for the rest of their long message.", registry=self.registry
        )
        self.sent = LabelledCounter(
            "vas_sent_total",
            "Messages submitted, by outcome: sent, temporary, permanent, unanswered, not_sent.",
            ("service", "account", "result"),
            registry=self.registry,
        )
        self.receipts = LabelledCounter(
            "vas_receipts_total", "Delivery receipts by state.", ("account", "state"), registry=self.registry
        )
        self.redelivered = LabelledCounter(
            "vas_redelivered_total",
            "Commands recognised as copies and answered from what is stored.",
            ("account",),
            registry=self.registry,
        )
        self.latency_seconds = Histogram(
            "vas_latency_seconds",
            "From a deliver_sm's arrival to the submit_sm_resp of its first reply.",
            buckets=_LATENCY_SECONDS,
            registry=self.registry,
        )

    def _work(self) -> None:
        self.batch_units = Histogram(
            "vas_batch_units", "Units of work in one transaction.", buckets=_BATCH_UNITS, registry=self.registry
        )
        self.commit_seconds = Histogram(
            "vas_commit_seconds", "Duration of COMMIT, fsync included.", buckets=_COMMIT_SECONDS, registry=self.registry
        )
        self.unit_seconds = LabelledHistogram(
            "vas_unit_seconds",
            "Duration of one unit of work, its commit excluded.",
            ("service",),
            buckets=_UNIT_SECONDS,
            registry=self.registry,
        )
        self.slow_units = LabelledCounter(
            "vas_slow_units_total", "Units of work that took over 20 ms.", ("service",), registry=self.registry
        )
        self.dead_letters = LabelledCounter(
            "vas_dead_letters_total", "Units that failed and became dead letters.", ("service",), registry=self.registry
        )
        self.store_up = Gauge(
            "vas_store_up", "1: the last thing that was tried was committed; 0: nothing can be.", registry=self.registry
        )
        self.store_outages = Counter(
            "vas_store_outages_total", "Times that nothing could be committed any more.", registry=self.registry
        )
        self.store_down_seconds = Counter(
            "vas_store_down_seconds_total", "Time in which nothing could be committed.", registry=self.registry
        )
        self.results_dropped = Counter(
            "vas_results_dropped_total", "Results of submissions to messages that another node had taken meanwhile.",
            registry=self.registry,
        )  # fmt: skip
        self.ready = Gauge("vas_ready", "1: /readyz says yes; looked at when this is read.", registry=self.registry)
        self.outbox_queued = Gauge("vas_outbox_queued", "Messages that wait to be submitted.", registry=self.registry)
        self.partitions_ahead = Gauge(
            "vas_partitions_ahead",
            "Days after today whose part of a log is made already, on PostgreSQL.",
            ("log",),
            registry=self.registry,
        )
        self.unfinished_commands = Gauge(
            "vas_unfinished_commands", "Commands received and not yet answered.", registry=self.registry
        )

    def _links(self) -> None:
        self.binds = Gauge("vas_binds", "Binds by state.", ("account", "state"), registry=self.registry)
        self.account_up = self._of_account(Gauge, "vas_account_up", "1: a bind that may submit is up, and used.")
        self.account_rate = self._of_account(
            Gauge, "vas_account_rate", "PDUs a second that may leave now; 0: no limit."
        )
        self.in_flight = self._of_account(Gauge, "vas_in_flight", "Requests sent and not yet answered.")
        self.waiting = Gauge(
            "vas_waiting",
            "Messages that wait for the window or the rate, by lane: replies, rest.",
            ("account", "lane"),
            registry=self.registry,
        )
        self.pdus_in = self._of_account(Counter, "vas_pdus_in_total", "PDUs received.")
        self.pdus_out = self._of_account(Counter, "vas_pdus_out_total", "PDUs sent.")
        self.refused_in = self._of_account(Counter, "vas_refused_in_total", "PDUs that could not be read.")
        self.throttled = self._of_account(
            Counter, "vas_throttled_total", "submit_sm refused with RTHROTTLED or RMSGQFUL."
        )
        self.timeouts = self._of_account(Counter, "vas_timeouts_total", "Requests that were not answered in time.")
        self.late_answers = self._of_account(
            Counter, "vas_late_answers_total", "Answers that left after the SMSC's response timer."
        )
        self.reconnects = self._of_account(Counter, "vas_reconnects_total", "Connections made again.")

    @property
    def of_links(self) -> dict[str, Counter]:
        """What the links of an account count, by the names that they give it."""
        return {
            "pdus_in": self.pdus_in,
            "pdus_out": self.pdus_out,
            "refused_in": self.refused_in,
            "throttled": self.throttled,
            "timeouts": self.timeouts,
            "late_answers": self.late_answers,
        }

    def _of_account(self, kind: type[K], name: str, documentation: str) -> K:
        return kind(name, documentation, ("account",), registry=self.registry)


class NodesMetrics:
    """What a node that shares a database tells of itself and the others."""

    def __init__(self) -> None:
        self.nodes_alive = Gauge("vas_nodes_alive", "Nodes of this database whose lease is not over.", registry=None)
        self.lease_left_seconds = Gauge(
            "vas_lease_left_seconds", "For how long this node may still send without being renewed.", registry=None
        )
        self.binds_leased = Gauge(
            "vas_binds_leased", "Binds of an account that are this node's to make.", ("account",), registry=None
        )
        self.given_up = Counter(
            "vas_nodes_given_up_total", "Nodes whose binds and messages this one gave to the others.", registry=None
        )

    def register(self, registry: CollectorRegistry) -> None:
        """Have them shown; a registry takes them once."""
        for metric in (self.nodes_alive, self.lease_left_seconds, self.binds_leased, self.given_up):
            registry.register(metric)
