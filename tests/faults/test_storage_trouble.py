"""S3 down, slow, or cut off at half: jobs wait or fail cleanly, and reads go on all the while."""

import asyncio
import contextlib
import dataclasses
import hashlib
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from backend.dev.services import LocalServices
from tests.faults.conftest import Measured
from tests.faults.proxy import FaultProxy
from tests.faults.web import running_web
from tests.flows.processes import running_worker_process, wait_for_end
from tests.running_app import RunningApp
from tests.scenarios import missing_objects

OUTAGE = 40  # seconds
TOLD = (
    "SELECT count(*) AS times FROM job_events WHERE extra->>'waiting_for' = 'storage' "
    "GROUP BY job_id"
)


@dataclasses.dataclass
class ReadServices:
    """What those who read were told meanwhile."""

    seconds: list[float] = dataclasses.field(default_factory=list)
    failed: int = 0

    @property
    def p99(self) -> float:
        """In milliseconds."""
        return sorted(self.seconds)[len(self.seconds) * 99 // 100] * 1000


@pytest.mark.timeout(400)
@pytest.mark.promise("P22", "reads go on without S3", wanted="0 failed, p99 < 300 ms")
@pytest.mark.promise(
    "P14", "SUCCESS means that every picture downloads", wanted="100 %, 0 rows without object"
)
async def test_storage_trouble_delays_or_fails_jobs_while_reads_continue(
    running_app: RunningApp, services: LocalServices, tmp_path: Path, record_promise: Measured
) -> None:
    await running_app.install()
    done = await running_app.finished_job()
    s3 = urlsplit(services.s3.endpoint_url)
    ends: dict[str, str] = {}
    async with FaultProxy(partial(asyncio.open_connection, s3.hostname, s3.port)) as storage:
        rigged = msgspec.structs.replace(
            running_app.settings, s3_endpoint_url=f"http://127.0.0.1:{storage.port}"
        )
        async with (
            running_web(rigged, running_app.shopify.origin, tmp_path / "web") as served,
            running_worker_process(
                dataclasses.replace(running_app, settings=rigged),
                tmp_path / "worker",
                program="tests.faults.disconnecting_client",
            ),
        ):
            public_id = await running_app.request_job()  # the worker is up once it has one done
            ends["calm"] = await end_of(running_app, public_id)
            async with reading(running_app, served.url, done) as reads:
                for trouble in ("down for good", "down for a while", "slow", "cut at half"):
                    make_trouble(storage, trouble)
                    public_id = await running_app.request_job()
                    if trouble == "down for a while":
                        await asyncio.sleep(3)
                        storage.heal()
                    ends[trouble] = await end_of(running_app, public_id)
                    storage.heal()
    whole, pictures = await downloads(running_app)
    keys = [row["key"] for row in await running_app.rows("SELECT key FROM artifacts")]
    dangling = await missing_objects(running_app, keys)
    record_promise(
        "P22",
        f"{reads.failed} of {len(reads.seconds):,} reads failed, p99 {reads.p99:.0f} ms; "
        + ", ".join(f"{trouble}: {end}" for trouble, end in ends.items()),
        reads.failed == 0
        and reads.p99 < 300
        and ends.pop("down for good") == "STORAGE_UNAVAILABLE"
        and set(ends.values()) == {"SUCCESS"},
    )
    record_promise(
        "P14",
        f"{whole} of {pictures} pictures download whole, {len(dangling)} of {len(keys)} rows "
        "without an object",
        whole == pictures > 0 and not dangling,
    )


@pytest.mark.timeout(400)
@pytest.mark.promise(
    "P11", "jobs outlive an outage of S3", wanted="all SUCCESS, 0 attempts counted, each told once"
)
async def test_jobs_outlive_an_outage_longer_than_three_attempts(
    running_app: RunningApp, services: LocalServices, tmp_path: Path, record_promise: Measured
) -> None:
    """With the patience of every day. Three tries and their pauses were over after 12 s."""
    await running_app.install()
    s3 = urlsplit(services.s3.endpoint_url)
    async with FaultProxy(partial(asyncio.open_connection, s3.hostname, s3.port)) as storage:
        rigged = msgspec.structs.replace(
            running_app.settings, s3_endpoint_url=f"http://127.0.0.1:{storage.port}"
        )
        ids = [await running_app.request_job() for _ in range(3)]
        make_trouble(storage, "down for a while")
        began = time.monotonic()
        async with running_worker_process(
            dataclasses.replace(running_app, settings=rigged), tmp_path / "worker"
        ):
            await asyncio.sleep(OUTAGE)
            before = await running_app.rows("SELECT outages, strikes FROM jobs")
            storage.heal()
            ends = [await end_of(running_app, public_id) for public_id in ids]
    told = [row["times"] for row in await running_app.rows(TOLD)]
    record_promise(
        "P11",
        f"{ends.count('SUCCESS')} of {len(ids)} jobs SUCCESS {time.monotonic() - began:.0f} s "
        f"after S3 went away for {OUTAGE} s, tried {min(row['outages'] for row in before)} times "
        f"and more, {sum(row['strikes'] for row in before)} attempts counted, "
        f"told {max(told)} times each",
        set(ends) == {"SUCCESS"}
        and told == [1] * len(ids)
        and not any(row["strikes"] for row in before)
        and min(row["outages"] for row in before) > 2,
    )


def make_trouble(storage: FaultProxy, trouble: str) -> None:
    """What is wrong with S3 from now on."""
    if trouble.startswith("down"):
        storage.is_refusing = True
        storage.drop_all()
    elif trouble == "slow":
        storage.latency = 2.0
    else:
        storage.cut_uploads_after = 60_000
        asyncio.get_running_loop().call_later(6, storage.heal)


async def end_of(running_app: RunningApp, public_id: str) -> str:
    """How the job has ended: its status, or its failure's code."""
    detail = await wait_for_end(running_app, public_id, within=120)
    if detail["status"] == "SUCCESS":
        return "SUCCESS"
    event = detail["latest_event"]
    assert isinstance(event, dict)
    return str(event["extra"]["error"]["code"])


@contextlib.asynccontextmanager
async def reading(running_app: RunningApp, url: str, public_id: str) -> AsyncIterator[ReadServices]:
    """Somebody who reads a job's detail again and again."""
    reads = ReadServices()
    done = asyncio.Event()

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as client:
            while not done.is_set():
                started = time.monotonic()
                answer = await client.get(f"/v1/jobs/{public_id}", headers=running_app.bearer())
                reads.seconds.append(time.monotonic() - started)
                reads.failed += answer.status_code != 200 or not answer.json()["result"]
                await asyncio.sleep(0.02)

    asking = asyncio.create_task(ask())
    try:
        yield reads
    finally:
        done.set()
        await asking


async def downloads(running_app: RunningApp) -> tuple[int, int]:
    """How many pictures of jobs that succeeded arrive whole, and how many there are."""
    rows = await running_app.rows("SELECT public_id FROM jobs WHERE status = 'SUCCESS'")
    whole = total = 0
    async with httpx.AsyncClient() as anyone:
        for row in rows:
            for item in (await running_app.detail(row["public_id"])).json()["result"]:
                answer = await anyone.get(item["image_url"])
                total += 1
                whole += hashlib.sha256(answer.content).hexdigest() == item["meta"]["sha256"]
    return whole, total
