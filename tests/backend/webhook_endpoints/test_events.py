"""Events: caused in the transaction that they tell of, whoever commits it, for who wants them."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from backend.batches.leases import BatchRef
from backend.db import Database
from backend.failures.codes import PRODUCT_NOT_FOUND
from backend.jobs.lifecycle import lease_job, succeed
from backend.slices import TimeSlice
from backend.tenancy import WEB
from backend.webhook_endpoints.payloads import DATA_OF
from backend.worker.batch_counts import settle_batches
from tests.backend.batches.scenarios import (
    end_jobs,
    expanded_batch,
    post_batch_action,
    product_gids,
)
from tests.backend.credits.ledger import end_job, grant, made_job
from tests.backend.publications.scenarios import (
    product_with_two_images,
    request_publication,
    run_publication_to_end,
    withdraw_publication,
)
from tests.backend.webhook_endpoints.receiver import Receiver, add, make_due
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import process_webhook, waiting_job
from webhooks.handlers.app import end_work

TOLD = """
SELECT event_type AS type, body::jsonb -> 'data' AS data FROM endpoint_deliveries
WHERE (cast(:endpoint AS text) IS NULL OR coalesce(endpoint_id, app_endpoint_id) = :endpoint)
ORDER BY id
"""
ENDPOINT = "https://hooks.example.com/atelier"


async def told(shop_app: RunningApp, endpoint: object = None) -> list[tuple[str, dict[str, Any]]]:
    """The events of all endpoints, or of one: type and data."""
    rows = await shop_app.rows(TOLD, endpoint=endpoint)
    for row in rows:
        kind = DATA_OF[row["type"]]
        assert set(row["data"]) == set(kind.__struct_fields__), "as the OpenAPI document says"
        msgspec.convert(row["data"], kind)
    return [(row["type"], row["data"]) for row in rows]


async def app_endpoint(shop_app: RunningApp, event_types: list[str] | None = None) -> str:
    """An endpoint of the operator."""
    await shop_app.execute(
        "INSERT INTO app_webhook_endpoints (id, url, secret, event_types) "
        "VALUES ('01APP', :url, 'x', :types)",
        url=ENDPOINT,
        types=event_types,
    )
    return "01APP"


async def test_a_job_tells_how_it_ended(shop_app: RunningApp) -> None:
    await grant(shop_app, SHOP, 1000)
    await add(shop_app, ENDPOINT)
    good, bad = await made_job(shop_app, SHOP), await made_job(shop_app, SHOP)
    await end_job(shop_app, good)
    await end_job(shop_app, bad, PRODUCT_NOT_FOUND)
    common = {"shop": SHOP, "job_type": "CATALOG_IMAGE", "batch_id": None, "seq": 2}
    assert await told(shop_app) == [
        (
            "job.succeeded",
            {
                **common,
                "job_id": good.public_id,
                "status": "SUCCESS",
                "error_code": None,
                "path": f"/v1/jobs/{good.public_id}",
            },
        ),
        (
            "job.failed",
            {
                **common,
                "job_id": bad.public_id,
                "status": "FAILURE",
                "error_code": PRODUCT_NOT_FOUND.code,
                "path": f"/v1/jobs/{bad.public_id}",
            },
        ),
    ]


async def test_a_job_that_a_merchant_cancels_tells_it_too(shop_app: RunningApp) -> None:
    await add(shop_app, ENDPOINT)
    ref = await waiting_job(shop_app)
    cancelled = await shop_app.http.post(
        f"/v1/jobs/{ref.public_id}/cancel", headers=shop_app.bearer()
    )
    assert cancelled.status_code == 202
    [(kind, data)] = await told(shop_app)
    assert (kind, data["error_code"]) == ("job.failed", "CANCELLED")


async def test_an_event_commits_or_is_rolled_back_with_its_cause(shop_app: RunningApp) -> None:
    await add(shop_app, ENDPOINT)
    ref = await waiting_job(shop_app)
    claimed = await lease_job(shop_app.database, ref)
    assert claimed is not None
    async with shop_app.owner.engine.connect() as connection:
        await succeed(connection, claimed, {})
        found = await connection.scalar(text("SELECT count(*) FROM endpoint_deliveries"))
        assert found == 1
        await connection.rollback()
    assert await told(shop_app) == []
    assert not await shop_app.rows(
        "SELECT 1 FROM queue.pgqueuer WHERE entrypoint = 'deliver_events'"
    )
    await succeed(shop_app.database, claimed, {})
    assert [kind for kind, _ in await told(shop_app)] == ["job.succeeded"]


async def test_many_ends_in_one_transaction_make_one_queue_entry(shop_app: RunningApp) -> None:
    await add(shop_app, ENDPOINT)
    for _ in range(3):
        await waiting_job(shop_app)
    await shop_app.execute(
        "UPDATE jobs SET status = 'FAILURE', finished_at = now() WHERE status = 'NOT_STARTED'"
    )  # as a process of the version before does, which knows of no events
    assert len(await told(shop_app)) >= 3
    entries = await shop_app.rows(
        "SELECT 1 FROM queue.pgqueuer WHERE entrypoint = 'deliver_events'"
    )
    assert len(entries) == 1


async def test_a_publication_tells_that_it_is_published_and_restored(shop_app: RunningApp) -> None:
    await add(shop_app, ENDPOINT)
    ref = await request_publication(shop_app, SHOP, product_with_two_images(shop_app, SHOP))
    await run_publication_to_end(shop_app, ref)
    assert (await withdraw_publication(shop_app, SHOP, ref)).status_code == 202
    await run_publication_to_end(shop_app, ref)
    events = await told(shop_app)
    assert [kind for kind, _ in events] == [
        "job.succeeded",
        "publication.published",
        "publication.restored",
    ]
    assert {data["job_id"] for _, data in events} == {ref.public_id}
    numbers = [data["seq"] for _, data in events]
    assert numbers == sorted(numbers), "a receiver can order them"
    assert events[1][1]["path"] == f"/v1/jobs/{ref.public_id}/publication"


@pytest.mark.parametrize(
    ("good", "bad", "kind", "status"),
    [
        (2, 0, "batch.finished", "SUCCESS"),
        (1, 1, "batch.finished", "PARTIAL"),
        (0, 2, "batch.failed", "FAILURE"),
    ],
)
async def test_a_batch_tells_how_it_ended(
    shop_app: RunningApp, good: int, bad: int, kind: str, status: str
) -> None:
    await grant(shop_app, SHOP, 1000)
    ref = await batch_of_two(shop_app)
    await add(shop_app, ENDPOINT, event_types=["batch.finished", "batch.failed"])
    await end_jobs(shop_app, SHOP, ref, good=good, bad=bad)
    await settle_batches(shop_app.database)
    [(told_kind, data)] = await told(shop_app)
    assert (told_kind, data["status"], data["batch_id"]) == (kind, status, ref.public_id)
    found = await shop_app.http.get(data["path"], headers=shop_app.bearer())
    assert found.json()["status"] == status
    assert (data["counts"]["succeeded"], data["counts"]["failed"]) == (good, bad)


async def test_a_cancelled_batch_has_finished(shop_app: RunningApp) -> None:
    await grant(shop_app, SHOP, 1000)
    ref = await batch_of_two(shop_app)
    await add(shop_app, ENDPOINT, event_types=["batch.finished", "batch.failed"])
    await post_batch_action(shop_app, SHOP, ref, "cancel")
    await settle_batches(shop_app.database)
    [(kind, data)] = await told(shop_app)
    assert (kind, data["status"]) == ("batch.finished", "CANCELLED")


async def batch_of_two(shop_app: RunningApp) -> BatchRef:
    """A batch whose two jobs have not begun."""
    start = int((await shop_app.rows("SELECT count(*) AS n FROM batches"))[0]["n"]) * 2 + 1
    return await expanded_batch(shop_app, SHOP, {"product_ids": product_gids(2, start)})


async def test_low_credits_are_told_once_for_each_crossing(shop_app: RunningApp) -> None:
    shop = "low.myshopify.com"
    await shop_app.install(shop)
    await grant(shop_app, shop, 4)
    await add(shop_app, ENDPOINT, shop=shop, event_types=["credits.low"], credits_low_below=3)
    await add(shop_app, ENDPOINT, shop=shop, event_types=["job.failed"], credits_low_below=3)
    jobs = [await made_job(shop_app, shop) for _ in range(4)]
    [(kind, data)] = await told(shop_app)
    assert (kind, data["below"], data["available"]) == ("credits.low", 3, 2)
    for ref in jobs:
        await end_job(shop_app, ref, PRODUCT_NOT_FOUND)  # gives back what it held
    for _ in range(2):
        await made_job(shop_app, shop)
    events = [data["available"] for kind, data in await told(shop_app) if kind == "credits.low"]
    assert events == [2, 2]


async def test_an_endpoint_gets_what_it_wants_of_its_own_shop(shop_app: RunningApp) -> None:
    await shop_app.install(OTHER_SHOP)
    wants = await add(shop_app, ENDPOINT, event_types=["job.failed", "batch.failed"])
    other = await add(shop_app, ENDPOINT, shop=OTHER_SHOP)
    apps = await app_endpoint(shop_app)
    for shop in (SHOP, OTHER_SHOP):
        claimed = await lease_job(shop_app.database, await waiting_job(shop_app, shop=shop))
        assert claimed is not None
        await succeed(shop_app.database, claimed, {})
    assert await told(shop_app, wants["id"]) == []
    assert [data["shop"] for _, data in await told(shop_app, other["id"])] == [OTHER_SHOP]
    assert [data["shop"] for _, data in await told(shop_app, apps)] == [SHOP, OTHER_SHOP]
    ids = await shop_app.rows("SELECT DISTINCT event_id FROM endpoint_deliveries")
    assert len(ids) == 2, "all endpoints get the event under one ID"


async def test_a_web_process_sees_of_the_operators_endpoints_only_what_they_want(
    shop_app: RunningApp,
) -> None:
    await app_endpoint(shop_app)
    database = Database(shop_app.settings.database_url, role=WEB)
    async with database.reading(SHOP) as connection:
        assert await connection.scalar(text("SELECT id FROM app_webhook_endpoints"))
        for column in ("url", "secret", "previous_secret"):
            allowed = text("SELECT has_column_privilege('app_webhook_endpoints', :c, 'SELECT')")
            assert not await connection.scalar(allowed, {"c": column})
    await database.close()


async def test_events_hold_no_private_text_and_no_urls(shop_app: RunningApp) -> None:
    await add(shop_app, ENDPOINT)
    ref = await request_publication(shop_app, SHOP, product_with_two_images(shop_app, SHOP))
    await run_publication_to_end(shop_app, ref)
    rows = await shop_app.rows("SELECT body FROM endpoint_deliveries")
    assert len(rows) == 2
    for row in rows:
        assert "http" not in row["body"]
        assert "Tee" not in row["body"], "the product's title"
        assert len(row["body"]) < 1000


async def test_after_an_uninstall_the_shops_endpoints_get_nothing_more(
    shop_app: RunningApp, receiver: Receiver
) -> None:
    shop = "gone.myshopify.com"
    await shop_app.install(shop)
    endpoint = await add(shop_app, receiver.url, shop=shop)
    apps = await app_endpoint(shop_app)
    await waiting_job(shop_app, shop=shop)
    await shop_app.http.post(
        f"/v1/webhook-endpoints/{endpoint['id']}/test", headers=shop_app.bearer(shop)
    )
    shop_app.shopify.uninstall(shop)
    await shop_app.execute(
        "UPDATE queue.pgqueuer SET execute_after = now() + interval '1 hour' "
        "WHERE entrypoint = 'deliver_events'"
    )
    assert (await process_webhook(shop_app, "app/uninstalled", shop=shop))[0] == "processed"
    states = await shop_app.rows(
        "SELECT event_type, status, app_endpoint_id IS NOT NULL AS to_app "
        "FROM endpoint_deliveries ORDER BY id"
    )
    assert [(row["event_type"], row["status"]) for row in states if not row["to_app"]] == [
        ("endpoint.test", "canceled")
    ]
    assert [row["event_type"] for row in states if row["to_app"]] == ["job.failed"], "for us"
    assert await told(shop_app, apps)
    await shop_app.execute("DELETE FROM app_webhook_endpoints")
    await make_due(shop_app)
    assert receiver.requests == []


async def test_an_uninstall_ends_no_deliveries_of_the_next_installation(
    shop_app: RunningApp,
) -> None:
    shop = "back.myshopify.com"
    await shop_app.install(shop)
    endpoint = await add(shop_app, ENDPOINT, shop=shop)
    shop_app.shopify.uninstall(shop)
    await process_webhook(shop_app, "app/uninstalled", shop=shop)
    (closed,) = await shop_app.rows(
        "SELECT id, uninstalled_at FROM shops WHERE domain = :d", d=shop
    )
    shop_app.shopify.reinstall(shop)
    await shop_app.install(shop)
    await shop_app.http.post(
        f"/v1/webhook-endpoints/{endpoint['id']}/test", headers=shop_app.bearer(shop)
    )
    # A turn that has begun before that.
    await end_work(shop_app.database, closed["id"], closed["uninstalled_at"], TimeSlice())
    states = await shop_app.rows("SELECT event_type, status FROM endpoint_deliveries")
    assert states == [{"event_type": "endpoint.test", "status": "pending"}]


async def test_a_shop_redaction_erases_endpoints_and_deliveries(shop_app: RunningApp) -> None:
    shop = "erased.myshopify.com"
    await shop_app.install(shop)
    endpoint = await add(shop_app, ENDPOINT, shop=shop)
    await waiting_job(shop_app, shop=shop)
    await shop_app.http.post(
        f"/v1/webhook-endpoints/{endpoint['id']}/test", headers=shop_app.bearer(shop)
    )
    await app_endpoint(shop_app)
    shop_app.shopify.uninstall(shop)
    await process_webhook(shop_app, "app/uninstalled", shop=shop)
    assert (await process_webhook(shop_app, "shop/redact", shop=shop))[0] == "processed"
    assert await told(shop_app) == []
    assert not await shop_app.rows("SELECT 1 FROM webhook_endpoints")
