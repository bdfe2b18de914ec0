"""Clients that create jobs while something breaks, and repeat each request until accepted."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from tests.running_app import SHOP, RunningApp

PATH = "/v1/catalog-image"
BODY = {"product_id": "gid://shopify/Product/8000000000001"}
PATIENCE = 30  # seconds for one answer; none may take that long


@dataclass
class Ledger:
    """The responses to all writers."""

    accepted: dict[str, str] = field(default_factory=dict)  # job id by idempotency key
    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0  # seconds for any answer
    accepted_at: float = 0.0  # the last time, on the monotonic clock
    without_retry_after: int = 0
    failed: list[str] = field(default_factory=list)  # requests without an answer

    def is_honest(self) -> bool:
        """Whether every request got an answer, and each a 202 or a 503 that says when to retry."""
        return not self.failed and not self.without_retry_after and set(self.statuses) <= {202, 503}

    async def ask(
        self,
        client: httpx.AsyncClient,
        headers: dict[str, str],
        key: str,
        body: Mapping[str, str] = BODY,
    ) -> bool:
        """One request; whether it was accepted."""
        started = time.monotonic()
        try:
            answer = await client.post(PATH, json=body, headers={**headers, "Idempotency-Key": key})
        except httpx.HTTPError as error:
            self.failed.append(repr(error))
            return False
        now = time.monotonic()
        self.slowest = max(self.slowest, now - started)
        self.statuses[answer.status_code] += 1
        if answer.status_code == 202:
            self.accepted[key] = answer.json()["job_id"]
            self.accepted_at = now
        elif answer.status_code == 503:
            self.without_retry_after += "Retry-After" not in answer.headers
        return answer.status_code == 202


async def writer(
    running_app: RunningApp, url: str, ledger: Ledger, stop: asyncio.Event, *, shop: str = SHOP
) -> None:
    """Create one job after the other; repeat what was not accepted with the same key."""
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, trust_env=False) as client:
        while not stop.is_set():
            key = str(uuid.uuid4())
            while not await ledger.ask(client, running_app.bearer(shop), key) and not stop.is_set():
                await asyncio.sleep(0.05)


async def complete_jobs(running_app: RunningApp) -> set[str]:
    """The jobs with a row, a first event and a queue entry."""
    rows = await running_app.rows(
        """
        SELECT j.public_id FROM jobs j
        JOIN job_events e ON e.job_id = j.public_id AND e.seq = 1
        JOIN queue.pgqueuer q
          ON q.dedupe_key = concat_ws(':', 'run_job', j.shop_id, j.public_id)
        """
    )
    return {row["public_id"] for row in rows}
