"""What Prometheus reads from a running web process and a running worker, after known traffic."""

import asyncio
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.flows.processes import (
    STAGES,
    answering,
    free_address,
    running_worker_process,
    wait_for_end,
    wait_for_row,
    web_process,
)
from tests.running_app import SHOP, RunningApp

DETAIL = "/v1/jobs/{public_id}"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scraped(address: str) -> tuple[Samples, str]:
    """The samples that the process serves, and their text."""
    text = await answering(f"http://{address}/metrics")
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return samples, text


async def shown(address: str, name: str, **labels: str) -> tuple[Samples, str]:
    """What is scraped once that sample is there: a process counts just after the commit."""
    async with asyncio.timeout(30):
        while value((found := await scraped(address))[0], name, **labels) is None:
            await asyncio.sleep(0.1)
    return found


def value(samples: Samples, name: str, **labels: str) -> float | None:
    """One sample."""
    return samples.get((name, frozenset(labels.items())))


def requests(samples: Samples, method: str, route: str, status: int) -> float | None:
    """How many such answers were counted."""
    labels = {"method": method, "route": route, "status": str(status)}
    return value(samples, "atelier_http_request_duration_seconds_count", **labels)


@pytest.fixture
async def job_id(running_app: RunningApp) -> str:
    """A job that waits for a worker."""
    await running_app.install()
    return await running_app.request_job()


@pytest.mark.slow
async def test_a_web_process_counts_answers_by_route_and_status(
    running_app: RunningApp, job_id: str, tmp_path: Path
) -> None:
    metrics = free_address()
    async with web_process(running_app, tmp_path / "log", METRICS_LISTEN=metrics) as base_url:
        async with httpx.AsyncClient(base_url=base_url, headers=running_app.bearer()) as http:
            routed = await http.get(f"/v1/jobs/{job_id}?x=1")
            by_the_fast_path = await http.get(f"/v1/jobs/{job_id}")
            unchanged = {"If-None-Match": routed.headers["etag"]}
            not_modified = await http.get(f"/v1/jobs/{job_id}", headers=unchanged)
            statuses = [routed.status_code, by_the_fast_path.status_code, not_modified.status_code]
            assert statuses == [200, 200, 304]
            await http.get(f"/v1/jobs/{job_id}-of-nobody")
            await http.get("/no/such/path")
            await http.request("BREW", "/no/such/path")
        running_app.shopify.app_url = base_url
        assert (await running_app.send("products/update")).status_code == 200
        samples, text = await scraped(metrics)
    assert requests(samples, "GET", DETAIL, 200) == 2
    assert requests(samples, "GET", DETAIL, 304) == 1
    assert requests(samples, "GET", DETAIL, 404) == 1
    assert requests(samples, "GET", "unmatched", 404) == 1
    assert requests(samples, "POST", "/webhooks", 200) == 1
    assert job_id not in text and SHOP not in text and "/no/such/path" not in text
    assert "BREW" not in text
    for pool in ("statements", "transactions"):
        assert value(samples, "atelier_database_connections_limit", pool=pool) == 10
        assert value(samples, "atelier_database_connections_in_use", pool=pool) == 0
        assert value(samples, "atelier_database_waits_total", pool=pool) == 0


@pytest.mark.slow
async def test_a_worker_counts_what_it_has_done_and_shows_the_queue(
    running_app: RunningApp, job_id: str, tmp_path: Path
) -> None:
    await running_app.execute("UPDATE queue.pgqueuer SET execute_after = now() + interval '1 hour'")
    product = running_app.product()
    metrics = free_address()
    async with running_worker_process(running_app, tmp_path / "log", METRICS_LISTEN=metrics):
        assert (await running_app.send("products/create")).status_code == 200
        asked = "SELECT public_id FROM jobs WHERE request->>'product_id' = :gid"
        await wait_for_row(running_app, asked, gid=product.gid)
        [row] = await running_app.rows(asked, gid=product.gid)
        job = await wait_for_end(running_app, row["public_id"])
        assert job["status"] == "SUCCESS"
        job_type = str(job["job_type"])
        ended = {"workflow": job_type, "outcome": "succeeded", "code": ""}
        samples, text = await shown(metrics, "atelier_jobs_ended_total", **ended)
    assert value(samples, "atelier_jobs_ended_total", **ended) == 1
    for stage in STAGES:
        labels = {"workflow": job_type, "stage": stage}
        assert value(samples, "atelier_stage_duration_seconds_count", **labels) == 1
    handled = {"topic": "products/create", "outcome": "processed"}
    assert value(samples, "atelier_webhooks_handled_total", **handled) == 1
    failed = {"topic": "products/create", "outcome": "failed"}
    assert value(samples, "atelier_webhooks_handled_total", **failed) == 0
    asked_for = {"operation": "ProductForJob", "outcome": "ok"}
    assert value(samples, "atelier_shopify_calls_total", **asked_for) == 1
    stored = {"operation": "put", "outcome": "ok"}
    assert (value(samples, "atelier_storage_calls_total", **stored) or 0) >= len(STAGES)
    assert value(samples, "atelier_compliance_overdue") == 0
    assert value(samples, "atelier_queue_entries", kind="run_job", state="delayed") == 1
    assert (value(samples, "atelier_queue_measured_timestamp_seconds") or 0) > 1e9
    assert row["public_id"] not in text and job_id not in text and SHOP not in text
