"""Floods of request bodies fill no memory and slow nobody, with and without nginx."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.faults.conftest import Measured
from tests.faults.edge import running_edge
from tests.faults.latency import measure_latencies, percentile
from tests.faults.web import running_web
from tests.running_app import RunningApp
from tests.scenarios import finished_job, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")
pytestmark = pytest.mark.timeout(300)

SECONDS = 30
MOST = 400  # MB of each web process
P99 = 0.300  # seconds, for another shop meanwhile


@pytest.mark.promise("P24", "500 uploads from 50 addresses fill no memory", wanted="400 MB, 300 ms")
@pytest.mark.parametrize("how", ["invented-tls", "wellformed-tls"])
async def test_request_bodies_do_not_fill_memory_behind_nginx(
    shared_app: RunningApp, record_promise: Measured, how: str
) -> None:
    async with running_edge(shared_app) as edge, edge.client() as client:
        processes = [process.pid for process in edge.web.values()]
        await measure_flood(shared_app, client, how, edge.port, processes, record_promise)


@pytest.mark.promise("P24", "the same with no proxy in front", wanted="400 MB, 300 ms")
@pytest.mark.parametrize("how", ["invented", "wellformed"])
async def test_request_bodies_do_not_fill_memory_without_a_proxy(
    shared_app: RunningApp, record_promise: Measured, tmp_path: Path, how: str
) -> None:
    async with (
        running_web(shared_app.settings, shared_app.shopify.origin, tmp_path / "log") as served,
        httpx.AsyncClient(base_url=served.url, timeout=60) as client,
    ):
        assert served.process is not None
        port = int(served.url.rpartition(":")[2])
        await measure_flood(shared_app, client, how, port, [served.process.pid], record_promise)


async def measure_flood(
    shared_app: RunningApp,
    client: httpx.AsyncClient,
    how: str,
    port: int,
    processes: list[int],
    measured: Measured,
) -> None:
    """Have them come, ask for a job's detail meanwhile, and watch the processes' memory."""
    ref, _ = await finished_job(shared_app)
    job = f"/v1/jobs/{ref.public_id}"
    await measure_latencies(client, shared_app, job, 1)  # warm
    attack = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.body_flood", how, str(port), str(SECONDS)),
        stdout=asyncio.subprocess.PIPE,
    )
    before = [busy(pid) for pid in processes]
    async with memory(processes) as most:
        times = await measure_latencies(client, shared_app, job, SECONDS)
        told, _ = await attack.communicate()
    attacked = json.loads(told)
    p99 = percentile(times, 0.99)
    busiest = max(busy(pid) - old for pid, old in zip(processes, before, strict=True))
    figure = (
        f"{most[0]:.0f} MB at most, detail p99 {p99 * 1000:.0f} ms, busy for {busiest:.0f} s "
        f"of {SECONDS}; {how}: {attacked}"
    )
    measured("P24", figure, most[0] < MOST and p99 < P99 and attacked["sent_mb"] > 500)


def busy(pid: int) -> float:
    """The processor's time that the process has had, in seconds."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


@contextlib.asynccontextmanager
async def memory(processes: list[int]) -> AsyncIterator[list[float]]:
    """The most that any of the processes has held while the block ran, in MB; their own alone."""
    most = [0.0]

    async def look() -> None:
        while True:
            held = [psutil.Process(pid).memory_info().rss / 1e6 for pid in processes]
            most[0] = max(most[0], *held)
            await asyncio.sleep(0.1)

    looking = asyncio.create_task(look())
    try:
        yield most
    finally:
        looking.cancel()
