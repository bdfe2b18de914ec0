"""Latencies of requests that run beside a load."""

import asyncio
import time

import httpx

from tests.running_app import RunningApp

PACE = 0.02  # seconds between the starts of two requests


def percentile(times: list[float], share: float) -> float:
    """The time at that share of the sorted times."""
    return times[int(len(times) * share)]


async def measure_latencies(
    client: httpx.AsyncClient, shared_app: RunningApp, job: str, seconds: float
) -> list[float]:
    """Seconds that each request took, sorted. One starts every `PACE`, whatever the others do."""
    end = time.perf_counter() + seconds

    async def one() -> float:
        started = time.perf_counter()
        answer = await client.get(job, headers=shared_app.bearer())
        assert answer.status_code == 200, answer.text
        return time.perf_counter() - started

    asking = []
    while time.perf_counter() < end:
        asking.append(asyncio.create_task(one()))
        await asyncio.sleep(PACE)
    return sorted(await asyncio.gather(*asking))
