"""One worker of all measures the queue, by its indexes, and shows what there is."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from pgqueuer.db import AsyncpgDriver
from prometheus_client import REGISTRY

from backend.tenancy import WORKER
from backend.worker import queue_metrics
from backend.worker.queue_metrics import WAITING, forget_queue, measure_queue, measured_queue

LISTEN = "127.0.0.1:9464"
ENTRIES = """
INSERT INTO queue.pgqueuer (priority, status, entrypoint, payload, dedupe_key, execute_after)
SELECT -n % 1000, 'queued', CASE WHEN n % 2 = 0 THEN 'run_job' ELSE 'handle_webhook' END,
       repeat('p', 150)::bytea, 'key-' || n, now() - n * interval '1 second' / 100
FROM generate_series(1, {number}) n
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure again at once."""
    monkeypatch.setattr(queue_metrics, "INTERVAL", 0.01)
    monkeypatch.setattr(queue_metrics, "REST", 0)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """No test sees what another has measured."""
    forget_queue()
    yield
    forget_queue()


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncpgDriver]:
    """A worker's connection for its queue."""
    connection = await asyncpg.connect(url, server_settings={"role": WORKER})
    try:
        yield AsyncpgDriver(connection)
    finally:
        await connection.close()


def entries(kind: str, state: str) -> float | None:
    """What the metric shows."""
    return REGISTRY.get_sample_value("atelier_queue_entries", {"kind": kind, "state": state})


def oldest(kind: str) -> float | None:
    """What the metric shows, in seconds."""
    return REGISTRY.get_sample_value("atelier_queue_oldest_due_seconds", {"kind": kind})


def measured_at() -> float | None:
    """What the metric shows, in Unix time."""
    return REGISTRY.get_sample_value("atelier_queue_measured_timestamp_seconds")


async def until_shown(kind: str, state: str) -> None:
    """Wait for the first measurement."""
    async with asyncio.timeout(10):
        while entries(kind, state) is None:
            await asyncio.sleep(0.01)


async def test_due_delayed_and_running_entries_are_told_apart(database_url: str) -> None:
    async with connected(database_url) as driver:
        await driver.execute(ENTRIES.format(number=10))
        await driver.execute(
            "UPDATE queue.pgqueuer SET execute_after = now() + interval '1 hour' "
            "WHERE dedupe_key = 'key-2'"
        )
        await driver.execute(
            "UPDATE queue.pgqueuer SET execute_after = now() - interval '90 seconds' "
            "WHERE dedupe_key = 'key-4'"
        )
        await driver.execute(
            "UPDATE queue.pgqueuer SET status = 'picked' WHERE dedupe_key = 'key-6'"
        )
        await measure_queue(driver)
    assert [entries("run_job", state) for state in ("due", "delayed", "running")] == [3, 1, 1]
    assert oldest("run_job") == pytest.approx(90, abs=10)
    assert measured_at() == pytest.approx(time.time(), abs=10)


async def test_a_queue_that_has_emptied_shows_nothing(database_url: str) -> None:
    async with connected(database_url) as driver:
        await driver.execute(ENTRIES.format(number=10))
        await measure_queue(driver)
        await driver.execute("DELETE FROM queue.pgqueuer")
        await measure_queue(driver)
    assert entries("run_job", "due") is None
    assert oldest("run_job") is None


async def test_entries_that_all_wait_for_later_are_not_old(database_url: str) -> None:
    async with connected(database_url) as driver:
        await driver.execute(ENTRIES.format(number=4))
        await driver.execute("UPDATE queue.pgqueuer SET execute_after = now() + interval '1 hour'")
        await measure_queue(driver)
    assert oldest("run_job") == 0


@pytest.mark.usefixtures("impatient")
async def test_one_worker_measures_and_the_next_takes_over_when_it_is_gone(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measuring: list[object] = []

    async def measure(driver: object) -> None:
        measuring.append(driver)

    monkeypatch.setattr(queue_metrics, "measure_queue", measure)
    async with connected(database_url) as second:
        async with connected(database_url) as first, measured_queue(first, LISTEN):
            async with asyncio.timeout(10):
                while not measuring:
                    await asyncio.sleep(0.01)
            async with measured_queue(second, LISTEN):
                await asyncio.sleep(0.2)
                assert set(measuring) == {first}
        measuring.clear()
        async with measured_queue(second, LISTEN), asyncio.timeout(10):
            while second not in measuring:
                await asyncio.sleep(0.01)


@pytest.mark.usefixtures("impatient")
async def test_a_failed_measurement_is_tried_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([OSError("cut"), OSError("cut")])

    async def takes_lock(driver: AsyncpgDriver) -> bool:
        if error := next(failures, None):
            raise error
        await driver.execute(ENTRIES.format(number=2))
        return True

    monkeypatch.setattr(queue_metrics, "takes_lock", takes_lock)
    async with connected(database_url) as driver, measured_queue(driver, LISTEN):
        await until_shown("run_job", "due")
    assert (measured_at(), entries("run_job", "due")) == (0, None), "it no longer measures"


async def test_a_worker_that_serves_no_metrics_does_not_measure(database_url: str) -> None:
    async with connected(database_url) as driver, measured_queue(driver, ""):
        await asyncio.sleep(0.05)
        locks = await driver.fetch("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'")
    assert locks == []


async def test_an_index_alone_tells_what_waits(database_url: str) -> None:
    """Postgres may still read the table, where that is cheaper."""
    owner = await asyncpg.connect(database_url)
    try:
        await owner.execute("SET synchronous_commit = on")  # else VACUUM finds it too fresh
        await owner.execute(ENTRIES.format(number=2_000))
        await owner.execute("VACUUM ANALYZE queue.pgqueuer")
        for other in ("seqscan", "bitmapscan"):
            await owner.execute(f"SET enable_{other} = off")
        plan = await owner.fetchval(f"EXPLAIN (FORMAT JSON) {WAITING}")
    finally:
        await owner.close()
    assert "pgqueuer_ep_ea_idx" in plan and '"Index Only Scan"' in plan


async def test_open_requests_and_paused_providers_are_shown(database_url: str) -> None:
    async with connected(database_url) as driver:
        await driver.execute(
            "INSERT INTO shops (domain, status) VALUES ('north.myshopify.com', 'installed')",
        )
        await driver.execute(
            "INSERT INTO submissions (shop_id, job_id, stage, number, provider, reference, seed, "
            "status) SELECT id, n::text, 'try_on', 1, 'fal', n::text, 1, 'WAITING' "
            "FROM shops, generate_series(1, 3) n"
        )
        await driver.execute(
            "INSERT INTO provider_pauses (provider, until, since) "
            "VALUES ('fal', now(), now() - interval '90 seconds')"
        )
        await measure_queue(driver)
    labels = {"provider": "fal", "state": "waiting"}
    assert REGISTRY.get_sample_value("atelier_submissions_open", labels) == 3
    paused = REGISTRY.get_sample_value("atelier_provider_paused_seconds", {"provider": "fal"})
    assert paused == pytest.approx(90, abs=5)
