"""The story of one job as its shop reads it: waiting, then finished."""

import os
from typing import Any

from backend.jobs.service import JobRef
from backend.jobs.timeline import claim, succeed
from tests.doors import make_stage
from tests.world import SHOP, World

# `make examples` has the pictures made; otherwise nobody renders.
RECORD = "RECORD_EXAMPLES" in os.environ

Answers = dict[str, dict[str, Any]]


async def of_one_job(house: World) -> Answers:
    """What is answered about one job while it waits and when it has succeeded."""
    product = house.product()
    request = {"product_id": product.gid, "background": "#f4f4f2"}
    made = await house.http.post("/v1/catalog-image", json=request, headers=house.bearer())
    public_id = made.json()["job_id"]
    waiting = await answers_about(house, public_id)
    await (house.drain() if RECORD else pretend(house, public_id))
    finished = await answers_about(house, public_id)
    assert finished["get_job"]["status"] == "SUCCESS"
    return {name: {"waiting": waiting[name], "finished": finished[name]} for name in waiting}


async def answers_about(house: World, public_id: str) -> dict[str, Any]:
    """The job's detail and its events."""
    events = await house.http.get(f"/v1/jobs/{public_id}/events", headers=house.bearer())
    return {
        "get_job": (await house.detail(public_id)).json(),
        "get_job_events": events.json(),
    }


async def pretend(house: World, public_id: str) -> None:
    """Finish the job without making its pictures."""
    shop_id = (await house.rows("SELECT id FROM shops WHERE domain = :d", d=SHOP))[0]["id"]
    async with house.database.transaction() as connection:
        job = await claim(connection, JobRef(shop_id=shop_id, public_id=public_id))
    assert job is not None
    await make_stage(house, job, "segment")
    await make_stage(house, job, "encode", role="final", pictures=2)
    async with house.database.transaction() as connection:
        await succeed(connection, job, {"progress": {"done": 5, "total": 5}})
