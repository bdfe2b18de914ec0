"""A shop whose tokens have died: its work waits until the merchant opens the app again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.credits.grants import grant_credits
from backend.dev.services import LocalServices
from backend.dev.transport import LoopbackShopify
from backend.jobs.lifecycle import lease_job, put_back
from backend.jobs.service import JobRef
from backend.leased_task import Done, Fenced, Retry, after_lockout
from backend.retries import JOBS, LOCKED_OUT_PAUSE
from backend.shops.admin_api import AdminApi
from backend.shops.service import ShopRef
from backend.shops.token_encryption import generate_key
from backend.shops.tokens import NeedsReauth, installed_shop
from backend.worker import reauth
from backend.worker.execute import JOB_TASK, run_job
from backend.worker.reauth import end_long_waits, resume_shop
from backend.worker.stages import JobRun
from tests.backend.worker.job_state import (
    failure_code,
    job_row,
    new_waiting_job,
    public_events,
    queue_entries,
)
from tests.running_app import RunningApp
from tests.scenarios import (
    NoRenderer,
    claimed_job,
    delivery_status,
    expire_token,
    lock_out,
    make_stage,
    new_shop,
    open_shared_app,
    process_webhook,
    send_webhook,
    waiting_job,
)

shop = pytest.fixture(new_shop)


@pytest.fixture(scope="module")
async def shared_app(services: LocalServices, template: str) -> AsyncIterator[RunningApp]:
    """A running app that renders nothing."""
    async for running_app in open_shared_app(services, template, NoRenderer()):
        yield running_app


async def locked_out_job(shared_app: RunningApp, shop: str) -> JobRef:
    """A job that a worker has begun, of a shop that let nobody in."""
    ref = await new_waiting_job(shared_app, shop)
    await lock_out(shared_app, shop)
    await shared_app.drain()
    return ref


async def test_a_job_of_a_locked_out_shop_waits_off_the_queue(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await locked_out_job(shared_app, shop)
    assert await queue_entries(shared_app, ref) == []
    stored = await job_row(shared_app, ref)
    assert (stored["status"], stored["strikes"], stored["attempt"]) == ("IN_PROGRESS", 0, 1)
    detail = (await shared_app.detail(ref.public_id, shop=shop)).json()
    assert detail["status"] == "IN_PROGRESS"
    latest = detail["latest_event"]
    assert latest["message"] == "Waiting for the merchant to open the app again"
    assert latest["extra"] == {"waiting_for": "reauth"}


async def test_opening_the_app_resumes_waiting_jobs_at_once(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await locked_out_job(shared_app, shop)
    second = await new_waiting_job(shared_app, shop)
    await shared_app.drain()
    await shared_app.install(shop)
    assert await queue_entries(shared_app, ref) == ["resume_shop"]
    await shared_app.drain()
    for each in (ref, second):
        assert (await job_row(shared_app, each))["status"] == "SUCCESS"
        assert (await job_row(shared_app, each))["waiting_since"] is None
        kinds = [kind for _, kind, _ in await public_events(shared_app, shop, each)]
        assert kinds == ["queued", "queued", *["stage"] * 5, "succeeded"]


async def test_more_waiting_jobs_than_one_batch_are_resumed(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reauth, "RESUMED_AT_ONCE", 2)
    refs = [await new_waiting_job(shared_app, shop) for _ in range(5)]
    of_shop = ShopRef(shop_id=refs[0].shop_id)
    await shared_app.execute("DELETE FROM queue.pgqueuer")
    await shared_app.execute(
        "UPDATE jobs SET waiting_since = now() WHERE shop_id = :s", s=of_shop.shop_id
    )
    for _ in range(2):  # twice does no harm
        await resume_shop(of_shop, shared_app.database)
        assert await queue_entries(shared_app, refs[0]) == ["run_backlog"] * 5


@pytest.mark.parametrize("queued_by", ["enqueue_jobs", "enqueue_deliveries"])
async def test_a_resumption_ends_once_the_shop_is_locked_out_again(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch, queued_by: str
) -> None:
    """Workers then find what it has queued faster than it comes to an end."""
    ref = await new_waiting_job(shared_app, shop)
    delivery = await send_webhook(shared_app, "products/update", shop=shop)
    until_reauth = {
        "UPDATE jobs SET waiting_since = now() WHERE public_id = :id": ref.public_id,
        "UPDATE webhook_deliveries SET status = 'failed', note = 'REAUTH_NEEDED' "
        "WHERE webhook_id = :id": delivery.webhook_id,
    }

    async def locked_out_again(connection: AsyncConnection, *_: Any) -> None:
        parked = "UPDATE shops SET reauth_needed_at = now() WHERE domain = :id"
        for statement, row in {parked: shop, **until_reauth}.items():
            await connection.execute(text(statement), {"id": row})

    for statement, row in until_reauth.items():
        await shared_app.execute(statement, id=row)
    monkeypatch.setattr(reauth, queued_by, locked_out_again)
    async with asyncio.timeout(10):
        await resume_shop(ShopRef(shop_id=ref.shop_id), shared_app.database)
    assert (await job_row(shared_app, ref))["waiting_since"]
    assert await delivery_status(shared_app, delivery.webhook_id) == ("failed", "REAUTH_NEEDED")


async def test_new_credits_do_not_prolong_the_wait_for_the_merchant(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await locked_out_job(shared_app, shop)
    since = (await job_row(shared_app, ref))["waiting_since"]
    async with shared_app.database.transaction(ref.shop_id) as connection:
        await grant_credits(
            connection, ref.shop_id, source="manual", ref="ticket", amount=1, expires_at=None
        )
    await shared_app.drain()
    assert (await job_row(shared_app, ref))["waiting_since"] == since
    await shared_app.install(shop)
    await shared_app.drain()
    assert (await job_row(shared_app, ref))["status"] == "SUCCESS"


async def test_a_reauth_wait_counts_no_attempts_and_is_reported_once(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await locked_out_job(shared_app, shop)
    for _ in range(2 * JOBS.crashes):
        assert await run_job(ref, shared_app.worker_context) == Done()
    assert await public_events(shared_app, shop, ref) == [
        (1, "queued", None),
        (2, "queued", "reauth"),
    ]
    assert (await job_row(shared_app, ref))["strikes"] == 0


async def test_a_job_that_waits_again_after_progress_reports_it_again(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await new_waiting_job(shared_app, shop)
    for _ in range(2):
        async with shared_app.database.transaction() as connection:
            claimed = await lease_job(connection, ref)
            assert claimed is not None
            await put_back(connection, claimed, message="Waiting", waiting_for="reauth")
        await make_stage(shared_app, claimed, f"stage {claimed.attempt}")
    waits = [seq for seq, _, waits_for in await public_events(shared_app, shop, ref) if waits_for]
    assert waits == [2, 4]


async def test_a_worker_that_lost_its_lease_cannot_put_a_job_back(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await locked_out_job(shared_app, shop)  # it has been told already: no event is fenced
    async with shared_app.database.transaction() as connection:
        old = await lease_job(connection, ref)
        await lease_job(connection, ref)
    assert old is not None
    before = await job_row(shared_app, ref)
    with pytest.raises(Fenced):
        async with shared_app.database.transaction() as connection:
            await put_back(connection, old, message="Waiting", waiting_for="reauth")
    assert await job_row(shared_app, ref) == before


async def test_a_job_that_missed_its_shops_resumption_is_retried(
    shared_app: RunningApp, shop: str
) -> None:
    """The shop is open again before the job has said that it waits."""
    claimed = await claimed_job(shared_app, shop=shop)
    context = shared_app.worker_context
    job_run = JobRun(claimed, context)
    assert await after_lockout(JOB_TASK, job_run, context, NeedsReauth(shop)) == Retry(
        LOCKED_OUT_PAUSE
    )


async def test_a_job_with_a_missing_token_key_is_retried_indefinitely(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await new_waiting_job(shared_app, shop)
    settings = msgspec.structs.replace(shared_app.settings, token_keys=generate_key())
    admin = AdminApi(settings, LoopbackShopify(shared_app.shopify.origin))
    worker_context = msgspec.structs.replace(shared_app.worker_context, admin=admin)
    for _ in range(2 * JOBS.crashes):
        assert await run_job(ref, worker_context) == Retry(LOCKED_OUT_PAUSE)
    await admin.close()
    assert await run_job(ref, shared_app.worker_context) == Done()
    assert (await job_row(shared_app, ref))["status"] == "SUCCESS"


async def test_refused_app_credentials_are_retried_indefinitely(
    shared_app: RunningApp, shop: str
) -> None:
    """The operator has mistyped the client secret, and the shop's token is due."""
    ref = await new_waiting_job(shared_app, shop)
    await expire_token(shared_app, shop)
    settings = msgspec.structs.replace(
        shared_app.settings, shopify_api_secret="mistyped", shopify_api_secret_previous=""
    )
    admin = AdminApi(settings, LoopbackShopify(shared_app.shopify.origin))
    worker_context = msgspec.structs.replace(shared_app.worker_context, admin=admin)
    for _ in range(JOBS.crashes + 1):
        assert await run_job(ref, worker_context) == Retry(LOCKED_OUT_PAUSE)
    await admin.close()
    assert await run_job(ref, shared_app.worker_context) == Done()
    assert (await job_row(shared_app, ref))["status"] == "SUCCESS"


async def test_work_that_needs_no_token_continues_in_a_locked_out_shop(
    shared_app: RunningApp, shop: str
) -> None:
    product = shared_app.product(b"a photo", shop=shop)
    admin = shared_app.handler_context.admin
    token = (await installed_shop(shared_app.database, admin, shop)).access_token  # type: ignore[union-attr]
    photo = await admin.media_image(shop, token, product.media_gid)
    assert photo is not None and photo.ready is not None
    ref = await waiting_job(shared_app, shop=shop, request={"source_url": photo.ready.url})
    await lock_out(shared_app, shop)
    assert await run_job(ref, shared_app.worker_context) == Done()
    assert (await job_row(shared_app, ref))["status"] == "SUCCESS"


async def test_reads_and_new_jobs_work_in_a_locked_out_shop(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await locked_out_job(shared_app, shop)
    product = shared_app.product(b"a photo", shop=shop)
    asked = await shared_app.http.post(
        "/v1/catalog-image", json={"product_id": product.gid}, headers=shared_app.bearer(shop)
    )
    assert asked.status_code == 202
    listed = await shared_app.http.get("/v1/jobs", headers=shared_app.bearer(shop))
    assert ref.public_id in listed.text


async def test_a_waiting_job_can_be_cancelled(shared_app: RunningApp, shop: str) -> None:
    ref = await locked_out_job(shared_app, shop)
    cancelled = await shared_app.http.post(
        f"/v1/jobs/{ref.public_id}/cancel", headers=shared_app.bearer(shop)
    )
    assert cancelled.status_code == 202
    await shared_app.install(shop)
    await shared_app.drain()
    assert (await public_events(shared_app, shop, ref))[-1][1] == "failed"


async def test_waiting_jobs_end_when_the_app_is_removed(shared_app: RunningApp, shop: str) -> None:
    ref = await locked_out_job(shared_app, shop)
    shared_app.shopify.uninstall(shop)
    assert await process_webhook(shared_app, "app/uninstalled", shop=shop) == (
        "processed",
        "UNINSTALLED",
    )
    stored = await job_row(shared_app, ref)
    assert stored["status"] == "FAILURE"
    assert (await failure_code(shared_app, ref)) == "SHOP_UNINSTALLED"


@pytest.mark.parametrize(("days", "ends"), [(29, False), (31, True)])
async def test_a_reauth_wait_ends_after_thirty_days(
    shared_app: RunningApp, shop: str, days: int, ends: bool
) -> None:
    ref = await locked_out_job(shared_app, shop)
    await shared_app.execute(
        "UPDATE jobs SET waiting_since = now() - make_interval(days => :days) "
        "WHERE public_id = :id",
        days=days,
        id=ref.public_id,
    )
    assert await end_long_waits(shared_app.database) == int(ends)
    assert (await job_row(shared_app, ref))["status"] == ("FAILURE" if ends else "IN_PROGRESS")
    if ends:
        assert await failure_code(shared_app, ref) == "REAUTH_NEEDED"
    assert await end_long_waits(shared_app.database) == 0
