"""The story of one job as its shop reads it: waiting, then finished."""

import os
from typing import Any

from backend.jobs.lifecycle import Checkpoint, advance, lease_job, succeed
from backend.jobs.service import JobRef
from tests.running_app import SHOP, RunningApp
from tests.scenarios import make_stage

# `make examples` has the pictures made; otherwise nobody renders.
RECORD = "RECORD_EXAMPLES" in os.environ

Answers = dict[str, dict[str, Any]]


async def of_one_job(shared_app: RunningApp) -> Answers:
    """What is answered about one job while it waits and when it has succeeded."""
    product = shared_app.product()
    request = {"product_id": product.gid, "background": "#f4f4f2"}
    made = await shared_app.http.post(
        "/v1/catalog-image", json=request, headers=shared_app.bearer()
    )
    public_id = made.json()["job_id"]
    waiting = await answers_about(shared_app, public_id)
    await (shared_app.drain() if RECORD else pretend(shared_app, public_id))
    finished = await answers_about(shared_app, public_id)
    assert finished["get_job"]["status"] == "SUCCESS"
    both = {name: {"waiting": waiting[name], "finished": finished[name]} for name in waiting}
    shown = {
        "list_review": "/v1/review",
        "list_renders": "/v1/renders",
        "get_render": f"/v1/renders/{public_id}",
    }
    for name, path in shown.items():
        answer = await shared_app.http.get(path, headers=shared_app.bearer())
        both[name] = {"200": answer.json()}
    return both


async def answers_about(shared_app: RunningApp, public_id: str) -> dict[str, Any]:
    """The job's detail, its events and its lineage."""
    events = await shared_app.http.get(f"/v1/jobs/{public_id}/events", headers=shared_app.bearer())
    path = f"/v1/jobs/{public_id}/lineage"
    lineage = await shared_app.http.get(path, headers=shared_app.bearer())
    return {
        "get_job": (await shared_app.detail(public_id)).json(),
        "get_job_events": events.json(),
        "get_job_lineage": lineage.json(),
    }


async def pretend(shared_app: RunningApp, public_id: str) -> None:
    """Finish the job without making its pictures."""
    shop_id = (await shared_app.rows("SELECT id FROM shops WHERE domain = :d", d=SHOP))[0]["id"]
    async with shared_app.database.transaction() as connection:
        job = await lease_job(connection, JobRef(shop_id=shop_id, public_id=public_id))
    assert job is not None
    fetched = {"source": {"bytes": 1, "sha256": "0" * 64}}
    await advance(
        shared_app.database,
        job,
        stage="fetch",
        message="Fetched the product photo",
        progress={"progress": {"done": 1, "total": 5}},
        checkpoint=Checkpoint(files={}, facts=fetched),
        artifacts=[],
    )
    await make_stage(shared_app, job, "segment", pictures=2)
    await make_stage(shared_app, job, "encode", role="final", pictures=2)
    await shared_app.execute(
        "UPDATE artifacts SET kind = "
        "CASE name WHEN 'picture-0' THEN 'original_thumbnail' ELSE 'thumbnail' END "
        "WHERE job_id = :id AND role = 'intermediate'",
        id=public_id,
    )
    async with shared_app.database.transaction() as connection:
        await succeed(connection, job, {"progress": {"done": 5, "total": 5}})
