"""A waiting job, and what its row, its events and the queue say about it."""

from typing import Any

from backend.jobs.service import JobRef
from tests.running_app import RunningApp
from tests.scenarios import (
    waiting_job,
)


async def new_waiting_job(shared_app: RunningApp, shop: str) -> JobRef:
    """A waiting job that needs the shop's token."""
    product = shared_app.product(b"a photo", shop=shop)
    return await waiting_job(shared_app, shop=shop, request={"product_id": product.gid})


async def public_events(
    shared_app: RunningApp, shop: str, ref: JobRef
) -> list[tuple[int, str, Any]]:
    """The job's public timeline, over HTTP."""
    response = await shared_app.http.get(
        f"/v1/jobs/{ref.public_id}/events", headers=shared_app.bearer(shop)
    )
    return [
        (event["seq"], event["event_type"], event["extra"].get("waiting_for"))
        for event in response.json()["events"]
    ]


async def queue_entries(shared_app: RunningApp, ref: JobRef) -> list[str]:
    """What the queue holds for the job's shop."""
    rows = await shared_app.rows(
        "SELECT entrypoint FROM queue.pgqueuer WHERE "
        "(convert_from(payload, 'UTF8')::jsonb->>'shop_id')::bigint = :id ORDER BY 1",
        id=ref.shop_id,
    )
    return [row["entrypoint"] for row in rows]


async def job_row(shared_app: RunningApp, ref: JobRef) -> dict[str, Any]:
    """The job's own row."""
    return (await shared_app.rows("SELECT * FROM jobs WHERE public_id = :id", id=ref.public_id))[0]


async def failure_code(shared_app: RunningApp, ref: JobRef) -> str:
    """The code of the job's failure."""
    rows = await shared_app.rows(
        "SELECT extra #>> '{error,code}' AS code FROM job_events "
        "WHERE job_id = :id AND event_type = 'failed'",
        id=ref.public_id,
    )
    return str(rows[0]["code"])
