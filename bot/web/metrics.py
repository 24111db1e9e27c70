"""What can be measured about us? Counters of what came in, and gauges of the fleet that are read when somebody asks.

Labels hold only our own words, never a cluster's or a person's: metrics need no login, and their number stays small.
"""

import time
from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.incidents.incident import State
from bot.web.parts import WebParts
from rancher_ext.errors import DroverError

VERDICTS = ("stuck", "unknown", "progressing", "healthy", "out-of-scope")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """One registry per application: two in one process (tests, demo) do not mix."""

    def __init__(self, parts: WebParts) -> None:
        self.registry = CollectorRegistry()
        self.hooks = Counter(
            "drover_hook_requests_total",
            "Requests to hooks, by what became of them",
            ["hook", "outcome"],
            registry=self.registry,
        )
        self.requests = Counter(
            "drover_http_requests_total", "HTTP requests", ["route", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "drover_http_request_seconds",
            "Time until the answer began",
            ["route"],
            buckets=(0.005, 0.025, 0.1, 0.5, 2.5, 10),
            registry=self.registry,
        )
        self.registry.register(_Fleet(parts))
        ProcessCollector(registry=self.registry)


class _Fleet(Collector):
    def __init__(self, parts: WebParts) -> None:
        self._parts = parts

    def describe(self) -> list[Metric]:
        """Nothing in advance: asking the store at start-up would be too early."""
        return []

    def collect(self) -> Iterator[Metric]:
        """A store that fails takes these gauges away and says so; the counters stay."""
        ok = GaugeMetricFamily("drover_facts_readable", "1 when fleet and incidents could be read for this scrape")
        try:
            found = list(self._read())
        except DroverError:
            ok.add_metric([], 0)
            yield ok
            return
        ok.add_metric([], 1)
        yield ok
        yield from found

    def _read(self) -> Iterator[Metric]:
        parts = self._parts
        clusters = GaugeMetricFamily("drover_clusters", "Clusters by verdict of the last look", labels=["verdict"])
        verdicts = Tally(cluster.verdict for cluster in parts.fleet())
        for verdict in VERDICTS:
            clusters.add_metric([verdict], verdicts[verdict])
        yield clusters
        incidents = GaugeMetricFamily("drover_incidents", "Incidents that are not over, by state", labels=["state"])
        states = Tally(incident.state for incident in parts.incidents())
        for state in State:
            if not state.over:
                incidents.add_metric([state.value], states[state])
        yield incidents
        coverage = parts.coverage()
        yield GaugeMetricFamily("drover_sweep_clusters", "Clusters that the last sweep saw", value=coverage.seen)
        if coverage.swept_at is not None:
            age = max(0.0, (parts.now() - coverage.swept_at).total_seconds())
            yield GaugeMetricFamily("drover_sweep_age_seconds", "Age of the last complete sweep", value=age)
        if coverage.watch_connected is not None:
            yield GaugeMetricFamily(
                "drover_watch_connected", "1 while Rancher is being watched", value=float(coverage.watch_connected)
            )
        yield GaugeMetricFamily("drover_ready", "1 while /readyz says so", value=float(parts.health().ready))


class CountRequests:
    """Counts by route template, so that addresses people invent do not become labels."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "none")
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._metrics.requests.labels(route=route, method=method, status=str(message["status"])).inc()
                self._metrics.seconds.labels(route=route).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, counting)
