"""Metrics are served on an address of their own, and only where one is set; and they do no harm."""

import asyncio
import socket

import httpx
import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Histogram, generate_latest
from sqlalchemy import text
from structlog.testing import capture_logs

from backend import metrics
from backend.db import Database
from backend.errors import ConfigurationError, DatabaseUnavailable
from backend.metrics import (
    EVENT_LOOP_LAG,
    REQUEST_BUCKETS,
    STAGE_SECONDS,
    STORAGE_CALLS,
    TIME_UNTIL_ANSWER,
    RequestDurations,
    count_call,
    count_request,
    served_metrics,
    time_block,
    watch_pools,
)
from backend.shops import documents
from backend.shops.documents import OPERATION, operation_of
from tests.scenarios import NOBODY_LISTENS


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_metrics_are_served_until_the_block_ends() -> None:
    EVENT_LOOP_LAG.set(0.125)
    address = f"127.0.0.1:{free_port()}"
    with served_metrics(address):
        get = httpx.get(f"http://{address}/metrics")
        head = httpx.head(f"http://{address}/metrics")
    assert "atelier_event_loop_lag_seconds 0.125" in get.text
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert int(head.headers["content-length"]) > 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{address}/metrics")


def test_without_an_address_no_metrics_are_served() -> None:
    with served_metrics(""):
        pass


@pytest.mark.parametrize("listen", ["9464", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000"])
def test_a_malformed_address_is_refused_with_an_example(listen: str) -> None:
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:9464"), served_metrics(listen):
        pass


def test_a_taken_address_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        problem = f"{address}: Address already in use. Each process needs a port of its own"
        with pytest.raises(ConfigurationError, match=problem), served_metrics(address):
            pass


def test_an_error_in_a_metric_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_labels: str) -> None:
        raise ValueError("no such label")

    monkeypatch.setattr(metrics.HTTP_REQUESTS, "observe", broken)
    monkeypatch.setattr(STORAGE_CALLS, "labels", broken)
    monkeypatch.setattr(STAGE_SECONDS, "labels", broken)
    with capture_logs() as logs:
        count_request("GET", "/v1/jobs", 200, 0.1)
        with count_call(STORAGE_CALLS, "put"), time_block(STAGE_SECONDS, "catalog", "fetch"):
            pass
    assert [line["event"] for line in logs] == ["metric_failed"] * 3


def test_requests_are_shown_as_a_histogram_of_prometheus_client_shows_them() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    durations = RequestDurations()
    ours.register(durations)
    expected = Histogram(
        *("atelier_http_request_duration_seconds", TIME_UNTIL_ANSWER),
        *(["method", "route", "status"],),
        buckets=REQUEST_BUCKETS,
        registry=theirs,
    )
    for status, seconds in [(200, 0.0015), (200, 0.002), (304, 0.0021), (200, 29.5), (200, 31.0)]:
        durations.observe("GET", "/v1/jobs", status, seconds)
        expected.labels("GET", "/v1/jobs", status).observe(seconds)
    assert generate_latest(ours) == generate_latest(theirs)


def test_a_call_is_counted_by_how_it_ended() -> None:
    def calls(outcome: str) -> float:
        labels = {"operation": "a-test", "outcome": outcome}
        return REGISTRY.get_sample_value("atelier_storage_calls_total", labels) or 0

    with count_call(STORAGE_CALLS, "a-test"):
        pass
    with pytest.raises(KeyError), count_call(STORAGE_CALLS, "a-test"):
        raise KeyError
    assert (calls("ok"), calls("KeyError")) == (1, 1)


def test_a_block_that_raises_is_not_timed() -> None:
    labels = {"workflow": "a-test", "stage": "fetch"}
    with pytest.raises(KeyError), time_block(STAGE_SECONDS, *labels.values()):
        raise KeyError
    assert REGISTRY.get_sample_value("atelier_stage_duration_seconds_count", labels) is None


async def test_a_pool_shows_who_has_a_connection_and_who_had_to_wait(database_url: str) -> None:
    database = Database(database_url, pool_size=1)
    watch_pools(database.pools)

    def shown(what: str, pool: str) -> float | None:
        return REGISTRY.get_sample_value(f"atelier_database_{what}", {"pool": pool})

    try:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT 1"))
            assert shown("connections_in_use", "transactions") == 1
            with pytest.raises(DatabaseUnavailable):
                async with database.reading():
                    pass
        assert shown("connections_in_use", "transactions") == 0
        assert shown("waits_total", "transactions") == 1
        query = "SELECT pg_sleep(0.1)"
        both = (database.run(lambda connection: connection.fetch(query)) for _ in range(2))
        await asyncio.gather(*both)
        assert shown("waits_total", "statements") == 1
        assert shown("connections_limit", "statements") == 1
    finally:
        await database.close()


async def test_a_database_that_is_away_is_counted() -> None:
    def missed() -> float:
        return REGISTRY.get_sample_value("atelier_database_unavailable_total") or 0

    database = Database(NOBODY_LISTENS)
    before = missed()
    with pytest.raises(DatabaseUnavailable):
        await database.run(lambda connection: connection.fetch("SELECT 1"))
    with pytest.raises(DatabaseUnavailable):
        async with database.transaction():
            pass
    await database.close()
    assert missed() == before + 2


def test_each_of_our_documents_for_shopify_has_an_operation_of_its_own() -> None:
    texts = [text for text in vars(documents).values() if isinstance(text, str) and "\n" in text]
    operations = [text for text in texts if OPERATION.search(text)]
    names = {operation_of(text) for text in operations}
    fragments = [text for text in texts if text.startswith("\nfragment") and text not in operations]
    assert len(names) == len(operations) == len(texts) - len(fragments) > 10
