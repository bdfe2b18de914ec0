"""Compliance webhooks: report what is held, and erase rows and images."""

from typing import Any

import msgspec

from backend.leased_task import Done, Retry
from backend.storage.objects import ObjectStore
from backend.worker.webhook_dispatch import handle_delivery
from tests.running_app import OTHER_SHOP, RunningApp
from tests.scenarios import (
    TENANT_TABLES,
    claimed_job,
    delivery_status,
    fingerprint,
    finished_job,
    make_stage,
    missing_objects,
    process_webhook,
    send_webhook,
    waiting_job,
)

CUSTOMER = "191167"  # as in the stand-in's samples
REDACT = "customers/redact"


async def uninstall_shop(shared_app: RunningApp, shop: str) -> None:
    """The merchant removes the app, and we have heard of it."""
    shared_app.shopify.uninstall(shop)
    assert (await process_webhook(shared_app, "app/uninstalled", shop=shop))[0] == "processed"


async def deliveries(shared_app: RunningApp, shop: str) -> list[dict[str, Any]]:
    """The shop's inbox."""
    return await shared_app.rows(
        "SELECT topic, note, body FROM webhook_deliveries WHERE shop_domain = :d", d=shop
    )


async def rows_of_shop(shared_app: RunningApp, shop_id: int) -> dict[str, int]:
    """How many rows of each tenant table carry this shop's id."""
    return {
        table: len(await shared_app.rows(f"SELECT 1 FROM {table} WHERE shop_id = :s", s=shop_id))
        for table in TENANT_TABLES
    }


async def test_a_data_request_counts_the_customers_jobs(shared_app: RunningApp, shop: str) -> None:
    for customer in (CUSTOMER, CUSTOMER, "2", None):
        await waiting_job(shared_app, shop=shop, customer_id=customer)
    before = await fingerprint(shared_app, shop)
    ended = await process_webhook(shared_app, "customers/data_request", shop=shop)
    assert ended == ("processed", "HELD 2 jobs")
    after = await fingerprint(shared_app, shop)
    assert [table for table in before if before[table] != after[table]] == ["privacy_requests"]


async def test_a_customer_redaction_erases_only_that_customers_jobs(
    shared_app: RunningApp, shop: str
) -> None:
    finished, gone = await finished_job(shared_app, shop=shop, customer_id=CUSTOMER)
    running = await claimed_job(shared_app, shop=shop, customer_id=CUSTOMER)
    gone += await make_stage(shared_app, running, "segment")
    waiting = await waiting_job(shared_app, shop=shop, customer_id=CUSTOMER)
    other, kept = await finished_job(shared_app, shop=shop, customer_id="2")
    nobodys, more = await finished_job(shared_app, shop=shop)
    assert await process_webhook(shared_app, REDACT, shop=shop) == ("processed", "ERASED 3 jobs")
    for ref in (finished, running.ref, waiting):
        assert (await shared_app.detail(ref.public_id, shop=shop)).status_code == 404
    for ref in (other, nobodys):
        assert (await shared_app.detail(ref.public_id, shop=shop)).status_code == 200
    assert await missing_objects(shared_app, gone) == gone
    assert await missing_objects(shared_app, kept + more) == []


async def test_an_image_url_stops_working_after_the_erasure(
    shared_app: RunningApp, shop: str
) -> None:
    ref, _ = await finished_job(shared_app, shop=shop, customer_id=CUSTOMER)
    url = (await shared_app.detail(ref.public_id, shop=shop)).json()["result"][0]["image_url"]
    assert (await shared_app.http.get(url)).status_code == 200
    await process_webhook(shared_app, REDACT, shop=shop)
    assert (await shared_app.http.get(url)).status_code == 404


async def test_a_customer_id_is_scoped_to_one_shop(shared_app: RunningApp, shop: str) -> None:
    await shared_app.install(OTHER_SHOP)
    _, keys = await finished_job(shared_app, shop=OTHER_SHOP, customer_id=CUSTOMER)
    before = await fingerprint(shared_app, OTHER_SHOP)
    assert await process_webhook(shared_app, REDACT, shop=shop) == ("processed", "ERASED 0 jobs")
    assert await fingerprint(shared_app, OTHER_SHOP) == before
    assert await missing_objects(shared_app, keys) == []


async def test_an_incomplete_or_foreign_redaction_does_nothing(
    shared_app: RunningApp, shop: str
) -> None:
    await waiting_job(shared_app, shop=shop, customer_id=CUSTOMER)
    before = await fingerprint(shared_app, shop)
    whole: dict[str, object] = {
        "shop_domain": shop,
        "customer": {"id": int(CUSTOMER)},
        "orders_to_redact": [],
    }
    for change, note in (
        ({"customer": None}, "BODY_MISMATCH"),
        ({"orders_to_redact": None}, "BODY_MISMATCH"),
        ({"shop_domain": OTHER_SHOP}, "SHOP_MISMATCH"),
    ):
        assert await process_webhook(shared_app, REDACT, whole | change, shop=shop) == (
            "ignored",
            note,
        )
    assert await fingerprint(shared_app, shop) == before


async def test_a_shop_redaction_erases_every_table_and_object(
    shared_app: RunningApp, shop: str
) -> None:
    ref, keys = await finished_job(shared_app, shop=shop, customer_id=CUSTOMER)
    running = await claimed_job(shared_app, shop=shop)
    keys += await make_stage(shared_app, running, "segment")
    await uninstall_shop(shared_app, shop)
    ended = await process_webhook(shared_app, "shop/redact", shop=shop)
    assert ended == ("processed", "ERASED 2 jobs and the shop")
    assert await shared_app.rows("SELECT 1 FROM shops WHERE domain = :d", d=shop) == []
    assert await rows_of_shop(shared_app, ref.shop_id) == dict.fromkeys(TENANT_TABLES, 0)
    assert await missing_objects(shared_app, keys) == keys
    remembered = [{"topic": "shop/redact", "note": "ERASED 2 jobs and the shop", "body": None}]
    assert await deliveries(shared_app, shop) == remembered


async def test_a_shop_is_erased_even_if_its_uninstall_was_lost(
    shared_app: RunningApp, shop: str
) -> None:
    ref, keys = await finished_job(shared_app, shop=shop)
    shared_app.shopify.uninstall(shop)
    ended = await process_webhook(shared_app, "shop/redact", shop=shop)
    assert ended == ("processed", "ERASED 1 jobs and the shop")
    assert await rows_of_shop(shared_app, ref.shop_id) == dict.fromkeys(TENANT_TABLES, 0)
    assert await missing_objects(shared_app, keys) == keys


async def test_erasing_one_shop_leaves_other_shops_unchanged(
    shared_app: RunningApp, shop: str
) -> None:
    await shared_app.install(OTHER_SHOP)
    _, keys = await finished_job(shared_app, shop=OTHER_SHOP)
    before = await fingerprint(shared_app, OTHER_SHOP)
    await finished_job(shared_app, shop=shop)
    await uninstall_shop(shared_app, shop)
    await process_webhook(shared_app, "shop/redact", shop=shop)
    assert await fingerprint(shared_app, OTHER_SHOP) == before
    assert await missing_objects(shared_app, keys) == []


async def test_a_second_copy_of_an_erasure_is_harmless(shared_app: RunningApp, shop: str) -> None:
    await finished_job(shared_app, shop=shop)
    await uninstall_shop(shared_app, shop)
    payload = shared_app.shopify.payload(shop, "shop/redact")
    first = await send_webhook(shared_app, "shop/redact", payload, shop=shop)
    second = await send_webhook(shared_app, "shop/redact", payload, shop=shop)
    for ref in (first, second):
        assert await handle_delivery(ref, shared_app.handler_context, 0) == Done()
    assert await process_webhook(shared_app, "shop/redact", payload, shop=shop) == (
        "ignored",
        "UNKNOWN_SHOP",
    )
    notes = [row["note"] for row in await deliveries(shared_app, shop)]
    assert sorted(notes) == ["ERASED 1 jobs and the shop", "NOTHING_HELD", "UNKNOWN_SHOP"]


async def test_a_reinstalled_shop_is_not_erased(shared_app: RunningApp, shop: str) -> None:
    _, keys = await finished_job(shared_app, shop=shop)
    await uninstall_shop(shared_app, shop)
    shared_app.shopify.reinstall(shop)
    await shared_app.install(shop)
    before = await fingerprint(shared_app, shop)
    assert await process_webhook(shared_app, "shop/redact", shop=shop) == ("ignored", "REINSTALLED")
    assert await fingerprint(shared_app, shop) == before
    assert await missing_objects(shared_app, keys) == []


async def test_an_erased_shop_can_reinstall_and_starts_empty(
    shared_app: RunningApp, shop: str
) -> None:
    ref, _ = await finished_job(shared_app, shop=shop)
    await uninstall_shop(shared_app, shop)
    await process_webhook(shared_app, "shop/redact", shop=shop)
    shared_app.shopify.reinstall(shop)
    await shared_app.install(shop)
    assert (await shared_app.detail(ref.public_id, shop=shop)).status_code == 404


async def test_an_erasure_without_storage_keeps_the_rows_and_is_retried(
    shared_app: RunningApp, shop: str
) -> None:
    ref, keys = await finished_job(shared_app, shop=shop, customer_id=CUSTOMER)
    nowhere = msgspec.structs.replace(shared_app.settings, s3_endpoint_url="http://127.0.0.1:9")
    cut_off = msgspec.structs.replace(shared_app.handler_context, store=ObjectStore(nowhere))
    redaction = await send_webhook(shared_app, REDACT, shop=shop)
    assert isinstance(await handle_delivery(redaction, cut_off, 0), Retry)
    assert (await shared_app.detail(ref.public_id, shop=shop)).status_code == 200
    assert await handle_delivery(redaction, shared_app.handler_context, 1) == Done()
    assert await delivery_status(shared_app, redaction.webhook_id) == ("processed", "ERASED 1 jobs")
    assert await missing_objects(shared_app, keys) == keys
