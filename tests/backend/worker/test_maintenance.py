"""Housekeeping: what the queue lost is found again, and old rows go."""

from backend.worker.maintenance import prune, requeue_overdue
from tests.world import World

OLD = "now() - interval '2 minutes'"


async def test_a_job_whose_queue_entry_was_lost_is_queued_again(world: World) -> None:
    await world.install()
    public_id = await world.request_job()
    await world.execute("DELETE FROM queue.pgqueuer")
    assert await requeue_overdue(world.database) == 0, "too young to be overdue"
    await world.execute(f"UPDATE jobs SET created_at = {OLD}")
    assert await requeue_overdue(world.database) == 1
    assert await requeue_overdue(world.database) == 0, "it has its entry now"
    await world.drain()
    assert (await world.detail(public_id)).json()["status"] == "SUCCESS"


async def test_a_delivery_whose_queue_entry_was_lost_is_queued_again(world: World) -> None:
    await world.install()
    world.product()
    await world.send("products/create")
    await world.execute("DELETE FROM queue.pgqueuer")
    await world.execute(f"UPDATE webhook_deliveries SET received_at = {OLD}")
    assert await requeue_overdue(world.database) == 1
    await world.drain(only_webhooks=True)
    assert len(await world.rows("SELECT 1 FROM jobs")) == 1


async def test_only_what_is_settled_and_old_is_pruned(world: World) -> None:
    await world.install()
    world.product()
    await world.send("products/create", webhook_id="settled")
    await world.drain(only_webhooks=True)
    await world.send("products/update", webhook_id="waiting")
    await prune(world.database)
    assert len(await world.rows("SELECT 1 FROM webhook_deliveries")) == 2
    await world.execute("UPDATE webhook_deliveries SET received_at = now() - interval '31 days'")
    await world.execute("UPDATE queue.pgqueuer_log SET created = now() - interval '8 days'")
    await prune(world.database)
    left = await world.rows("SELECT webhook_id FROM webhook_deliveries")
    assert [row["webhook_id"] for row in left] == ["waiting"]
    assert await world.rows("SELECT 1 FROM queue.pgqueuer_log") == []
