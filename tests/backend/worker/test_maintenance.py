"""Maintenance: lost queue entries are restored, and old rows deleted."""

import pytest

from backend.worker.maintenance import prune, requeue_overdue
from tests.running_app import RunningApp
from tests.scenarios import emptied_app, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")
running_app = pytest.fixture(emptied_app)

OLD = "now() - interval '2 minutes'"


async def test_a_job_without_a_queue_entry_is_queued_again(running_app: RunningApp) -> None:
    await running_app.install()
    public_id = await running_app.request_job()
    await running_app.execute("DELETE FROM queue.pgqueuer")
    assert await requeue_overdue(running_app.database) == 0, "too young to be overdue"
    await running_app.execute(f"UPDATE jobs SET created_at = {OLD}")
    assert await requeue_overdue(running_app.database) == 1
    assert await requeue_overdue(running_app.database) == 0, "it has its entry now"
    await running_app.drain()
    assert (await running_app.detail(public_id)).json()["status"] == "SUCCESS"


async def test_a_job_waiting_for_reauth_is_requeued_once_its_shop_is_open(
    running_app: RunningApp,
) -> None:
    await running_app.install()
    await running_app.request_job()
    await running_app.execute("DELETE FROM queue.pgqueuer")
    await running_app.execute(f"UPDATE jobs SET created_at = {OLD}, waiting_since = {OLD}")
    await running_app.execute("UPDATE shops SET reauth_needed_at = now()")
    assert await requeue_overdue(running_app.database) == 0
    await running_app.execute("UPDATE shops SET reauth_needed_at = NULL")
    assert await requeue_overdue(running_app.database) == 1, "whose resumption was lost"


async def test_a_delivery_without_a_queue_entry_is_queued_again(
    running_app: RunningApp,
) -> None:
    await running_app.install()
    running_app.product()
    await running_app.send("products/create")
    await running_app.execute("DELETE FROM queue.pgqueuer")
    await running_app.execute(f"UPDATE webhook_deliveries SET received_at = {OLD}")
    assert await requeue_overdue(running_app.database) == 1
    await running_app.drain(only_webhooks=True)
    assert len(await running_app.rows("SELECT 1 FROM jobs")) == 1


async def test_only_old_settled_deliveries_are_pruned(running_app: RunningApp) -> None:
    await running_app.install()
    running_app.product()
    await running_app.send("products/create", webhook_id="settled")
    await running_app.drain(only_webhooks=True)
    await running_app.send("products/update", webhook_id="waiting")
    await prune(running_app.database)
    assert len(await running_app.rows("SELECT 1 FROM webhook_deliveries")) == 2
    await running_app.execute(
        "UPDATE webhook_deliveries SET received_at = now() - interval '31 days'"
    )
    await running_app.execute("UPDATE queue.pgqueuer_log SET created = now() - interval '8 days'")
    await running_app.execute(
        "INSERT INTO queue.pgqueuer_statistics (created, count, priority, status, entrypoint) "
        "SELECT now() - days * interval '1 day', 1, 0, 'successful', 'run_job' "
        "FROM unnest(ARRAY[6, 8]) days"
    )
    await prune(running_app.database)
    left = await running_app.rows("SELECT webhook_id FROM webhook_deliveries")
    assert [row["webhook_id"] for row in left] == ["waiting"]
    assert await running_app.rows("SELECT 1 FROM queue.pgqueuer_log") == []
    assert len(await running_app.rows("SELECT 1 FROM queue.pgqueuer_statistics")) == 1


@pytest.mark.usefixtures("same_day")
async def test_expired_idempotency_keys_and_daily_counts_are_pruned(
    running_app: RunningApp,
) -> None:
    await running_app.install()
    for key, age in (("old", 25), ("young", 23)):
        await running_app.execute(
            "INSERT INTO idempotency_keys (shop_id, route, key, fingerprint, answer, created_at) "
            "SELECT id, 'r', :key, '', '{}', now() - make_interval(hours => :age) FROM shops",
            key=key,
            age=age,
        )
    for age in (0, 6, 9):
        await running_app.execute(
            "INSERT INTO daily_counts "
            "SELECT id, current_date - CAST(:age AS int), 'storefront_jobs', 1 FROM shops",
            age=age,
        )
    await prune(running_app.database)
    keys = await running_app.rows("SELECT key FROM idempotency_keys")
    assert [row["key"] for row in keys] == ["young"]
    days = await running_app.rows("SELECT current_date - day AS age FROM daily_counts ORDER BY day")
    assert [row["age"] for row in days] == [6, 0]
