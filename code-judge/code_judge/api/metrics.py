"""Prometheus metrics of one API process; what workers say of themselves is read from the queue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

from code_judge.dispatcher import Dispatcher

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Metrics:
    """`/metrics`. Counters are kept here; gauges are read when asked for."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self.registry = CollectorRegistry()
        self._outcomes = Counter(
            "judge_results", "Results by outcome and detail.", ["outcome", "detail"], registry=self.registry
        )
        self._run = Histogram("judge_run_seconds", "Wall time of runs.", buckets=_SECONDS, registry=self.registry)
        self._cpu = Counter("judge_run_cpu_seconds", "CPU time of runs.", registry=self.registry)
        self._wait = Histogram(
            "judge_wait_seconds", "Time of a submission outside of its run.", buckets=_SECONDS, registry=self.registry
        )
        self._refused = Counter("judge_refused", "Requests answered 429.", registry=self.registry)
        self.registry.register(self)  # pyright: ignore[reportArgumentType]

    def finished(self, row: dict[str, Any]) -> None:
        """Count a result."""
        detail = row["detail"].partition(":")[0] if row["outcome"] == "infra_error" else row["detail"]
        self._outcomes.labels(row["outcome"], detail[:40] if row["outcome"] != "rejected" else "").inc()
        self._run.observe(row["wall_s"])
        self._wait.observe(row["queue_s"])
        self._cpu.inc(row["cpu_s"])

    def refused(self) -> None:
        self._refused.inc()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges, as prometheus_client asks for them."""
        status = self._dispatcher.status
        for name, text, value in (
            ("judge_queue_depth", "Jobs on the queue server that no worker holds.", status.waiting),
            ("judge_queue_local", "Jobs that wait in this process.", self._dispatcher.waiting),
            ("judge_admitted", "Submissions being answered by this process.", self._dispatcher.admitted),
            ("judge_running", "Jobs that workers hold.", status.running),
            ("judge_workers", "Live worker processes.", len(status.supervisors)),
            ("judge_slots", "Concurrent runs of live workers.", status.slots),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        for name, text, field in (
            ("judge_slots_busy", "Slots with a run, by worker.", "busy"),
            ("judge_sessions", "Open sessions, by worker.", "sessions"),
            ("judge_slot_starts", "Slots started since the worker began.", "slots_started"),
            ("judge_slot_losses", "Slots that ended in a run.", "slots_lost"),
        ):
            family = GaugeMetricFamily(name, text, labels=["worker", "isolation"])
            for row in status.supervisors:
                family.add_metric([row["name"], row["isolation"]], row[field])
            yield family
        parts = GaugeMetricFamily(
            "judge_isolation_info", "What confines runs.", labels=["worker", "level", "part", "by"]
        )
        for row in status.supervisors:
            for part, means in row["parts"].items():
                parts.add_metric([row["name"], row["level"], part, means], 1)
        yield parts

    def text(self) -> bytes:
        return generate_latest(self.registry)
