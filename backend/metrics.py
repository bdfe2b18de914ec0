"""Every metric of a process, and the server that Prometheus scrapes: `METRICS_LISTEN`.

Labels hold only names that stand in the code: routes, workflows, stages, topics, error codes. Never
a path, an id or a shop, so the number of series is bounded and no tenant's data is in them. A hook
elsewhere is one call of `increment`, `count_call`, `time_block` or `count_request`; none of them
can make its caller fail.

The server runs in a thread, so that it still answers while the event loop does not.
"""

import bisect
import contextlib
import functools
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ParamSpec, Protocol
from urllib.parse import urlsplit

import structlog
from prometheus_client import (
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from backend.errors import ConfigurationError

P = ParamSpec("P")

log = structlog.get_logger(__name__)

disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each, and no use

# From a read of one row to a long poll (25 s), and from a file's upload to a stage's limit (60 s).
REQUEST_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
STAGE_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0)
TIME_UNTIL_ANSWER = "Time until an answer began, by route template; long polls include their wait."
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})

EVENT_LOOP_LAG = Gauge(
    "atelier_event_loop_lag_seconds", "How late the event loop last was for a timer of its own."
)
DATABASE_UNAVAILABLE = Counter(
    "atelier_database_unavailable", "How often Postgres, or a free connection to it, was missing."
)
STORAGE_CALLS = Counter(
    "atelier_storage_calls",
    "Calls to the bucket; `outcome` is ok or the class of the error.",
    ["operation", "outcome"],
)
SHOPIFY_CALLS = Counter(
    "atelier_shopify_calls",
    "Calls to Shopify; `outcome` is ok or the class of the error.",
    ["operation", "outcome"],
)
WEBHOOKS_HANDLED = Counter(
    "atelier_webhooks_handled",
    "Runs of webhook handlers: processed, ignored, failed, or retried later.",
    ["topic", "outcome"],
)
JOBS_ENDED = Counter(
    "atelier_jobs_ended",
    "Jobs that have ended: succeeded, or failed with a code.",
    ["workflow", "outcome", "code"],
)
STAGE_SECONDS = Histogram(
    "atelier_stage_duration_seconds",
    "Time to make a stage and store its files.",
    ["workflow", "stage"],
    buckets=STAGE_BUCKETS,
)
PUBLICATIONS_ENDED = Counter(
    "atelier_publications_ended", "Publications that have come to rest.", ["outcome", "code"]
)
BATCHES_EXPANDED = Counter(
    "atelier_batches_expanded",
    "Batches that are done with making jobs: expanded, or failed with a code.",
    ["outcome", "code"],
)
CREDIT_ENTRIES = Counter(
    "atelier_credit_entries",
    "Entries of the shops' ledgers, by kind: grant, hold, capture, release, expire or void.",
    ["kind"],
)
CREDIT_DIFFERENCES = Counter(
    "atelier_credit_differences",
    "Shops whose balance differs from their ledger, found by a nightly comparison.",
)
REFUNDS_NOT_READ = Counter(
    "atelier_refunds_not_read",
    "Attempts at a shop's refunds that ended because Shopify refused its history.",
)
SUBMISSIONS_SETTLED = Counter(
    "atelier_submissions_settled",
    "Requests to hosted providers that have come to rest: collected, failed, lost or cancelled.",
    ["provider", "outcome"],
)
POSSIBLE_DOUBLE_COSTS = Counter(
    "atelier_possible_double_costs",
    "Requests that a provider may have charged although another one was made for the same stage.",
    ["provider"],
)
PROVIDER_COST = Counter(
    "atelier_provider_cost_micros",
    "What settled requests have cost, in millionths of USD, where the provider's price is known.",
    ["provider"],
)
SUBMISSIONS_OPEN = Gauge(
    "atelier_submissions_open",
    "Requests to hosted providers that are not settled, over all processes: waiting for a place, "
    "intended, submitted or ready.",
    ["provider", "state"],
)
PROVIDER_PAUSED = Gauge(
    "atelier_provider_paused_seconds",
    "For how long the provider has taken no requests; 0 while it takes them.",
    ["provider"],
)
ENDPOINT_DELIVERIES = Counter(
    "atelier_endpoint_deliveries",
    "Attempts to deliver events to webhook endpoints: succeeded, retried later, or given up.",
    ["outcome"],
)
ENDPOINTS_DISABLED = Counter(
    "atelier_endpoints_disabled",
    "Webhook endpoints that were switched off: gone (410), or failing for five days.",
    ["reason"],
)
QUEUE_ENTRIES = Gauge(
    "atelier_queue_entries",
    "Queue entries by kind: due, delayed until later, or running. Measured by one worker.",
    ["kind", "state"],
)
QUEUE_OLDEST = Gauge(
    "atelier_queue_oldest_due_seconds",
    "For how long the oldest due queue entry has been due. Measured by one worker.",
    ["kind"],
)
QUEUE_MEASURED = Gauge(
    "atelier_queue_measured_timestamp_seconds",
    "When this process last measured the queue (Unix time); 0 while another one does.",
)
COMPLIANCE_OVERDUE = Gauge(
    "atelier_compliance_overdue",
    "Compliance webhooks that have not been carried out within a day, over all shops.",
)


class Pool(Protocol):
    """What a pool of connections tells of itself."""

    size: int
    waits: int

    @property
    def in_use(self) -> int:
        """How many of its connections are lent."""


class Pools(Collector):
    """The pools of connections, read when Prometheus asks: their users pay nothing for it."""

    def __init__(self) -> None:
        self.watched: Mapping[str, Pool] = {}

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """The three metrics of each pool."""
        in_use = GaugeMetricFamily(
            "atelier_database_connections_in_use", "Connections that are lent.", labels=["pool"]
        )
        size = GaugeMetricFamily(
            "atelier_database_connections_limit", "Connections at most.", labels=["pool"]
        )
        waits = CounterMetricFamily(
            "atelier_database_waits", "Users who had to wait for a connection.", labels=["pool"]
        )
        for name, pool in self.watched.items():
            in_use.add_metric([name], pool.in_use)
            size.add_metric([name], pool.size)
            waits.add_metric([name], pool.waits)
        yield from (in_use, size, waits)


POOLS = Pools()
REGISTRY.register(POOLS)


def watch_pools(pools: Mapping[str, Pool]) -> None:
    """Show these pools, by name, as the process's."""
    POOLS.watched = pools


class RequestDurations(Collector):
    """A histogram of the event loop's thread, whose sums are made when Prometheus asks.

    prometheus_client's own takes a lock for each of its numbers, and took 3 % of a 304.
    """

    def __init__(self) -> None:
        # By method, route and status: a count for each bucket and one beyond, and the seconds.
        self.series: dict[tuple[str, str, int], list[float]] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        key = (method, route, status)
        if (series := self.series.get(key)) is None:
            series = self.series[key] = [0.0] * (len(REQUEST_BUCKETS) + 2)
        series[bisect.bisect_left(REQUEST_BUCKETS, seconds)] += 1
        series[-1] += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The metric, with the cumulative counts that Prometheus expects."""
        durations = HistogramMetricFamily(
            "atelier_http_request_duration_seconds",
            TIME_UNTIL_ANSWER,
            labels=["method", "route", "status"],
        )
        bounds = [*map(floatToGoString, (*REQUEST_BUCKETS, math.inf))]
        for labels, (*counts, seconds) in list(self.series.items()):
            buckets = [*zip(bounds, itertools.accumulate(counts), strict=True)]
            durations.add_metric([*map(str, labels)], buckets, seconds)
        yield durations


HTTP_REQUESTS = RequestDurations()
REGISTRY.register(HTTP_REQUESTS)


def harmless(measure: Callable[P, None]) -> Callable[P, None]:
    """`measure`, whose errors are logged: what is measured goes on."""

    @functools.wraps(measure)
    def measured(*args: P.args, **named: P.kwargs) -> None:
        try:
            measure(*args, **named)
        except Exception as error:
            log.error("metric_failed", exc_info=error)

    return measured


@harmless
def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count an answer; `route` is the path's template."""
    HTTP_REQUESTS.observe(method if method in METHODS else "other", route, status, seconds)


@harmless
def increment(counter: Counter, *labels: str, by: int = 1) -> None:
    """Count one more, or that many."""
    (counter.labels(*labels) if labels else counter).inc(by)


@contextlib.contextmanager
def count_call(calls: Counter, operation: str) -> Iterator[None]:
    """Count the block as a call, by its operation and how it ended."""
    outcome = "ok"
    try:
        yield
    except BaseException as error:
        outcome = type(error).__name__
        raise
    finally:
        increment(calls, operation, outcome)


@contextlib.contextmanager
def time_block(histogram: Histogram, *labels: str) -> Iterator[None]:
    """Time the block, unless it raises."""
    started = time.perf_counter()
    yield
    observe(histogram, time.perf_counter() - started, *labels)


@harmless
def observe(histogram: Histogram, seconds: float, *labels: str) -> None:
    """Count a duration."""
    histogram.labels(*labels).observe(seconds)


@harmless
def start_at_zero(counter: Counter, *labels: Iterable[str]) -> None:
    """Show series before their first event: Prometheus sees no increase in a new one."""
    for each in itertools.product(*labels):
        counter.labels(*each)


@contextlib.contextmanager
def served_metrics(listen: str) -> Iterator[None]:
    """Serve the metrics at `host:port` until the block ends; an empty `listen` serves none.

    Raises `ConfigurationError` when the address is malformed or taken.
    """
    if not listen:
        yield
        return
    host, port = parsed(listen)
    try:
        server, thread = start_http_server(port, host)
        server.set_app(with_head(server.get_app()))
    except OSError as error:
        raise ConfigurationError(
            f"METRICS_LISTEN: cannot listen on {listen}: {error.strerror}. "
            "Each process needs a port of its own, and an address of this machine."
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def with_head(app: Any) -> Any:
    """The WSGI app, which answers HEAD as GET without the body."""

    def answer(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "HEAD":
            found: Iterable[bytes] = app(environ, start_response)
            return found
        started: list[tuple[str, list[tuple[str, str]]]] = []
        body = app({**environ, "REQUEST_METHOD": "GET"}, lambda *head: started.append(head))
        status, headers = started[0]
        start_response(status, [*headers, ("Content-Length", str(sum(map(len, body))))])
        return [b""]

    return answer


def parsed(listen: str) -> tuple[str, int]:
    """Host and port of `host:port`. Raises `ConfigurationError`."""
    try:
        address = urlsplit(f"//{listen}")
        host, port = address.hostname, address.port
    except ValueError:  # such as a port beyond 65535
        host = port = None
    if not host or port is None:
        raise ConfigurationError(
            f"METRICS_LISTEN must be host:port, such as 127.0.0.1:9464, not {listen!r}."
        )
    return host, port
