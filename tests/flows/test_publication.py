"""From a product's webhook to its pictures on the product and back, with Shopify's own echoes."""

from pathlib import Path

import pytest

from backend.jobs.lifecycle import lease_job
from backend.jobs.service import JobRef
from tests.backend.publications.scenarios import (
    finish,
    gallery_of,
    get_publication,
    our_media,
    png,
    post_publication,
    publication_request,
    publication_statuses,
    withdraw_publication,
)
from tests.flows.processes import running_worker_process, start_worker, wait_for_row
from tests.running_app import SHOP, RunningApp
from tests.wait import wait_until


async def job_of_a_webhook(running_app: RunningApp) -> tuple[JobRef, list[str]]:
    """A job that a webhook asked for, ended well without having been rendered."""
    public_id = await running_app.request_job(png("photo"))
    shop_id = (await running_app.rows("SELECT id FROM shops"))[0]["id"]
    ref = JobRef(shop_id=shop_id, public_id=public_id)
    async with running_app.database.transaction() as connection:
        claimed = await lease_job(connection, ref)
    assert claimed is not None
    return ref, await finish(running_app, claimed)


async def wait_for_own_webhooks(running_app: RunningApp) -> list[str]:
    """What became of the webhooks that our own changes caused, once they have been handled."""
    await wait_until(
        lambda: all(delivery.has_arrived for delivery in running_app.shopify.outbox), 20
    )
    await running_app.drain(only_webhooks=True)
    rows = await running_app.rows(
        "SELECT note FROM webhook_deliveries WHERE topic = 'products/update' ORDER BY received_at"
    )
    return [row["note"] for row in rows]


async def test_a_publication_runs_and_is_withdrawn_without_a_second_job(
    running_app: RunningApp,
) -> None:
    await running_app.install()
    running_app.shopify.platform.steps_to_finish = 1
    ref, digests = await job_of_a_webhook(running_app)
    product = running_app.shopify.platform.catalogue.newest(
        running_app.shopify.platform.shops[SHOP].number
    )
    before = gallery_of(running_app, product)
    running_app.shopify.auto_webhooks = True
    await post_publication(
        running_app,
        SHOP,
        ref,
        publication_request(digests, position=[1, None], alt=["On white", None]),
    )
    await running_app.drain()
    made = await get_publication(running_app, SHOP, ref)
    assert made["status"] == "PUBLISHED"
    assert gallery_of(running_app, product)[0] == (made["artifacts"][0]["media_id"], "On white")
    assert (await wait_for_own_webhooks(running_app))[-1] == "OWN_MEDIA", "it leads the gallery now"
    await withdraw_publication(running_app, SHOP, ref)
    await running_app.drain()
    assert (await get_publication(running_app, SHOP, ref))["status"] == "RESTORED"
    assert gallery_of(running_app, product) == before
    assert our_media(running_app, ref, SHOP) == []
    assert set(await wait_for_own_webhooks(running_app)) <= {"OWN_MEDIA", "ALREADY_MADE"}
    assert len(await running_app.rows("SELECT 1 FROM jobs")) == 1
    told = ["PENDING", "PUBLISHING", "PUBLISHED", "RESTORING", "RESTORED"]
    assert await publication_statuses(running_app, ref) == told


@pytest.mark.slow
async def test_a_killed_workers_publication_is_taken_over_without_duplicates(
    running_app: RunningApp, tmp_path: Path
) -> None:
    await running_app.install()
    ref, digests = await job_of_a_webhook(running_app)
    product = running_app.shopify.platform.catalogue.newest(
        running_app.shopify.platform.shops[SHOP].number
    )
    before = gallery_of(running_app, product)
    running_app.shopify.platform.is_held = True  # no file gets ready
    await post_publication(running_app, SHOP, ref, publication_request(digests))
    first = await start_worker(running_app, tmp_path / "log")
    await wait_for_row(
        running_app, "SELECT 1 FROM published_media WHERE number = 2 AND status = 'PROCESSING'"
    )
    first.kill()
    await first.wait()
    running_app.shopify.platform.is_held = False
    await running_app.execute(
        "UPDATE queue.pgqueuer SET heartbeat = now() - interval '1 hour' WHERE status = 'picked'"
    )
    async with running_worker_process(running_app, tmp_path / "log"):
        await wait_for_row(running_app, "SELECT 1 FROM publications WHERE status = 'PUBLISHED'")
    assert len(our_media(running_app, ref, SHOP)) == 2
    assert len(gallery_of(running_app, product)) == len(before) + 2
    assert await publication_statuses(running_app, ref) == ["PENDING", "PUBLISHING", "PUBLISHED"]


async def test_a_rule_publishes_passing_results_automatically(running_app: RunningApp) -> None:
    await running_app.install()
    running_app.shopify.platform.steps_to_finish = 1
    rule = {"workflow": "catalog-image", "publish": {"position": 1}}
    await running_app.http.put("/v1/settings", json={"rules": [rule]}, headers=running_app.bearer())
    public_id = await running_app.request_job()
    product = running_app.shopify.platform.catalogue.newest(
        running_app.shopify.platform.shops[SHOP].number
    )
    before = gallery_of(running_app, product)
    await running_app.drain()
    detail = (await running_app.detail(public_id)).json()
    assert detail["latest_event"]["extra"]["publication"]["status"] == "PUBLISHED"
    path = f"/v1/jobs/{public_id}/publication"
    (published,) = (await running_app.http.get(path, headers=running_app.bearer())).json()[
        "artifacts"
    ]
    assert published["sha256"] == detail["result"][0]["meta"]["sha256"]
    assert gallery_of(running_app, product) == [(published["media_id"], "Tee"), *before]
    await running_app.http.delete(path, headers=running_app.bearer())
    await running_app.drain()
    assert gallery_of(running_app, product) == before
