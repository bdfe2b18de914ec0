"""From a product's webhook to its pictures on the product and back, with Shopify's own echoes."""

import asyncio
from pathlib import Path

from backend.jobs.service import JobRef
from backend.jobs.timeline import claim
from tests.backend.publications.studio import (
    finish,
    look,
    looks,
    ours,
    png,
    post,
    statuses,
    undo,
    wanted,
)
from tests.flows.processes import start_worker, until, worker
from tests.world import SHOP, World


async def job_of_a_webhook(world: World) -> tuple[JobRef, list[str]]:
    """A job that a webhook asked for, ended well without having been rendered."""
    public_id = await world.request_job(png("photo"))
    shop_id = (await world.rows("SELECT id FROM shops"))[0]["id"]
    ref = JobRef(shop_id=shop_id, public_id=public_id)
    async with world.database.transaction() as connection:
        claimed = await claim(connection, ref)
    assert claimed is not None
    return ref, await finish(world, claimed)


async def echoes(world: World) -> list[str]:
    """What became of the webhooks that our own changes caused, once they have been handled."""
    async with asyncio.timeout(20):
        while not all(delivery.has_arrived for delivery in world.shopify.outbox):
            await asyncio.sleep(0.02)
    await world.drain(only_webhooks=True)
    rows = await world.rows(
        "SELECT note FROM webhook_deliveries WHERE topic = 'products/update' ORDER BY received_at"
    )
    return [row["note"] for row in rows]


async def test_published_through_the_queue_and_taken_back_without_a_second_job(
    world: World,
) -> None:
    await world.install()
    world.shopify.platform.steps_to_finish = 1
    ref, digests = await job_of_a_webhook(world)
    product = world.shopify.platform.catalogue.newest(world.shopify.platform.shops[SHOP].number)
    before = looks(world, product)
    world.shopify.auto_webhooks = True
    await post(world, SHOP, ref, wanted(digests, position=[1, None], alt=["On white", None]))
    await world.drain()
    made = await look(world, SHOP, ref)
    assert made["status"] == "PUBLISHED"
    assert looks(world, product)[0] == (made["artifacts"][0]["media_id"], "On white")
    assert (await echoes(world))[-1] == "OWN_MEDIA", "it leads the gallery now"
    await undo(world, SHOP, ref)
    await world.drain()
    assert (await look(world, SHOP, ref))["status"] == "RESTORED"
    assert looks(world, product) == before
    assert ours(world, ref, SHOP) == []
    assert set(await echoes(world)) <= {"OWN_MEDIA", "ALREADY_MADE"}
    assert len(await world.rows("SELECT 1 FROM jobs")) == 1
    told = ["PENDING", "PUBLISHING", "PUBLISHED", "RESTORING", "RESTORED"]
    assert await statuses(world, ref) == told


async def test_a_worker_process_that_is_killed_is_taken_over_and_nothing_is_put_up_twice(
    world: World, tmp_path: Path
) -> None:
    await world.install()
    ref, digests = await job_of_a_webhook(world)
    product = world.shopify.platform.catalogue.newest(world.shopify.platform.shops[SHOP].number)
    before = looks(world, product)
    world.shopify.platform.is_held = True  # no file gets ready
    await post(world, SHOP, ref, wanted(digests))
    first = await start_worker(world, tmp_path / "log")
    await until(world, "SELECT 1 FROM published_media WHERE number = 2 AND status = 'PROCESSING'")
    first.kill()
    await first.wait()
    world.shopify.platform.is_held = False
    await world.execute(
        "UPDATE queue.pgqueuer SET heartbeat = now() - interval '1 hour' WHERE status = 'picked'"
    )
    async with worker(world, tmp_path / "log"):
        await until(world, "SELECT 1 FROM publications WHERE status = 'PUBLISHED'")
    assert len(ours(world, ref, SHOP)) == 2
    assert len(looks(world, product)) == len(before) + 2
    assert await statuses(world, ref) == ["PENDING", "PUBLISHING", "PUBLISHED"]


async def test_a_rule_publishes_by_itself_what_passes(world: World) -> None:
    await world.install()
    world.shopify.platform.steps_to_finish = 1
    rule = {"workflow": "catalog-image", "publish": {"position": 1}}
    await world.http.put("/v1/settings", json={"rules": [rule]}, headers=world.bearer())
    public_id = await world.request_job()
    product = world.shopify.platform.catalogue.newest(world.shopify.platform.shops[SHOP].number)
    before = looks(world, product)
    await world.drain()
    detail = (await world.detail(public_id)).json()
    assert detail["latest_event"]["extra"]["publication"]["status"] == "PUBLISHED"
    path = f"/v1/jobs/{public_id}/publication"
    (published,) = (await world.http.get(path, headers=world.bearer())).json()["artifacts"]
    assert published["sha256"] == detail["result"][0]["meta"]["sha256"]
    assert looks(world, product) == [(published["media_id"], "Tee"), *before]
    await world.http.delete(path, headers=world.bearer())
    await world.drain()
    assert looks(world, product) == before
